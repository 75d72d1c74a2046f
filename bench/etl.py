"""Months of trips loaded by the flow taxi_load, beside a bare COPY and beside the course's way.

All on one server with the stack's settings, but without fsync. A load goes from the file to the
published month with its indexes, reports and quality row. The bare COPY takes the same trips, from
csv, into an unlogged table of the same types without an index. The course's way is in `course.py`.
"""

import csv
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import ParamSpec, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo

from bench import course
from bench.comparison import Ratios, aim, seconds
from bench.postgres import running_postgres
from bench.project import PROJECT_FOLDER
from bench.taxi_load import Load, copy_file, load
from infra.databases import WAREHOUSE_SCHEMAS
from infra.postgres import SERVER_SETTINGS
from offline.months import Month, write_month

_SIZES = (10_000, 1_000_000, 5_000_000)
_OTHER_MONTHS = 11
_TAXI, _MONTH = "yellow", "2020-07"
_TABLE, _PARTITION = "trips.yellow", "trips.yellow_2020_07"
_TITLES = ("", "seconds", "trips/s", "of bare COPY", "of the course's way", "again", "memory")

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@dataclass
class _Case:
    """One file into one target, and what each round of it took.

    Attributes:
        title: which.
        database: the target.
        month: the file.
        plain: the file as csv.
        loads: the loads.
        reloads: the loads of the same file that followed.
        copies: the seconds of the bare COPY.
        courses: the seconds of the course's way.
    """

    title: str
    database: str
    month: Month
    plain: Month
    loads: list[Load] = field(default_factory=list)
    reloads: list[Load] = field(default_factory=list)
    copies: list[float] = field(default_factory=list)
    courses: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Does each once and leaves the target as it was.

        Raises:
            RuntimeError: not all trips were loaded.
        """
        self.loads.append(_load(self.database, self.month))
        self.reloads.append(_load(self.database, self.month))
        _unload(self.database)
        self.copies.append(_copy(self.database, self.plain))
        self.courses.append(seconds(lambda: course.load(self.database, self.plain.path)))
        course.unload(self.database, self.plain.path)

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
        RuntimeError: not all trips were loaded.
        psycopg.Error: PostgreSQL refused something.
    """
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(TemporaryDirectory(prefix="podium-bench-")))
        server = cleanup.enter_context(running_postgres(**SERVER_SETTINGS, fsync="off"))
        empty, filled = (_target(server, name) for name in ("empty", "filled"))
        small, middle, large = (_write(folder / str(size), size, "csv") for size in sizes)
        packed = _write(folder / "packed", middle.rows, "csv.gz")
        _fill(filled, middle)
        cases = [
            _Case(_title(small), empty, small, small),
            one := _Case(_title(middle), empty, middle, middle),
            again := _Case(f"{_title(middle)}, csv.gz", empty, packed, middle),
            twelfth := _Case(f"{_title(middle)}, 11 months there", filled, middle, middle),
            most := _Case(_title(large), empty, large, large),
        ]
        for number in range(1, rounds + 1):
            print(f"Round {number} of {rounds}", flush=True)
            for case in cases:
                case.measure()
    yield _line(*_TITLES)
    yield from cases
    yield _tasks(one)
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


def _target(server: str, name: str) -> str:
    """Creates a database with the schemas of the warehouse and the tables of the course."""
    database = make_conninfo(server, dbname=name)
    _execute(server, f"CREATE DATABASE {name}")
    for schema in WAREHOUSE_SCHEMAS:
        _execute(database, f"CREATE SCHEMA {schema}")
    course.create(database)
    return database


def _write(folder: Path, rows: int, file_format: str) -> Month:
    folder.mkdir()
    return _apart(write_month, folder, _TAXI, _MONTH, rows, file_format=file_format)


def _load(database: str, month: Month) -> Load:
    result = _apart(
        load,
        database,
        month.path.parent,
        taxi=month.taxi,
        month=month.month,
        format=month.path.name.split(".", 1)[1],
    )
    with psycopg.connect(database) as connection:
        found = connection.execute(f"SELECT count(*), sum(total_amount) FROM {_PARTITION}")
        if (loaded := found.fetchone()) != (month.rows, month.total_amount):
            raise RuntimeError(f"{month.path.name} came to {loaded}, not to {month}")
    return result


def _unload(database: str) -> None:
    _execute(database, f"DROP TABLE {_PARTITION}; DELETE FROM quality.loads")


def _fill(database: str, month: Month) -> None:
    """Loads a month and makes as many trips in eleven others of it."""
    _load(database, month)
    with psycopg.connect(database, autocommit=True) as connection:
        names = connection.execute(
            "SELECT attname FROM pg_attribute"
            f" WHERE attrelid = '{_TABLE}'::regclass AND attnum > 0 AND attname <> 'month'"
        )
        columns = ", ".join(name for (name,) in names)
    for number in range(1, _OTHER_MONTHS + 1):
        partition, day = f"{_TABLE}_2019_{number:02}", f"'2019-{number:02}-01'"
        _execute(
            database,
            f"CREATE TABLE {partition} (LIKE {_TABLE});"
            f"INSERT INTO {partition} (month, {columns})"
            f" SELECT {day}, {columns} FROM {_PARTITION};"
            f"ALTER TABLE {_TABLE} ATTACH PARTITION {partition} FOR VALUES IN ({day})",
        )
    _unload(database)
    course.load(database, month.path)
    course.multiply(database, _OTHER_MONTHS)
    course.unload(database, month.path)
    _execute(database, "VACUUM ANALYZE")


def _copy(database: str, month: Month) -> float:
    """Returns the seconds of the bare COPY."""
    with (PROJECT_FOLDER / f"flows/zoomcamp/files/columns/{month.taxi}.csv").open() as file:
        types = {column["header"]: column["type"] for column in csv.DictReader(file)}
    with month.path.open() as file:
        header = file.readline().strip().split(",")
    columns = ", ".join(f"{name} {types[name]}" for name in header)
    _execute(database, f"DROP TABLE IF EXISTS bare; CREATE UNLOGGED TABLE bare ({columns})")
    return seconds(
        lambda: copy_file(database, "COPY bare FROM STDIN (FORMAT CSV, HEADER)", month.path)
    )


def _execute(database: str, script: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(script.encode())


def _apart(
    function: Callable[_Arguments, _Result],
    *arguments: _Arguments.args,
    **keywords: _Arguments.kwargs,
) -> _Result:
    """Calls a function in a process of its own, whose memory is its alone."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **keywords).result()


def _tasks(case: _Case) -> str:
    """Returns a line that tells where the time goes."""
    tasks = {
        name: median(each.task_seconds[name] for each in case.loads)
        for name in case.loads[0].task_seconds
    }
    parts = (f"{name} {part:.2f} s" for name, part in tasks.items() if part >= 0.05)
    return f"  {case.title} by task: {', '.join(parts)}"


def _title(month: Month) -> str:
    return f"{month.rows:,} trips"


def _line(*cells: str) -> str:
    title, *others = cells
    widths = (8, 10, 24, 24, 8, 9)
    return f"  {title:34}" + "".join(
        f"{cell:>{width}}" for cell, width in zip(others, widths, strict=True)
    )
