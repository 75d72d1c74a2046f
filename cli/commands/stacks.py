"""`podium stacks`."""

import click

from cli.output import print_table
from cli.stack import Stack


@click.command()
@click.pass_obj
def stacks(stack: Stack) -> None:
    """List the stacks of this project, with their plugins."""
    rows = [
        [
            found.name,
            str(Stack(found.name).parts or "not decided"),
            str(found.resource_count or 0),
            found.last_update.strftime("%Y-%m-%d %H:%M") if found.last_update else "never",
        ]
        for found in stack.workspace.list_stacks()
    ]
    if not rows:
        click.echo(f"There is no stack yet: {stack.podium} up")
        return
    print_table(("Stack", "Plugins", "Resources", "Last update (UTC)"), rows)
