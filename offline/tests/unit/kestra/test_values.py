"""Values on their way: rows of the database, inputs, key-values, dates, states."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from offline.kestra import inputs, keyvalues, states
from offline.kestra.context import mask
from offline.kestra.errors import ConstraintViolations, IllegalArgument
from offline.kestra.scheduler import neighbour
from offline.kestra.tasks.base import TaskError
from offline.kestra.tasks.jdbc import split_statements
from offline.kestra.tasks.jdbc_postgresql import cell

COLUMN: Any = SimpleNamespace(type_display="point")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (Decimal("5"), 5),
        (Decimal("1.50"), 1.5),
        (Decimal("NaN"), "NaN"),
        (float("-inf"), "-Infinity"),
        (date(2024, 1, 2), "2024-01-02"),
        (time(3, 4, 5, 120_000), "03:04:05.12"),
        (datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05"),
        (datetime(2024, 1, 2, 3, tzinfo=UTC), "2024-01-02T04:00:00+01:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"\x00\xff", "AP8="),
        ([Decimal("1"), None], [1, None]),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_cells(value: Any, shown: Any) -> None:
    assert cell(value, COLUMN, ZoneInfo("Europe/Paris")) == shown


def test_a_type_that_the_plugin_does_not_know() -> None:
    with pytest.raises(TaskError, match=r"PGobject of type \[point\] is not supported"):
        cell(object(), COLUMN, ZoneInfo("UTC"))


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("SELECT 1; SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';' ; SELECT \"a;b\"", ["SELECT ';'", 'SELECT "a;b"']),
        ("SELECT 'it''s;' ; x", ["SELECT 'it''s;'", "x"]),
        ("SELECT ['a;b'] ; x", ["SELECT ['a;b']", "x"]),
        ('SELECT "it\'s"; x', ['SELECT "it\'s"; x']),
        ("a -- no; cut\n; b", ["a -- no; cut", "b"]),
        ("a /* no; cut */; b", ["a /* no; cut */", "b"]),
        ("DO $$ BEGIN x; END $$; y", ["DO $$ BEGIN x; END $$", "y"]),
        ("DO $f$ $$;$$ $f$; y", ["DO $f$ $$;$$ $f$", "y"]),
        ("SELECT CASE WHEN a THEN b END; x", ["SELECT CASE WHEN a THEN b END", "x"]),
        ("BEGIN; a; END; b", ["BEGIN; a; END", "b"]),
        ("DECLARE a; BEGIN b; END; c", ["DECLARE a; BEGIN b; END", "c"]),
        ("BEGIN IF a THEN b; END IF; c; END x; d", ["BEGIN IF a THEN b; END IF; c; END x", "d"]),
        ("CREATE TYPE t AS ENUM ('a'); b; c", ["CREATE TYPE t AS ENUM ('a'); b; c"]),
        ("CREATE OR REPLACE FUNCTION f; END; b", ["CREATE OR REPLACE FUNCTION f; END", "b"]),
        ("CREATE OR REPLACE VIEW v; b", ["CREATE OR REPLACE VIEW v", "b"]),
        ("SELECT 1; -- the end", ["SELECT 1", "-- the end"]),
        (" ;; ", ["", ""]),
    ],
)
def test_statements(script: str, statements: list[str]) -> None:
    assert split_statements(script) == statements


def resolved(declared: dict[str, Any], value: str | None) -> Any:
    given = {} if value is None else {declared["id"]: value}
    (one,) = inputs.resolve([declared], given, lambda text, values: text)
    return inputs.values_of([one])[declared["id"]]


@pytest.mark.parametrize(
    ("declared", "value", "parsed"),
    [
        ({"type": "STRING"}, "x", "x"),
        ({"type": "INT"}, "7", 7),
        ({"type": "INT", "defaults": 3}, None, 3),
        ({"type": "FLOAT"}, "1.5", 1.5),
        ({"type": "BOOLEAN"}, "TRUE", True),
        ({"type": "DATE"}, "2024-01-02", "2024-01-02"),
        ({"type": "DATETIME"}, "2024-01-02T03:04:05+01:00", "2024-01-02T02:04:05Z"),
        ({"type": "DURATION"}, "PT5M", "PT5M"),
        ({"type": "JSON"}, '{"a": 1}', {"a": 1}),
        ({"type": "ARRAY", "itemType": "INT"}, '["1", 2]', [1, 2]),
        ({"type": "MULTISELECT", "itemType": "STRING", "values": ["a"]}, '["a"]', ["a"]),
        ({"type": "STRING", "required": False}, None, None),
        ({"type": "SELECT", "values": ["a"], "allowCustomValue": True}, "b", "b"),
    ],
)
def test_inputs(declared: dict[str, Any], value: str | None, parsed: Any) -> None:
    assert resolved({"id": "i", **declared}, value) == parsed


@pytest.mark.parametrize(
    ("declared", "value", "message"),
    [
        ({"type": "STRING"}, None, "missing required input, but received `null`"),
        ({"type": "INT"}, "abc", 'For input string: "abc", but received `abc`'),
        ({"type": "INT", "min": 5}, "4", "it must be more than `5`"),
        ({"type": "STRING", "validator": "a+"}, "b", "it must match the pattern `a+`"),
        ({"type": "SELECT", "values": ["a", "b"]}, "c", "it must match the values `[a, b]`"),
        ({"type": "DATE", "before": "2024-01-01"}, "2024-01-02", "it must be before `2024-01-01`"),
        ({"type": "DATE"}, "yesterday", "Expected `DATE` but received `yesterday`"),
        ({"type": "EMAIL"}, "nobody", "The input must be a valid email"),
        ({"type": "JSON"}, "{", "Expected `JSON` but received `{`"),
    ],
)
def test_wrong_inputs(declared: dict[str, Any], value: str | None, message: str) -> None:
    with pytest.raises(ConstraintViolations) as raised:
        resolved({"id": "i", **declared}, value)
    assert str(raised.value).startswith("i: Invalid input for `i`, ")
    assert message in str(raised.value)


def test_an_input_is_off_when_the_one_it_depends_on_says_so() -> None:
    declared: list[dict[str, Any]] = [
        {"id": "b", "type": "STRING", "dependsOn": {"inputs": ["a"], "condition": "on"}},
        {"id": "a", "type": "STRING", "defaults": "x"},
    ]
    off = inputs.resolve(declared, {}, lambda text, values: False)
    assert inputs.values_of(off) == {"a": "x"}
    on = inputs.resolve(declared, {"b": "y"}, lambda text, values: values == {"a": "x"})
    assert inputs.values_of(on) == {"a": "x", "b": "y"}


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ('"x"', ("STRING", "x")),
        ("bareword", ("STRING", "bareword")),
        ("42", ("NUMBER", 42)),
        ("1.5", ("NUMBER", 1.5)),
        ("true", ("BOOLEAN", True)),
        ('{"a": [1, {b: c}]}', ("JSON", {"a": [1, {"b": "c"}]})),
        ("2024-01-02T03:04:05Z", ("DATETIME", "2024-01-02T03:04:05Z")),
        ("2024-01-02", ("DATE", "2024-01-02")),
        ('"PT5M"', ("DURATION", "PT5M")),
    ],
)
def test_key_values(text: str, typed: tuple[str, Any]) -> None:
    assert keyvalues.parse(text) == typed


def test_a_key_value_that_cannot_be_read() -> None:
    with pytest.raises(IllegalArgument, match=r"Invalid JSON value for: \{oops"):
        keyvalues.parse("{oops")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "PT0S"), (0.03, "PT0.03S"), (62.5, "PT1M2.5S"), (3600, "PT1H"), (86_400, "PT24H")],
)
def test_durations(seconds: float, text: str) -> None:
    assert states.iso_duration(timedelta(seconds=seconds)) == text


def test_a_state_keeps_its_history() -> None:
    state = states.moved(states.moved(states.created(), "RUNNING"), "RUNNING")
    assert [step["state"] for step in state["histories"]] == ["CREATED", "RUNNING"]
    shown = states.shown({"state": states.moved(state, "SUCCESS")})["state"]
    assert shown["endDate"] == shown["histories"][-1]["date"]


def test_ids_are_unlike_each_other() -> None:
    assert len({states.create_id() for _ in range(100)}) == 100


def test_secrets_are_masked() -> None:
    assert mask("a Secret-123 b", {"Secret-123"}) == "a **masked** b"
    assert mask("a pw b", {"pw"}) == "a ** b"


@pytest.mark.parametrize(
    ("trigger", "after", "before"),
    [
        ({"cron": "0 9 * * *"}, "2024-06-02T09:00:00+00:00", "2024-06-01T09:00:00+00:00"),
        (
            {"cron": "0 9 * * *", "timezone": "Europe/Paris"},
            "2024-06-02T09:00:00+02:00",
            "2024-06-01T09:00:00+02:00",
        ),
        (
            {"cron": "30 * * * * *", "withSeconds": True},
            "2024-06-01T12:00:30+00:00",
            "2024-06-01T11:59:30+00:00",
        ),
    ],
)
def test_dates_of_schedules(trigger: dict[str, Any], after: str, before: str) -> None:
    noon = datetime(2024, 6, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert neighbour(trigger, noon).isoformat() == after
    assert neighbour(trigger, noon, back=True).isoformat() == before
