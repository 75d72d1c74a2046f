"""Whether the servers can read what older ones wrote, which `up` checks before it changes anything.

PostgreSQL reads the data of its own major version only. Kestra migrates its database when a newer
release starts, and no older one can read it then.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from docker.errors import NotFound
from docker.models.containers import Container

from cli.backup.create import last_backup
from cli.services import SUPERUSER, list_containers, read_file
from cli.stack import Stack
from infra.settings import Settings

_TAG = re.compile(r":v?(\d+)\.(\d+)")
# Kestra 2.x names its migrations after the release that brought them: 2.0.04-basic-auth-password.
_MIGRATIONS = "SELECT script_id FROM kestra_migration_history WHERE success"
_MIGRATION = re.compile(r"^(\d+)\.(\d+)\.", re.MULTILINE)
_RECENT = timedelta(days=1)
_Release = tuple[int, int]


def check_releases(stack: Stack, settings: Settings, *, backup_follows: bool = False) -> None:
    """Makes sure that the images of the settings can read what the stack's servers wrote.

    Args:
        stack: the stack; what its PostgreSQL wrote is unknown while that does not run.
        settings: the settings that are about to be applied.
        backup_follows: whether the stack is backed up before they are.

    Raises:
        click.ClickException: an image cannot read the data.
    """
    postgres = list_containers(stack).get("postgres")
    if not postgres or postgres.status != "running":
        return
    wrote = _major_version(postgres)
    if wrote and wrote != settings.postgres_major:
        refusal = _refusal(stack, "postgres", f"PostgreSQL {wrote}", settings.postgres_image)
        if settings.postgres_major < wrote:
            raise refusal
        command_line = f"{stack.podium} upgrade postgres {settings.postgres_image}"
        raise click.ClickException(f"{refusal.message}\nThen upgrade it:\n  {command_line}")
    wanted = _release(settings.kestra_image)
    runs = _release(_name_in_state(stack, "RemoteImage::kestra"))
    written = _migrated_to(postgres, _name_in_state(stack, "Database::kestra-database")) or runs
    if not wanted or not written:
        return
    release = f"Kestra {written[0]}.{written[1]}"
    if wanted < written:
        raise _refusal(stack, "kestra", release, settings.kestra_image)
    # Not every release has migrations: one that runs already has done its own.
    if wanted > max(written, runs or written) and not backup_follows:
        last = last_backup(stack)
        if not last or datetime.now(UTC) - last.created > _RECENT:
            raise click.ClickException(
                f"kestraImage is {settings.kestra_image}, which migrates the database of "
                f"{release} for good; nothing was changed. Check the flows, back the stack up and "
                f"upgrade it:\n  {stack.podium} upgrade kestra {settings.kestra_image}"
            )


def _refusal(stack: Stack, service: str, wrote: str, image: str) -> click.ClickException:
    before = _name_in_state(stack, f"RemoteImage::{service}")
    return click.ClickException(
        f"{service}Image is {image}, which cannot read what {wrote} wrote; nothing was changed. "
        f"Set it back:\n  {stack.podium} pulumi config set {service}Image {before}"
    )


def _name_in_state(stack: Stack, resource: str) -> str:
    found = (item for item in stack.resources if item["urn"].endswith(resource))
    return next((str(item["outputs"]["name"]) for item in found), "")


def _release(image: str) -> _Release | None:
    match = _TAG.search(image)
    return (int(match[1]), int(match[2])) if match else None


def _major_version(postgres: Container) -> int | None:
    """Returns the major version that created the data, or None where there is none."""
    environment = dict(item.split("=", 1) for item in postgres.attrs["Config"]["Env"])
    try:
        return int(read_file(postgres, f"{environment['PGDATA']}/PG_VERSION"))
    except NotFound:
        return None


def _migrated_to(postgres: Container, database: str) -> _Release | None:
    """Returns the latest release that migrated Kestra's database, or None before Kestra 2."""
    command = ["psql", *SUPERUSER, "-d", database, "-Atc"]
    found: Any = postgres.exec_run([*command, _MIGRATIONS])
    releases = _MIGRATION.findall(found.output.decode())
    return max(((int(major), int(minor)) for major, minor in releases), default=None)
