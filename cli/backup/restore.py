"""Brings a stack up from a backup.

`up` creates the stack as ever, but with the settings and the generated passwords of the backup;
then databases and volumes get their content, and `up` compares flows and grants once more. Until
all of it is verified the stack has a tag, by which the next attempt knows that it may begin anew.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import tenacity
from pulumi.automation import StackNotFoundError

from cli import offline, setup, stack_settings
from cli.backup import manifest as parts
from cli.backup.archive import Archive
from cli.backup.checks import Checked, check_archive, check_images
from cli.backup.create import create
from cli.backup.parts import Server, write_pgadmin, write_volume
from cli.backup.verify import Verification, read_flows, verify_data, verify_kestra
from cli.commands.down import tear_down
from cli.commands.up import bring_up, choose_parts
from cli.output import console, step, transfer
from cli.processes import PROJECT_FOLDER
from cli.repair import remove_leftovers
from cli.services import (
    connect,
    health_of,
    labels_of,
    list_containers,
    of_stack,
    shut_down_kestra,
)
from cli.stack import Stack

# On a stack whose restore has begun and is not verified.
_TAG = "podium:restore"
_UNFINISHED = "unfinished"
_FINISHED = "finished"
_HEALTHY_SECONDS = 300
# What `up` compares with the restored servers: flows and dashboards, roles and grants.
_COMPARED = ("pulumi-python:dynamic", "postgresql:")
# A throw-away stack starts nothing, and opens nothing.
_HARMLESS = {
    "schedulesEnabled": "false",
    "kestraDockerSocket": "false",
    "protectVolumes": "false",
    "bindAddress": "127.0.0.1",
}


def restore(
    stack: Stack, path: Path, *, replace: bool, images: Mapping[str, str] | None = None
) -> None:
    """Restores a backup into a stack that is new, empty, or to be replaced.

    Args:
        stack: the stack.
        path: the archive.
        replace: whether the stack may hold something, which is backed up before it is deleted.
        images: newer images by their settings, for a stack whose own backup the archive is.

    Raises:
        click.ClickException: the backup or the stack does not fit, and nothing was changed; or the
            restored stack differs from the backup.
    """
    checked, settings = _checked(path, stack, images)
    manifest, name = checked.archive.manifest, stack.name
    is_unfinished = check_target(stack, replace=replace)
    console.print(f"Stack {manifest.stack}, {manifest.created:%Y-%m-%d %H:%M} UTC, into {name}")
    if stack.exists and stack.resources and not (is_unfinished or images):
        saved = create(stack, None)
        console.print(f"What is replaced is in {saved}")
    stack, verification = _restore_data(
        stack, checked, settings, f"Stack {name} did not come up: restore it once more."
    )
    # The servers start, and what differs from the program is written once more.
    for item in stack.resources:
        if item["type"].startswith(_COMPARED):
            item["initErrors"] = ["restored from a backup"]
    stack.save_deployment()
    if bring_up(Stack(name)):
        raise click.ClickException(
            f"Stack {name} has its data, but did not come up: {stack.podium} up"
        )
    login = _login(stack, str(stack.outputs["kestraUrl"]))
    verify_kestra(verification, login, checked.files, read_flows(stack))
    console.print()
    verification.report()
    stack.workspace.set_tag(name, _TAG, _FINISHED)


def verify(path: Path, stack: Stack, images: Mapping[str, str] | None = None) -> None:
    """Restores a backup into a throw-away stack, verifies it and deletes it.

    Its Kestra is on a network without a way out, so that executions that were running continue
    without reaching anything but this stack.

    Args:
        path: the archive.
        stack: the throw-away stack.
        images: newer images by their settings, to be tried.

    Raises:
        click.ClickException: the backup cannot be restored, or differs afterwards.
    """
    checked, settings = _checked(path, stack, images)
    settings["config"] |= {f"{stack.project}:{key}": _HARMLESS[key] for key in _HARMLESS}
    check_target(stack, replace=False)
    try:
        stack, verification = _restore_data(
            stack, checked, settings, f"The throw-away stack {stack.name} did not come up."
        )
        with _isolated(stack) as url:
            login = _login(stack, url)
            verify_kestra(verification, login, checked.files, read_flows(stack))
    finally:
        _remove(Stack(stack.name))
    console.print()
    verification.report()


def _checked(
    path: Path, stack: Stack, images: Mapping[str, str] | None
) -> tuple[Checked, dict[str, Any]]:
    """Returns an archive from which the stack can be restored, and the settings for this machine.

    Raises:
        click.ClickException: it cannot, with the reason.
    """
    setup.start_docker()
    checked = check_archive(path, stack)
    settings = _local(checked.settings, stack.project)
    for key, image in (images or {}).items():
        settings["config"][f"{stack.project}:{key}"] = image
    own = {key.rpartition(":")[2]: value for key, value in settings["config"].items()}
    check_images(checked.archive.manifest, stack_settings.load_defaults() | own)
    return checked, settings


def _restore_data(
    stack: Stack, checked: Checked, settings: Mapping[str, Any], failure: str
) -> tuple[Stack, Verification]:
    """Brings a stack up with the data of the backup, and without its Kestra.

    Args:
        stack: the stack as it was before.
        checked: the backup.
        settings: its settings for this machine.
        failure: the error of a stack that does not come up.

    Returns:
        The stack as it is now, and whether its data is that of the backup.
    """
    _begin(stack, checked, settings)
    if bring_up(Stack(stack.name)):
        raise click.ClickException(failure)
    stack, verification = Stack(stack.name), Verification()
    _load(stack, checked)
    verify_data(verification, stack, checked.archive.manifest)
    return stack, verification


def _login(stack: Stack, url: str) -> list[str]:
    return [url, *(str(stack.outputs[f"kestra{key}"]) for key in ("User", "Password"))]


def _local(settings: dict[str, Any], project: str) -> dict[str, Any]:
    """Returns the settings without a folder of taxi files that this machine does not have."""
    config = dict(settings.get("config") or {})
    key = f"{project}:taxiSource"
    folder = str(config.get(key, "://"))
    if "://" not in folder and not (PROJECT_FOLDER / Path(folder).expanduser()).is_dir():
        console.print(f"taxiSource = {folder} does not exist here: its default is used.")
        del config[key]
    return {**settings, "config": config}


def check_target(stack: Stack, *, replace: bool) -> bool:
    """Returns whether the stack is one whose restore was interrupted.

    Raises:
        click.ClickException: the stack holds something that must not be replaced.
    """
    filters, client = of_stack(stack), connect()
    found = [
        str(item.name)
        for item in client.containers.list(all=True, ignore_removed=True, filters=filters)
    ]
    found += [str(item.name) for item in client.volumes.list(filters=filters)]
    try:
        tag = stack.workspace.list_tags(stack.name).get(_TAG)
        is_empty = not stack.resources
    except StackNotFoundError:
        tag, is_empty = None, True
    if tag == _UNFINISHED:
        return True
    if is_empty and found:
        raise click.ClickException(
            f"Pulumi does not know stack {stack.name}, but Docker has {', '.join(found)}; nothing "
            "was changed. Remove them, or choose another stack with --stack."
        )
    if not is_empty and not replace:
        raise click.ClickException(
            f"Stack {stack.name} is not empty; nothing was changed. Choose another one with "
            "--stack, or add --replace, which backs it up first."
        )
    if protected := [item for item in stack.resources if item.get("protect")] if found else []:
        names = ", ".join(item["urn"].rpartition("::")[2] for item in protected)
        raise click.ClickException(
            f"{names} are protected; nothing was changed. Allow their replacement: "
            f"{stack.podium} pulumi config set protectVolumes false; then {stack.podium} up"
        )
    return False


def _begin(stack: Stack, checked: Checked, settings: Mapping[str, Any]) -> None:
    """Makes a stack that has nothing but the settings and the secrets of the backup."""
    if stack.exists:
        stack.workspace.set_tag(stack.name, _TAG, _UNFINISHED)
        _empty(stack)
        stack_settings.replace(stack.name, settings)
    else:
        stack_settings.create_stack(stack.name, settings)
        stack.workspace.set_tag(stack.name, _TAG, _UNFINISHED)
    stack = Stack(stack.name)
    choose_parts(stack)
    check_images(
        checked.archive.manifest, stack_settings.load_defaults() | stack_settings.load(stack.name)
    )
    stack.import_state(checked.state)
    _load_pgadmin(stack, checked.archive)


def _load_pgadmin(stack: Stack, archive: Archive) -> None:
    """Creates pgAdmin's volume with its content, so that its first start sets nothing up."""
    settings = stack_settings.load_defaults() | stack_settings.load(stack.name)
    offline.build_images(offline.load_stack().images_of(settings))
    volume = stack.container_name("pgadmin-data")
    connect().volumes.create(volume, labels=labels_of(stack))
    with step("Restoring pgAdmin"):
        image = str(settings["postgresImage"])
        write_volume(image, volume, archive.chunks(parts.PGADMIN_STORAGE))
        write_pgadmin(image, volume, archive.chunks(parts.PGADMIN))


def _load(stack: Stack, checked: Checked) -> None:
    """Gives the databases and Kestra's volume the content that the backup has; Kestra stops."""
    archive, manifest = checked.archive, checked.archive.manifest
    shut_down_kestra(stack)
    image = str(list_containers(stack)["postgres"].attrs["Image"])
    server = Server.of(stack)
    with transfer("Restoring", archive.size) as count:

        def read(name: str) -> Iterator[bytes]:
            return count(name, archive.chunks(name))

        server.write_globals(read(parts.GLOBALS))
        for part, database in manifest.databases.items():
            server.write_database(database, read(part))
        volume = stack.container_name("kestra-data")
        write_volume(image, volume, read(parts.KESTRA_STORAGE))


@contextmanager
def _isolated(stack: Stack) -> Iterator[str]:
    """Starts Kestra with PostgreSQL on a network of their own, and yields the URL of its API."""
    client, containers = connect(), list_containers(stack)
    postgres, kestra = containers["postgres"], containers["kestra"]
    name = stack.container_name("isolated")
    network = client.networks.create(name, internal=True, labels=labels_of(stack))
    network.connect(postgres, aliases=["postgres"])
    client.networks.get(stack.container_name("network")).disconnect(kestra)
    network.connect(kestra, aliases=["kestra"])
    with step("Starting Kestra without a network to the outside"):
        kestra.start()
        for attempt in tenacity.Retrying(
            stop=tenacity.stop_after_delay(_HEALTHY_SECONDS), wait=tenacity.wait_fixed(0.5)
        ):
            with attempt:
                kestra.reload()
                if health_of(kestra) != "healthy":
                    raise click.ClickException("Kestra is not healthy")
    address = kestra.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"]
    yield f"http://{address}:8080"


def _empty(stack: Stack) -> None:
    """Deletes everything that a stack holds, and what an interrupted restore left on Docker."""
    # An update that the interrupted restore began may still run; its state counts.
    stack = Stack(stack.name)
    remove_leftovers(stack)
    client, filters = connect(), of_stack(stack)
    for container in client.containers.list(all=True, ignore_removed=True, filters=filters):
        container.remove(v=True, force=True)
    if tear_down(stack, stack.parts):
        raise click.ClickException(f"Stack {stack.name} could not be deleted.")
    for volume in client.volumes.list(filters=filters):
        volume.remove()
    for network in client.networks.list(filters=filters):
        network.remove()


def _remove(stack: Stack) -> None:
    """Deletes a throw-away stack, settings and all."""
    if stack.exists:
        _empty(stack)
        stack.workspace.remove_stack(stack.name)
        stack_settings.delete_local_file(stack.name)
