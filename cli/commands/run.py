"""`podium run`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import click
import yaml
from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli.flows.registering import Registrar
from cli.follow import ENDED, SUCCESSFUL, Event, Look, Task, follow
from cli.output import console, print_table
from cli.processes import PROJECT_FOLDER
from cli.services import connect_kestra
from cli.stack import Stack
from infra.kestra.client import KestraClient, KestraError

_INTERRUPTED = 130
# As long as a server takes to restart.
_WAIT_SECONDS = 60.0
_HELP_WAIT_SECONDS = 2.0
_LINES_BELOW_TABLE = 15
_COLORS = {"SUCCESS": "green", "WARNING": "yellow", "FAILED": "red", "KILLED": "red"}


class _FlowName(click.ParamType[tuple[str, str]]):
    name = "flow"

    def convert(self, value: str, param: Any, ctx: Any) -> tuple[str, str]:
        namespace, slash, flow_id = value.partition("/")
        if not (namespace and slash and flow_id) or "/" in flow_id:
            self.fail(f'"{value}" must be namespace/id, such as zoomcamp/taxi_load', param, ctx)
        return namespace, flow_id


class _InputValue(click.ParamType[tuple[str, str]]):
    name = "input"

    def convert(self, value: str, param: Any, ctx: Any) -> tuple[str, str]:
        name, equals, text = value.partition("=")
        if not (name and equals):
            self.fail(f'"{value}" must be name=value, such as month=2019-01', param, ctx)
        return name, text


@click.command(add_help_option=False)
@click.argument("flow", type=_FlowName(), metavar="NAMESPACE/FLOW", required=False)
@click.argument("inputs", type=_InputValue(), metavar="[NAME=VALUE]...", nargs=-1)
@click.option(
    "--watch", is_flag=True, help="Register what is saved in its namespace, and run it again."
)
@click.option("--help", "-h", "show_help", is_flag=True, help="Show the inputs of the flow.")
@click.pass_context
def run(
    context: click.Context,
    flow: tuple[str, str] | None,
    inputs: tuple[tuple[str, str], ...],
    watch: bool,
    show_help: bool,
) -> int:
    """Run a flow and follow it; the exit code says whether it succeeded."""
    stack: Stack = context.obj
    if flow is None:
        if not show_help:
            raise click.MissingParameter(ctx=context, param=run.params[0])
        click.echo(context.get_help())
        return 0
    if show_help:
        _print_inputs(flow, _declared_inputs(stack, flow))
        return 0
    with connect_kestra(stack, _WAIT_SECONDS) as client:
        if watch:
            return _run_at_each_save(stack, client, flow, dict(inputs))
        with console.status("Waiting for Kestra"):
            _check(client, flow, dict(inputs), stack.outputs["flows"])
        return _run_flow(client, flow, dict(inputs))


def _run_at_each_save(
    stack: Stack, client: KestraClient, flow: tuple[str, str], inputs: Mapping[str, str]
) -> int:
    """Runs a flow now, and again when something in its namespace was registered."""
    is_first = True
    for written in Registrar(stack, client, flow[0]).rounds():
        if not (written or is_first):
            continue
        is_first = False
        try:
            _check(client, flow, inputs, stack.outputs["flows"])
            if _run_flow(client, flow, inputs) == _INTERRUPTED:
                break
        except (click.ClickException, KestraError) as error:
            click.echo(f"Error: {error}", err=True)
        console.print("Waiting for files to be saved; Ctrl-C ends.")
    return _INTERRUPTED


def _check(
    client: KestraClient, flow: tuple[str, str], given: Mapping[str, str], flows: Mapping[str, int]
) -> None:
    """Refuses a flow or an input that the server does not know; it would ignore the input."""
    found = client.get_flow(*flow)
    name = "/".join(flow)
    if found is None:
        raise click.ClickException(f'There is no flow "{name}"; there are: {", ".join(flows)}')
    declared = {str(item["id"]) for item in found.get("inputs") or ()}
    if unknown := sorted(given.keys() - declared):
        raise click.ClickException(
            f'{name} has no input "{unknown[0]}"; it has: {", ".join(sorted(declared)) or "none"}'
        )


def _run_flow(client: KestraClient, flow: tuple[str, str], inputs: Mapping[str, str]) -> int:
    """Starts an execution, shows it until its end, and returns the exit code."""
    execution = client.create_execution(*flow, inputs)
    name = "/".join(flow)
    console.print(f"{name}: execution {execution['id']}")
    state = ""
    try:
        with _live_table() if console.is_terminal else nullcontext(_print_lines) as show:
            for look in follow(client, execution["id"]):
                show(look)
                state = look.state
    except KeyboardInterrupt:
        console.print(f"\n{name} is still running: {execution['url']}")
        return _INTERRUPTED
    console.print(f"{name}: {state}")
    return 0 if state in SUCCESSFUL else 1


def _print_lines(look: Look) -> None:
    """Prints one line for each line of the log and each task that has ended."""
    for event in look.events:
        print(_line(event), flush=True)


@contextmanager
def _live_table() -> Iterator[Callable[[Look], None]]:
    """Draws a table of the tasks with the end of the log below, anew as time goes by."""
    spinner = Spinner("dots", text="RUNNING")
    tasks: list[Task] = []
    lines: list[str] = []
    shown_lines = _LINES_BELOW_TABLE

    def show(look: Look) -> None:
        tasks[:] = look.tasks
        lines.extend(_line(event) for event in look.events if event.text.split()[0] not in ENDED)

    def draw() -> Group:
        table = Table("Task", "State", "Duration", "Attempts")
        for task in tasks:
            state = Text(task.state, style=_COLORS.get(task.state, ""))
            shown = spinner if task.state == "RUNNING" else state
            table.add_row(task.name, shown, f"{task.seconds:.1f} s", str(task.attempts))
        # Elsewhere the console leaves it to the terminal to wrap long lines.
        log = Text("\n".join(lines[-shown_lines:]), no_wrap=False, overflow="fold")
        return Group(table, log)

    with Live(get_renderable=draw, console=console, refresh_per_second=8):
        try:
            yield show
        finally:
            # The last picture stays on the screen, and has the whole log.
            shown_lines = 0


def _line(event: Event) -> str:
    return f"{event.time.astimezone():%X}  {event.task:12}  {event.text}"


def _declared_inputs(stack: Stack, flow: tuple[str, str]) -> list[dict[str, Any]]:
    """Returns the inputs of a flow: of the server's, or of the file where no server answers."""
    namespace, flow_id = flow
    source: str | None = None
    try:
        with connect_kestra(stack, _HELP_WAIT_SECONDS) as client:
            found = client.get_flow(namespace, flow_id)
            source = found["source"] if found else None
    except (click.ClickException, KestraError):
        path = PROJECT_FOLDER / "flows" / namespace / f"{flow_id}.yaml"
        source = path.read_text() if path.exists() else None
    if source is None:
        raise click.ClickException(f'There is no flow "{namespace}/{flow_id}"')
    return list(yaml.safe_load(source).get("inputs") or ())


def _print_inputs(flow: tuple[str, str], inputs: list[dict[str, Any]]) -> None:
    click.echo(f"Usage: podium run {'/'.join(flow)} [NAME=VALUE]...\n")
    if not inputs:
        click.echo("This flow has no inputs.")
        return
    rows = []
    for item in inputs:
        kind = " | ".join(item["values"]) if item.get("values") else item["type"]
        is_required = item.get("required", True) and "defaults" not in item
        default = "required" if is_required else _text(item.get("defaults", ""))
        rows.append([item["id"], kind, default, str(item.get("displayName", ""))])
    print_table(("Input", "Type", "Default", "Meaning"), rows)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
