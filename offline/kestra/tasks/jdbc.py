"""What the tasks Query and Queries of all JDBC plugins have in common.

Source of the properties, the outputs, the messages and the use of transactions:
github.com/kestra-io/plugin-jdbc, for Kestra 1.3.
"""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from amazon.ion import simpleion

from offline.kestra.tasks.base import Json, Task, TaskError

_UNITS = ("PACKAGE", "PROCEDURE", "FUNCTION", "TRIGGER", "TYPE")
_TOKENS = re.compile(
    r"""
    --[^\n]* | /\*.*?(?:\*/|\Z)                            # comments
    | '(?:[^']|'')*(?:'|\Z)                                # texts
    | "(?:[^"']|""|'(?:[^']|'')*(?:'|\Z))*(?:"|\Z)         # names, which may have texts inside
    | `(?:[^`]|``)*(?:`|\Z) | \[(?:[^\]]|\]\])*(?:\]|\Z)   # names of other databases, lists
    | \$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z)               # dollar quotes
    | (?P<word>\w+)
    | (?P<sign>\S)
    """,
    re.VERBOSE | re.DOTALL,
)

Execute = Callable[[str], Iterator[Json] | None]
"""Runs a statement and returns the rows of its result set; None if its kind has none."""


def split_statements(script: str) -> list[str]:
    """Returns the statements of a script, cut where the plugin cuts, whatever the database.

    That is at each semicolon outside of quotes and comments, but not between `BEGIN` or `DECLARE`
    and an `END;`, nor between `CREATE` of a function, procedure, trigger or type and an `END;`.
    A comment after the last semicolon is a statement, and so is nothing between two semicolons.
    """
    statements, start, blocks, units = [], 0, 0, 0
    creating = declaring = ended = False
    for token in _TOKENS.finditer(script):
        if word := (token["word"] or "").upper():
            if creating and word not in ("OR", "REPLACE"):
                units += word in _UNITS
                creating = False
            if word == "CREATE":
                creating = True
            elif word in ("DECLARE", "BEGIN"):
                blocks += not declaring or word == "DECLARE"
                declaring = word == "DECLARE"
            if word in ("DECLARE", "BEGIN", "IF", "LOOP", "CASE"):
                ended = False
            elif word == "END":
                ended = True
        elif token["sign"] == ";":
            cut = not blocks and not units
            if ended and units:
                units -= 1
                cut = not blocks and not units
            elif ended and blocks:
                blocks -= 1
                cut = not blocks
            if cut:
                statements.append(script[start : token.start()].strip())
                start = token.end()
                declaring = False
            ended = False
        elif token["sign"]:
            ended = False
    if rest := script[start:].strip():
        statements.append(rest)
    return statements


def _count(script: str) -> int:
    """Returns how many statements of a script count where one is allowed."""
    return sum(
        bool(statement) and not statement.lower().startswith("set file_search_path")
        for statement in split_statements(script)
    )


def bound(statement: str, values: Mapping[str, Any], placeholder: str) -> tuple[str, list[Any]]:
    """Returns a statement with its `:names` replaced, and the values to bind in their order.

    As in the plugin, every `:word` is a parameter, be it in a text or a cast, and one without a
    value is NULL.
    """
    names = re.findall(r":(\w+)", statement)
    return re.sub(r":\w+", placeholder, statement), [values.get(name) for name in names]


def special(value: float) -> str:
    """Returns NaN and the infinities as Jackson writes them to JSON."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def moment(value: datetime | time) -> str:
    """Returns a time in ISO 8601 as Java prints it: `Z` for UTC, a fraction without final zeros."""
    text = re.sub(r"(\.\d*?)0+(?=$|[+Z-])", lambda found: found[1].rstrip("."), value.isoformat())
    return text.replace("+00:00", "Z")


def scalar(value: Any) -> Any:
    """Returns a value of a type that all databases have, as the plugin puts it into outputs.

    Raises:
        TypeError: if it is of another type.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else special(value)
        case Decimal() if not value.is_finite():
            return special(float(value))
        case Decimal():
            return int(value) if value.as_tuple().exponent == 0 else float(value)
        case date() if not isinstance(value, datetime):
            return value.isoformat()
        case time() if value.tzinfo is None:
            return moment(value)
        case UUID():
            return str(value)
    raise TypeError(type(value).__name__)


class Statements(Task):
    """A task that runs SQL statements and outputs their results."""

    @abstractmethod
    def session(self, *, autocommit: bool) -> AbstractContextManager[Execute]:
        """Opens a connection that a cancellation breaks; without `autocommit`, one transaction.

        Raises:
            TaskError: if the URL is invalid, or the database refuses.
        """

    @abstractmethod
    def results(self) -> Json:
        """Runs the statements and returns the outputs for their results."""

    def run(self) -> Json:
        return self.results()

    def script(self) -> str:
        """Returns the SQL to run."""
        return str(self.property("sql"))

    def zone(self) -> ZoneInfo:
        """Returns the time zone to show times in.

        Raises:
            TaskError: if there is no such time zone.
        """
        name = self.property("timeZoneId") or "UTC"
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise TaskError(f"Unknown time-zone ID: {name}") from error

    def fetch_type(self) -> str:
        """Returns the way to output rows: FETCH, FETCH_ONE, STORE or NONE."""
        for name, kind in (("fetch", "FETCH"), ("fetchOne", "FETCH_ONE"), ("store", "STORE")):
            if self.property(name):
                return kind
        return str(self.property("fetchType"))

    def outputs(self, rows: Iterator[Json], kind: str) -> tuple[Json, int]:
        """Returns the outputs for a result set, and the number of its rows that were read."""
        if kind == "FETCH":
            fetched = list(rows)
            return {"rows": fetched, "size": len(fetched)}, len(fetched)
        if kind == "FETCH_ONE":
            first = next(rows, None)
            return {"row": first, "size": 1}, int(first is not None)
        if kind == "STORE":
            file = self.context.working_file(".ion")
            size = 0
            with file.open("w", encoding="utf-8") as sink:
                for row in rows:
                    text = simpleion.dumps(row, binary=False, omit_version_marker=True)
                    sink.write(f"{text}\n")
                    size += 1
            return {"uri": self.context.put(file), "size": size}, size
        return {}, 0


class Query(Statements):
    """One statement."""

    def results(self) -> Json:
        statement, after = self.script(), self.property("afterSQL")
        if _count(statement) > 1:
            raise TaskError(
                "Query task support only a single SQL statement. "
                "Use the Queries task to run multiple statements."
            )
        if after is not None and _count(after) > 1:
            raise TaskError(
                "Query task afterSQL supports only a single SQL statement. "
                "Use the Queries task to run multiple statements."
            )
        kind = self.fetch_type()
        outputs: Json = {}
        # With `afterSQL` both statements are one transaction; without it, the one stands alone.
        with self.session(autocommit=after is None) as execute:
            rows = execute(statement)
            if rows is not None:
                outputs, size = self.outputs(rows, kind)
                if kind == "FETCH_ONE":
                    outputs["size"] = size
            if after is not None:
                execute(after)
        return outputs


class Queries(Statements):
    """Several statements, in one transaction unless `transaction` is false."""

    def results(self) -> Json:
        kind = self.fetch_type()
        outputs: list[Json] = []
        with self.session(autocommit=not self.property("transaction")) as execute:
            for statement in split_statements(self.script()):
                rows = execute(statement)
                if rows is not None:
                    if kind == "NONE":
                        self.context.log(
                            "INFO", "fetchType is set to NONE, no output will be returned"
                        )
                    outputs.append(self.outputs(rows, kind)[0])
        return {"outputs": outputs}
