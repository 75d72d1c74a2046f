"""The rules of the Terraform bridge on a table made for the purpose."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi.runtime.rpc import UNKNOWN

from offline.providers.schema import (
    Boolean,
    Integer,
    List,
    Map,
    Object,
    Set,
    String,
    Table,
    check,
    diff,
    known,
    plan,
    refresh,
    unique_name,
)

POINT = Object({"x": Integer(required=True, replaces=True), "note": String()})
TABLE: Table = {
    "name": String(autonamed=True, replaces=True),
    "size": Integer(minimum=0),
    "mode": String(default="fast", choices=("fast", "slow")),
    "quiet": Boolean(default=False),
    "code": String(pattern="0[0-7]{3}"),
    "lines": List(String(), replaces=True),
    "tags": Set(String()),
    "points": Set(POINT, replaces=True),
    "path": List(POINT, replaces=True),
    "ports": List(
        Object({"inner": Integer(), "outer": Integer(computed=True, replaces=True)}),
        replaces=True,
        key=("inner",),
    ),
    "options": Map(replaces=True),
    "health": Object({"tests": List(String()), "every": String(default="0s")}, computed=True),
    "level": Integer(computed=True, default=1),
    "address": String(computed=True, output_only=True),
}


def checked(inputs: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
    result, failures = check(TABLE, inputs, old or {}, "thing-1234567")
    assert failures == []
    return result


def changes(old: dict[str, Any], new: dict[str, Any]) -> dict[str, str]:
    found = diff(TABLE, old, plan(TABLE, old, new))
    return {
        path: change.kind.value + (" replace" if change.replaces else "")
        for path, change in found.items()
    }


def test_defaults_become_inputs_unless_zero_or_computed() -> None:
    assert checked({}) == {
        "name": "thing-1234567",
        "mode": "fast",
        "__defaults": ["mode", "name"],
    }


def test_defaults_of_nested_objects_are_noted_there() -> None:
    assert checked({"health": {}})["health"] == {"every": "0s", "__defaults": ["every"]}


def test_made_up_name_is_kept() -> None:
    old = {"name": "thing-7654321", "__defaults": ["name"]}
    assert checked({}, old)["name"] == "thing-7654321"


def test_name_of_the_user_is_not_kept_once_removed() -> None:
    old = {"name": "mine", "__defaults": []}
    assert checked({}, old)["name"] == "thing-1234567"


def test_made_up_names_follow_the_seed() -> None:
    assert unique_name("pg", b"a") == unique_name("pg", b"a") != unique_name("pg", b"b")
    assert len(unique_name("pg", b"a")) == len("pg-1234567")


@pytest.mark.parametrize(
    ("inputs", "property_path", "reason"),
    [
        ({"nmae": "x"}, "nmae", "property 'nmae' is not supported offline"),
        ({"address": "x"}, "address", "property 'address' is not supported offline"),
        ({"points": [{}]}, "points[0].x", "Missing required property 'points[0].x'"),
        ({"points": [{"x": 1, "y": 2}]}, "points[0].y", "'points[0].y' is not supported offline"),
        ({"size": "1"}, "size", "'size' must be of type integer, got str"),
        ({"size": True}, "size", "'size' must be of type integer, got bool"),
        ({"size": -1}, "size", "'size' must be at least 0, got -1"),
        ({"quiet": "yes"}, "quiet", "'quiet' must be of type boolean, got str"),
        ({"name": 1}, "name", "'name' must be of type string, got int"),
        ({"lines": "x"}, "lines", "'lines' must be of type list, got str"),
        ({"tags": ["a", 1]}, "tags[1]", "'tags[1]' must be of type string, got int"),
        ({"options": {"a": 1}}, "options.a", "'options.a' must be of type string, got int"),
        ({"health": [1]}, "health", "'health' must be of type object, got list"),
        ({"mode": "medium"}, "mode", "'mode' must be one of fast, slow, got 'medium'"),
        ({"code": "0999"}, "code", "'code' must match 0[0-7]{3}, got '0999'"),
    ],
)
def test_bad_inputs_are_refused(inputs: dict[str, Any], property_path: str, reason: str) -> None:
    _, failures = check(TABLE, inputs, {}, "thing")
    assert [failure.property for failure in failures] == [property_path]
    assert failures[0].reason.endswith(reason)


def test_unknown_inputs_are_accepted() -> None:
    inputs = {"size": UNKNOWN, "mode": UNKNOWN, "points": UNKNOWN, "tags": [UNKNOWN]}
    assert inputs.items() <= checked(inputs).items()


def test_plan_of_a_new_resource() -> None:
    planned = plan(TABLE, None, checked({"ports": [{"inner": 80}]}))
    assert planned == {
        "name": "thing-1234567",
        "mode": "fast",
        "quiet": False,
        "ports": [{"inner": 80, "outer": UNKNOWN}],
        "health": UNKNOWN,
        "level": 1,
        "address": UNKNOWN,
    }
    assert known(planned)["ports"] == [{"inner": 80}]
    assert "address" not in known(planned)


def test_plan_of_an_update_keeps_what_the_server_gave() -> None:
    old = {"address": "10.0.0.1", "ports": [{"inner": 80, "outer": 32768}], "size": 3}
    planned = plan(TABLE, old, {"ports": [{"inner": 81}, {"inner": 80}]})
    assert planned["address"] == "10.0.0.1"
    assert planned["ports"] == [{"inner": 81, "outer": UNKNOWN}, {"inner": 80, "outer": 32768}]
    assert "size" not in planned


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param({"size": 0}, {}, {}, id="zero equals absent"),
        pytest.param({}, {"size": 0}, {}, id="absent equals zero"),
        pytest.param({"tags": []}, {}, {}, id="empty equals absent"),
        pytest.param({"size": 1}, {}, {"size": "delete"}, id="removed"),
        pytest.param({}, {"size": 1}, {"size": "add"}, id="added"),
        pytest.param({"size": 1}, {"size": 2}, {"size": "update"}, id="updated"),
        pytest.param({"name": "a"}, {"name": "b"}, {"name": "update replace"}, id="replaces"),
        pytest.param({"name": "a"}, {"name": UNKNOWN}, {"name": "update replace"}, id="unknown"),
        pytest.param({"address": "a"}, {}, {}, id="computed is kept"),
        pytest.param({"level": 1}, {}, {}, id="computed default"),
        pytest.param({"tags": ["a", "b"]}, {"tags": ["b", "a"]}, {}, id="sets have no order"),
        pytest.param({"tags": ["a"]}, {"tags": ["b"]}, {"tags[0]": "update"}, id="set element"),
        pytest.param({"tags": ["a"]}, {"tags": UNKNOWN}, {"tags": "update"}, id="unknown set"),
        pytest.param(
            {"tags": ["a"]}, {"tags": ["a", "b"]}, {"tags[1]": "add"}, id="set element added"
        ),
        pytest.param(
            {"tags": ["a", "b"]}, {"tags": ["b"]}, {"tags[0]": "delete"}, id="set element removed"
        ),
        pytest.param(
            {"lines": ["a", "b"]},
            {"lines": ["b", "a"]},
            {"lines[0]": "update replace", "lines[1]": "update replace"},
            id="lists have an order",
        ),
        pytest.param({"lines": ["a"]}, {}, {"lines[0]": "delete replace"}, id="list removed"),
        pytest.param(
            {"points": [{"x": 1, "note": ""}]}, {"points": [{"x": 1}]}, {}, id="zero in an object"
        ),
        pytest.param(
            {"points": [{"x": 1, "note": "a"}]},
            {"points": [{"x": 1, "note": "b"}]},
            {"points[0].note": "update replace"},
            id="any field decides for an object of a set",
        ),
        pytest.param(
            {"path": [{"x": 1, "note": "a"}]},
            {"path": [{"x": 1, "note": "b"}]},
            {"path[0].note": "update"},
            id="a field of an object of a list decides for itself",
        ),
        pytest.param(
            {"points": [{"x": 1}]},
            {"points": [{"x": 2}]},
            {"points[0].x": "update replace"},
            id="a field that replaces",
        ),
        pytest.param(
            {"points": [{"x": 1}]},
            {"points": [{"x": 1}, {"x": 2}]},
            {"points[1]": "add replace"},
            id="the number of objects",
        ),
        pytest.param(
            {"ports": [{"inner": 1, "outer": 8}, {"inner": 2, "outer": 9}]},
            {"ports": [{"inner": 2, "outer": 9}, {"inner": 1}]},
            {},
            id="elements with a key have no order",
        ),
        pytest.param(
            {"ports": [{"inner": 1, "outer": 8}]},
            {"ports": [{"inner": 1, "outer": 9}]},
            {"ports[0].outer": "update replace"},
            id="element with a key",
        ),
        pytest.param(
            {"options": {"a": "1", "b": "2"}},
            {"options": {"a": "1", "b": "3", "c": "4"}},
            {"options.b": "update replace", "options.c": "add replace"},
            id="map",
        ),
        pytest.param(
            {"health": {"tests": ["x"], "every": "1s"}},
            {"health": {"tests": ["x"]}},
            {"health.every": "update"},
            id="back to the default",
        ),
        pytest.param({"health": {"tests": ["x"]}}, {}, {}, id="computed object is kept"),
    ],
)
def test_diff(old: dict[str, Any], new: dict[str, Any], expected: dict[str, str]) -> None:
    old, new = {"mode": "fast", "level": 1} | old, {"mode": "fast"} | new
    assert changes(old, new) == expected


def test_refresh_takes_over_reported_values_of_given_inputs_only() -> None:
    old = {
        "name": "a",
        "mode": "fast",
        "size": 1,
        "points": [{"x": 1, "__defaults": []}],
        "__defaults": ["mode", "name"],
    }
    outputs = {"name": "a", "mode": "slow", "address": "b", "points": [{"x": 2, "note": "n"}]}
    assert refresh(old, outputs) == {
        "name": "a",
        "mode": "slow",
        "points": [{"x": 2, "__defaults": []}],
        "__defaults": ["name"],
    }
