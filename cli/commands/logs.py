"""`podium logs`."""

import click

from cli.processes import run_command
from cli.services import container_of
from cli.stack import Stack


@click.command()
@click.argument("service")
@click.option("--follow", "-f", is_flag=True, help="Keep printing until Ctrl-C.")
@click.option("--tail", metavar="LINES", type=click.IntRange(0), help="Only the last lines.")
@click.pass_obj
def logs(stack: Stack, service: str, follow: bool, tail: int | None) -> int:
    """Print the log of a service: postgres, kestra, pgadmin or files."""
    container = container_of(stack, service)
    options = [
        *(["--follow"] if follow else []),
        *(["--tail", str(tail)] if tail is not None else []),
    ]
    return run_command("docker", "logs", *options, container)
