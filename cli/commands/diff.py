"""`podium diff`."""

import difflib
from collections.abc import Iterator

import click
from rich.text import Text

from cli.flows.contents import Item, read_files, read_server, read_state
from cli.output import console
from cli.services import connect_kestra
from cli.stack import Stack
from infra.kestra.client import KestraError
from infra.kestra.content import digest
from infra.kestra.lifecycle.parallel import for_each
from infra.kestra.source import is_same_text

_WAIT_SECONDS = 10.0
_STYLES = {"+": "green", "-": "red", "@": "cyan"}


class _Trouble(click.ClickException):
    exit_code = 2


@click.command()
@click.pass_obj
def diff(stack: Stack) -> int:
    """Show how flows, their files and dashboards differ between here, the state and the server.

    The exit code is 1 if anything differs, and 2 if that cannot be said.
    """
    try:
        return _show_differences(stack)
    except (KestraError, click.ClickException) as error:
        raise _Trouble(str(error)) from error


def _show_differences(stack: Stack) -> int:
    with connect_kestra(stack, _WAIT_SECONDS) as client:
        files = read_files(stack, is_kestra_1=client.is_kestra_1)
        state = dict(read_state(stack))
        items = sorted({*files, *state})
        server = for_each(lambda item: read_server(client, item), items)
    count = 0
    for item in items:
        here, there = files.get(item), server[item]
        if what := _difference(here, state.get(item), there):
            count += 1
            console.print(f"{item}: {what}", style="bold")
            for line in _unified(item, there, here):
                console.print(Text(line, style=_STYLES.get(line[:1], "")))
    click.echo(f"contents: {len(items)}, differences: {count}", err=True)
    return 1 if count else 0


def _difference(here: str | None, state: str | None, there: str | None) -> str | None:
    """Returns who changed content since the last `up`, or None if it is the same everywhere."""
    if here is not None and there is not None and is_same_text(there, here):
        there = here
    if here == there:
        is_recorded = here is not None and digest(here) == state
        return None if is_recorded else "not recorded in the state yet"
    if state is None:
        return "new" if there is None else "new, and on the server with another text"
    changes = [
        f"{'deleted' if text is None else 'changed'} {where}"
        for text, where in ((here, "in the files"), (there, "on the server"))
        if text is None or digest(text) != state
    ]
    return " and ".join(changes) or None


def _unified(item: Item, there: str | None, here: str | None) -> Iterator[str]:
    """Yields the lines of what `up` would change on the server."""
    return difflib.unified_diff(
        (there or "").splitlines(),
        (here or "").splitlines(),
        "/dev/null" if there is None else f"server/{item.namespace}/{item.name}",
        "/dev/null" if here is None else f"files/{item.namespace}/{item.name}",
        lineterm="",
    )
