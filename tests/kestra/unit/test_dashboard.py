"""The lifecycle of one dashboard, on servers with and without dashboards."""

import os
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.output import Unknown

from infra.kestra import Connection, Dashboard, DashboardDirectory, InvalidContent, KeyValue
from infra.kestra.content import digest
from infra.kestra.errors import KestraError
from infra.kestra.lifecycle import connection
from infra.kestra.lifecycle.dashboard import lifecycle as dashboard
from infra.kestra.provider import DashboardProvider
from infra.kestra.source import dashboard_id
from tests.kestra.mocks import DASHBOARD, DASHBOARD_DIRECTORY, KEY_VALUE, Deployment, run
from tests.kestra.unit.fake_kestra import CONNECTION, FakeKestra, Props, stored

TEXT = "# Loads.\nid: loads\ntitle: Loads\ncharts: [{id: runs}]\n"
OTHER_TEXT = TEXT.replace("title: Loads", "title: All loads")
UNKNOWN: Any = Unknown()
PATH = "dashboards/loads.yaml"
EXISTS = (
    "already exists on the server with different content. Adopt it with adopt=True, or delete it "
    "there"
)


def without_dashboards(kestra: FakeKestra, version: str) -> str:
    """Makes a server one that has no dashboards, and returns the warning about it."""
    kestra.version = version
    kestra.dashboards = None
    return (
        f"{PATH}: warning: not registered, as Kestra {version} has no dashboards with ids of their "
        "own (from 1.0 on); the next up with a server that has them registers it\n"
    )


def with_dashboards(kestra: FakeKestra) -> None:
    """Makes a server a newer one, which a new process of the provider talks to."""
    kestra.version = "1.3.0"
    kestra.dashboards = {}
    connection._client.cache_clear()
    connection._answering_client.cache_clear()


def props(**changes: object) -> Props:
    inputs = {"source": TEXT, "path": PATH, "adopt": False, "overwrite": False}
    return {**CONNECTION, **inputs, **changes}


def outputs(text: str = TEXT, registered: bool = True) -> Props:
    return {**CONNECTION, "digest": digest(text), "registered": registered}


def preview(olds: Props, **changes: object) -> list[str]:
    """Returns the errors that a preview finds."""
    result = dashboard.check(olds, props(isPreview=True, **changes))
    assert "isPreview" not in result.inputs
    return [failure.reason for failure in result.failures]


def test_create_writes_a_new_dashboard(kestra: FakeKestra):
    created = dashboard.create(props())
    assert (created.id, created.outs) == ("loads", outputs())
    assert kestra.dashboards == {"loads": TEXT}


def test_create_adopts_the_same_dashboard(kestra: FakeKestra):
    kestra.dashboards = {"loads": TEXT}
    assert dashboard.create(props()).outs == outputs()
    assert kestra.writes == []


def test_create_adopts_a_different_dashboard_only_with_adopt(kestra: FakeKestra):
    kestra.dashboards = {"loads": OTHER_TEXT}
    with pytest.raises(KestraError) as caught:
        dashboard.create(props())
    assert str(caught.value) == f"{PATH}: {EXISTS}"
    assert kestra.writes == []
    assert dashboard.create(props(adopt=True)).outs == outputs()
    assert kestra.dashboards == {"loads": TEXT}


@pytest.mark.parametrize("known", [None, outputs()])
def test_a_dashboard_that_the_server_refuses_is_an_error_with_its_file(
    kestra: FakeKestra, known: Props | None
):
    kestra.refused = {"All loads": "charts[0]: Invalid data chart"}
    kestra.dashboards = {"loads": TEXT} if known else {}
    with pytest.raises(KestraError) as caught:
        if known:
            dashboard.update("loads", known, props(source=OTHER_TEXT))
        else:
            dashboard.create(props(source=OTHER_TEXT))
    method = "PUT /api/v1/main/dashboards/loads" if known else "POST /api/v1/main/dashboards"
    assert str(caught.value) == (
        f"{PATH}: {method}: status 422: Invalid entity: charts[0]: Invalid data chart"
    )


def test_update_writes_the_new_text(kestra: FakeKestra):
    kestra.dashboards = {"loads": TEXT}
    assert dashboard.update("loads", outputs(), props(source=OTHER_TEXT)).outs == outputs(
        OTHER_TEXT
    )
    assert kestra.dashboards == {"loads": OTHER_TEXT}


def test_another_release_validates_the_dashboard_again(kestra: FakeKestra):
    kestra.dashboards = {"loads": TEXT}
    news = props(triggers=["kestra/kestra:v2.0.0"])
    assert dashboard.diff("loads", outputs(), news).changes
    kestra.refused["id: loads"] = "Invalid type: Gauge"
    with pytest.raises(KestraError, match="is refused: Invalid type: Gauge"):
        dashboard.update("loads", outputs(), news)
    kestra.refused.clear()
    outs = dashboard.update("loads", outputs(), news).outs
    assert kestra.writes == []
    assert not dashboard.diff("loads", stored(outs), news).changes


def test_an_edit_made_elsewhere_is_not_overwritten_silently(kestra: FakeKestra):
    kestra.dashboards = {"loads": TEXT + "# edited\n"}
    with pytest.raises(KestraError) as caught:
        dashboard.update("loads", outputs(), props(source=OTHER_TEXT))
    assert str(caught.value) == (
        f"{PATH}: was changed on the server by somebody else. Review the change with pulumi "
        "refresh, or replace it with overwrite=True"
    )
    assert kestra.writes == []
    dashboard.update("loads", outputs(), props(source=OTHER_TEXT, overwrite=True))
    assert kestra.dashboards == {"loads": OTHER_TEXT}


def test_a_server_that_does_not_answer_is_an_error_with_the_file(kestra: FakeKestra):
    kestra.is_lost = True
    with pytest.raises(KestraError, match=f"^{PATH}: GET /api/v1/configs: no answer"):
        dashboard.create(props())


def test_a_dashboard_that_was_deleted_elsewhere_is_created_again(kestra: FakeKestra):
    dashboard.update("loads", outputs(), props(source=OTHER_TEXT))
    assert kestra.dashboards == {"loads": OTHER_TEXT}


@pytest.mark.parametrize(
    ("changes", "changed", "replaces"),
    [
        ({}, False, []),
        ({"adopt": True, "overwrite": True, "path": "dashboards/other.yaml"}, False, []),
        ({"source": OTHER_TEXT}, True, []),
        ({"source": TEXT.replace("id: loads", "id: other")}, True, ["source"]),
        ({"url": UNKNOWN}, True, []),
        ({"password": "Another1"}, True, []),
    ],
)
def test_diff_replaces_only_what_is_another_dashboard(
    kestra: FakeKestra, changes: Props, changed: bool, replaces: list[str]
):
    difference = dashboard.diff("loads", stored(outputs()), props(**changes))
    assert (difference.changes, difference.replaces or []) == (changed, replaces)
    assert not difference.delete_before_replace
    assert not kestra.asked


def test_delete_removes_the_dashboard_and_accepts_that_it_is_gone(kestra: FakeKestra):
    kestra.dashboards = {"loads": TEXT}
    dashboard.delete("loads", stored(outputs()))
    dashboard.delete("loads", stored(outputs()))
    assert kestra.dashboards == {}


def test_read_finds_what_became_of_the_dashboard(kestra: FakeKestra):
    kestra.dashboards = {"loads": TEXT}
    same = dashboard.read("loads", stored(outputs()))
    assert (same.id, same.outs, same.inputs) == ("loads", outputs(), None)

    kestra.dashboards = {"loads": OTHER_TEXT}
    edited = dashboard.read("loads", stored(outputs()))
    assert (edited.id, edited.outs) == ("loads", outputs(OTHER_TEXT))
    assert edited.inputs is not None
    assert edited.inputs["source"] == OTHER_TEXT
    # The next update puts it back.
    olds = stored(edited.outs)
    assert dashboard.diff("loads", olds, props()).changes
    dashboard.update("loads", olds, props())
    assert kestra.dashboards == {"loads": TEXT}

    kestra.dashboards = {}
    gone = dashboard.read("loads", stored(outputs()))
    assert (gone.id, gone.outs) == ("", {})


@pytest.mark.parametrize("version", ["0.20.7", "0.24.3", "1.3.0"])
def test_a_dashboard_is_registered_once_the_server_has_dashboards(
    kestra: FakeKestra, capsys: pytest.CaptureFixture[str], version: str
):
    warning = without_dashboards(kestra, version)
    assert preview({}) == []
    assert capsys.readouterr().err == warning
    created = dashboard.create(props())
    assert (created.id, created.outs) == ("loads", outputs(registered=False))
    assert capsys.readouterr().err == warning
    olds = stored(created.outs)
    assert not dashboard.diff("loads", olds, props()).changes
    assert dashboard.diff("loads", olds, props(source=OTHER_TEXT)).changes
    assert dashboard.read("loads", olds).outs == olds
    dashboard.delete("loads", olds)
    assert kestra.writes == []

    with_dashboards(kestra)
    assert dashboard.read("loads", olds).outs == olds
    assert dashboard.diff("loads", olds, props()).changes
    assert dashboard.update("loads", olds, props()).outs == outputs()
    assert kestra.dashboards == {"loads": TEXT}
    assert capsys.readouterr().err == ""


def test_a_dashboard_that_was_not_registered_is_the_same_while_no_server_answers(
    kestra: FakeKestra,
):
    kestra.is_lost = True
    assert not dashboard.diff("loads", outputs(registered=False), props()).changes


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("id: a\ntitle: {", "is not valid YAML: line 3, column 1"),
        ("- a", "is not a YAML mapping with id, title and charts"),
        ("title: a", 'has no "id: <name>" at its top level'),
        ("id: a\ntitle:\n", 'has no "title: <name>" at its top level'),
        ("id: a\nid: b\n", 'is not valid YAML: line 2, column 1: the key "id" is duplicate'),
        ("{id: a, title: b}", 'has no line that starts with "id:"'),
        ("id: a\ntitle: b\n", "has no charts"),
        ("id: a\ntitle: b\ncharts: []\n", "has no charts"),
        ("id: a\ntitle: b\ncharts: bars\n", "has no charts"),
        (
            "id: größe\ntitle: a\0b\n",
            "is not valid YAML: line 2, column 9: character U+0000 is not allowed",
        ),
    ],
)
def test_errors_of_a_text_are_found_without_a_server(kestra: FakeKestra, text: str, error: str):
    kestra.is_lost = True
    (failure,) = dashboard.check({}, props(source=text)).failures
    assert failure.property == "path"
    assert failure.reason.startswith(error)
    assert dashboard.check({"source": text}, props(source=text)).failures == []


def test_the_id_is_that_of_the_text():
    assert dashboard_id(TEXT) == "loads"
    assert dashboard_id("title: a\nid: 7 days\ncharts: [{id: runs}]\n") == "7 days"


def test_a_preview_shows_what_the_server_would_refuse(kestra: FakeKestra):
    kestra.refused = {"All loads": "charts[0]: Invalid data chart"}
    assert preview(props(), source=OTHER_TEXT) == ["charts[0]: Invalid data chart"]
    kestra.dashboards = {"loads": OTHER_TEXT}
    assert preview({}) == [EXISTS]
    assert preview({}, adopt=True) == []
    assert preview(props(), source=TEXT + "# end\n") == []
    assert kestra.writes == []


def test_a_preview_without_a_server_says_nothing(
    kestra: FakeKestra, capsys: pytest.CaptureFixture[str]
):
    assert preview({}, url=UNKNOWN) == []
    kestra.is_lost = True
    assert preview({}) == []
    assert capsys.readouterr().err == ""


def test_an_id_with_any_character_is_one_part_of_the_path(kestra: FakeKestra):
    text = TEXT.replace("id: loads", "id: a/b c")
    assert dashboard.create(props(source=text)).id == "a/b c"
    dashboard.update("a/b c", outputs(text), props(source=text + "# end\n"))
    assert kestra.dashboards == {"a/b c": text + "# end\n"}


def test_the_provider_does_the_whole_life_of_a_dashboard(kestra: FakeKestra):
    provider = DashboardProvider()
    checked = provider.check({}, props(isPreview=False))
    created = provider.create(checked.inputs)
    olds = stored(created.outs)
    assert provider.diff("loads", olds, props(source=OTHER_TEXT)).changes
    olds = stored(provider.update("loads", olds, props(source=OTHER_TEXT)).outs)
    assert provider.read("loads", olds).outs == outputs(OTHER_TEXT)
    provider.delete("loads", olds)
    assert kestra.dashboards == {}


def declared(path: Path) -> Deployment:
    def declare() -> None:
        found = Dashboard("loads", connection=Connection(**CONNECTION), path=path)
        pulumi.export("registered", found.registered)

    return run(declare)


def test_the_resource_carries_the_text_of_its_file(tmp_path: Path):
    path = tmp_path / "loads.yaml"
    path.write_bytes(TEXT.replace("\n", "\r\n").encode())
    deployment = declared(path)
    item = deployment.one(DASHBOARD, "loads")
    assert item.inputs == {
        **CONNECTION,
        "source": TEXT.replace("\n", "\r\n"),
        "path": str(path),
        "adopt": False,
        "overwrite": False,
        "triggers": [],
        "isPreview": False,
    } | {key: value for key, value in item.inputs.items() if key == "__provider"}
    assert item.plain["password"] == "[secret]"
    assert deployment.outputs == {"registered": True}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"id: a\r\ntitle: gr\xf6\xdfe", "is not UTF-8: line 2, column 10: byte 0xf6"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, error: str):
    path = tmp_path / "loads.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidContent) as caught:
        declared(path)
    assert str(caught.value) == f"{path} {error}"


def declared_directory(path: Path) -> Deployment:
    def declare() -> None:
        connection = Connection(**CONNECTION)
        key = KeyValue("key", connection=connection, namespace="demo", key="key", value="1")
        found = DashboardDirectory(
            "dashboards",
            connection=connection,
            path=path,
            opts=pulumi.ResourceOptions(depends_on=[key], deleted_with=key),
        )
        pulumi.export("registered", found.registered)

    return run(declare)


def test_a_directory_has_a_dashboard_for_each_yaml_file(tmp_path: Path):
    for name in ("loads.yaml", "loads.yaml~", ".hidden.yaml", "notes.txt"):
        (tmp_path / name).write_text(TEXT)
    (tmp_path / "more.yml").write_text(TEXT.replace("id: loads", "id: more"))
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper/loads.yaml").write_text(TEXT)
    deployment = declared_directory(tmp_path)
    assert {item.name: item.inputs["path"] for item in deployment.all(DASHBOARD)} == {
        "loads": str(tmp_path / "loads.yaml"),
        "more": str(tmp_path / "more.yml"),
    }
    assert deployment.outputs == {"registered": {"loads": True, "more": True}}
    for item in deployment.all(DASHBOARD):
        assert item.parent == f"{DASHBOARD_DIRECTORY}::dashboards"
        assert f"{KEY_VALUE}::key" in item.depends_on
        assert item.deleted_with == f"{KEY_VALUE}::key"
        # One that a stack has at its top is the same dashboard.
        assert item.aliases == ("noParent: true",)


def test_a_directory_may_be_empty_and_must_exist(tmp_path: Path):
    assert declared_directory(tmp_path).outputs == {"registered": {}}
    with pytest.raises(InvalidContent, match="missing is not a folder"):
        declared_directory(tmp_path / "missing")


def test_all_errors_of_all_dashboards_are_reported_before_any_is_declared(tmp_path: Path):
    texts = {
        "loads.yaml": TEXT,
        "loads.yml": TEXT,
        "more.yaml": TEXT,
        "empty.yaml": "id: empty\ntitle: Empty\n",
        "broken.yaml": "id: [",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "latin.yaml").write_bytes("id: größe".encode("latin-1"))
    (tmp_path / "large.yaml").write_bytes(b"#" * 5_000_001)
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "gone.yaml").symlink_to("missing.yaml")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.yaml")).touch()
    with pytest.raises(InvalidContent) as caught:
        declared_directory(tmp_path)
    head, *errors = str(caught.value).splitlines()
    assert head == "9 files are invalid; nothing was changed."
    assert errors == [
        f"  {tmp_path}/broken.yaml is not valid YAML: line 2, column 1: while parsing a flow node, "
        "did not find expected node content",
        f"  {tmp_path}/empty.yaml has no charts",
        f"  {tmp_path}/folder.yaml is a folder, but has the name of a YAML file: rename it",
        f"  {tmp_path}/gone.yaml is a link to missing.yaml, where there is no file",
        f"  {tmp_path}/large.yaml has 5.0 MB, and the state of the stack would keep all of it: at "
        "most 5 MB are allowed. Let flows download large files",
        f"  {tmp_path}/latin.yaml is not UTF-8: line 1, column 7: byte 0xf6",
        f"  {tmp_path}/loads.yml has the name of {tmp_path}/loads.yaml",
        f"  {tmp_path}/more.yaml describes the dashboard loads: rename it to loads.yaml, or change "
        "its id",
        f"  b'{tmp_path}/\\xff.yaml' has a name that is not UTF-8",
    ]
