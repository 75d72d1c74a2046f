"""The lifecycles of namespace files and key-values."""

import json
import re
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.output import Unknown

from infra.kestra.content import digest, path_error
from infra.kestra.errors import KestraError
from infra.kestra.lifecycle.key_value import lifecycle as key_value
from infra.kestra.lifecycle.namespace_file import lifecycle as namespace_file
from tests.kestra.unit.fake_kestra import CONNECTION, FakeKestra, Props, serving, stored

UNKNOWN: Any = Unknown()
FILE, KEY = "demo/sql/a.sql", "demo/limit"


def file(**changes: object) -> Props:
    props = {**CONNECTION, "namespace": "demo", "path": "sql/a.sql", "content": "select 1"}
    return {**props, "adopt": False, **changes}


def written_file(content: str = "select 1") -> Props:
    return {
        **CONNECTION,
        "namespace": "demo",
        "path": "sql/a.sql",
        "digest": digest(content),
    }


def pair(value: object = "many", type: object = "STRING", **changes: object) -> Props:
    props = {**CONNECTION, "namespace": "demo", "key": "limit", "value": value, "type": type}
    return {**props, "ttl": None, "adopt": False, **changes}


def written_pair(value: str = "many", type: str = "STRING", ttl: str | None = None) -> Props:
    outputs = pair(value, type, ttl=ttl)
    del outputs["adopt"]
    return outputs


def errors(lifecycle: Any, olds: Props, news: Props, *, is_preview: bool = True) -> dict[str, str]:
    result = lifecycle.check(olds, {**news, "isPreview": is_preview})
    assert result.inputs == news
    return {failure.property: failure.reason for failure in result.failures}


# Namespace files


@pytest.mark.parametrize(
    ("content", "stored"), [("größe\r\n", "größe\r\n".encode()), ("base64:AP8=", b"\x00\xff")]
)
def test_a_file_is_written(kestra: FakeKestra, content: str, stored: bytes):
    created = namespace_file.create(file(content=content))
    assert (created.id, created.outs) == (FILE, written_file(content))
    assert kestra.files == {FILE: stored}


def test_the_same_file_is_adopted_and_a_different_one_only_with_adopt(kestra: FakeKestra):
    kestra.files[FILE] = b"select 1"
    assert errors(namespace_file, {}, file()) == {}
    assert namespace_file.create(file()).outs == written_file()
    kestra.files[FILE] = b"select 2"
    message = (
        "already exists on the server with different content. Adopt it with adopt=True, or delete "
        "it there"
    )
    assert errors(namespace_file, {}, file()) == {"path": message}
    with pytest.raises(KestraError, match=re.escape(f"file {FILE}: {message}")):
        namespace_file.create(file())
    assert kestra.files[FILE] == b"select 2"
    assert errors(namespace_file, {}, file(adopt=True)) == {}
    namespace_file.create(file(adopt=True))
    assert kestra.files[FILE] == b"select 1"


@pytest.mark.parametrize(
    ("changes", "changed", "replaces"),
    [
        ({}, False, []),
        ({"adopt": True}, False, []),
        ({"content": "select 2"}, True, []),
        ({"content": UNKNOWN}, True, []),
        ({"path": "sql/b.sql"}, True, ["path"]),
        ({"namespace": "prod"}, True, ["namespace"]),
        ({"url": "http://localhost:9090"}, True, []),
        ({"password": UNKNOWN}, True, []),
    ],
)
def test_another_path_is_another_file(changes: Props, changed: bool, replaces: list[str]):
    difference = namespace_file.diff(FILE, stored(written_file()), file(**changes))
    assert (difference.changes, difference.replaces) == (changed, replaces)
    assert not difference.delete_before_replace


@given(st.text(), st.text())
def test_the_diff_of_a_file_is_empty_exactly_when_its_content_is_the_same(text: str, other: str):
    difference = namespace_file.diff(FILE, written_file(text), file(content=other))
    assert difference.changes is (text != other)


def test_a_file_is_updated_read_and_deleted(kestra: FakeKestra):
    kestra.files[FILE] = b"select 1"
    outs = stored(namespace_file.update(FILE, written_file(), file(content="select 2")).outs)
    assert kestra.files == {FILE: b"select 2"}
    read = namespace_file.read(FILE, dict(outs))
    assert (read.id, read.outs, read.inputs) == (FILE, outs, None)
    kestra.files[FILE] = b"\xff"
    read = namespace_file.read(FILE, dict(outs))
    assert (read.id, read.outs) == (FILE, written_file("base64:/w=="))
    assert read.inputs is not None
    assert read.inputs["content"] == "base64:/w=="
    assert namespace_file.diff(FILE, stored(read.outs), file(content="select 2")).changes
    namespace_file.delete(FILE, outs)
    namespace_file.delete(FILE, outs)
    assert kestra.files == {}
    assert namespace_file.read(FILE, outs).id == ""


# Key-values

VALUES: dict[str, tuple[str, str, object]] = {
    "text": ("STRING", "many", "many"),
    "text with anything": ("STRING", 'größe "🚕"\n\\', 'größe "🚕"\n\\'),
    "text like a number": ("STRING", "42", "42"),
    "text like a date": ("STRING", "2021-09-01", "2021-09-01"),
    "empty": ("STRING", "", ""),
    "whole": ("NUMBER", "-42", -42),
    "broken": ("NUMBER", "1.5e3", 1500),
    "yes": ("BOOLEAN", "true", True),
    "no": ("BOOLEAN", "false", False),
    "date": ("DATE", "2021-09-01", "2021-09-01"),
    "instant": ("DATETIME", "2021-09-01T10:11:12Z", "2021-09-01T10:11:12Z"),
    "instant with milliseconds": ("DATETIME", "2021-09-01T10:11:12.5Z", "2021-09-01T10:11:12.5Z"),
    "duration": ("DURATION", "P1DT2H", "PT26H"),
    "days": ("DURATION", "P2D", "PT48H"),
    "minutes": ("DURATION", "PT90M", "PT1H30M"),
    "no time": ("DURATION", "P0D", "PT0S"),
    "object": ("JSON", '{"größe": [1, null, "x"]}', {"größe": [1, None, "x"]}),
    "array": ("JSON", "[]", []),
}


@pytest.mark.parametrize(("type_", "value", "meaning"), VALUES.values(), ids=VALUES)
def test_a_value_arrives_as_its_type_and_is_read_as_written(
    kestra: FakeKestra, type_: str, value: str, meaning: object
):
    news = pair(value, type_, ttl="PT1H")
    assert errors(key_value, {}, news) == {}
    created = key_value.create(news)
    assert (created.id, created.outs) == (KEY, written_pair(value, type_, "PT1H"))
    assert kestra.key_values == {KEY: {"type": type_, "value": meaning}}
    assert kestra.ttls == {KEY: "PT1H"}
    outs = stored(created.outs)
    read = key_value.read(KEY, dict(outs))
    assert (read.id, read.outs, read.inputs) == (KEY, outs, None)
    assert not key_value.diff(KEY, outs, news).changes
    # What is there already with the same value is taken over.
    assert errors(key_value, {}, news) == {}
    assert key_value.create(news).outs == created.outs


@pytest.mark.parametrize(
    "value", ["2021-09-01T00:00Z", "2021-09-01T00:00:00Z", "2021-09-01T00:00:00.000Z"]
)
@pytest.mark.parametrize("held", ["DATE", "DATETIME"])
def test_midnight_is_the_same_whether_the_server_returns_a_date_or_a_time(
    kestra: FakeKestra, value: str, held: str
):
    outs = stored(key_value.create(pair(value, "DATETIME")).outs)
    assert kestra.key_values[KEY] == {"type": "DATE", "value": "2021-09-01"}
    if held == "DATETIME":
        kestra.key_values[KEY] = {"type": "DATETIME", "value": "2021-09-01T00:00:00Z"}
    assert key_value.read(KEY, dict(outs)).outs == outs
    kestra.key_values[KEY]["value"] = kestra.key_values[KEY]["value"].replace("-01", "-02", 1)
    assert key_value.read(KEY, dict(outs)).outs != outs


def test_a_time_of_midnight_is_not_what_a_date_means(kestra: FakeKestra):
    outs = stored(key_value.create(pair("2021-09-01", "DATE")).outs)
    kestra.key_values[KEY] = {"type": "DATETIME", "value": "2021-09-01T00:00:00Z"}
    assert key_value.read(KEY, dict(outs)).outs != outs


def test_a_value_that_is_no_longer_valid_is_a_change(kestra: FakeKestra):
    outs = written_pair("2021-09-01T10:11:12.123456Z", "DATETIME")
    kestra.key_values[KEY] = {"type": "DATETIME", "value": "2021-09-01T10:11:12.123Z"}
    read = key_value.read(KEY, outs)
    assert read.inputs is not None
    assert read.inputs["value"] == "2021-09-01T10:11:12.123Z"


def test_another_duration_is_a_change(kestra: FakeKestra):
    outs = stored(key_value.create(pair("P1DT2H", "DURATION")).outs)
    kestra.key_values[KEY] = {"type": "DURATION", "value": "PT26H1S"}
    assert key_value.read(KEY, dict(outs)).outs != outs


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("STRING", "PT1H"),
        ("STRING", "P1D"),
        ("NUMBER", "many"),
        ("NUMBER", "true"),
        ("NUMBER", '"1"'),
        ("NUMBER", "NaN"),
        ("NUMBER", "-Infinity"),
        ("NUMBER", ""),
        ("BOOLEAN", "True"),
        ("BOOLEAN", "1"),
        ("DATE", "2021-02-30"),
        ("DATE", "20210901"),
        ("DATE", "2021-W01-1"),
        ("DATE", "2021-09-01T00:00:00Z"),
        ("DATETIME", "2021-09-01"),
        ("DATETIME", "2021-09-01Z"),
        ("DATETIME", "2021-09-01T10:11:12"),
        ("DATETIME", "2021-09-01T10:11:12+02:00"),
        ("DATETIME", "20210901T101112Z"),
        ("DATETIME", "2021-09-01 10:11:12Z"),
        ("DURATION", "1h"),
        ("DURATION", "P"),
        ("DURATION", "PT"),
        ("DURATION", "P1Y"),
        ("DURATION", "PD"),
        ("DURATION", "PTH"),
        ("DURATION", "P1DTH"),
        ("DURATION", "P1000000000D"),
        ("DURATION", "PT٣H"),
        ("NUMBER", "1e400"),
        ("DATE", "1582-12-31"),
        ("DATETIME", "1582-12-31T10:11:12Z"),
        ("DATETIME", "2021-09-01T10:11:12.0001Z"),
        ("JSON", "{"),
        ("JSON", '"text"'),
        ("JSON", "[NaN]"),
    ],
)
def test_a_value_that_is_none_of_its_type_is_found_without_a_server(type_: str, value: str):
    found = errors(key_value, {}, pair(value, type_), is_preview=False)
    assert found.keys() == {"value"}
    assert found["value"].startswith(f"is not a valid {type_}: ")


def test_an_error_does_not_show_a_value_that_may_be_secret():
    for type_ in ("NUMBER", "BOOLEAN", "DATE", "DATETIME", "DURATION", "JSON"):
        (error,) = errors(key_value, {}, pair("Secret1", type_), is_preview=False).values()
        assert "Secret1" not in error


def test_the_key_and_the_type_are_checked():
    assert errors(key_value, {}, pair(key="_x"), is_preview=False) == {
        "key": "must match [a-zA-Z0-9][a-zA-Z0-9._-]*"
    }
    assert errors(key_value, {}, pair(type="TEXT"), is_preview=False) == {
        "type": "must be one of STRING, NUMBER, BOOLEAN, DATETIME, DATE, DURATION, JSON"
    }


@pytest.mark.parametrize("namespace", ["..", "%2e%2e", "a\0", "a/b", "Demo", ""])
@pytest.mark.parametrize(("lifecycle", "news"), [(namespace_file, file()), (key_value, pair())])
def test_the_namespace_is_checked(lifecycle: Any, news: Props, namespace: str):
    assert errors(lifecycle, {}, {**news, "namespace": namespace}, is_preview=False) == {
        "namespace": "must match [a-z0-9][a-z0-9._-]*"
    }


@pytest.mark.parametrize("path", ["a b", "../x", "%2e%2e/x", "a\0"])
def test_the_path_of_a_file_is_checked(path: str):
    found = errors(namespace_file, {}, file(path=path), is_preview=False)
    assert found == {"path": path_error(path)}


@pytest.mark.parametrize("name", ["value", "key", "namespace", "password", "url"])
def test_a_preview_says_nothing_of_a_pair_that_it_cannot_know(kestra: FakeKestra, name: str):
    assert errors(key_value, {}, pair(**{name: UNKNOWN})) == {}
    assert not kestra.asked.keys() - {"GET /api/v1/configs", "GET /api/v1/main/flows/search"}
    assert key_value.diff(KEY, written_pair(), pair(**{name: UNKNOWN})).changes


@pytest.mark.parametrize("name", ["content", "path", "namespace", "password", "url"])
def test_a_preview_says_nothing_of_a_file_that_it_cannot_know(kestra: FakeKestra, name: str):
    assert errors(namespace_file, {}, file(**{name: UNKNOWN})) == {}
    assert not kestra.asked.keys() - {"GET /api/v1/configs", "GET /api/v1/main/flows/search"}
    assert namespace_file.diff(FILE, written_file(), file(**{name: UNKNOWN})).changes


@pytest.mark.parametrize(("lifecycle", "news"), [(namespace_file, file()), (key_value, pair())])
def test_nothing_is_asked_outside_a_preview(kestra: FakeKestra, lifecycle: Any, news: Props):
    assert errors(lifecycle, {}, news, is_preview=False) == {}
    assert kestra.asked == {}


def test_an_existing_key_is_adopted_only_with_adopt(kestra: FakeKestra):
    kestra.key_values[KEY] = {"type": "NUMBER", "value": 1}
    message = (
        "already exists on the server with different content. Adopt it with adopt=True, or delete "
        "it there"
    )
    for news in (pair("true", "BOOLEAN"), pair("1"), pair("2", "NUMBER")):
        assert errors(key_value, {}, news) == {"key": message}
        with pytest.raises(KestraError, match=re.escape(f"key {KEY}: {message}")):
            key_value.create(news)
    assert kestra.writes == []
    key_value.create(pair("2", "NUMBER", adopt=True))
    assert kestra.key_values == {KEY: {"type": "NUMBER", "value": 2}}


@pytest.mark.parametrize(
    ("changes", "changed", "replaces"),
    [
        ({}, False, []),
        ({"adopt": True}, False, []),
        ({"value": "few"}, True, []),
        ({"type": "JSON"}, True, []),
        ({"ttl": "PT1H"}, True, []),
        ({"key": "other"}, True, ["key"]),
        ({"namespace": "prod"}, True, ["namespace"]),
        ({"username": "other"}, True, []),
    ],
)
def test_another_key_is_another_pair(changes: Props, changed: bool, replaces: list[str]):
    difference = key_value.diff(KEY, stored(written_pair()), pair(**changes))
    assert (difference.changes, difference.replaces) == (changed, replaces)
    assert not difference.delete_before_replace


@pytest.mark.parametrize(
    ("found", "value"),
    [
        ({"type": "STRING", "value": "few"}, "few"),
        ({"type": "NUMBER", "value": 1}, "1"),
        ({"type": "JSON", "value": {"a": "ö"}}, '{"a": "\\u00f6"}'),
        ({"type": "BOOLEAN", "value": True}, "true"),
    ],
)
def test_a_pair_is_read_as_it_is_and_put_back(kestra: FakeKestra, found: Props, value: str):
    outs = stored(key_value.create(pair()).outs)
    kestra.key_values[KEY] = found
    read = key_value.read(KEY, dict(outs))
    assert read.id == KEY
    assert read.inputs is not None
    assert (read.inputs["type"], read.inputs["value"]) == (found["type"], value)
    assert key_value.diff(KEY, stored(read.outs), pair()).changes
    key_value.update(KEY, stored(read.outs), pair())
    assert kestra.key_values[KEY] == {"type": "STRING", "value": "many"}


def test_a_pair_is_deleted_and_one_that_is_gone_is_no_error(kestra: FakeKestra):
    outs = stored(key_value.create(pair()).outs)
    key_value.delete(KEY, outs)
    key_value.delete(KEY, outs)
    assert kestra.key_values == {}
    assert (key_value.read(KEY, outs).id) == ""


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.one_of(
        st.tuples(st.just("STRING"), st.text()),
        st.tuples(st.just("NUMBER"), st.integers().map(str)),
        st.tuples(st.just("DATE"), st.dates(date(1583, 1, 1)).map(date.isoformat)),
        st.tuples(
            st.just("DATETIME"),
            st.datetimes(datetime(1583, 1, 1), timezones=st.just(UTC)).map(
                lambda moment: moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            ),
        ),
        st.tuples(
            st.just("DURATION"),
            st.tuples(*[st.integers(0, 99_999)] * 4).map(
                lambda parts: "P{}DT{}H{}M{}S".format(*parts)
            ),
        ),
        st.tuples(st.just("JSON"), st.dictionaries(st.text(), JSON).map(json.dumps)),
    )
)
def test_any_value_comes_back_as_it_was_written(written: tuple[str, str]):
    type_, value = written
    with serving():
        news = pair(value, type_)
        if errors(key_value, {}, news):
            assert type_ == "STRING" and value.startswith("P")
            return
        outs = stored(key_value.create(news).outs)
        assert key_value.read(KEY, dict(outs)).outs == outs
