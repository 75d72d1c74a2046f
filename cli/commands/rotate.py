"""`podium rotate`."""

from collections.abc import Sequence

import click

from cli.commands.up import bring_up
from cli.output import console, step
from cli.processes import run_logged
from cli.repair import remove_leftovers
from cli.stack import Stack

_ALL = "all"
# The generated passwords of each login, by their names in the program.
_PASSWORDS = {
    "postgres": ("postgres-password",),
    "kestra": ("kestra-password", "kestra-role-password"),
    "pgadmin": ("pgadmin-password", "pgadmin-role-password"),
    "etl": ("etl-role-password",),
    "reader": ("reader-role-password",),
}


@click.command()
@click.argument("logins", nargs=-1, required=True, type=click.Choice([*_PASSWORDS, _ALL]))
@click.pass_obj
def rotate(stack: Stack, logins: Sequence[str]) -> int:
    """Give logins new passwords, with all data kept.

    Kestra and pgAdmin have a login of their own and a role in PostgreSQL: both get a new password.
    Services that use one restart. After an interruption `up` goes on.
    """
    if not stack.resources:
        raise stack.not_up()
    remove_leftovers(stack)
    urns = {item["urn"].rpartition("::")[2]: item["urn"] for item in stack.resources}
    chosen = _PASSWORDS if _ALL in logins else logins
    names = [name for login in chosen for name in _PASSWORDS[login]]
    keys = [f"{name.partition('-')[0]}Password" for name in names if name not in urns]
    if keys:
        command_line = f"{stack.podium} pulumi config set --secret"
        console.print(f"Set, not generated: change {', '.join(keys)} with {command_line}")
    targets = [word for name in names if name in urns for word in ("--target-replace", urns[name])]
    if not targets:
        raise click.ClickException("No password is generated; nothing was changed.")
    command = ["pulumi", "up", "--stack", stack.name, "--yes", "--skip-preview", *targets]
    with step("Generating passwords"):
        run_logged("pulumi-rotate", command, stack.environment(stack.parts))
    return bring_up(Stack(stack.name))
