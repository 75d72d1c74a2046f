"""Writes a backup of a stack that runs, without stopping anything."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click

from cli import stack_settings
from cli.backup import manifest as parts
from cli.backup.archive import ArchiveWriter, writing
from cli.backup.manifest import Manifest
from cli.backup.parts import (
    PGADMIN_LEFT_OUT,
    Server,
    count_rows,
    read_pgadmin,
    read_volume,
    volume_size,
)
from cli.output import transfer
from cli.processes import PROJECT_FOLDER
from cli.services import connect_kestra, health_of, list_containers, shut_down_kestra
from cli.stack import Stack

_SERVICES = ("postgres", "kestra", "pgadmin")
# Under which Pulumi keeps when the last backup was made, and where it is.
_TAG = "podium:backup"
_KESTRA_SECONDS = 60.0
# The moment in the name of a backup. Another stack may have a name that begins with this one's.
_MOMENT = f"{'[0-9]' * 8}T{'[0-9]' * 6}Z"
_UNITS = ((24 * 60, "days"), (60, "hours"), (1, "minutes"))


def create(stack: Stack, path: Path | None, *, stop_kestra: bool = False) -> Path:
    """Writes a backup and returns its file.

    Args:
        stack: the stack, which is up.
        path: the file, which does not exist; None for one in the folder `backups`.
        stop_kestra: whether Kestra stops first, and with it all flows, for what replaces the stack.

    Raises:
        click.ClickException: the stack is not up, or the file cannot be written.
    """
    created = datetime.now(UTC)
    if path is None:
        path = _default_path(stack, f"{created:%Y%m%dT%H%M%SZ}")
    images = _images(stack)
    _check_secrets(stack)
    kestra_version = _kestra_version(stack)
    if stop_kestra:
        shut_down_kestra(stack)
    with writing(path, stack.short_name) as file, transfer("Writing the backup") as count:
        server, writer = Server.of(stack), ArchiveWriter(file)
        outputs = stack.outputs
        databases = {
            parts.WAREHOUSE: str(outputs["warehouseDatabase"]),
            parts.KESTRA: str(outputs["kestraDatabase"]),
        }
        versions = {"postgres": server.version, "kestra": kestra_version}

        def add(name: str, chunks: Iterable[bytes]) -> None:
            writer.add(name, count(name, chunks))

        add(parts.SETTINGS, [stack_settings.local_file(stack.name).read_bytes()])
        add(parts.STATE, [json.dumps(stack.export()).encode()])
        add(parts.GLOBALS, server.read_globals())
        # Rows are counted in the snapshot of the dump, and meanwhile.
        with (
            server.reading(databases[parts.WAREHOUSE]) as (chunks, connection),
            ThreadPoolExecutor(1) as pool,
        ):
            rows = pool.submit(count_rows, connection)
            add(parts.WAREHOUSE, chunks)
            counted = rows.result()
        add(parts.KESTRA, server.read_database(databases[parts.KESTRA]))
        image = images["postgres"]
        kestra, pgadmin = (stack.container_name(f"{name}-data") for name in ("kestra", "pgadmin"))
        add(parts.KESTRA_STORAGE, read_volume(image, kestra))
        add(parts.PGADMIN, read_pgadmin(stack.container_name("pgadmin")))
        add(parts.PGADMIN_STORAGE, read_volume(image, pgadmin, PGADMIN_LEFT_OUT))
        sizes = server.sizes()
        data_size = sum(sizes[name] for name in databases.values())
        data_size += sum(volume_size(image, volume) for volume in (kestra, pgadmin))
        writer.finish(
            Manifest(
                project=stack.project,
                stack=stack.short_name,
                created=created,
                images=images,
                versions=versions,
                databases=databases,
                data_size=data_size,
                rows=counted,
                parts=dict(writer.parts),
            )
        )
    stack.workspace.set_tag(stack.name, _TAG, f"{created:%Y-%m-%dT%H:%M:%SZ} {path.absolute()}")
    return path


class LastBackup(NamedTuple):
    """When the last backup of a stack was made, and its file."""

    created: datetime
    path: str

    def __str__(self) -> str:
        """Returns the moment, how long it is ago, and the file."""
        minutes = int((datetime.now(UTC) - self.created).total_seconds() // 60)
        number, unit = next(
            (minutes // size, unit) for size, unit in _UNITS if minutes >= 2 * size or size == 1
        )
        return f"{self.created:%Y-%m-%d %H:%M} UTC ({number} {unit} ago), {self.path}"


def last_backup(stack: Stack) -> LastBackup | None:
    """Returns the last backup of a stack, which may be gone meanwhile, or None."""
    tag = stack.workspace.list_tags(stack.name).get(_TAG)
    if not tag:
        return None
    created, _, path = tag.partition(" ")
    return LastBackup(datetime.fromisoformat(created), path)


def list_backups(stack: Stack) -> list[Path]:
    """Returns the backups of a stack in the folder `backups`."""
    pattern = _default_path(stack, _MOMENT)
    return sorted(pattern.parent.glob(pattern.name))


def _default_path(stack: Stack, moment: str) -> Path:
    return PROJECT_FOLDER / "backups" / f"{stack.project}-{stack.short_name}-{moment}.tar"


def _images(stack: Stack) -> dict[str, str]:
    """Returns the image of each service.

    Raises:
        click.ClickException: a service does not run.
    """
    containers = list_containers(stack)
    if not containers:
        raise stack.not_up()
    for service in _SERVICES:
        container = containers.get(service)
        state = container.status if container else "missing"
        if container and state == "running":
            state = health_of(container) or state
        if state not in ("running", "healthy"):
            raise click.ClickException(
                f"{service} is {state}, and a backup needs all services: {stack.podium} up"
            )
    return {
        service: container.image.tags[0]
        if container.image and container.image.tags
        else str(container.attrs["Image"])
        for service, container in containers.items()
    }


def _check_secrets(stack: Stack) -> None:
    """Refuses secrets that no archive could have: those of Pulumi Cloud need its own key."""
    if stack.deployment.get("secrets_providers", {}).get("type") == "service":
        raise click.ClickException(
            f"Pulumi Cloud keeps the key to the secrets of stack {stack.name}, so that a backup "
            "of it could not be restored anywhere else. Encrypt them with a passphrase: "
            f"{stack.podium} pulumi stack change-secrets-provider passphrase"
        )


def _kestra_version(stack: Stack) -> str:
    with connect_kestra(stack, _KESTRA_SECONDS) as client:
        return client.version
