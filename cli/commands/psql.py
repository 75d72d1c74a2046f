"""`podium psql`."""

import os
import shutil
import sys

import click

from cli.processes import run_command
from cli.stack import Stack

_ROLES = ("reader", "etl", "postgres")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument(
    "words", metavar=f"[{'|'.join(_ROLES)}] [ARGUMENTS]...", nargs=-1, type=click.UNPROCESSED
)
@click.pass_obj
def psql(stack: Stack, words: tuple[str, ...]) -> int:
    """Open psql on the warehouse, as reader or another role; ARGUMENTS go to psql.

    Where this machine has no psql, the one in the container of PostgreSQL is used.
    """
    role, arguments = (words[0], words[1:]) if words and words[0][:1] != "-" else ("reader", words)
    if role not in _ROLES:
        raise click.BadParameter(f'there is no role "{role}"; there are: {", ".join(_ROLES)}')
    outputs = stack.outputs
    # Never in the arguments, which every user of the machine can read.
    environment = os.environ | {"PGPASSWORD": outputs[f"{role}Password"]}
    login = ("-U", str(outputs[f"{role}User"]), "-d", str(outputs["warehouseDatabase"]))
    if shutil.which("psql"):
        server = ("-h", str(outputs["postgresHost"]), "-p", str(outputs["postgresPort"]))
        return run_command("psql", *server, *login, *arguments, environment=environment)
    terminal = "-it" if sys.stdin.isatty() else "-i"
    container = ("docker", "exec", terminal, "-e", "PGPASSWORD", stack.container_name("postgres"))
    command = (*container, "psql", "-h", "127.0.0.1", *login, *arguments)
    return run_command(*command, environment=environment)
