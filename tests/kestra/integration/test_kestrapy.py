"""Kestra's own Python client reads what Podium wrote, and Podium what that client wrote."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import kestrapy
import pytest

from infra.kestra.client import KestraClient
from infra.kestra.content import encode
from infra.kestra.lifecycle.dashboard import lifecycle as dashboard
from infra.kestra.lifecycle.flow import lifecycle as flow
from infra.kestra.lifecycle.key_value import lifecycle as key_value
from infra.kestra.lifecycle.namespace import lifecycle as namespace
from infra.kestra.lifecycle.namespace_file import lifecycle as namespace_file
from tests.kestra.integration import resources
from tests.kestra.integration.resources import stored, text
from tests.kestra.servers import PASSWORD, USERNAME, KestraServer

TENANT = "main"
_BINARY = bytes(range(256))
# For each type a value as Podium and as the client is given it, and its meaning.
VALUES = {
    "STRING": ("größe 😀", '"größe 😀"', "größe 😀"),
    "NUMBER": ("-12.5", "-12.5", -12.5),
    "BOOLEAN": ("true", "true", True),
    "DATETIME": ("2021-09-01T01:02:03Z", "2021-09-01T01:02:03Z", "2021-09-01T01:02:03Z"),
    "DATE": ("2021-09-01", "2021-09-01", "2021-09-01"),
    "DURATION": ("P1DT2H", '"P1DT2H"', "PT26H"),
    "JSON": ('{"a": [1, null]}', '{"a": [1, null]}', {"a": [1, None]}),
}
_numbers = count()


@pytest.fixture
def official(server: KestraServer) -> Iterator[kestrapy.KestraClient]:
    with kestrapy.KestraClient(
        host=server.base, username=USERNAME, password=PASSWORD, timeout=20
    ) as client:
        yield client


@pytest.fixture
def name() -> str:
    return f"official.n{next(_numbers)}"


def test_the_client_reads_a_flow_of_podium_s(
    server: KestraServer, official: kestrapy.KestraClient, name: str
) -> None:
    source = text(name, "a", "größe 😀")
    flow.create(resources.flow(server.base, source))
    found = official.flows.flow(name, "a", TENANT, source=True)
    assert (found.namespace, found.id, found.revision) == (name, "a", 1)
    assert found.source == source
    # The client keeps what its model does not allow without a word.
    kestrapy.FlowWithSource.model_validate(found.model_dump())
    assert [(task.id, task.type) for task in found.tasks] == [
        ("log", "io.kestra.plugin.core.log.Log")
    ]
    (validation,) = official.flows.validate_flows(TENANT, source)
    assert validation.constraints is None


def test_podium_sees_what_the_client_does_to_its_flow(
    server: KestraServer, official: kestrapy.KestraClient, name: str
) -> None:
    props = resources.flow(server.base, text(name, "a"))
    outs = stored(flow.create(props).outs)
    official.flows.update_flow(name, "a", TENANT, text(name, "a", "edited"))
    read = flow.read(f"{name}/a", outs)
    assert read.inputs is not None
    assert read.inputs["source"] == text(name, "a", "edited")
    flow.update(f"{name}/a", stored(read.outs), props)
    revisions = official.flows.list_flow_revisions(name, "a", TENANT)
    assert [(each.revision, each.source) for each in revisions] == [
        (1, props["source"]),
        (2, text(name, "a", "edited")),
        (3, props["source"]),
    ]
    official.flows.delete_flow(name, "a", TENANT)
    assert flow.read(f"{name}/a", outs).id == ""


def test_flows_of_the_official_client_are_adopted(
    server: KestraServer, official: kestrapy.KestraClient, name: str
) -> None:
    sources = {flow_id: text(name, flow_id) for flow_id in ("a", "b", "c")}
    official.flows.create_flow(TENANT, sources["a"])
    official.flows.create_flow(TENANT, text(name, "b", "by hand"))
    official.files.create_namespace_file(name, "/a.bin", TENANT, _BINARY)
    files = {"a.bin": encode(_BINARY), "sql/b.sql": "SELECT 1"}
    props = resources.directory(server.base, name, sources, files, adopt=True)
    outs = stored(namespace.create(props).outs)
    assert outs["failures"] == {}

    found = official.flows.list_flows_by_namespace(name, TENANT)
    assert {each.id: each.revision for each in found} == {"a": 1, "b": 2, "c": 1}
    assert official.files.file_content(name, "/a.bin", TENANT) == _BINARY
    assert official.files.file_content(name, "/sql/b.sql", TENANT) == b"SELECT 1"

    ids = [kestrapy.IdWithNamespace(id="b", namespace=name)]
    official.flows.disable_flows_by_ids(TENANT, ids)
    official.files.delete_file_directory(name, "/sql/b.sql", TENANT)
    seen = namespace.read(name, outs).inputs
    assert seen is not None
    assert seen["flows"]["b"].endswith("disabled: true")
    assert seen["files"] == {"a.bin": encode(_BINARY)}

    namespace.delete(name, outs)
    assert official.flows.list_flows_by_namespace(name, TENANT) == []


def test_files_go_both_ways(
    server: KestraServer, official: kestrapy.KestraClient, name: str
) -> None:
    props = resources.file(server.base, name, "sql/größe.zip", encode(_BINARY))
    outs = stored(namespace_file.create(props).outs)
    assert official.files.file_content(name, "/sql/größe.zip", TENANT) == _BINARY
    assert official.files.search_namespace_files(name, "größe", TENANT) == ["/sql/größe.zip"]
    official.files.create_namespace_file(name, "/sql/größe.zip", TENANT, b"edited")
    read = namespace_file.read(namespace_file.identity(props), outs)
    assert read.inputs is not None
    assert read.inputs["content"] == "edited"


@pytest.mark.parametrize("type_", VALUES)
def test_key_values_go_both_ways(
    server: KestraServer, official: kestrapy.KestraClient, name: str, type_: str
) -> None:
    value, ion, meaning = VALUES[type_]
    props = resources.key_value(server.base, name, "ours", value, type_)
    outs = stored(key_value.create(props).outs)
    found = official.kv.key_value(name, "ours", TENANT)
    assert found.type is kestrapy.KVType(type_)
    assert found.value == meaning

    official.kv.set_key_value(name, "theirs", TENANT, ion)
    # It has the same value, so that it is adopted silently.
    key_value.create(resources.key_value(server.base, name, "theirs", value, type_))

    assert official.kv.delete_key_value(name, "ours", TENANT) is True
    assert key_value.read(key_value.identity(props), outs).id == ""


def test_dashboards_go_both_ways(server: KestraServer, official: kestrapy.KestraClient) -> None:
    source = (
        "id: größe\ntitle: Größe\ncharts:\n"
        "  - id: note\n    type: io.kestra.plugin.core.dashboard.chart.Markdown\n"
        "    source: {type: Text, content: Hello}\n"
    )
    props = resources.dashboard(server.base, source)
    assert official.dashboards.validate_dashboard(TENANT, source).constraints is None
    assert official.dashboards.create_dashboard(TENANT, source)["id"] == "größe"
    # It has the same value, so that it is adopted silently.
    outs = stored(dashboard.create(props).outs)
    assert official.dashboards.search_dashboards(TENANT, q="größe")["total"] == 1
    edited = source.replace("title: Größe", "title: Weite")
    assert official.dashboards.update_dashboard("größe", TENANT, edited)["title"] == "Weite"
    read = dashboard.read("größe", outs)
    assert read.inputs is not None
    assert read.inputs["source"] == edited
    dashboard.update("größe", stored(read.outs), props)
    assert official.dashboards.dashboard("größe", TENANT)["sourceCode"] == source
    official.dashboards.delete_dashboard("größe", TENANT)
    assert dashboard.read("größe", outs).id == ""


def test_the_client_and_podium_see_the_same_executions(
    server: KestraServer, official: kestrapy.KestraClient, name: str
) -> None:
    flow.create(resources.flow(server.base, text(name, "a")))
    with KestraClient(server.base, USERNAME, PASSWORD) as client:
        execution = client.create_execution(name, "a", {})
    found = official.executions.execution(execution["id"], TENANT)
    assert (found.namespace, found.flow_id) == (name, "a")
