"""`podium status`."""

from datetime import datetime
from typing import Any

import click
from docker.models.containers import Container

from cli import offline, stack_settings
from cli.backup.create import last_backup
from cli.output import console, print_table
from cli.services import SUPERUSER, connect_kestra, health_of, list_containers
from cli.stack import Parts, Stack
from infra.kestra.client import KestraClient, KestraError

_WAIT_SECONDS = 2.0
_EXPIRY_DAYS = 30
_SIZES = """
SELECT datname, pg_size_pretty(pg_database_size(datname)) FROM pg_database
WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY datname
"""


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
    print_table(("Database", "Size"), _databases(containers.get("postgres")))
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


def _databases(container: Container | None) -> list[list[str]]:
    """Returns the databases with their sizes, none where PostgreSQL does not run."""
    if container is None or container.status != "running":
        return []
    # Only the superuser sees all sizes.
    command = ["psql", *SUPERUSER, "-AtF", "|", "-c", _SIZES]
    result: Any = container.exec_run(command)
    lines = result.output.decode().splitlines() if result.exit_code == 0 else []
    return [line.split("|") for line in lines]


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
