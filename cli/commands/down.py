"""`podium down`."""

import click
from pulumi.automation import StackNotFoundError

from cli import setup
from cli.repair import remove_leftovers, stop_cut_off
from cli.stack import Parts, Stack
from cli.update import run_update


@click.command()
@click.pass_obj
def down(stack: Stack) -> int:
    """Delete everything that the stack holds, its data included."""
    try:
        parts = stack.parts
    except StackNotFoundError:
        click.echo(f"There is no stack {stack.name}: nothing to delete.")
        return 0
    return tear_down(stack, parts)


def tear_down(stack: Stack, parts: Parts | None) -> int:
    """Deletes everything that a stack holds, and returns the exit code."""
    setup.start_docker()
    remove_leftovers(stack)
    stop_cut_off(stack)
    # Its preview finds protected volumes before anything is deleted.
    return run_update(stack, parts, "destroy").code
