"""The JDBC plugin for PostgreSQL: Query, Queries, CopyIn and CopyOut.

Source of the properties, the outputs, the messages and the use of transactions:
github.com/kestra-io/plugin-jdbc, for Kestra 1.3.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, time
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import make_conninfo
from psycopg.rows import tuple_row

from offline.kestra.jdbc import conninfo
from offline.kestra.tasks import jdbc
from offline.kestra.tasks.base import Json, Task, TaskError

_CHUNK = 1 << 20
_CERTIFICATES = ("sslRootCert", "sslCert", "sslKey", "sslKeyPassword")


def _wording(error: psycopg.Error) -> str:
    """Returns the message of org.postgresql.util.PSQLException for the same error."""
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


def cell(value: Any, column: psycopg.Column, zone: ZoneInfo) -> Any:
    """Returns a value of the database as the plugin puts it into outputs.

    Args:
        value: what psycopg made of it.
        column: its column.
        zone: where timestamps with a time zone are shown.

    Raises:
        TaskError: if the plugin does not support the type.
    """
    match value:
        case datetime():
            return jdbc.moment(value.astimezone(zone) if value.tzinfo else value)
        case time():
            return jdbc.moment(value.replace(tzinfo=None))
        case bytes():
            return base64.b64encode(value).decode()
        case list():
            return [cell(each, column, zone) for each in value]
        case dict():
            return value
    try:
        return jdbc.scalar(value)
    except TypeError as error:
        name = column.type_display
        raise TaskError(f"PGobject of type [{name}] is not supported") from error


class _Connected(Task):
    @contextmanager
    def _connection(self, *, autocommit: bool) -> Iterator[psycopg.Connection[Any]]:
        """Opens a connection that a cancellation breaks.

        Raises:
            TaskError: if the URL is invalid, or the database refuses.
        """
        self.refuse(*_CERTIFICATES)
        url = self.property("url")
        if not url.strip():
            raise TaskError("Rendered value of `url` is blank.")
        try:
            target = conninfo(url, self.property("username"), self.property("password"))
        except ValueError as error:
            raise TaskError(str(error)) from error
        if mode := self.property("sslMode"):
            target = make_conninfo(target, sslmode=mode.lower().replace("_", "-"))
        elif self.property("ssl"):
            target = make_conninfo(target, sslmode="verify-full")
        try:
            with psycopg.connect(
                target, autocommit=autocommit, row_factory=tuple_row
            ) as connection:
                connection.adapters.register_loader("interval", _Interval)
                with self.context.cancellation.breaking(partial(_cancel, connection)):
                    yield connection
        except psycopg.Error as error:
            self.context.cancellation.check()
            raise TaskError(_wording(error)) from error


class _Statements(_Connected, jdbc.Statements):
    @contextmanager
    def session(self, *, autocommit: bool) -> Iterator[jdbc.Execute]:
        self.refuse("outputFiles")
        with self._connection(autocommit=autocommit) as connection:
            yield lambda statement: self._execute(connection.cursor(), statement)

    def _execute(self, cursor: psycopg.Cursor[Any], statement: str) -> Iterator[Json] | None:
        self.context.log("DEBUG", f"Starting query: {statement}")
        # The SQL is the flow author's own: it is meant to be run as it is.
        if given := self.property("parameters"):
            cursor.execute(*jdbc.bound(statement.replace("%", "%%"), given, "%s"))
        else:
            cursor.execute(statement)
        return self._rows(cursor, cursor.description) if cursor.description else None

    def _rows(self, cursor: psycopg.Cursor[Any], columns: list[psycopg.Column]) -> Iterator[Json]:
        zone = self.zone()
        for row in cursor:
            self.context.cancellation.check()
            yield {
                column.name: cell(value, column, zone)
                for column, value in zip(columns, row, strict=True)
            }


class Query(_Statements, jdbc.Query):
    """One statement."""

    type = "io.kestra.plugin.jdbc.postgresql.Query"


class Queries(_Statements, jdbc.Queries):
    """Several statements, in one transaction unless `transaction` is false."""

    type = "io.kestra.plugin.jdbc.postgresql.Queries"


class _Copy(_Connected):
    def _statement(self, query: str | None, direction: str) -> str:
        """Returns the COPY statement, its options in the plugin's order."""
        self.refuse("oids", "socketTimeout")
        if query is None:
            columns = self.property("columns")
            what = self.property("table") + (f" ({', '.join(columns)})" if columns else "")
        else:
            what = f"({query})"
        options = []
        if (form := self.property("format")) != "TEXT":
            options.append(f"FORMAT {form}")
        if self.property("freeze"):
            options.append("FREEZE")
        for name, option in (("delimiter", "DELIMITER"), ("nullString", "NULL")):
            if (value := self.property(name)) is not None:
                options.append(f"{option} '{value}'")
        if (header := self.property("header")) is not None:
            options.append(f"HEADER {str(header).upper()}")
        for name, option in (("quote", "QUOTE"), ("escape", "ESCAPE")):
            if (value := self.property(name)) is not None:
                options.append(f"{option} '{value}'")
        for name, option in (
            ("forceQuote", "FORCE_QUOTE"),
            ("forceNotNull", "FORCE_NOT_NULL"),
            ("forceNull", "FORCE_NULL"),
        ):
            if columns := self.property(name):
                every = columns == ["*"] and name == "forceQuote"
                options.append(f"{option} {'*' if every else '(' + ', '.join(columns) + ')'}")
        if (encoding := self.property("encoding")) is not None:
            options.append(f"ENCODING '{encoding}'")
        statement = f"COPY {what} {direction}" + (
            f" WITH ({', '.join(options)})" if options else ""
        )
        self.context.log("DEBUG", f"Starting query: {statement}")
        return statement


class CopyIn(_Copy):
    """Loads a file of the internal storage into a table, in a stream."""

    type = "io.kestra.plugin.jdbc.postgresql.CopyIn"

    def run(self) -> Json:
        statement = self._statement(None, "FROM STDIN")
        with (
            self.context.open(self.property("from")) as source,
            self._connection(autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            with cursor.copy(statement) as copy:
                while chunk := source.read(_CHUNK):
                    self.context.cancellation.check()
                    copy.write(chunk)
            return {"rowCount": cursor.rowcount}


class CopyOut(_Copy):
    """Writes a table or the result of a query to a file, in a stream."""

    type = "io.kestra.plugin.jdbc.postgresql.CopyOut"

    def run(self) -> Json:
        statement = self._statement(self.property("sql"), "TO STDOUT")
        file = self.context.working_file()
        with (
            self._connection(autocommit=True) as connection,
            connection.cursor() as cursor,
            file.open("wb") as sink,
        ):
            with cursor.copy(statement) as copy:
                for chunk in copy:
                    self.context.cancellation.check()
                    sink.write(chunk)
            count = cursor.rowcount
        return {"uri": self.context.put(file, "copy-out"), "rowCount": count}


TASKS = (Query, Queries, CopyIn, CopyOut)
