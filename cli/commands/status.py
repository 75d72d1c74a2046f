"""`podium status`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click
from docker.errors import APIError
from docker.models.containers import Container
from rich.filesize import decimal

from cli import offline, stack_settings
from cli.backup.create import last_backup, list_backups
from cli.output import console, print_table
from cli.services import SUPERUSER, connect_kestra, health_of, list_containers
from cli.stack import Parts, Stack
from infra.kestra.client import KestraClient, KestraError

_WAIT_SECONDS = 2.0
_EXPIRY_DAYS = 30
_UNKNOWN = "unknown: {} does not answer"
_SIZES = """
SELECT datname, pg_database_size(datname) FROM pg_database
WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY datname
"""
# The volumes by service: what is in them, and where they are.
_VOLUMES = {
    "kestra": ("Kestra's internal storage", "/app/storage"),
    "pgadmin": ("pgAdmin's volume", "/var/lib/pgadmin"),
}


@click.command()
@click.pass_obj
def status(stack: Stack) -> None:
    """Show the services, databases and flows of the stack."""
    plugins, offline_stack = stack.parts, offline.load_stack()
    console.print(f"Stack {stack.name}: {plugins or 'no'} plugins", style="bold")
    if plugins is Parts.OFFLINE or offline_stack.images_of(stack_settings.load(stack.name)):
        console.print(offline_stack.notice)
    console.print()
    containers = list_containers(stack)
    if not containers:
        console.print(f"It is not up: {stack.podium} up")
        return
    services = [[name, *_service(item)] for name, item in sorted(containers.items())]
    print_table(("Service", "State", "Health", "Ports", "Memory", "Image"), services)
    print_table(("Data", "Size"), [*_databases(containers), *_volumes(containers), _backups(stack)])
    print_table(("Flow", "Revision", "Last execution"), _flows(stack))
    _warn_of_expiry(stack, datetime.now())
    console.print(f"Last backup: {last_backup(stack) or f'never; {stack.podium} backup'}")


def _warn_of_expiry(stack: Stack, now: datetime) -> None:
    """Warns of certificates that end soon, which each `up` in a new half-year replaces."""
    expiry = stack.outputs.get("certificatesExpire")
    if expiry and (datetime.fromisoformat(expiry) - now).days < _EXPIRY_DAYS:
        console.print(f"The certificates expire on {expiry}; to renew them: {stack.podium} up")


def _service(container: Container) -> list[str]:
    """Returns state, health, published ports, used memory and image of a container."""
    state = container.attrs["State"]
    bindings = container.attrs["HostConfig"]["PortBindings"] or {}
    ports = [
        f"{place['HostIp']}:{place['HostPort']}->{inside.removesuffix('/tcp')}"
        for inside, places in sorted(bindings.items())
        for place in places
    ]
    memory = ""
    if state["Running"]:
        stats: Any = container.stats(stream=False, one_shot=True)
        usage = stats["memory_stats"]
        # As `docker stats` shows it: without the files that the kernel could drop.
        cached = usage["stats"].get("total_inactive_file", usage["stats"].get("inactive_file", 0))
        memory = f"{(usage['usage'] - cached) / 2**20:.0f} MiB"
    tags = container.image.tags if container.image else []
    return [state["Status"], health_of(container), ", ".join(ports), memory, ", ".join(tags)]


def _databases(containers: Mapping[str, Container]) -> list[list[str]]:
    """Returns the databases with their sizes."""
    # Only the superuser sees all sizes.
    printed = _printed(containers, "postgres", ["psql", *SUPERUSER, "-AtF", "|", "-c", _SIZES])
    if printed is None:
        return [["Databases", _UNKNOWN.format("postgres")]]
    rows = [line.split("|") for line in printed.splitlines()]
    return [[f"Database {name}", decimal(int(size))] for name, size in rows]


def _volumes(containers: Mapping[str, Container]) -> list[list[str]]:
    """Returns the volumes with their sizes."""
    rows = []
    # Files that are deleted meanwhile are no error.
    for service, (name, path) in _VOLUMES.items():
        printed = _printed(containers, service, ["sh", "-c", f"du -sk {path}; true"])
        size = decimal(int(printed.split()[0]) * 1024) if printed else _UNKNOWN.format(service)
        rows.append([name, size])
    return rows


def _backups(stack: Stack) -> list[str]:
    """Returns the backups in the project's folder with their size."""
    sizes = [path.stat().st_size for path in list_backups(stack)]
    return [f"Backups in backups ({len(sizes)})", decimal(sum(sizes))]


def _printed(
    containers: Mapping[str, Container], service: str, command: Sequence[str]
) -> str | None:
    """Returns what a command in a container prints, None where it does not run or fails."""
    container = containers.get(service)
    if container is None or container.status != "running":
        return None
    try:
        result: Any = container.exec_run(list(command), stderr=False)
    except APIError:  # It has just stopped.
        return None
    return result.output.decode() if result.exit_code == 0 else None


def _flows(stack: Stack) -> list[list[str]]:
    """Returns the flows with their revisions and what became of their last executions."""
    rows = []
    with connect_kestra(stack, _WAIT_SECONDS) as client:
        last = "unknown: Kestra does not answer"
        try:
            client.connect()
            answers = True
        except KestraError:
            answers = False
        for flow, revision in stack.outputs["flows"].items():
            if answers:
                last = _last_execution(client, *flow.split("/"))
            rows.append([flow, str(revision), last])
    return rows


def _last_execution(client: KestraClient, namespace: str, flow_id: str) -> str:
    execution = client.last_execution(namespace, flow_id)
    if execution is None:
        return "never"
    start = datetime.fromisoformat(execution["state"]["startDate"])
    return f"{execution['state']['current']} {start.astimezone():%Y-%m-%d %H:%M:%S}"
