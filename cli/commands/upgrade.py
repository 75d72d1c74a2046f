"""`podium upgrade`."""

import click

from cli import setup, stack_settings
from cli.backup.create import create
from cli.backup.restore import check_target, restore, verify
from cli.commands.up import bring_up, configure, is_available, load_settings
from cli.output import console
from cli.releases import check_releases
from cli.stack import Stack
from cli.trial import refused_content


@click.group()
def upgrade() -> None:
    """Bring a service to a newer release."""


@upgrade.command()
@click.argument("release")
@click.option("--check", is_flag=True, help="Only try it, with a copy of all data.")
@click.pass_obj
def postgres(stack: Stack, release: str, check: bool) -> None:
    """Upgrade PostgreSQL to RELEASE, such as 18 or a complete image reference.

    A backup is restored into a throw-away stack of that release and verified first. Then Kestra
    stops, and with it all flows, and the stack is replaced by one of that release with the same
    data. If that fails, it gets its old release back. The backup is kept.
    """
    image = _image(stack, "postgresImage", release)
    before = load_settings(stack).postgres_major
    if load_settings(stack, postgresImage=image).postgres_major <= before:
        raise click.ClickException(
            f"{image} has no newer major version than PostgreSQL {before}; nothing was changed. "
            f"Within one, set it: {stack.podium} pulumi config set postgresImage {image}"
        )
    check_target(stack, replace=True)
    images = {"postgresImage": image}
    trial = create(stack, None)
    console.print(f"Trying {image} with a copy of all data, which is in {trial}")
    verify(trial, Stack(f"{stack.name}-upgrade"), images)
    if check:
        console.print(f"{image} takes all data; nothing was changed.")
        return
    path = create(stack, None, stop_kestra=True)
    trial.unlink()
    try:
        restore(Stack(stack.name), path, replace=True, images=images)
    except click.ClickException as error:
        console.print(f"{error.message}\nThe upgrade failed: the old release is restored.")
        restore(Stack(stack.name), path, replace=True)
        raise
    console.print(f"Stack {stack.name} runs {image}. What it held before is in {path}")


@upgrade.command()
@click.argument("release")
@click.option("--check", is_flag=True, help="Only report what the release would refuse.")
@click.pass_obj
def kestra(stack: Stack, release: str, check: bool) -> int:
    """Upgrade Kestra to RELEASE, such as v2.0.0 or a complete image reference.

    A throw-away server of that release validates every flow and dashboard first; then the stack is
    backed up, as the migration of its database cannot be undone.
    """
    image = _image(stack, "kestraImage", release)
    settings = load_settings(stack, kestraImage=image)
    check_releases(stack, settings, backup_follows=True)
    if not is_available(settings.kestra_image):
        raise click.ClickException(
            f"The image {settings.kestra_image} is neither on this machine nor can it be pulled; "
            "nothing was changed."
        )
    refused = refused_content(stack, settings)
    for item, reason in sorted(refused.items()):
        click.echo(f"{item}: {reason}", err=True)
    if refused:
        raise click.ClickException(
            f"{settings.kestra_image} refuses {len(refused)} of the flows and dashboards; nothing "
            "was changed."
        )
    console.print(f"{settings.kestra_image} accepts all flows and dashboards.")
    if check:
        return 0
    console.print(f"Backup: {create(stack, None)}")
    configure(stack, {"kestraImage": image})
    return bring_up(Stack(stack.name))


def _image(stack: Stack, key: str, release: str) -> str:
    """Returns the image of a release, which is a tag of the present one or a complete reference."""
    setup.start_docker()
    if not stack.resources:
        raise stack.not_up()
    if ":" in release:
        return release
    current = stack_settings.read_setting(stack.name, key)
    return f"{current.partition('@')[0].rpartition(':')[0]}:{release}"
