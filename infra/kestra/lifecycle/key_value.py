"""The life of one key-value: `infra.kestra.resources.KeyValue`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)
from pulumi.output import Unknown

from ..errors import KestraError
from .connection import PROPERTIES, connect, connect_in_preview, connection

if TYPE_CHECKING:
    from ..client import KestraClient

_KEY = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")
# A string of this form is a duration for Kestra, whoever wrote it.
_DURATION = re.compile(r"P(?=[^T]|T.)(\d*D)?(T(?=.)(\d*H)?(\d*M)?(\d*S)?)?")
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DATETIME = rf"{_DATE}T[0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]+)?)?Z"
_FIELDS = ("namespace", "key", "value", "type", "ttl")


def _string(value: str) -> str:
    if _DURATION.fullmatch(value):
        raise ValueError("has the form of a duration, for which Kestra would take it")
    return value


def _duration(value: str) -> str:
    if not _DURATION.fullmatch(value):
        raise ValueError("must be days, hours, minutes and seconds, such as P1DT2H")
    return value


def _number(value: str) -> Any:
    number = _json(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ValueError("must be a number")
    return number


def _boolean(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value == "true"


def _structure(value: str) -> Any:
    structure = _json(value)
    if not isinstance(structure, dict | list):
        raise ValueError("must be a JSON object or array")
    return structure


def _json(value: str) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(value, parse_constant=refuse)


def _date(value: str) -> date:
    if not re.fullmatch(_DATE, value):
        raise ValueError("must be a day such as 2021-09-01")
    return date.fromisoformat(value)


def _datetime(value: str) -> datetime:
    if not re.fullmatch(_DATETIME, value):
        raise ValueError("must be in UTC, such as 2021-09-01T10:11:12Z")
    return datetime.fromisoformat(value)


# For each type what a value means; the form it is sent in follows from that.
_MEANINGS: Mapping[str, Callable[[str], Any]] = {
    "STRING": _string,
    "NUMBER": _number,
    "BOOLEAN": _boolean,
    "DATETIME": _datetime,
    "DATE": _date,
    "DURATION": _duration,
    "JSON": _structure,
}


def check(olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
    """Finds a key, type or value that Kestra would take otherwise than it is meant."""
    client = connect_in_preview(news)
    faults = []
    if not isinstance(news["key"], Unknown) and not _KEY.fullmatch(news["key"]):
        faults.append(CheckFailure("key", f"must match {_KEY.pattern}"))
    if news["type"] not in _MEANINGS:
        faults.append(CheckFailure("type", f"must be one of {', '.join(_MEANINGS)}"))
    elif not isinstance(news["value"], Unknown):
        try:
            _MEANINGS[news["type"]](news["value"])
        except ValueError as error:
            faults.append(CheckFailure("value", f"is no {news['type']}: {error}"))
        else:
            if client and not olds and (fault := _exists_already(client, news)):
                faults.append(CheckFailure("key", fault))
    return CheckResult(news, faults)


def create(props: dict[str, Any]) -> CreateResult:
    """Sets the key; one with another value that nobody told of is an error.

    Raises:
        KestraError: the server refused it, or has the key already.
    """
    if fault := _exists_already(connect(props), props):
        raise KestraError(fault)
    return CreateResult(f"{props['namespace']}/{props['key']}", _write(props))


def diff(_id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
    """Compares two states; another namespace or key is another pair."""
    replaces = [key for key in ("namespace", "key") if olds[key] != news[key]]
    changed = [key for key in (*_FIELDS, *PROPERTIES) if olds.get(key) != news.get(key)]
    return DiffResult(changes=bool(changed), replaces=replaces, delete_before_replace=False)


def update(_id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
    """Sets the key again; its time to live begins anew."""
    return UpdateResult(_write(news))


def delete(_id: str, props: dict[str, Any]) -> None:
    """Deletes the key; one that is gone already is no error."""
    connect(props).delete_key_value(props["namespace"], props["key"])


def read(id_: str, props: dict[str, Any]) -> ReadResult:
    """Reads the key from the server; a deleted or expired one has no id."""
    found = connect(props).get_key_value(props["namespace"], props["key"])
    if found is None:
        return ReadResult("", {})
    if _is_same(found, props):
        return ReadResult(id_, props)
    value = found["value"]
    drifted = {
        **props,
        "type": found["type"],
        "value": value if isinstance(value, str) else json.dumps(value),
    }
    return ReadResult(id_, drifted, drifted)


def _write(props: dict[str, Any]) -> dict[str, Any]:
    meaning = _MEANINGS[props["type"]](props["value"])
    # The store reads Ion, of which JSON is a part; a date stands there without quotes.
    form = props["value"] if isinstance(meaning, date) else json.dumps(meaning)
    connect(props).put_key_value(props["namespace"], props["key"], form, props.get("ttl"))
    return {**connection(props), **{key: props.get(key) for key in _FIELDS}}


def _exists_already(client: KestraClient, props: dict[str, Any]) -> str | None:
    if props["adopt"]:
        return None
    found = client.get_key_value(props["namespace"], props["key"])
    if found is None or _is_same(found, props):
        return None
    return (
        f"key {props['key']} of namespace {props['namespace']} exists already on the server, with "
        "another value. Take it over with adopt=True, or delete it there"
    )


def _is_same(found: dict[str, Any], props: dict[str, Any]) -> bool:
    meaning = _MEANINGS[props["type"]](props["value"])
    if found["type"] != props["type"]:
        return False
    value = found["value"]
    if isinstance(meaning, date):
        return type(meaning).fromisoformat(value) == meaning
    return bool(value == meaning)
