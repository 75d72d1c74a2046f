"""`podium restore`."""

from pathlib import Path

import click

from cli.backup.restore import restore as restore_stack
from cli.output import console
from cli.stack import Stack


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Replace what the stack holds, after a backup of it.")
@click.pass_obj
def restore(stack: Stack, file: Path, replace: bool) -> None:
    """Bring the stack up from a backup: a new one, or one that is empty."""
    restore_stack(stack, file, replace=replace)
    console.print(f"Stack {stack.name} is restored and verified.")
