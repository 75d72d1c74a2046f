"""Months of trips loaded by the flow taxi_load, beside a bare COPY and beside the course's way.

All on one server with the stack's settings, but without fsync. A load is an execution of the flow
on a Kestra server, from its start to its end: the file is downloaded, and the published month has
its indexes, reports and quality row. The bare COPY takes the same trips, from csv, into an unlogged
table of the same types without an index. The course's way is in `course.py`.
"""

import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Thread
from time import perf_counter
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bench import course
from bench.comparison import Ratios, aim, seconds
from bench.kestra import Kestra, jdbc_url, running_kestra
from bench.months import Month, write_month
from bench.postgres import copy_file, running_postgres
from bench.project import PROJECT_FOLDER
from infra.databases import WAREHOUSE_SCHEMAS
from infra.postgres import SERVER_SETTINGS

_SIZES = (10_000, 1_000_000, 5_000_000)
_OTHER_MONTHS = 11
_TAXI, _MONTHS = "yellow", ("2020-05", "2020-06", "2020-07")
_NAMESPACE = PROJECT_FOLDER / "flows/zoomcamp"
_TABLE = "trips.yellow"
_TITLES = ("", "seconds", "trips/s", "of bare COPY", "of the course's way", "again", "memory")


@dataclass(frozen=True)
class _Load:
    """What a load took.

    Attributes:
        seconds: from the start of the execution to its end.
        peak_memory: the most memory that the server held meanwhile, in bytes.
        steps: the seconds of each step that quality.loads has, by its name; None if it had no part.
    """

    seconds: float
    peak_memory: int
    steps: dict[str, float | None]


@dataclass(frozen=True)
class _Warehouse:
    """The target of the loads.

    Attributes:
        database: how psycopg connects.
        kestra: the server that has the flow.
    """

    database: str
    kestra: Kestra

    def load(self, month: Month) -> _Load:
        """Loads a month by the flow.

        Raises:
            RuntimeError: the execution failed, or not all trips were loaded.
        """
        self.kestra.reset_peak_memory()
        begin = perf_counter()
        execution = self.kestra.run(
            "zoomcamp/taxi_load",
            taxi=month.taxi,
            month=month.month,
            format=month.path.name.split(".", 1)[1],
        )
        passed = perf_counter() - begin
        found = self._row(f"SELECT count(*), sum(total_amount) FROM {_partition(month)}")
        if found != (month.rows, month.total_amount):
            raise RuntimeError(f"{month.path.name} came to {found}, not to {month}")
        steps = ("read", "copy", "publish")
        columns = ", ".join(f"{step}_seconds" for step in steps)
        row = self._row(f"SELECT {columns} FROM quality.loads WHERE load_id = '{execution['id']}'")
        return _Load(passed, self.kestra.peak_memory(), dict(zip(steps, row, strict=True)))

    def unload(self, month: Month) -> None:
        """Deletes a month and the rows about its loads."""
        self.execute(f"DROP TABLE {_partition(month)}; DELETE FROM quality.loads")

    def fill(self, month: Month) -> None:
        """Loads a month and makes as many trips in eleven others of it."""
        self.load(month)
        columns, _ = self._row(
            "SELECT string_agg(attname, ', '), count(*) FROM pg_attribute"
            f" WHERE attrelid = '{_TABLE}'::regclass AND attnum > 0 AND attname <> 'month'"
        )
        for number in range(1, _OTHER_MONTHS + 1):
            partition, day = f"{_TABLE}_2019_{number:02}", f"'2019-{number:02}-01'"
            self.execute(
                f"CREATE TABLE {partition} (LIKE {_TABLE});"
                f"INSERT INTO {partition} (month, {columns})"
                f" SELECT {day}, {columns} FROM {_partition(month)};"
                f"ALTER TABLE {_TABLE} ATTACH PARTITION {partition} FOR VALUES IN ({day})"
            )
        self.unload(month)
        course.load(self.database, month.path)
        course.multiply(self.database, _OTHER_MONTHS)
        course.unload(self.database, month.path)
        self.execute("VACUUM ANALYZE")

    def copy(self, month: Month) -> float:
        """Returns the seconds of the bare COPY."""
        with (_NAMESPACE / f"files/columns/{month.taxi}.csv").open() as file:
            types = {column["header"]: column["type"] for column in csv.DictReader(file)}
        with month.path.open() as file:
            header = file.readline().strip().split(",")
        columns = ", ".join(f"{name} {types[name]}" for name in header)
        self.execute(f"DROP TABLE IF EXISTS bare; CREATE UNLOGGED TABLE bare ({columns})")
        statement = "COPY bare FROM STDIN (FORMAT CSV, HEADER)"
        return seconds(lambda: copy_file(self.database, statement, month.path))

    def execute(self, script: str) -> None:
        """Runs SQL."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute(script.encode())

    def _row(self, query: str) -> tuple[Any, ...]:
        with psycopg.connect(self.database) as connection:
            (row,) = connection.execute(query.encode())
        return row


@dataclass
class _Case:
    """One file into one target, and what each round of it took.

    Attributes:
        title: which.
        warehouse: the target.
        month: the file.
        plain: the file as csv.
        loads: the loads.
        reloads: the loads of the same file that followed.
        copies: the seconds of the bare COPY.
        courses: the seconds of the course's way.
    """

    title: str
    warehouse: _Warehouse
    month: Month
    plain: Month
    loads: list[_Load] = field(default_factory=list)
    reloads: list[_Load] = field(default_factory=list)
    copies: list[float] = field(default_factory=list)
    courses: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Does each once and leaves the target as it was.

        Raises:
            RuntimeError: a load failed, or not all trips were loaded.
        """
        database = self.warehouse.database
        self.loads.append(self.warehouse.load(self.month))
        self.reloads.append(self.warehouse.load(self.month))
        self.warehouse.unload(self.month)
        self.copies.append(self.warehouse.copy(self.plain))
        self.courses.append(seconds(lambda: course.load(database, self.plain.path)))
        course.unload(database, self.plain.path)

    @property
    def seconds(self) -> list[float]:
        """The seconds of each load."""
        return [each.seconds for each in self.loads]

    def of_copy(self) -> Ratios:
        """Returns the seconds of a load over those of the bare COPY."""
        return Ratios(self.seconds, self.copies)

    def of_course(self) -> Ratios:
        """Returns the seconds of a load over those of the course's way."""
        return Ratios(self.seconds, self.courses)

    def again(self) -> Ratios:
        """Returns the seconds of the load that followed over those of the first."""
        return Ratios([each.seconds for each in self.reloads], self.seconds)

    def __str__(self) -> str:
        """Returns the line of the table."""
        middle = median(self.seconds)
        memory = max(each.peak_memory for each in self.loads)
        return _line(
            self.title,
            f"{middle:.2f}",
            f"{self.month.rows / middle:,.0f}",
            str(self.of_copy()),
            str(self.of_course()),
            f"{self.again().median:.1%}",
            f"{memory / 1e6:.0f} MB",
        )


def compare(rounds: int, sizes: Sequence[int] = _SIZES) -> Iterator[object]:
    """Measures by turns and yields what there is to print: a table, and what was aimed at.

    Args:
        rounds: how often each is measured.
        sizes: three numbers of trips; with the second also a csv.gz file and a target that holds
            eleven months are measured.

    Raises:
        RuntimeError: a load failed, or not all trips were loaded.
        psycopg.Error: PostgreSQL refused something.
    """
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(TemporaryDirectory(prefix="podium-bench-")))
        server = cleanup.enter_context(running_postgres(**SERVER_SETTINGS, fsync="off"))
        warehouse = cleanup.enter_context(_warehouse(server, folder))
        small, middle, large = (
            write_month(folder, _TAXI, month, rows, file_format="csv")
            for month, rows in zip(_MONTHS, sizes, strict=True)
        )
        packed = write_month(folder, _TAXI, middle.month, middle.rows)
        cases = [
            _Case(_title(small), warehouse, small, small),
            one := _Case(_title(middle), warehouse, middle, middle),
            again := _Case(f"{_title(middle)}, csv.gz", warehouse, packed, middle),
            most := _Case(_title(large), warehouse, large, large),
        ]
        twelfth = _Case(f"{_title(middle)}, 11 months there", warehouse, middle, middle)
        _measure(cases, rounds)
        warehouse.fill(middle)
        _measure([twelfth], rounds)
    yield _line(*_TITLES)
    yield from (*cases, twelfth)
    yield _steps(one)
    yield "\nAims"
    growth = Ratios(
        [each / most.month.rows for each in most.seconds],
        [each / one.month.rows for each in one.seconds],
    )
    for words, ratios, limit in (
        (f"{one.title}, of bare COPY", one.of_copy(), 1.8),
        (f"{most.title}, of bare COPY", most.of_copy(), 1.8),
        (f"{one.title}, of the course's way", one.of_course(), 1 / 1.5),
        (f"{most.title}, of the course's way", most.of_course(), 1 / 1.5),
        (f"{twelfth.title}, of the course's way", twelfth.of_course(), 1 / 2),
        (f"{again.title}, again, of the first load", again.again(), 0.05),
        (f"{most.title}, seconds per trip, of {one.title}", growth, 1.2),
    ):
        yield aim(words, ratios.median, limit)


def _measure(cases: Sequence[_Case], rounds: int) -> None:
    for number in range(1, rounds + 1):
        print(f"Round {number} of {rounds}", flush=True)
        for case in cases:
            case.measure()


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """Serves the files of a folder and yields the URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=folder)) as server:
        Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@contextmanager
def _warehouse(server: str, folder: Path) -> Iterator[_Warehouse]:
    """Creates a warehouse whose flows find their files in a folder."""
    database = make_conninfo(server, dbname="warehouse")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE warehouse")
    login = conninfo_to_dict(database)
    flow_secrets = {
        "WAREHOUSE_USERNAME": str(login["user"]),
        "WAREHOUSE_PASSWORD": str(login["password"]),
    }
    with (
        _served(folder) as source,
        running_kestra(
            server, {"source": source, "warehouse": jdbc_url(database)}, flow_secrets
        ) as kestra,
    ):
        kestra.register(_NAMESPACE)
        warehouse = _Warehouse(database, kestra)
        for schema in WAREHOUSE_SCHEMAS:
            warehouse.execute(f"CREATE SCHEMA {schema}")
        course.create(database)
        yield warehouse


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Leaves the terminal to the table."""


def _partition(month: Month) -> str:
    return f"{_TABLE}_{month.month.replace('-', '_')}"


def _steps(case: _Case) -> str:
    """Returns a line that shows where the time goes."""
    parts = (
        f"{step} {median(each.steps[step] or 0 for each in case.loads):.2f} s"
        for step in case.loads[0].steps
    )
    return f"  {case.title} by step: {', '.join(parts)}"


def _title(month: Month) -> str:
    return f"{month.rows:,} trips"


def _line(*cells: str) -> str:
    title, *others = cells
    widths = (8, 10, 24, 24, 8, 9)
    return f"  {title:34}" + "".join(
        f"{cell:>{width}}" for cell, width in zip(others, widths, strict=True)
    )
