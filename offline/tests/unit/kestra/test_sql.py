"""What the SQL tasks make of values and scripts, and of the URLs of databases."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from psycopg.conninfo import conninfo_to_dict

from offline.kestra import jdbc
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


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("jdbc:postgresql://h:5433/d", {"host": "h", "port": "5433", "dbname": "d"}),
        ("jdbc:postgresql://h/", {"host": "h", "port": "5432"}),
        ("jdbc:postgresql:d", {"host": "localhost", "port": "5432", "dbname": "d"}),
        ("jdbc:postgresql://[::1]:1/a%20b", {"host": "::1", "port": "1", "dbname": "a b"}),
        ("jdbc:postgresql://a:1,b/d", {"host": "a,b", "port": "1,5432", "dbname": "d"}),
        (
            "jdbc:postgresql://h/d?ssl=true&connectTimeout=3&ApplicationName=x&user=u",
            {"sslmode": "verify-full", "connect_timeout": "3", "application_name": "x",
             "user": "u", "host": "h", "port": "5432", "dbname": "d"},
        ),
        (
            "jdbc:postgresql://h/d?currentSchema=s&reWriteBatchedInserts=true&socketTimeout=2",
            {"options": "-csearch_path=s", "tcp_user_timeout": "2000", "host": "h",
             "port": "5432", "dbname": "d"},
        ),
    ],
)  # fmt: skip
def test_jdbc_urls(url: str, expected: dict[str, str]) -> None:
    assert conninfo_to_dict(jdbc.conninfo(url)) == expected


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://h/d", "should start with `jdbc:postgresql`"),
        ("jdbc:postgresql://h:x/d", "is not `host:port`"),
        ("jdbc:postgresql://h/d?hostRecheckSeconds=1", "`hostRecheckSeconds` is not supported"),
    ],
)
def test_jdbc_urls_that_are_refused(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        jdbc.conninfo(url)
