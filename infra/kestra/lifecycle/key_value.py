"""The lifecycle of `infra.kestra.resources.KeyValue`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from pulumi.dynamic import CheckFailure
from pulumi.output import Unknown

from .base import Lifecycle, Props, namespace_failures

if TYPE_CHECKING:
    from ..client import KestraClient

_KEY = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")
# A string of this form is a duration for Kestra, whoever wrote it.
_DURATION = re.compile(r"P(?=[^T]|T.)(\d*D)?(T(?=.)(\d*H)?(\d*M)?(\d*S)?)?", re.ASCII)
_SECONDS = {"D": 86400, "H": 3600, "M": 60, "S": 1}
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
# Kestra keeps milliseconds.
_DATETIME = rf"{_DATE}T[0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,3}})?)?Z"
# Earlier days come back as others, counted by the Julian calendar.
_FIRST_YEAR = 1583
_Date = TypeVar("_Date", date, datetime)
_FIELDS = ("namespace", "key", "value", "type", "ttl")


def _string(value: str) -> str:
    if _DURATION.fullmatch(value):
        raise ValueError("has the form of a duration, and Kestra would store it as one")
    return value


def _duration(value: str) -> timedelta:
    parts = re.findall(r"(\d*)([DHMS])", value, re.ASCII) if _DURATION.fullmatch(value) else []
    if not parts or not all(number for number, _ in parts):
        raise ValueError("must be days, hours, minutes and seconds, such as P1DT2H")
    try:
        return timedelta(seconds=sum(int(number) * _SECONDS[unit] for number, unit in parts))
    except OverflowError as error:
        raise ValueError("must be at most 999999999 days") from error


def _number(value: str) -> Any:
    number = _json(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ValueError("must be a number")
    if number in (math.inf, -math.inf):
        raise ValueError("is too large")
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
        raise ValueError(f"{word} is not JSON")

    return json.loads(value, parse_constant=refuse)


def _date(value: str) -> date:
    if not re.fullmatch(_DATE, value):
        raise ValueError("must be a date such as 2021-09-01")
    return _not_julian(date.fromisoformat(value))


def _datetime(value: str) -> datetime:
    if not re.fullmatch(_DATETIME, value):
        raise ValueError("must be in UTC, such as 2021-09-01T10:11:12Z or 2021-09-01T10:11:12.345Z")
    return _not_julian(datetime.fromisoformat(value))


def _not_julian(value: _Date) -> _Date:
    if value.year < _FIRST_YEAR:
        raise ValueError(f"must not be before {_FIRST_YEAR}, as Kestra would store another day")
    return value


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


class KeyValueLifecycle(Lifecycle):
    """The lifecycle of one key; each write starts its time to live again."""

    kind = "key"
    keys = ("namespace", "key")
    shown = "key"

    def record(self, news: Props) -> Props:
        """Returns all of the key."""
        return {field: news.get(field) for field in _FIELDS}

    def find(self, client: KestraClient, id_: str) -> Props | None:
        """Returns type and value of the key on the server, unless it expired."""
        found = client.get_key_value(*id_.split("/", 1))
        if found is None:
            return None
        value = found["value"]
        return {
            "type": found["type"],
            "value": value if isinstance(value, str) else json.dumps(value),
        }

    def is_same(self, found: Props, recorded: Props) -> bool:
        """Compares what the values mean: there are many forms of a number or date."""
        type_, value = found["type"], found["value"]
        if (type_, recorded["type"]) == ("DATE", "DATETIME"):
            # Kestra 1 returns midnight as the date alone.
            type_, value = "DATETIME", f"{value}T00:00:00Z"
        if type_ != recorded["type"]:
            return False
        meaning = _MEANINGS[type_]
        try:
            return bool(meaning(value) == meaning(recorded["value"]))
        except ValueError:
            return False

    def validate(self, news: Props) -> Iterator[CheckFailure]:
        """Yields what is wrong with key, type or value, which Kestra would take otherwise."""
        yield from namespace_failures(news)
        if not isinstance(news["key"], Unknown) and not _KEY.fullmatch(news["key"]):
            yield CheckFailure("key", f"must match {_KEY.pattern}")
        if news["type"] not in _MEANINGS:
            yield CheckFailure("type", f"must be one of {', '.join(_MEANINGS)}")
        elif not isinstance(news["value"], Unknown):
            try:
                _MEANINGS[news["type"]](news["value"])
            except ValueError as error:
                yield CheckFailure("value", f"is not a valid {news['type']}: {error}")

    def write(self, client: KestraClient, news: Props, olds: Props | None) -> Props:
        """Sets the key."""
        meaning = _MEANINGS[news["type"]](news["value"])
        # The store reads Ion, a superset of JSON, which writes dates without quotes.
        form = news["value"]
        if not isinstance(meaning, date):
            form = json.dumps(form if isinstance(meaning, timedelta) else meaning)
        client.put_key_value(news["namespace"], news["key"], form, news.get("ttl"))
        return {}

    def remove(self, client: KestraClient, id_: str) -> None:
        """Deletes the key."""
        client.delete_key_value(*id_.split("/", 1))


lifecycle = KeyValueLifecycle()
