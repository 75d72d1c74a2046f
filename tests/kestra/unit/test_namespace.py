"""The lifecycle of what a `FlowDirectory` keeps in one namespace."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.output import Unknown

from infra.kestra.content import digest
from infra.kestra.errors import KestraError
from infra.kestra.lifecycle.namespace import lifecycle as namespace
from tests.kestra.unit.fake_kestra import CONNECTION, FakeKestra, Props, flow_text, serving, stored

ROOT = "/api/v1/main"
FILES = {"sql/a.sql": "select 1", "data.bin": "base64:AP8="}
TEXTS = {flow_id: flow_text("demo", flow_id) for flow_id in ("a", "b", "c")}


def props(flows: dict[str, str] = TEXTS, files: dict[str, str] = FILES, **changes: object) -> Props:
    return {
        **CONNECTION,
        "namespace": "demo",
        "flows": flows,
        "folder": "flows/demo",
        "paths": {"c": "flows/demo/third.yml"},
        "files": files,
        "adopt": False,
        "overwrite": False,
        **changes,
    }


def written(**revisions: int) -> Props:
    return {
        flow_id: {"digest": digest(TEXTS[flow_id]), "revision": revision}
        for flow_id, revision in revisions.items()
    }


def create(**changes: Any) -> Props:
    """Creates the namespace and returns the outputs, as the next run finds them."""
    return stored(namespace.create(props(**changes)).outs)


def update(olds: Props, **changes: Any) -> Props:
    return stored(namespace.update("demo", olds, props(**changes)).outs)


def diff(olds: Props, **changes: Any) -> bool | None:
    return namespace.diff("demo", olds, props(**changes)).changes


def preview(olds: Props, **changes: object) -> dict[str, str]:
    """Returns the errors that a preview finds."""
    result = namespace.check(olds, props(isPreview=True, **changes))  # type: ignore[arg-type]
    assert "isPreview" not in result.inputs
    return {failure.property: failure.reason for failure in result.failures}


def test_create_writes_files_and_flows_and_records_them(kestra: FakeKestra):
    created = namespace.create(props())
    assert created.id == "demo"
    assert created.outs == {
        **CONNECTION,
        "namespace": "demo",
        "written": written(a=1, b=1, c=1),
        "writtenFiles": {path: digest(text) for path, text in FILES.items()},
        "failures": {},
        "triggers": [],
    }
    assert {key: item["source"] for key, item in kestra.flows.items()} == {
        f"demo/{flow_id}": text for flow_id, text in TEXTS.items()
    }
    assert kestra.files == {"demo/sql/a.sql": b"select 1", "demo/data.bin": b"\x00\xff"}
    # Flows may read the files.
    assert [line.rpartition("/")[2] for line in kestra.writes] == ["files", "flows"]
    assert not diff(stored(created.outs))


def test_another_release_validates_and_compares_everything_again(kestra: FakeKestra):
    outs = create(triggers=["kestra/kestra:v1.3.0"])
    del kestra.flows["demo/a"]
    kestra.files.clear()
    kestra.asked.clear()
    assert not diff(outs, triggers=["kestra/kestra:v1.3.0"])
    assert diff(outs, triggers=["kestra/kestra:v2.0.0"])
    kestra.refused["id: b"] = "Invalid type: ForEach"
    outs = update(outs, triggers=["kestra/kestra:v2.0.0"])
    assert outs["failures"] == {
        "b": "flows/demo/b.yaml: flow demo/b: is refused: Invalid type: ForEach"
    }
    assert kestra.asked[f"POST {ROOT}/flows/validate"] == len(TEXTS)
    assert {"demo/sql/a.sql", "demo/data.bin"} == kestra.files.keys()
    assert "demo/a" in kestra.flows
    # Until it is fixed, each further update says so again.
    assert update(outs, triggers=["kestra/kestra:v2.0.0"])["failures"] == outs["failures"]
    kestra.refused.clear()
    outs = update(outs, triggers=["kestra/kestra:v2.0.0"])
    assert outs["failures"] == {}
    assert not diff(outs, triggers=["kestra/kestra:v2.0.0"])


def test_an_interrupted_run_continues(kestra: FakeKestra):
    kestra.store("demo/a", TEXTS["a"])
    kestra.files["demo/sql/a.sql"] = b"select 1"
    outs = create()
    assert outs["failures"] == {}
    assert kestra.asked[f"POST {ROOT}/flows"] == 2
    assert kestra.flows["demo/a"]["revision"] == 1


def test_update_writes_what_changed_and_nothing_else(kestra: FakeKestra):
    outs = create()
    kestra.asked.clear()
    flows = {**TEXTS, "b": flow_text("demo", "b", "Changed"), "d": flow_text("demo", "d")}
    files = {**FILES, "sql/a.sql": "select 2"}
    assert diff(outs, flows=flows, files=files)
    outs = update(outs, flows=flows, files=files)
    assert kestra.writes[0] == f"POST {ROOT}/namespaces/demo/files"
    assert set(kestra.writes[1:]) == {f"POST {ROOT}/flows", f"PUT {ROOT}/flows/demo/b"}
    assert kestra.asked[f"POST {ROOT}/namespaces/demo/files"] == 1
    assert {key: flow["revision"] for key, flow in outs["written"].items()} == {
        "a": 1,
        "b": 2,
        "c": 1,
        "d": 1,
    }
    assert not diff(outs, flows=flows, files=files)


def test_what_is_removed_from_the_folder_is_deleted(kestra: FakeKestra):
    outs = create()
    kestra.store("demo/foreign", "somebody else's")
    flows, files = {"a": TEXTS["a"]}, {"data.bin": FILES["data.bin"]}
    assert diff(outs, flows=flows)
    assert diff(outs, files=files)
    outs = update(outs, flows=flows, files=files)
    assert sorted(kestra.flows) == ["demo/a", "demo/foreign"]
    assert sorted(kestra.files) == ["demo/data.bin"]
    assert outs["written"] == written(a=1)
    assert list(outs["writtenFiles"]) == ["data.bin"]
    assert kestra.asked[f"DELETE {ROOT}/flows/delete/by-ids"] == 1


def test_flows_that_are_gone_already_are_no_error(kestra: FakeKestra):
    outs = create()
    del kestra.flows["demo/b"], kestra.files["demo/data.bin"]
    update(outs, flows={}, files={})
    assert (kestra.flows, kestra.files) == ({}, {})


def test_delete_removes_what_was_written_and_nothing_else(kestra: FakeKestra):
    outs = create()
    kestra.store("demo/foreign", "somebody else's")
    kestra.files["demo/foreign"] = b""
    namespace.delete("demo", outs)
    namespace.delete("demo", outs)
    assert (list(kestra.flows), list(kestra.files)) == (["demo/foreign"], ["demo/foreign"])


def test_a_deletion_that_fails_is_reported_and_retried(kestra: FakeKestra):
    outs = create()
    flows = {"a": TEXTS["a"]}

    kestra.failing = f"DELETE {ROOT}/flows"
    outs = update(outs, flows=flows)
    (error,) = outs["failures"].values()
    assert f"DELETE {ROOT}/flows/delete/by-ids: status 500: disk full" in error
    assert outs["written"].keys() == TEXTS.keys()
    assert diff(outs, flows=flows)
    kestra.failing = None
    outs = update(outs, flows=flows)
    assert (outs["failures"], outs["written"]) == ({}, written(a=1))


@pytest.mark.parametrize("is_new", [True, False])
def test_good_flows_are_written_if_a_bad_one_is_refused(kestra: FakeKestra, is_new: bool):
    kestra.refused = {"broken": "Invalid type: x.Y"}
    bad = {**TEXTS, "b": flow_text("demo", "b", "broken"), "c": flow_text("demo", "c", "new")}
    outs = create(flows=bad) if is_new else update(create(), flows=bad)
    (error,) = outs["failures"].values()
    assert error.startswith("flows/demo/b.yaml: flow demo/b: ")
    assert error.endswith("Invalid type: x.Y")
    assert "new" in kestra.flows["demo/c"]["source"]
    assert outs["written"]["c"]["digest"] == digest(bad["c"])
    assert outs["written"].get("b") == (None if is_new else stored(written(b=1))["b"])
    # The next run updates even if nothing changed, and succeeds.
    assert diff(outs, flows=bad)
    kestra.refused = {}
    outs = update(outs, flows=bad)
    assert outs["failures"] == {}
    assert not diff(outs, flows=bad)
    assert "broken" in kestra.flows["demo/b"]["source"]


def test_a_file_that_fails_is_reported(kestra: FakeKestra):
    kestra.failing = f"POST {ROOT}/namespaces"
    outs = create(files={"a.sql": "select 1"})
    assert outs["failures"] == {
        "a.sql": f"file a.sql: POST {ROOT}/namespaces/demo/files?path=a.sql: status 500: disk full"
    }
    assert outs["writtenFiles"] == {}
    assert outs["written"] == written(a=1, b=1, c=1)


def test_an_edit_made_elsewhere_stops_its_flow_only(kestra: FakeKestra):
    outs = create()
    kestra.store("demo/a", TEXTS["a"] + "# edited\n")
    flows = {flow_id: flow_text("demo", flow_id, "Changed") for flow_id in TEXTS}
    outs = update(outs, flows=flows)
    assert outs["failures"] == {
        "a": "flows/demo/a.yaml: flow demo/a: has revision 2 on the server, but 1 in the state: "
        "it was changed on the server by somebody else. Review the change with pulumi refresh, or "
        "replace it with overwrite=True"
    }
    assert kestra.flows["demo/a"]["source"].endswith("# edited\n")
    assert kestra.flows["demo/b"]["source"] == flows["b"]
    outs = update(outs, flows=flows, overwrite=True)
    assert outs["failures"] == {}
    assert kestra.flows["demo/a"]["source"] == flows["a"]


def test_an_existing_flow_is_adopted_only_with_adopt(kestra: FakeKestra):
    kestra.store("demo/a", "other")
    outs = create()
    (error,) = outs["failures"].values()
    assert error.startswith(
        "flows/demo/a.yaml: flow demo/a: revision 1 already exists on the server"
    )
    assert "adopt=True" in error
    assert kestra.flows["demo/a"]["source"] == "other"
    assert update(outs, adopt=True)["failures"] == {}
    assert kestra.flows["demo/a"]["source"] == TEXTS["a"]


@pytest.mark.parametrize(("count", "listings", "looks"), [(20, 0, 20), (21, 1, 1)])
def test_many_flows_are_looked_for_with_one_listing(
    kestra: FakeKestra, count: int, listings: int, looks: int
):
    flows = {f"f{number}": flow_text("demo", f"f{number}") for number in range(count)}
    kestra.store("demo/f0", flows["f0"])
    outs = create(flows=flows, files={})
    assert outs["failures"] == {}
    assert kestra.asked[f"GET {ROOT}/flows/demo"] == listings
    gets = [line for line in kestra.asked if line.startswith(f"GET {ROOT}/flows/demo/")]
    assert len(gets) == looks


def test_a_server_that_is_lost_in_the_middle_is_not_asked_for_the_rest(kestra: FakeKestra):
    flows = {f"f{number}": flow_text("demo", f"f{number}") for number in range(200)}
    kestra.lost_after = 150
    outs = create(flows=flows, files={})
    # Everything is reported, and what is written is recorded.
    assert outs["written"].keys() | outs["failures"].keys() == flows.keys()
    assert not outs["written"].keys() & outs["failures"].keys()
    assert {f"demo/{flow_id}" for flow_id in outs["written"]} == kestra.flows.keys()
    lost = [error for error in outs["failures"].values() if "no answer" in error]
    untried = [error for error in outs["failures"].values() if "not tried" in error]
    assert 1 <= len(lost) <= 10
    assert len(lost) + len(untried) == 50
    assert all(error.startswith("flows/demo/f") for error in outs["failures"].values())
    kestra.is_lost, kestra.lost_after = False, None
    assert diff(outs, flows=flows, files={})
    outs = update(outs, flows=flows, files={})
    assert outs["failures"] == {}
    assert {item["revision"] for item in kestra.flows.values()} == {1}


def test_a_server_that_does_not_answer_at_all_changes_nothing(kestra: FakeKestra):
    kestra.is_lost = True
    with pytest.raises(KestraError, match="no answer from http://localhost:8080"):
        namespace.create(props())


def test_another_server_gets_everything(kestra: FakeKestra):
    outs = create()
    kestra.flows.clear()
    kestra.files.clear()
    assert diff(outs, url="http://localhost:9090")
    outs = update(outs, url="http://localhost:9090")
    assert outs["failures"] == {}
    assert len(kestra.flows) == 3
    assert len(kestra.files) == 2


def test_read_finds_everything_as_it_is(kestra: FakeKestra):
    outs = create()
    result = namespace.read("demo", dict(outs))
    assert (result.id, result.outs, result.inputs) == ("demo", outs, None)
    assert [line for line in kestra.asked if "GET" in line and "/flows/demo" in line][-1] == (
        f"GET {ROOT}/flows/demo"
    )


DRIFTS: dict[str, Any] = {
    "edited": lambda kestra: kestra.store("demo/a", flow_text("demo", "a", "Edited")),
    "disabled": lambda kestra: kestra.store("demo/a", TEXTS["a"] + "disabled: true\n"),
    "deleted": lambda kestra: kestra.flows.pop("demo/a"),
    "file edited": lambda kestra: kestra.files.update({"demo/sql/a.sql": b"\xff"}),
    "file deleted": lambda kestra: kestra.files.pop("demo/sql/a.sql"),
    "all gone": lambda kestra: (kestra.flows.clear(), kestra.files.clear()),
}


@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS)
def test_read_finds_drift_and_the_next_update_puts_it_back(kestra: FakeKestra, drift: Any):
    outs = create()
    drift(kestra)
    result = namespace.read("demo", outs)
    assert result.id == "demo"
    assert result.inputs is not None
    assert result.inputs["flows"] == {item["id"]: item["source"] for item in kestra.flows.values()}
    assert result.inputs["files"].keys() == {key[5:] for key in kestra.files}
    found = stored(result.outs)
    assert diff(found)
    outs = update(found)
    assert outs["failures"] == {}
    assert {item["id"]: item["source"] for item in kestra.flows.values()} == TEXTS
    assert kestra.files == {"demo/sql/a.sql": b"select 1", "demo/data.bin": b"\x00\xff"}
    assert not diff(outs)


def test_errors_of_changed_flows_are_found_without_a_server(kestra: FakeKestra):
    kestra.is_lost = True
    broken = {**TEXTS, "b": "id: b\nnamespace: demo\ntask: []\n", "c": "id: c"}
    expected = {'flows["b"]', 'flows["c"]'}
    result = namespace.check({}, props(flows=broken, isPreview=False))
    assert {failure.property for failure in result.failures} == expected
    assert {failure.reason for failure in result.failures} == {
        'flows/demo/b.yaml: has the unknown key "task" at its top level',
        "flows/demo/b.yaml: has no tasks",
        'flows/demo/third.yml: has no "namespace: <name>" at its top level',
        "flows/demo/third.yml: has no tasks",
    }
    # What is in the state already is not validated again.
    assert namespace.check({"flows": broken}, props(flows=broken)).failures == []
    assert preview({}, flows=broken).keys() == expected


def test_nothing_is_asked_outside_a_preview_or_about_what_is_unchanged(kestra: FakeKestra):
    assert namespace.check({}, props(isPreview=False)).inputs == props()
    assert kestra.asked == {}
    assert preview({"flows": TEXTS}) == {}
    assert not any("validate" in line for line in kestra.asked)
    assert preview({"flows": {**TEXTS, "a": "earlier"}}) == {}
    assert kestra.asked[f"POST {ROOT}/flows/validate"] == 1


@pytest.mark.parametrize("key", ["url", "username", "password"])
def test_a_preview_reports_nothing_about_unknown_inputs(kestra: FakeKestra, key: str):
    unknown: Any = Unknown()
    assert preview({}, **{key: unknown}) == {}
    assert kestra.asked == {}
    assert diff(create(), **{key: unknown})


def test_a_preview_asks_the_server_about_changed_flows(
    kestra: FakeKestra, capsys: pytest.CaptureFixture[str]
):
    kestra.refused = {"id: b": "Invalid type: x.Y"}
    kestra.validation = {"warnings": ["slow"]}
    kestra.store("demo/c", "other")
    errors = preview({"flows": {"a": TEXTS["a"] + "# comment\n"}})
    assert errors['flows["b"]'] == "flows/demo/b.yaml: Invalid type: x.Y"
    assert errors['flows["c"]'].startswith(
        "flows/demo/third.yml: revision 1 already exists on the server"
    )
    assert errors.keys() == {'flows["b"]', 'flows["c"]'}
    shown = capsys.readouterr().err
    files = ("flows/demo/a.yaml", "flows/demo/b.yaml", "flows/demo/third.yml")
    assert {f"{file}: warning: slow" for file in files} <= set(shown.splitlines())
    assert "flows/demo/a.yaml: only comments or layout change\n" in shown
    assert kestra.writes == []


KESTRA_1 = {"c": flow_text("demo", "c", "on Kestra 1")}


def chosen(olds: Props, text: str, **changes: Any) -> bool:
    """Whether Check takes a text of flow c, the others as they are."""
    inputs = namespace.check(olds, props(kestra1Flows=KESTRA_1, **changes)).inputs
    assert "kestra1Flows" not in inputs
    return bool(inputs["flows"] == {**TEXTS, "c": text})


@pytest.mark.parametrize("is_preview", [True, False])
@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("0.20.7", KESTRA_1["c"]),
        ("1.3.31", KESTRA_1["c"]),
        ("2.0.0", TEXTS["c"]),
        ("2.0.0-SNAPSHOT", TEXTS["c"]),
        ("10.1.0", TEXTS["c"]),
    ],
)
def test_a_flow_with_two_texts_gets_the_one_for_the_server(
    kestra: FakeKestra, version: str, text: str, is_preview: bool
):
    kestra.version = version
    assert chosen({}, text, isPreview=is_preview)


def test_without_a_server_a_flow_keeps_its_text_or_gets_the_newest(kestra: FakeKestra):
    kestra.is_lost = True
    assert chosen({}, TEXTS["c"])
    assert chosen({"flows": TEXTS}, TEXTS["c"])
    assert chosen({"flows": KESTRA_1}, KESTRA_1["c"])


def test_a_preview_asks_a_server_that_does_not_answer_once(
    kestra: FakeKestra, monkeypatch: pytest.MonkeyPatch
):
    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        raise httpx.ConnectError("[Errno 111] Connection refused")

    asked: list[str] = []
    monkeypatch.setattr(FakeKestra, "_answer", lambda _, request: refuse(request))
    assert chosen({}, TEXTS["c"], isPreview=True)
    assert asked == ["/api/v1/configs"]


def test_both_texts_are_validated_and_named_by_their_files(kestra: FakeKestra):
    broken = {"c": "id: c\nnamespace: demo\ntasks: []\n"}
    error = "has no tasks"
    for version in ("1.3.0", "2.0.0"):
        kestra.version = version
        assert list(preview({}, kestra1Flows=broken).values()) == [
            f"flows/demo/third.kestra-1.yml: {error}"
        ]
        assert list(preview({}, flows=broken, kestra1Flows=KESTRA_1).values()) == [
            f"flows/demo/third.yml: {error}"
        ]


def test_an_upgrade_of_the_server_changes_the_text(kestra: FakeKestra):
    def check(olds: Props) -> Props:
        inputs = namespace.check(olds, props(kestra1Flows=KESTRA_1, isPreview=False)).inputs
        return {key: inputs[key] for key in ("flows", "paths")}

    inputs = check({})
    outs = create(**inputs)
    assert kestra.flows["demo/c"]["source"] == KESTRA_1["c"]
    assert check(inputs) == inputs
    assert not diff(outs, **inputs)

    kestra.version = "2.0.0"
    inputs = check(inputs)
    assert diff(outs, **inputs)
    kestra.asked.clear()
    outs = update(outs, **inputs)
    assert kestra.writes == [f"PUT {ROOT}/flows/demo/c"]
    assert kestra.flows["demo/c"]["source"] == TEXTS["c"]
    assert check(inputs) == inputs
    assert not diff(outs, **inputs)


def test_another_namespace_is_another_resource_that_comes_before_the_old_one_goes():
    difference = namespace.diff("demo", recorded(TEXTS, {}), props(files={}, namespace="prod"))
    assert (difference.changes, difference.replaces) == (True, ["namespace"])
    assert not difference.delete_before_replace


def recorded(flows: dict[str, str], files: dict[str, str]) -> Props:
    """The outputs after these flows and files are written."""
    return {
        **CONNECTION,
        "namespace": "demo",
        "written": {
            flow_id: {"digest": digest(text), "revision": 1.0} for flow_id, text in flows.items()
        },
        "writtenFiles": {path: digest(text) for path, text in files.items()},
        "failures": {},
    }


contents = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["", "1", "1\n", "ä"]))


@given(contents, contents, contents, contents)
def test_diff_is_empty_exactly_when_nothing_changed(
    flows: dict[str, str],
    files: dict[str, str],
    new_flows: dict[str, str],
    new_files: dict[str, str],
):
    olds = recorded(flows, files)
    assert not diff(olds, flows=flows, files=files, adopt=True, overwrite=True)
    assert diff(olds, flows=new_flows, files=new_files) is (
        (new_flows, new_files) != (flows, files)
    )
    assert diff({**olds, "failures": {"a": "refused"}}, flows=flows, files=files)


@given(st.lists(st.tuples(contents, contents), min_size=1, max_size=4))
def test_whatever_the_folder_held_before_the_server_holds_what_it_holds_now(
    folders: list[tuple[dict[str, str], dict[str, str]]],
):
    outs: Props = {}
    with serving() as kestra:
        for words, files in folders:
            flows = {flow_id: flow_text("demo", flow_id, word) for flow_id, word in words.items()}
            new = props(flows=flows, files=files)
            result = namespace.update("demo", outs, new) if outs else namespace.create(new)
            outs = stored(result.outs)
            assert outs["failures"] == {}
            assert {item["id"]: item["source"] for item in kestra.flows.values()} == flows
            assert kestra.files == {f"demo/{path}": text.encode() for path, text in files.items()}
            assert not diff(outs, flows=flows, files=files)


def test_the_state_holds_each_text_once():
    line = '    message: "{{ execution.id }} größe"  # what it says\n'
    flows = {
        f"flow-{number}": flow_text("demo", f"flow-{number}") + line * 30 for number in range(1000)
    }
    source = len("".join(flows.values()).encode())
    assert 1_500_000 < source < 2_500_000
    with serving():
        new = props(flows=flows, files={})
        outs = namespace.create(new).outs
    state = json.dumps({"inputs": new, "outputs": outs}, ensure_ascii=False)
    assert len(state.encode()) <= 1.3 * source
