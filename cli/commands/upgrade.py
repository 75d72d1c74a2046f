"""`podium upgrade`."""

import click

from cli import setup, stack_settings
from cli.backup.create import create
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
@click.option("--check", is_flag=True, help="Only report what the release would refuse.")
@click.pass_obj
def kestra(stack: Stack, release: str, check: bool) -> int:
    """Upgrade Kestra to RELEASE, such as v2.0.0 or a complete image reference.

    A throw-away server of that release validates every flow and dashboard first; then the stack is
    backed up, as the migration of its database cannot be undone.
    """
    setup.start_docker()
    if not stack.resources:
        raise stack.not_up()
    image = release
    if ":" not in release:
        current = stack_settings.read_setting(stack.name, "kestraImage")
        image = f"{current.partition('@')[0].rpartition(':')[0]}:{release}"
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
