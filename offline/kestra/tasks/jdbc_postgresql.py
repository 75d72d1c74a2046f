"""The JDBC plugin for PostgreSQL: Query, Queries, CopyIn and CopyOut.

Source of the properties, the outputs, the messages and the use of transactions:
github.com/kestra-io/plugin-jdbc, for Kestra 1.3.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import psycopg
from amazon.ion import simpleion
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import make_conninfo
from psycopg.rows import tuple_row

from offline.kestra import jdbc
from offline.kestra.schema import Json, Property
from offline.kestra.tasks.base import Runnable, TaskError

_FETCH_TYPES = ("FETCH", "FETCH_ONE", "STORE", "NONE")
_CHUNK = 1 << 20
_CONNECTION = {
    "url": Property(required=True),
    "username": Property(),
    "password": Property(),
    "ssl": Property("flag", default=False),
    "sslMode": Property(
        "enum", values=("DISABLE", "ALLOW", "PREFER", "REQUIRE", "VERIFY_CA", "VERIFY_FULL")
    ),
    "sslRootCert": Property(),
    "sslCert": Property(),
    "sslKey": Property(),
    "sslKeyPassword": Property(),
}
_CERTIFICATES = frozenset({"sslRootCert", "sslCert", "sslKey", "sslKeyPassword"})


class DatabaseError(TaskError):
    """What PostgreSQL refused, in the words of the JDBC driver."""


def _wording(error: psycopg.Error) -> str:
    """The message of org.postgresql.util.PSQLException for the same error."""
    found = error.diag
    if found.message_primary is None:
        return str(error).strip() or type(error).__name__
    text = f"{found.severity}: {found.message_primary}"
    for title, part in (
        ("Detail", found.message_detail),
        ("Hint", found.message_hint),
        ("Position", found.statement_position),
        ("Where", found.context),
    ):
        if part:
            text += f"\n  {title}: {part}"
    return text


def _cancel(connection: psycopg.Connection[Any]) -> None:
    with suppress(psycopg.Error):  # it may have ended by itself
        connection.cancel_safe(timeout=5)


def split_statements(script: str) -> list[str]:
    """The statements of a script: cut at semicolons outside of quotes and comments."""
    statements, start = [], 0
    for token in _TOKENS.finditer(script):
        if token[0] == ";":
            statements.append(script[start : token.start()])
            start = token.end()
    statements.append(script[start:])
    return [statement.strip() for statement in statements if statement.strip()]


_TOKENS = re.compile(
    r"""
    --[^\n]* | /\*.*?\*/                     # comments
    | \b[eE]'(?:[^'\\]|\\.|'')*'             # text with backslashes
    | '(?:[^']|'')*' | "(?:[^"]|"")*"        # text and names
    | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$        # dollar quotes
    | ;
    """,
    re.VERBOSE | re.DOTALL,
)


class _Interval(Loader):
    """Intervals as the plugin shows them: `P1Y2M3DT4H5M6S`."""

    _UNITS = re.compile(r"(-?\d+) (year|mon|day)s?")
    _CLOCK = re.compile(r"(-?)(\d+):(\d\d):(\d\d)")

    def load(self, data: Buffer) -> str:
        text = bytes(data).decode()
        units = {name: int(count) for count, name in self._UNITS.findall(text)}
        clock = self._CLOCK.search(text)
        sign = -1 if clock and clock[1] else 1
        hours, minutes, seconds = (sign * int(clock[i]) for i in (2, 3, 4)) if clock else (0, 0, 0)
        return (
            f"P{units.get('year', 0)}Y{units.get('mon', 0)}M{units.get('day', 0)}D"
            f"T{hours}H{minutes}M{seconds}S"
        )


def _special(value: float) -> str:
    """NaN and the infinities as JSON has them from Jackson."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _fraction(text: str) -> str:
    """ISO time as Java prints it: no trailing zeros in the fraction."""
    return re.sub(r"(\.\d*?)0+(?=$|[+Z-])", lambda found: found[1].rstrip("."), text)


def cell(value: Any, column: psycopg.Column, zone: ZoneInfo) -> Any:
    """A value of the database as the plugin puts it into outputs.

    Args:
        value: what psycopg made of it.
        column: its column.
        zone: where timestamps with a time zone are shown.

    Raises:
        TaskError: the plugin does not support the type.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else _special(value)
        case Decimal() if not value.is_finite():
            return _special(float(value))
        case Decimal():
            exact = value.as_tuple().exponent == 0
            return int(value) if exact else float(value)
        case datetime():
            at = value.astimezone(zone) if value.tzinfo else value
            return _fraction(at.isoformat()).replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case time():
            return _fraction(value.replace(tzinfo=None).isoformat())
        case UUID():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case list():
            return [cell(each, column, zone) for each in value]
        case dict():
            return value
    name = column.type_display
    raise TaskError(f"PGobject of type [{name}] is not supported")


class _Jdbc(Runnable):
    @contextmanager
    def _connection(self, *, autocommit: bool) -> Iterator[psycopg.Connection[Any]]:
        """A connection that a cancellation breaks.

        Raises:
            TaskError: the URL is none, or the database refuses.
        """
        url = self.text("url") or ""
        if not url.strip():
            raise TaskError("Rendered value of `url` is blank.")
        try:
            conninfo = jdbc.conninfo(url, self.text("username"), self.text("password"))
        except ValueError as error:
            raise TaskError(str(error)) from error
        mode = self.choice("sslMode", self.properties["sslMode"].values)
        if mode:
            conninfo = make_conninfo(conninfo, sslmode=mode.lower().replace("_", "-"))
        elif self.flag("ssl"):
            conninfo = make_conninfo(conninfo, sslmode="verify-full")
        try:
            with psycopg.connect(
                conninfo, autocommit=autocommit, row_factory=tuple_row
            ) as connection:
                connection.adapters.register_loader("interval", _Interval)
                with self.context.cancellation.breaking(partial(_cancel, connection)):
                    yield connection
        except psycopg.Error as error:
            self.context.cancellation.check()
            raise DatabaseError(_wording(error)) from error


class _Query(_Jdbc):
    unsupported = _CERTIFICATES | {"outputFiles"}
    properties = {
        **_CONNECTION,
        "timeZoneId": Property(),
        "connectionPooling": Property("flag", default=True),
        "connectionPoolSize": Property("whole", default=10),
        "sql": Property(required=True),
        "afterSQL": Property(),
        "store": Property("flag", default=False),
        "fetchOne": Property("flag", default=False),
        "fetch": Property("flag", default=False),
        "fetchType": Property("enum", values=_FETCH_TYPES, default="NONE"),
        "fetchSize": Property("whole", default=10_000),
        "parameters": Property("any"),
        "outputFiles": Property("any"),
    }

    def _fetch_type(self) -> str:
        for name, kind in (("fetch", "FETCH"), ("fetchOne", "FETCH_ONE"), ("store", "STORE")):
            if self.flag(name):
                return kind
        return self.choice("fetchType", _FETCH_TYPES) or "NONE"

    def _zone(self) -> ZoneInfo:
        name = self.text("timeZoneId") or "UTC"
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise TaskError(f"Unknown time-zone ID: {name}") from error

    def _execute(self, cursor: psycopg.Cursor[Any], statement: str) -> None:
        self.context.log("DEBUG", f"Starting query: {statement}")
        given = self.rendered("parameters") or {}
        # The SQL is the flow author's own: it is meant to be run as it is.
        if not given:
            cursor.execute(statement)
            return
        # As in the plugin, every `:word` is a parameter, and one that is not given is NULL.
        names = re.findall(r":(\w+)", statement)
        bound = re.sub(r":(\w+)", r"%(\1)s", statement.replace("%", "%%"))
        cursor.execute(bound, {name: given.get(name) for name in names})

    def _rows(self, cursor: psycopg.Cursor[Any]) -> Iterator[Json]:
        zone, columns = self._zone(), cursor.description or []
        for row in cursor:
            self.context.cancellation.check()
            yield {
                column.name: cell(value, column, zone)
                for column, value in zip(columns, row, strict=True)
            }

    def _result(self, cursor: psycopg.Cursor[Any], kind: str) -> tuple[Json, int]:
        """The outputs for the result set that the cursor is at, and the rows in it."""
        rows = self._rows(cursor)
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
            return {"uri": self.context.put_file(file), "size": size}, size
        return {}, 0


class Query(_Query):
    """One statement."""

    type = "io.kestra.plugin.jdbc.postgresql.Query"

    def run(self) -> Json:
        statement, after = self.text("sql") or "", self.text("afterSQL")
        if len(split_statements(statement)) > 1:
            raise TaskError(
                "Query task support only a single SQL statement. "
                "Use the Queries task to run multiple statements."
            )
        if after is not None and len(split_statements(after)) > 1:
            raise TaskError(
                "Query task afterSQL supports only a single SQL statement. "
                "Use the Queries task to run multiple statements."
            )
        kind = self._fetch_type()
        outputs: Json = {}
        # With `afterSQL` both statements are one transaction; without it, the one stands alone.
        with (
            self._connection(autocommit=after is None) as connection,
            connection.cursor() as cursor,
        ):
            self._execute(cursor, statement)
            if cursor.description:
                outputs, size = self._result(cursor, kind)
                if kind == "FETCH_ONE":
                    outputs["size"] = size
            if after is not None:
                self._execute(cursor, after)
        return outputs


class Queries(_Query):
    """Several statements, in one transaction unless `transaction` is false."""

    type = "io.kestra.plugin.jdbc.postgresql.Queries"
    properties = {**_Query.properties, "transaction": Property("flag", default=True)}

    def run(self) -> Json:
        kind = self._fetch_type()
        outputs: list[Json] = []
        with self._connection(autocommit=not self.flag("transaction")) as connection:
            for statement in split_statements(self.text("sql") or ""):
                with connection.cursor() as cursor:
                    self._execute(cursor, statement)
                    if cursor.description:
                        if kind == "NONE":
                            self.context.log(
                                "INFO", "fetchType is set to NONE, no output will be returned"
                            )
                        outputs.append(self._result(cursor, kind)[0])
        return {"outputs": outputs}


class _Copy(_Jdbc):
    unsupported = _CERTIFICATES | {"socketTimeout", "oids"}
    properties = {
        **_CONNECTION,
        "table": Property(),
        "columns": Property("any"),
        "format": Property("enum", values=("TEXT", "CSV", "BINARY"), default="TEXT"),
        "oids": Property("flag"),
        "freeze": Property("flag"),
        "delimiter": Property(),
        "nullString": Property(),
        "header": Property("flag"),
        "quote": Property(),
        "escape": Property(),
        "forceQuote": Property("any"),
        "forceNotNull": Property("any"),
        "forceNull": Property("any"),
        "encoding": Property(),
        "socketTimeout": Property("whole"),
    }

    def _statement(self, query: str | None, direction: str) -> str:
        """The COPY statement, its options in the plugin's order."""
        if query is None:
            columns = self.rendered("columns") or []
            what = f"{self.text('table')}" + (f" ({', '.join(columns)})" if columns else "")
        else:
            what = f"({query})"
        options = []
        if (form := self.choice("format", self.properties["format"].values)) != "TEXT":
            options.append(f"FORMAT {form}")
        if self.flag("freeze"):
            options.append("FREEZE")
        for name, option in (("delimiter", "DELIMITER"), ("nullString", "NULL")):
            if (value := self.text(name)) is not None:
                options.append(f"{option} '{value}'")
        if self.given("header") is not None:
            options.append(f"HEADER {'TRUE' if self.flag('header') else 'FALSE'}")
        for name, option in (("quote", "QUOTE"), ("escape", "ESCAPE")):
            if (value := self.text(name)) is not None:
                options.append(f"{option} '{value}'")
        for name, option in (
            ("forceQuote", "FORCE_QUOTE"),
            ("forceNotNull", "FORCE_NOT_NULL"),
            ("forceNull", "FORCE_NULL"),
        ):
            if columns := self.rendered(name):
                every = columns == ["*"] and name == "forceQuote"
                options.append(f"{option} {'*' if every else '(' + ', '.join(columns) + ')'}")
        if (encoding := self.text("encoding")) is not None:
            options.append(f"ENCODING '{encoding}'")
        statement = f"COPY {what} {direction}" + (
            f" WITH ({', '.join(options)})" if options else ""
        )
        self.context.log("DEBUG", f"Starting query: {statement}")
        return statement


class CopyIn(_Copy):
    """Load a file of the internal storage into a table, in a stream."""

    type = "io.kestra.plugin.jdbc.postgresql.CopyIn"
    properties = {**_Copy.properties, "from": Property(required=True)}

    def run(self) -> Json:
        with (
            self.context.storage.open(self.text("from") or "") as source,
            self._connection(autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            statement = self._statement(None, "FROM STDIN")
            with cursor.copy(statement) as copy:
                while chunk := source.read(_CHUNK):
                    self.context.cancellation.check()
                    copy.write(chunk)
            return {"rowCount": cursor.rowcount}


class CopyOut(_Copy):
    """Write a table or the result of a query to a file, in a stream."""

    type = "io.kestra.plugin.jdbc.postgresql.CopyOut"
    properties = {**_Copy.properties, "sql": Property()}

    def run(self) -> Json:
        file = self.context.working_file()
        with (
            self._connection(autocommit=True) as connection,
            connection.cursor() as cursor,
            file.open("wb") as sink,
        ):
            statement = self._statement(self.text("sql"), "TO STDOUT")
            with cursor.copy(statement) as copy:
                for chunk in copy:
                    self.context.cancellation.check()
                    sink.write(chunk)
            count = cursor.rowcount
        return {"uri": self.context.put_file(file, "copy-out"), "rowCount": count}


TASKS = (Query, Queries, CopyIn, CopyOut)
