"""The resources under mocks: what they declare, and what of it is secret."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from infra.kestra import (
    Connection,
    Flow,
    FlowDirectory,
    InvalidContent,
    KeyValue,
    NamespaceFile,
    PartlyWritten,
    Switches,
)
from tests.kestra.mocks import (
    FLOW,
    FLOW_DIRECTORY,
    FLOW_NAMESPACE,
    KEY_VALUE,
    NAMESPACE_FILE,
    Deployment,
    run,
)
from tests.kestra.unit.fake_kestra import CONNECTION, flow_text

CONNECT = Connection(**CONNECTION)
TRIGGER = "triggers:\n  - id: night\n    type: x.Schedule\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two namespaces, one with files."""
    files = {
        "a/one.yaml": (flow_text("a", "one") + TRIGGER).encode(),
        "a/second.yml": flow_text("a", "two").encode(),
        "a/files/sql/x.sql": "größe".encode(),
        "a/files/data.bin": b"\x00\xff",
        "a/.hidden.yaml": b"{",
        "a/one.yaml~": b"{",
        "a/notes.txt": b"{",
        "b/one.yaml": flow_text("b", "one").encode(),
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def directory(path: Path, **options: Any) -> Deployment:
    def declare() -> None:
        flows = FlowDirectory("flows", connection=CONNECT, path=path, **options)
        pulumi.export("revisions", flows.revisions)

    return run(declare)


def test_each_namespace_is_one_resource_of_the_directory(folder: Path):
    deployment = directory(folder)
    assert {item.name for item in deployment.all(FLOW_NAMESPACE)} == {"flows-a", "flows-b"}
    assert len(deployment.resources) == 3
    inputs = deployment.one(FLOW_NAMESPACE, "flows-a").inputs
    assert inputs["flows"] == {"one": flow_text("a", "one") + TRIGGER, "two": flow_text("a", "two")}
    assert inputs["files"] == {"sql/x.sql": "größe", "data.bin": "base64:AP8="}
    # Only what does not follow from the folder.
    assert inputs["folder"] == str(folder / "a")
    assert inputs["paths"] == {"two": str(folder / "a/second.yml")}
    assert (inputs["adopt"], inputs["overwrite"]) == (False, False)
    for item in deployment.all(FLOW_NAMESPACE):
        assert item.parent == f"{FLOW_DIRECTORY}::flows"
        assert CONNECTION.items() <= item.inputs.items()
        assert item.plain["password"] == "[secret]"
        assert item.inputs["isPreview"] is False
    assert deployment.outputs == {"revisions": {"a/one": 1, "a/two": 1, "b/one": 1}}


def test_a_directory_may_take_one_namespace_only(folder: Path):
    deployment = directory(folder, namespace="b", adopt=True, overwrite=True)
    (item,) = deployment.all(FLOW_NAMESPACE)
    assert item.inputs["namespace"] == "b"
    assert (item.inputs["adopt"], item.inputs["overwrite"]) == (True, True)
    assert deployment.outputs == {"revisions": {"b/one": 1}}


def test_a_missing_namespace_is_an_error(folder: Path):
    with pytest.raises(InvalidContent, match=f"{folder} has no namespace missing"):
        directory(folder, namespace="missing")


def test_an_empty_folder_is_an_empty_directory(tmp_path: Path):
    deployment = directory(tmp_path)
    assert deployment.all(FLOW_NAMESPACE) == []
    assert deployment.outputs == {"revisions": {}}


def test_switches_are_set_in_every_flow_but_those_with_their_own(folder: Path):
    deployment = directory(
        folder,
        switches=Switches(triggers_disabled=True, labels={"stack": "dev"}),
        overrides={"b/one": Switches(disabled=True)},
    )
    texts = deployment.one(FLOW_NAMESPACE, "flows-a").inputs["flows"]
    one, two = texts["one"], texts["two"]
    assert [yaml.safe_load(text)["labels"] for text in (one, two)] == [{"stack": "dev"}] * 2
    assert yaml.safe_load(one)["triggers"][0]["disabled"] is True
    other = yaml.safe_load(deployment.one(FLOW_NAMESPACE, "flows-b").inputs["flows"]["one"])
    assert other["disabled"] is True
    assert "labels" not in other
    assert "# Says something." in one


def test_types_that_the_release_lacks_are_errors_before_a_server_is_asked(folder: Path):
    echo = "io.kestra.plugin.core.debug.Echo"
    loop = "io.kestra.plugin.core.flow.Loop"
    more = "  - {{id: more, type: {}}}\n"
    (folder / "b/one.yaml").write_text(flow_text("b", "one") + more.format(loop))
    older = folder / "b/one.kestra-1.yaml"
    older.write_text(flow_text("b", "one") + more.format(echo))
    for release in (None, 1, 2):
        directory(folder, release=release)
    line = older.read_text().count("\n")
    older.rename(folder / "b/one.yaml")
    directory(folder, release=1)
    with pytest.raises(InvalidContent) as caught:
        directory(folder, release=2)
    assert str(caught.value).splitlines() == [
        "1 file is invalid; nothing was changed.",
        f"  {folder}/b/one.yaml has the type {echo}, which Kestra 2 does not have: use "
        f"io.kestra.plugin.core.log.Log (line {line}, column 16)",
    ]


def test_switches_are_set_in_the_text_for_kestra_1_too(folder: Path):
    path = folder / "b/one.kestra-1.yaml"
    path.write_text(flow_text("b", "one", "on Kestra 1"))
    deployment = directory(folder, switches=Switches(disabled=True))
    text = deployment.one(FLOW_NAMESPACE, "flows-b").inputs["kestra1Flows"]["one"]
    assert yaml.safe_load(text)["disabled"] is True
    assert "on Kestra 1" in text
    path.write_text(flow_text("b", "one") + "triggers: [*t]\n")
    with pytest.raises(InvalidContent, match=str(path)):
        directory(folder, switches=Switches(disabled=True))


def test_an_override_of_a_missing_flow_is_an_error(folder: Path):
    with pytest.raises(InvalidContent) as caught:
        directory(folder, overrides={"b/two": Switches(), "a/one": Switches()})
    assert str(caught.value) == f"overrides has flows that are not in {folder}: b/two"


def test_errors_name_their_files(folder: Path):
    (folder / "b/twin.yaml").write_text(flow_text("b", "one"))
    (folder / "b/broken.yaml").write_text("id: [")
    with pytest.raises(InvalidContent) as caught:
        directory(folder)
    assert f"{folder}/b/twin.yaml describes b/one, and so does {folder}/b/one.yaml" in str(
        caught.value
    )
    assert f"{folder}/b/broken.yaml is not valid YAML: line 2, column 1" in str(caught.value)


def test_a_flow_that_cannot_be_switched_is_an_error_with_its_file(folder: Path):
    anchored = "variables: &t {id: night}\ntriggers: [*t]\n"
    (folder / "b/anchored.yaml").write_text(flow_text("b", "anchored") + anchored)
    (folder / "b/broken.yaml").write_text(flow_text("b", "broken") + "triggers: [")
    with pytest.raises(InvalidContent) as caught:
        directory(folder, switches=Switches(triggers_disabled=True))
    assert str(caught.value).splitlines() == [
        "2 files are invalid; nothing was changed.",
        f"  {folder}/b/anchored.yaml cannot be switched: write its labels and triggers without "
        "anchors",
        f"  {folder}/b/broken.yaml is not valid YAML: line 9, column 1: while parsing a flow node, "
        "did not find expected node content",
    ]


def test_namespaces_wait_for_and_go_with_what_the_directory_does(folder: Path):
    def declare() -> None:
        first, second = (
            KeyValue(name, connection=CONNECT, namespace="demo", key=name, value="1")
            for name in ("first", "second")
        )
        opts = pulumi.ResourceOptions(depends_on=[first], deleted_with=second)
        FlowDirectory("flows", connection=CONNECT, path=folder, opts=opts)

    for item in run(declare).all(FLOW_NAMESPACE):
        assert f"{KEY_VALUE}::first" in item.depends_on
        assert item.deleted_with == f"{KEY_VALUE}::second"


def test_what_failed_is_an_error_once_the_rest_is_in_the_state(folder: Path):
    failures = {"one": "a/one.yaml: refused", "two": "a/two.yaml: refused"}
    with pytest.raises(PartlyWritten) as caught:
        run(
            lambda: FlowDirectory("flows", connection=CONNECT, path=folder, namespace="a"),
            failures=failures,
        )
    assert str(caught.value) == (
        "2 of namespace a failed; the others were written.\n"
        "  a/one.yaml: refused\n  a/two.yaml: refused"
    )


def test_a_flow_is_declared_with_its_text_and_a_secret_password():
    deployment = run(
        lambda: Flow(
            "hello",
            connection=CONNECT,
            source=flow_text("demo", "hello"),
            switches=Switches(disabled=True),
        )
    )
    (item,) = deployment.all(FLOW)
    text = item.inputs["source"]
    assert yaml.safe_load(text) == {
        **yaml.safe_load(flow_text("demo", "hello")),
        "disabled": True,
    }
    assert item.plain["source"] == text
    assert item.plain["password"] == "[secret]"
    assert (item.inputs["adopt"], item.inputs["overwrite"]) == (False, False)


def test_a_flow_that_cannot_be_switched_is_an_error_that_names_it():
    with pytest.raises(InvalidContent, match="hello cannot be switched"):
        run(
            lambda: Flow(
                "hello",
                connection=CONNECT,
                source="id: x\nvariables: &t {id: night}\ntriggers: [*t]\n",
                switches=Switches(triggers_disabled=True),
            )
        )


def test_a_secret_source_stays_secret():
    def declare() -> None:
        source = pulumi.Output.secret(flow_text("demo", "hello"))
        Flow("hello", connection=CONNECT, source=source)

    (item,) = run(declare).all(FLOW)
    assert item.plain["source"] == "[secret]"


def test_a_secret_value_stays_secret():
    def declare() -> None:
        for name, value in (("plain", "one"), ("secret", pulumi.Output.secret("two"))):
            KeyValue(name, connection=CONNECT, namespace="demo", key=name, value=value, ttl="PT1H")

    deployment = run(declare)
    assert deployment.one(KEY_VALUE, "plain").plain["value"] == "one"
    item = deployment.one(KEY_VALUE, "secret")
    assert (item.plain["value"], item.inputs["value"]) == ("[secret]", "two")
    assert (item.inputs["type"], item.inputs["ttl"]) == ("STRING", "PT1H")
    assert "two" not in str(item.plain)


def file(**content: Callable[[], Any]) -> Deployment:
    return run(
        lambda: NamespaceFile(
            "file",
            connection=CONNECT,
            namespace="demo",
            path="data",
            **{key: value() for key, value in content.items()},
        )
    )


def text() -> str:
    return "größe"


def asset() -> pulumi.StringAsset:
    return pulumi.StringAsset("größe")


def test_a_file_has_the_content_of_its_asset(tmp_path: Path):
    path = tmp_path / "data"
    path.write_bytes(b"\x00\xff")
    for content, expected in (
        ({"content": text}, "größe"),
        ({"content": lambda: pulumi.Output.from_input("base64:x")}, "base64:YmFzZTY0Ong="),
        ({"asset": asset}, "größe"),
        ({"asset": lambda: pulumi.FileAsset(str(path))}, "base64:AP8="),
    ):
        (item,) = file(**content).all(NAMESPACE_FILE)
        assert item.inputs["content"] == expected
        assert item.inputs["path"] == "data"


def test_secret_content_stays_secret():
    (item,) = file(content=lambda: pulumi.Output.secret("x")).all(NAMESPACE_FILE)
    assert item.plain["content"] == "[secret]"


@pytest.mark.parametrize("content", [{}, {"content": text, "asset": asset}])
def test_a_file_has_either_content_or_an_asset(content: dict[str, Any]):
    with pytest.raises(InvalidContent, match="file: give either content or asset"):
        file(**content)


def test_a_missing_asset_is_an_error(tmp_path: Path):
    with pytest.raises(InvalidContent, match=f"^file: .*{tmp_path}/missing"):
        file(asset=lambda: pulumi.FileAsset(str(tmp_path / "missing")))
