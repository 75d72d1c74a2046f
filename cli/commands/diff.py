"""`podium diff`."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

import click
from rich.text import Text

from cli import stack_settings
from cli.flows.program import flows_folder
from cli.output import console
from cli.processes import PROJECT_FOLDER
from cli.stack import Stack
from infra.kestra import Switches
from infra.kestra.client import KestraClient, KestraError
from infra.kestra.content import digest, encode, read_content
from infra.kestra.folder import dashboard_files, read_folder
from infra.kestra.lifecycle.parallel import for_each
from infra.kestra.source import decode_text, is_same_text

_WAIT_SECONDS = 10.0
_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_NAMESPACE = "pulumi-python:dynamic/kestra:Namespace"
_DASHBOARD = "pulumi-python:dynamic/kestra:Dashboard"


@dataclass(frozen=True, order=True)
class _Item:
    """What content is called: its kind (flow, file or dashboard), namespace and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {'/'.join(filter(None, (self.namespace, self.name)))}"


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
    login = (stack.outputs[key] for key in ("kestraUrl", "kestraUser", "kestraPassword"))
    with KestraClient(*login, wait=_WAIT_SECONDS) as client:
        files, state = _read_files(stack, is_kestra_1=client.is_kestra_1), dict(_read_state(stack))
        items = sorted({*files, *state})
        server = for_each(lambda item: _read_server(client, item), items)
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


def _read_files(stack: Stack, *, is_kestra_1: bool) -> dict[_Item, str]:
    """Returns what the program makes of the files in flows/ and dashboards/."""
    is_enabled = stack_settings.read_setting(stack.name, "schedulesEnabled").lower() == "true"
    switches = Switches(triggers_disabled=not is_enabled)
    texts = {}
    for namespace, content in read_folder(flows_folder()).items():
        for flow in content.flows_for(is_kestra_1=is_kestra_1).values():
            texts[_Item("flow", namespace, flow.flow_id)] = switches.apply_to(flow.text)
        for path, text in content.files.items():
            texts[_Item("file", namespace, path)] = text
    for id_, file in dashboard_files(PROJECT_FOLDER / "dashboards").items():
        texts[_Item("dashboard", "", id_)] = decode_text(read_content(file))
    return texts


def _read_state(stack: Stack) -> Iterator[tuple[_Item, str]]:
    """Yields the digests of what the stack wrote last."""
    for resource in stack.resources:
        outputs = resource.get("outputs", {})
        if resource["type"] == _NAMESPACE:
            namespace = outputs["namespace"]
            for flow_id, flow in outputs["written"].items():
                yield _Item("flow", namespace, flow_id), flow["digest"]
            for path, written in outputs["writtenFiles"].items():
                yield _Item("file", namespace, path), written
        elif resource["type"] == _DASHBOARD:
            yield _Item("dashboard", "", resource["id"]), outputs["digest"]


def _read_server(client: KestraClient, item: _Item) -> str | None:
    match item.kind:
        case "flow":
            flow = client.get_flow(item.namespace, item.name)
            return str(flow["source"]) if flow else None
        case "file":
            content = client.get_file(item.namespace, item.name)
            return None if content is None else encode(content)
        case _:
            return client.get_dashboard(item.name)


def _difference(here: str | None, state: str | None, there: str | None) -> str | None:
    """Returns who changed content since the last `up`, or None if it is the same everywhere."""
    if here is not None and there is not None and is_same_text(there, here):
        there = here
    if state is None:
        if there is None:
            return "new"
        return "new, and on the server already" + ("" if here == there else " with another text")
    changes = [
        f"{'deleted' if text is None else 'changed'} {where}"
        for text, where in ((here, "in the files"), (there, "on the server"))
        if text is None or digest(text) != state
    ]
    return " and ".join(changes) or None


def _unified(item: _Item, there: str | None, here: str | None) -> Iterator[str]:
    """Yields the lines of what `up` would change on the server."""
    return difflib.unified_diff(
        (there or "").splitlines(),
        (here or "").splitlines(),
        "/dev/null" if there is None else f"server/{item.namespace}/{item.name}",
        "/dev/null" if here is None else f"files/{item.namespace}/{item.name}",
        lineterm="",
    )
