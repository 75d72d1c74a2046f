"""Flows, namespace files and dashboards: in the files of the project, in the state, on a server."""

from collections.abc import Iterator
from dataclasses import dataclass

from cli import stack_settings
from cli.flows.program import flows_folder
from cli.processes import PROJECT_FOLDER
from cli.stack import Stack
from infra.kestra import Switches
from infra.kestra.client import KestraClient
from infra.kestra.content import encode, read_content
from infra.kestra.folder import dashboard_files, read_folder
from infra.kestra.source import decode_text

_NAMESPACE = "pulumi-python:dynamic/kestra:Namespace"
_DASHBOARD = "pulumi-python:dynamic/kestra:Dashboard"


@dataclass(frozen=True, order=True)
class Item:
    """What content is called.

    Attributes:
        kind: flow, file or dashboard.
        namespace: its namespace; of a dashboard empty.
        name: its id, or the path of a file in its namespace.
    """

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Returns it in words, such as flow zoomcamp/taxi_load."""
        return f"{self.kind} {'/'.join(filter(None, (self.namespace, self.name)))}"


def read_files(stack: Stack, *, is_kestra_1: bool) -> dict[Item, str]:
    """Returns what the program of the stack makes of the files in flows/ and dashboards/.

    Raises:
        InvalidContent: files are invalid; the message lists every error.
    """
    is_enabled = stack_settings.read_setting(stack.name, "schedulesEnabled").lower() == "true"
    switches = Switches(triggers_disabled=not is_enabled)
    texts = {}
    for namespace, content in read_folder(flows_folder()).items():
        for flow in content.flows_for(is_kestra_1=is_kestra_1).values():
            texts[Item("flow", namespace, flow.flow_id)] = switches.apply_to(flow.text)
        for path, text in content.files.items():
            texts[Item("file", namespace, path)] = text
    for id_, file in dashboard_files(PROJECT_FOLDER / "dashboards").items():
        texts[Item("dashboard", "", id_)] = decode_text(read_content(file))
    return texts


def read_state(stack: Stack) -> Iterator[tuple[Item, str]]:
    """Yields the digests of what the stack wrote last."""
    for resource in stack.resources:
        outputs = resource.get("outputs", {})
        if resource["type"] == _NAMESPACE:
            namespace = outputs["namespace"]
            for flow_id, flow in outputs["written"].items():
                yield Item("flow", namespace, flow_id), flow["digest"]
            for path, written in outputs["writtenFiles"].items():
                yield Item("file", namespace, path), written
        elif resource["type"] == _DASHBOARD:
            yield Item("dashboard", "", resource["id"]), outputs["digest"]


def read_server(client: KestraClient, item: Item) -> str | None:
    """Returns content as the server has it, or None if it does not."""
    match item.kind:
        case "flow":
            flow = client.get_flow(item.namespace, item.name)
            return str(flow["source"]) if flow else None
        case "file":
            content = client.get_file(item.namespace, item.name)
            return None if content is None else encode(content)
        case _:
            return client.get_dashboard(item.name)
