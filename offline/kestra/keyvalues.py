"""The key-value store of namespaces, and the types of its values."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from amazon.ion import simpleion
from amazon.ion.core import Timestamp, TimestampPrecision
from amazon.ion.exceptions import IonException
from amazon.ion.simpleion import IonPyValueModel

from offline.kestra.errors import Gone, IllegalArgument
from offline.kestra.states import instant
from offline.kestra.store import Store

ION_AS_PLAIN_DATA = (
    IonPyValueModel.MAY_BE_BARE
    | IonPyValueModel.SYMBOL_AS_TEXT
    | IonPyValueModel.STRUCT_AS_STD_DICT
)
_KEY = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")
_DURATION = re.compile(r"P(?=[^T]|T.)(?:\d*D)?(?:T(?=.)(?:\d*H)?(?:\d*M)?(?:\d*S)?)?")


def typed(value: Any) -> tuple[str, Any]:
    """The type that the server gives a value, and the value as JSON."""
    match value:
        case None:
            return "STRING", None
        case bool():
            return "BOOLEAN", value
        case int() | float():
            return "NUMBER", value
        case Decimal():
            return "NUMBER", float(value)
        case Timestamp() if value.precision in (
            TimestampPrecision.YEAR,
            TimestampPrecision.MONTH,
            TimestampPrecision.DAY,
        ):
            return "DATE", value.date().isoformat()
        case datetime():
            text = value.isoformat() if value.tzinfo is None else instant(value)
            return "DATETIME", text.replace(".000Z", "Z")
        case date():
            return "DATE", value.isoformat()
        case str():
            return ("DURATION" if _DURATION.fullmatch(value) else "STRING"), value
        case dict():
            return "JSON", {str(key): typed(each)[1] for key, each in value.items()}
        case list():
            return "JSON", [typed(each)[1] for each in value]
    raise TypeError(f"no JSON for {type(value).__name__}")


def parse(text: str) -> tuple[str, Any]:
    """Read a value from text as the server does: it is Amazon Ion, of which JSON is a part.

    Raises:
        IllegalArgument: the text is no Ion.
    """
    try:
        return typed(simpleion.loads(text, value_model=ION_AS_PLAIN_DATA))
    except (IonException, ValueError, TypeError) as error:
        raise IllegalArgument(f"Invalid JSON value for: {text}") from error


class KeyValues:
    """The key-value pairs of all namespaces."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(
        self, namespace: str, key: str, kind: str, value: Any, ttl: float | None = None,
        description: str | None = None,
    ) -> None:  # fmt: skip
        """Set a pair.

        Args:
            ttl: seconds until it expires; None for never.

        Raises:
            IllegalArgument: the key has a character that keys cannot have.
        """
        self._check(key)
        self._store.put_key(namespace, key, kind, value, ttl, description)

    def get(self, namespace: str, key: str) -> dict[str, Any] | None:
        """A pair's `type` and `value`; None if there is none.

        Raises:
            IllegalArgument: no such key can be.
            Gone: its time is over.
        """
        self._check(key)
        row = self._store.key(namespace, key)
        if row is None:
            return None
        if row["expired"]:
            self._store.delete_key(namespace, key)
            raise Gone("The requested value has expired")
        return {"type": row["type"], "value": row["value"]}

    def list(self, namespace: str) -> list[dict[str, Any]]:
        """The pairs of a namespace, without their values."""
        entries = []
        for row in self._store.keys(namespace):
            entry = {
                "key": row["key"],
                "description": row["description"],
                "creationDate": instant(row["created"]),
                "updateDate": instant(row["updated"]),
                "expirationDate": row["expires"] and instant(row["expires"]),
            }
            entries.append({name: value for name, value in entry.items() if value is not None})
        return entries

    def delete(self, namespace: str, key: str) -> bool:
        """Delete a pair; whether there was one.

        Raises:
            IllegalArgument: no such key can be.
        """
        self._check(key)
        return self._store.delete_key(namespace, key)

    @staticmethod
    def _check(key: str) -> None:
        if not _KEY.fullmatch(key):
            raise IllegalArgument(
                "Key must start with an alphanumeric character (uppercase or lowercase) and can "
                "contain alphanumeric characters (uppercase or lowercase), dots (.), underscores "
                "(_), and hyphens (-) only."
            )
