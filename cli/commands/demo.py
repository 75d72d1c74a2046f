"""`podium demo`."""

import click
from click.core import ParameterSource
from pulumi.automation import ConfigValue

from cli import stack_settings
from cli.commands.open import open_page
from cli.commands.report import report
from cli.commands.run import run
from cli.commands.up import up
from cli.stack import Stack
from infra.settings import SAMPLE

_STACK = "demo"
_FLOWS = (
    (("zoomcamp", "zones_load"), ()),
    (("zoomcamp", "taxi_backfill"), (("from", "2019-01"), ("to", "2019-03"))),
)


@click.command()
@click.pass_context
def demo(context: click.Context) -> int:
    """Create a stack, "demo" unless one is named, load the months of sample/, show the report."""
    root = context.find_root()
    if root.get_parameter_source("name") is ParameterSource.DEFAULT:
        root.obj = context.obj = Stack(_STACK)
    stack: Stack = context.obj
    if not stack.exists:
        stack_settings.create_stack(stack.name)
        stack.workspace.set_all_config(stack.name, {"taxiSource": ConfigValue(SAMPLE)})
    elif (source := stack_settings.read_setting(stack.name, "taxiSource")) != SAMPLE:
        raise click.ClickException(
            f"taxiSource of stack {stack.name} is {source}, and not {SAMPLE}; nothing was changed. "
            "Name a new stack: ./podium --stack <name> demo"
        )
    if code := context.invoke(up):
        return int(code)
    for flow, inputs in _FLOWS:
        if code := context.invoke(run, flow=flow, inputs=inputs, watch=False, show_help=False):
            return int(code)
    context.invoke(report)
    context.invoke(open_page, page="report")
    click.echo(f"Delete all of it: {stack.podium} down")
    return 0
