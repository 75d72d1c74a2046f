"""podium report against PostgreSQL: from the tables that the flows make to the page."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest
from jinja2 import Template

from bench.months import write_month
from infra.databases import WAREHOUSE_SCHEMAS
from report.warehouse import Hour, Month, Outside, Reject, Zone, read_warehouse
from tests.integration.conftest import Warehouse
from tests.kestra.servers import Database, PostgresServer, new_database
from tests.unit.cli.command_line import ROOT, CommandLine, Ended

FILES = ROOT / "flows/zoomcamp/files"
READER, PASSWORD = "report_reader", "secret"
JANUARY, FEBRUARY = date(2019, 1, 1), date(2019, 2, 1)
NOTHING_LOADED = (
    "Error: Nothing was loaded into the warehouse of stack dev yet: "
    "./podium run zoomcamp/taxi_load taxi=yellow month=2019-01\n"
)


@pytest.fixture(scope="module")
def reader(postgres: PostgresServer) -> Iterator[None]:
    """A role that may log in and read what it is let."""
    with postgres.connect() as connection:
        connection.execute(f"CREATE ROLE {READER} LOGIN PASSWORD '{PASSWORD}'")
        yield
        connection.execute(f"DROP ROLE {READER}")


@pytest.fixture
def database(postgres: PostgresServer, reader: None) -> Iterator[Database]:
    """A warehouse as the stack makes it, before any load."""
    with new_database(postgres) as database, database.connect() as connection:
        for schema in WAREHOUSE_SCHEMAS:
            connection.execute(
                f"CREATE SCHEMA {schema};"
                f"GRANT USAGE ON SCHEMA {schema} TO {READER};"
                f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {READER}"
            )
        yield database


@pytest.fixture
def tables(database: Database) -> Iterator[psycopg.Connection]:
    """A connection to a warehouse with the flows' tables, as who may write to it."""
    schema = Template((FILES / "sql/schema.sql").read_text())
    lists = {
        taxi: list(csv.DictReader((FILES / f"columns/{taxi}.csv").read_text().splitlines()))
        for taxi in ("yellow", "green")
    }
    columns = {
        taxi: ", ".join(f"ADD {row['column']} {row['type']}" for row in rows)
        for taxi, rows in lists.items()
    } | {"every": "'yellow.pickup_at'", "common": "pickup_at"}
    with database.connect() as connection:
        connection.execute(
            schema.render(
                outputs={"columns": {"row": columns}}, read=lambda path: (FILES / path).read_text()
            )
        )
        yield connection


@pytest.fixture
def loaded(tables: psycopg.Connection) -> psycopg.Connection:
    """A warehouse that holds two months of yellow cabs and one of green cabs."""
    insert(
        tables, "trips.zones", (1, "Queens", "JFK & <b>", "Airports"), (2, "Bronx", "Norwood", "")
    )
    insert(
        tables,
        "reports.trips_per_hour",
        ("yellow", JANUARY, datetime(2019, 1, 1, 6), 10),
        ("yellow", JANUARY, datetime(2019, 1, 1, 18), 20),
        ("yellow", JANUARY, datetime(2019, 1, 31, 6), 5),
        ("yellow", FEBRUARY, datetime(2019, 2, 14, 6), 7),
        ("green", JANUARY, datetime(2019, 1, 2, 0), 3),
    )
    insert(
        tables,
        "reports.revenue",
        ("yellow", JANUARY, 1, 30, "100.50"),
        ("yellow", JANUARY, 2, 5, "2000"),
        ("yellow", FEBRUARY, 99, 7, "70"),
        ("green", JANUARY, 2, 3, "30.25"),
    )
    insert(
        tables,
        "quality.rejects",
        ("again", "yellow", JANUARY, 7, "too few fields", "1,2"),
        ("again", "yellow", JANUARY, 9, "too few fields", "3"),
        ("green", "green", JANUARY, 2, "no pickup", "x"),
    )
    add_load(tables, "first", "LOADED", 0, outside=100)
    add_load(tables, "again", "LOADED", 1, outside=9)
    add_load(tables, "worse", "FAILED", 2)
    add_load(tables, "green", "LOADED", 3, taxi="green", outside=1)
    return tables


def insert(connection: psycopg.Connection, table: str, *rows: tuple[Any, ...]) -> None:
    places = ", ".join(["%s"] * len(rows[0]))
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} VALUES ({places})", rows)


def add_load(
    connection: psycopg.Connection,
    load_id: str,
    state: str,
    hour: int,
    *,
    taxi: str = "yellow",
    outside: int | None = None,
) -> None:
    connection.execute(
        """
        INSERT INTO quality.loads (
            load_id, batch, taxi, month, state, file_name, rows_read, rows_loaded, rows_rejected,
            rows_outside_month, started_at, finished_at
        ) VALUES (
            %(id)s, %(id)s, %(taxi)s, '2019-01-01', %(state)s, 'file', 44, 43, 1, %(outside)s,
            %(moment)s, %(moment)s + interval '2.5 seconds'
        )
        """,
        {
            "id": load_id,
            "taxi": taxi,
            "state": state,
            "outside": outside,
            # In a zone that is not the page's.
            "moment": datetime(2026, 1, 1, hour, tzinfo=timezone(timedelta(hours=-5))),
        },
    )


@pytest.fixture
def command(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> CommandLine:
    """The command line of a stack that is up, whose warehouse the database is."""
    command = CommandLine(tmp_path, monkeypatch, capfd)
    command.add_stack(resources=3)
    command.set(
        outputs={
            "postgresHost": database.server.host,
            "postgresPort": database.server.port,
            "warehouseDatabase": database.name,
            "readerUser": READER,
            "readerPassword": PASSWORD,
        }
    )
    return command


def test_what_the_page_shows_is_what_the_tables_hold(
    loaded: psycopg.Connection, database: Database
) -> None:
    with database.server.connect(database.name, READER, PASSWORD) as connection:
        warehouse = read_warehouse(connection)
    trips = {(row.taxi, row.day): row.trips for row in warehouse.days if row.trips}
    assert trips == {
        ("yellow", date(2019, 1, 1)): 30,
        ("yellow", date(2019, 1, 31)): 5,
        ("yellow", date(2019, 2, 14)): 7,
        ("green", date(2019, 1, 2)): 3,
    }
    # A day without trips is a day of a loaded month all the same.
    assert len(warehouse.days) == 31 + 28 + 31
    assert warehouse.hours == [Hour("green", 0, 3), Hour("yellow", 6, 22), Hour("yellow", 18, 20)]
    assert warehouse.months == [
        Month("green", JANUARY, 3, 30.25),
        Month("yellow", JANUARY, 35, 2100.5),
        Month("yellow", FEBRUARY, 7, 70.0),
    ]
    assert warehouse.zones == [
        Zone("Norwood", 2000.0, 30.25),
        Zone("JFK & <b>", 100.5, 0.0),
        Zone("Unknown", 70.0, 0.0),
    ]
    assert [load.load_id for load in warehouse.loads] == ["green", "worse", "again", "first"]
    assert {load.seconds for load in warehouse.loads} == {2.5}
    assert warehouse.has_zones
    # Not those of the file that was replaced.
    assert warehouse.trips_outside_month == 10
    assert warehouse.outside == [Outside("green", JANUARY, 1), Outside("yellow", JANUARY, 9)]
    assert warehouse.rejects == [
        Reject("yellow", "too few fields", 2),
        Reject("green", "no pickup", 1),
    ]


def test_what_the_page_shows_is_what_the_flow_loaded(warehouse: Warehouse) -> None:
    for taxi, month in (("yellow", "2019-01"), ("yellow", "2019-02"), ("green", "2019-01")):
        write_month(warehouse.folder, taxi, month, 10_000)
        warehouse.load(taxi, month)
    with warehouse.database.connect() as connection:
        shown = read_warehouse(connection)
    dated_within = "FROM trips.all_trips WHERE date_trunc('month', pickup_at) = month"
    assert [day._asdict() for day in shown.days if day.trips] == warehouse.rows(
        f"SELECT taxi, pickup_at::date AS day, count(*) AS trips {dated_within} "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert [hour._asdict() for hour in shown.hours] == warehouse.rows(
        f"SELECT taxi, extract(hour FROM pickup_at)::integer AS hour, count(*) AS trips "
        f"{dated_within} GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert [month._asdict() for month in shown.months] == warehouse.rows(
        "SELECT taxi, month, count(*) AS trips, sum(total_amount)::float8 AS revenue "
        "FROM trips.all_trips GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert 0 < shown.trips_outside_month == 30_000 - sum(day.trips for day in shown.days)
    assert [load.state for load in shown.loads] == ["LOADED"] * 3
    assert not shown.has_zones


def test_only_the_first_zones_and_the_last_loads_are_read(tables: psycopg.Connection) -> None:
    insert(tables, "trips.zones", *((zone, "", f"Zone {zone}", "") for zone in range(17)))
    insert(
        tables,
        "reports.revenue",
        *(("green", JANUARY, zone, 1, zone) for zone in range(17)),
    )
    for hour in range(22):
        add_load(tables, f"load {hour}", "LOADED", hour)
    warehouse = read_warehouse(tables)
    assert [row.zone for row in warehouse.zones] == [f"Zone {zone}" for zone in range(16, 1, -1)]
    assert [row.load_id for row in warehouse.loads] == [f"load {hour}" for hour in range(21, 1, -1)]


def test_page_is_written_where_it_is_said_and_twice_the_same(
    loaded: psycopg.Connection, command: CommandLine
) -> None:
    files = [command.folder / "new/folder/one.html", command.folder / "two.html"]
    for file in files:
        assert command.run("report", "--output", str(file)) == Ended(0, f"{file}\n", "")
    one, two = (file.read_bytes() for file in files)
    assert one == two
    page = one.decode()
    assert page.count("<svg ") == 5
    assert "JFK &amp; &lt;b&gt;" in page
    assert "<td>2026-01-01 05:00:00</td>" in page
    assert PASSWORD not in page


@pytest.mark.parametrize("state", ["without schemas", "without tables", "without rows"])
def test_warehouse_without_loads_is_named(
    request: pytest.FixtureRequest, database: Database, command: CommandLine, state: str
) -> None:
    if state == "without schemas":
        with database.connect() as connection:
            connection.execute(f"DROP SCHEMA {', '.join(WAREHOUSE_SCHEMAS)}")
    if state == "without rows":
        request.getfixturevalue("tables")
    assert command.run("report") == Ended(1, "", NOTHING_LOADED)


def test_page_is_made_where_all_loads_failed(
    tables: psycopg.Connection, command: CommandLine, tmp_path: Path
) -> None:
    add_load(tables, "worse", "FAILED", 0)
    assert command.run("report", "--output", str(tmp_path / "page")).code == 0
    assert "✗ FAILED" in (tmp_path / "page").read_text()


def test_role_that_may_not_read_is_named_with_the_fix(
    loaded: psycopg.Connection, command: CommandLine
) -> None:
    loaded.execute(f"REVOKE USAGE ON SCHEMA reports FROM {READER}")
    assert command.run("report") == Ended(
        1,
        "",
        "Error: The warehouse of stack dev is not readable (permission denied for schema "
        "reports): ./podium up\n",
    )


def test_file_that_cannot_be_written_is_named(
    loaded: psycopg.Connection, command: CommandLine, tmp_path: Path
) -> None:
    assert command.run("report", "--output", str(tmp_path)) == Ended(
        1,
        "",
        f"Error: {tmp_path} is not writable (Is a directory): name another file with --output\n",
    )
