"""The lifecycle of one flow, and what the state has of it."""

import base64
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.dynamic import CreateResult, ReadResult, UpdateResult
from pulumi.dynamic.dynamic import serialize_provider
from pulumi.output import Unknown

from infra.kestra.content import digest
from infra.kestra.errors import KestraError
from infra.kestra.lifecycle import connection
from infra.kestra.lifecycle.flow import lifecycle as flow
from infra.kestra.provider import (
    DashboardProvider,
    FlowProvider,
    KeyValueProvider,
    NamespaceFileProvider,
    NamespaceProvider,
)
from infra.kestra.source import FlowSource
from tests.kestra.unit.fake_kestra import CONNECTION, FakeKestra, Props, flow_text, serving, stored
from tests.kestra.unit.flow_texts import texts

KEY = "demo/hello"
TEXT = flow_text("demo", "hello")
OTHER_TEXT = flow_text("demo", "hello", "Goodbye")
UNKNOWN: Any = Unknown()


def props(**changes: object) -> Props:
    return {**CONNECTION, "source": TEXT, "adopt": False, "overwrite": False, **changes}


def outputs(text: str = TEXT, revision: int = 1, **changes: object) -> Props:
    return {**CONNECTION, "digest": digest(text), "revision": revision, **changes}


def preview(olds: Props, **changes: object) -> list[str]:
    """Returns the errors that a preview finds."""
    result = flow.check(olds, props(isPreview=True, **changes))
    assert "isPreview" not in result.inputs
    return [failure.reason for failure in result.failures]


def test_create_writes_a_new_flow(kestra: FakeKestra):
    created = flow.create(props())
    assert (created.id, created.outs) == (KEY, outputs())
    assert kestra.writes == ["POST /api/v1/main/flows"]
    assert kestra.flows[KEY]["source"] == TEXT


def test_create_adopts_the_same_flow(kestra: FakeKestra):
    kestra.store(KEY, "earlier")
    kestra.store(KEY, f"revision: 2\n{TEXT}")
    created = flow.create(props())
    assert (created.id, created.outs) == (KEY, outputs(revision=2))
    assert kestra.writes == []


def test_create_leaves_another_flow_of_that_name_alone(kestra: FakeKestra):
    kestra.store(KEY, OTHER_TEXT)
    with pytest.raises(KestraError) as caught:
        flow.create(props())
    assert str(caught.value) == (
        "flow demo/hello: revision 1 already exists on the server with different content. Adopt it "
        "with adopt=True, or delete it there"
    )
    assert kestra.writes == []


def test_create_adopts_a_different_flow_with_adopt(kestra: FakeKestra):
    kestra.store(KEY, OTHER_TEXT)
    assert flow.create(props(adopt=True)).outs == outputs(revision=2)
    assert kestra.flows[KEY]["source"] == TEXT


@pytest.mark.parametrize(
    ("is_new", "message"),
    [
        (
            True,
            "flow demo/hello: POST /api/v1/main/flows: status 422: "
            "Invalid entity: Invalid type: x.Y",
        ),
        # A server from 1.0 on would pass over unknown keys in an update.
        (False, "flow demo/hello: is refused: Invalid type: x.Y"),
    ],
)
def test_a_flow_that_the_server_refuses_is_not_written(
    kestra: FakeKestra, is_new: bool, message: str
):
    kestra.refused = {"Goodbye": "Invalid type: x.Y"}
    with pytest.raises(KestraError) as caught:
        if is_new:
            flow.create(props(source=OTHER_TEXT))
        else:
            kestra.store(KEY, TEXT)
            flow.update(KEY, stored(outputs()), props(source=OTHER_TEXT))
    assert str(caught.value) == message
    assert [item["source"] for item in kestra.flows.values()] == ([] if is_new else [TEXT])


def test_update_writes_the_next_revision(kestra: FakeKestra):
    kestra.store(KEY, TEXT)
    updated = flow.update(KEY, stored(outputs()), props(source=OTHER_TEXT))
    assert updated.outs == outputs(OTHER_TEXT, 2)
    assert kestra.flows[KEY]["source"] == OTHER_TEXT
    assert kestra.writes == ["PUT /api/v1/main/flows/demo/hello"]


def test_an_edit_made_elsewhere_is_not_overwritten_silently(kestra: FakeKestra):
    kestra.store(KEY, TEXT)
    kestra.store(KEY, TEXT + "# edited\n")
    with pytest.raises(KestraError) as caught:
        flow.update(KEY, stored(outputs()), props(source=OTHER_TEXT))
    assert str(caught.value) == (
        "flow demo/hello: has revision 2 on the server, but 1 in the state: it was changed on the "
        "server by somebody else. Review the change with pulumi refresh, or replace it with "
        "overwrite=True"
    )
    assert kestra.writes == []
    updated = flow.update(KEY, stored(outputs()), props(source=OTHER_TEXT, overwrite=True))
    assert updated.outs == outputs(OTHER_TEXT, 3)


def test_an_edit_made_elsewhere_that_is_the_same_is_none(kestra: FakeKestra):
    kestra.store(KEY, TEXT)
    kestra.store(KEY, OTHER_TEXT)
    updated = flow.update(KEY, stored(outputs()), props(source=OTHER_TEXT))
    assert updated.outs == outputs(OTHER_TEXT, 2)
    assert kestra.writes == []


def test_a_flow_that_was_deleted_elsewhere_is_created_again(kestra: FakeKestra):
    kestra.store(KEY, TEXT)
    del kestra.flows[KEY]
    assert flow.update(KEY, stored(outputs()), props(source=OTHER_TEXT)).outs == outputs(
        OTHER_TEXT, 2
    )


@pytest.mark.parametrize(
    ("changes", "changed", "replaces"),
    [
        ({}, False, []),
        ({"adopt": True, "overwrite": True}, False, []),
        ({"source": OTHER_TEXT}, True, []),
        ({"source": TEXT + "\n"}, True, []),
        ({"source": TEXT.replace("hello", "goodbye")}, True, ["source"]),
        ({"source": TEXT.replace("demo", "prod")}, True, ["source"]),
        ({"source": UNKNOWN}, True, []),
        ({"password": "Another1"}, True, []),
        ({"password": UNKNOWN}, True, []),
        ({"username": "other@example.com"}, True, []),
        ({"url": "http://localhost:9090"}, True, []),
    ],
)
@pytest.mark.parametrize("olds", [outputs(revision=3), {**CONNECTION, "source": TEXT}])
def test_diff_replaces_only_what_is_another_flow(
    olds: Props, changes: Props, changed: bool, replaces: list[str]
):
    difference = flow.diff(KEY, olds, props(**changes))
    assert (difference.changes, difference.replaces or []) == (changed, replaces)
    # A new id is created before the old one goes.
    assert not difference.delete_before_replace


@given(texts(), texts() | st.none())
def test_diff_is_empty_exactly_when_the_text_is_the_same(text: str, other: str | None):
    source = text if other is None else other
    before = stored(outputs(text))
    key = FlowSource.parse(text).key
    assert flow.diff(key, before, props(source=source)).changes is (source != text)


def test_delete_removes_the_flow_and_accepts_that_it_is_gone(kestra: FakeKestra):
    kestra.store(KEY, TEXT)
    flow.delete(KEY, stored(outputs()))
    flow.delete(KEY, stored(outputs()))
    assert kestra.flows == {}


def test_read_finds_the_flow_as_it_is(kestra: FakeKestra):
    kestra.store(KEY, TEXT)
    result = flow.read(KEY, stored(outputs()))
    assert (result.id, result.outs, result.inputs) == (KEY, outputs(), None)


@pytest.mark.parametrize("text", [OTHER_TEXT, f"{TEXT}disabled: true\n"])
def test_read_finds_what_was_changed_on_the_server(kestra: FakeKestra, text: str):
    kestra.store(KEY, TEXT)
    kestra.store(KEY, text)
    result = flow.read(KEY, stored(outputs()))
    assert (result.id, result.outs) == (KEY, outputs(text, 2))
    assert result.inputs is not None
    assert result.inputs["source"] == text
    # The next update puts it back.
    assert flow.diff(KEY, outputs(text, 2), props()).changes
    assert flow.update(KEY, stored(result.outs), props()).outs == outputs(revision=3)


def test_read_finds_that_the_flow_was_deleted(kestra: FakeKestra):
    result = flow.read(KEY, stored(outputs()))
    assert (result.id, result.outs) == ("", {})


def test_a_state_without_digest_is_read_updated_and_deleted(kestra: FakeKestra):
    kestra.store(KEY, TEXT)
    old = stored({**CONNECTION, "source": TEXT, "revision": 1})
    assert flow.read(KEY, dict(old)).outs == old
    assert not flow.diff(KEY, old, props()).changes
    assert flow.check(old, props()).failures == []
    assert flow.update(KEY, old, props(source=OTHER_TEXT)).outs == outputs(OTHER_TEXT, 2)
    flow.delete(KEY, old)
    assert kestra.flows == {}


@pytest.mark.parametrize("is_preview", [True, False])
def test_errors_of_a_changed_text_are_found_without_a_server(is_preview: bool):
    broken = props(source="id: hello\nnamespace: demo\ntasks: {", isPreview=is_preview)
    with serving() as kestra:
        kestra.is_lost = True
        (failure,) = flow.check({}, dict(broken)).failures
        assert failure.property == "source"
        assert failure.reason.startswith("is not valid YAML: line 4, column 1")
        assert flow.check({"source": broken["source"]}, broken).failures == []


def test_nothing_is_asked_outside_a_preview_or_about_what_is_unchanged(kestra: FakeKestra):
    result = flow.check({}, props(isPreview=False))
    assert result.inputs == props()
    assert flow.check({}, props()).inputs == props()
    assert kestra.asked == {}
    assert preview(props()) == []
    assert not any("validate" in line for line in kestra.asked)


def test_a_preview_shows_what_the_server_would_refuse(kestra: FakeKestra):
    kestra.refused = {"Hello": "Invalid type: x.Y"}
    assert preview({}) == ["Invalid type: x.Y"]
    assert kestra.writes == []


def test_a_preview_shows_warnings_deprecations_and_infos(
    kestra: FakeKestra, capsys: pytest.CaptureFixture[str]
):
    kestra.validation = {
        "warnings": ["slow"],
        "deprecationPaths": ["tasks[0].old"],
        "infos": ["replaced by y"],
    }
    assert preview({}) == []
    assert capsys.readouterr().err.splitlines() == [
        "flow demo/hello: warning: slow",
        "flow demo/hello: deprecated: tasks[0].old",
        "flow demo/hello: info: replaced by y",
    ]


def test_a_preview_reports_an_existing_flow(kestra: FakeKestra, capsys: pytest.CaptureFixture[str]):
    assert preview({}) == []
    kestra.store(KEY, TEXT)
    assert preview({}) == []
    kestra.store(KEY, OTHER_TEXT)
    (error,) = preview({})
    assert "revision 2 already exists on the server" in error
    assert "adopt=True" in error
    assert capsys.readouterr().err == ""
    assert preview({}, adopt=True) == []
    shown = capsys.readouterr().err
    assert shown.startswith("flow demo/hello: adopts revision 2\n")
    assert "-    message: Goodbye\n+    message: Hello\n" in shown


def test_a_preview_shows_a_change_of_comments_as_just_that(
    kestra: FakeKestra, capsys: pytest.CaptureFixture[str]
):
    kestra.store(KEY, TEXT)
    assert preview(props(), source=TEXT + "# end\n") == []
    shown = capsys.readouterr().err
    assert shown.startswith("flow demo/hello: only comments or layout change\n")
    assert shown.endswith("+# end\n")
    assert preview(props(), source=OTHER_TEXT) == []
    assert capsys.readouterr().err == ""


def test_a_preview_after_a_text_that_is_no_yaml_compares_nothing(kestra: FakeKestra):
    assert preview(props(source="{")) == []


@pytest.mark.parametrize("key", ["source", "url", "username", "password"])
def test_a_preview_reports_nothing_about_unknown_inputs(kestra: FakeKestra, key: str):
    assert preview({}, **{key: UNKNOWN}) == []
    assert not any("flows" in line for line in kestra.asked if key != "source")


def test_a_first_preview_without_a_server_says_nothing(
    kestra: FakeKestra, capsys: pytest.CaptureFixture[str]
):
    kestra.is_lost = True
    assert preview({}) == []
    assert capsys.readouterr().err == ""


def test_resources_of_one_server_share_a_client(kestra: FakeKestra):
    client = connection.connect(props())
    assert connection.connect(props(source=OTHER_TEXT)) is client
    assert connection.connect(props(password="Another1")) is not client


def test_no_error_holds_the_password(kestra: FakeKestra):
    kestra.is_lost = True
    with pytest.raises(KestraError) as caught:
        flow.create(props())
    assert str(caught.value) == (
        "flow demo/hello: GET /api/v1/configs: no answer from http://localhost:8080 within 0 s "
        "([Errno 111] Connection refused); see the server's log"
    )
    error: BaseException | None = caught.value
    while error is not None:
        assert CONNECTION["password"] not in f"{error!r} {error}"
        error = error.__cause__ or error.__context__


def test_the_provider_does_the_whole_life_of_a_flow(kestra: FakeKestra):
    provider = FlowProvider()
    checked = provider.check({}, props(isPreview=False))
    created = provider.create(checked.inputs)
    assert isinstance(created, CreateResult)
    assert provider.diff(KEY, stored(created.outs), props(source=OTHER_TEXT)).changes
    updated = provider.update(KEY, stored(created.outs), props(source=OTHER_TEXT))
    assert isinstance(updated, UpdateResult)
    assert updated.outs == outputs(OTHER_TEXT, 2)
    read = provider.read(KEY, stored(updated.outs))
    assert isinstance(read, ReadResult)
    assert read.outs == updated.outs
    provider.delete(KEY, read.outs)
    assert kestra.flows == {}


@pytest.mark.parametrize(
    "provider",
    [FlowProvider, NamespaceProvider, NamespaceFileProvider, KeyValueProvider, DashboardProvider],
)
def test_a_provider_stays_small_in_the_state_and_is_found_by_its_name(provider: Any):
    pickled = base64.b64decode(serialize_provider(provider()))
    assert len(pickled) < 2000
    # Stacks that exist find their provider under this name: moving it would leave them behind.
    assert b"infra.kestra.provider" in pickled
    assert isinstance(pickle.loads(pickled), provider)
    # Where the provider holds nothing there is no secret that the engine must encrypt.
    assert vars(provider()) == {}
    assert provider.serialize_as_secret_always is False
