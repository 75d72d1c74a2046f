"""What the page shows, as PostgreSQL sums it up."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, LiteralString, NamedTuple, TypeVar

import psycopg
from psycopg.rows import class_row, scalar_row

_Row = TypeVar("_Row")


class Day(NamedTuple):
    """The trips that began on a day; 0 on a day that a loaded month has none for."""

    taxi: str
    day: date
    trips: int


class Hour(NamedTuple):
    """The trips that began in an hour of the day, from 0 to 23, on all days together."""

    taxi: str
    hour: int
    trips: int


class Month(NamedTuple):
    """What the file of a month brought, in US dollars."""

    taxi: str
    month: date
    trips: int
    revenue: float


class Zone(NamedTuple):
    """The revenue of the trips that began in a zone, by taxi, in US dollars."""

    zone: str
    yellow: float
    green: float


class Outside(NamedTuple):
    """The trips of a month's file that are dated outside the month; never 0."""

    taxi: str
    month: date
    trips: int


class Reject(NamedTuple):
    """The lines of the files that are no trips, by the reason."""

    taxi: str
    reason: str
    lines: int


class Load(NamedTuple):
    """One execution of a load, by its id; what it did not get as far as is None."""

    load_id: str
    started_at: datetime
    taxi: str
    month: date
    state: str
    rows_read: int | None
    rows_loaded: int | None
    rows_rejected: int | None
    seconds: float | None


@dataclass(frozen=True)
class Warehouse:
    """What the page shows.

    Attributes:
        days: the trips of every day of the loaded months, by taxi and day.
        hours: the trips by taxi and hour of the day.
        months: the loaded months, by taxi and month.
        zones: the 15 zones with the highest revenue, the highest first.
        loads: the last 20 loads, the latest first.
        has_zones: whether the names of the zones are loaded.
        outside: the trips of the loaded months that days and hours leave out, by taxi and month.
        rejects: the 20 most frequent reasons of rejects, the most frequent first.
    """

    days: list[Day]
    hours: list[Hour]
    months: list[Month]
    zones: list[Zone]
    loads: list[Load]
    has_zones: bool
    outside: list[Outside]
    rejects: list[Reject]

    @property
    def trips_outside_month(self) -> int:
        """The trips dated outside the month of their file, of all loaded months."""
        return sum(row.trips for row in self.outside)


def read_warehouse(connection: psycopg.Connection) -> Warehouse:
    """Reads what the page shows, all of it as it was at one moment.

    Args:
        connection: the warehouse, as a role that may read it; no transaction has begun on it.

    Raises:
        psycopg.errors.UndefinedTable: nothing was ever loaded into this warehouse.
        psycopg.Error: the warehouse does not answer, or the role may not read it.
    """
    connection.read_only = True
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with connection.transaction():
        connection.execute("SET LOCAL TimeZone = 'UTC'")
        return Warehouse(
            days=_rows(
                connection,
                Day,
                """
                SELECT taxi, day::date, coalesce(trips, 0)::bigint AS trips
                FROM (SELECT DISTINCT taxi, month FROM reports.trips_per_hour) loaded
                CROSS JOIN generate_series(
                    month, month + interval '1 month' - interval '1 day', interval '1 day'
                ) day
                LEFT JOIN (
                    SELECT taxi, date_trunc('day', hour) AS day, sum(trips) AS trips
                    FROM reports.trips_per_hour GROUP BY 1, 2
                ) counted USING (taxi, day)
                ORDER BY taxi, day
                """,
            ),
            hours=_rows(
                connection,
                Hour,
                """
                SELECT taxi, extract(hour FROM hour)::integer AS hour, sum(trips)::bigint AS trips
                FROM reports.trips_per_hour GROUP BY 1, 2 ORDER BY 1, 2
                """,
            ),
            months=_rows(
                connection,
                Month,
                """
                SELECT taxi, month, sum(trips)::bigint AS trips,
                    coalesce(sum(revenue), 0)::float8 AS revenue
                FROM reports.monthly_revenue GROUP BY 1, 2 ORDER BY 1, 2
                """,
            ),
            zones=_rows(
                connection,
                Zone,
                """
                SELECT zone,
                    coalesce(sum(revenue) FILTER (WHERE taxi = 'yellow'), 0)::float8 AS yellow,
                    coalesce(sum(revenue) FILTER (WHERE taxi = 'green'), 0)::float8 AS green
                FROM reports.monthly_revenue
                GROUP BY 1 ORDER BY sum(revenue) DESC NULLS LAST, 1 LIMIT 15
                """,
            ),
            loads=_rows(
                connection,
                Load,
                """
                SELECT load_id, started_at, taxi, month, state,
                    rows_read, rows_loaded, rows_rejected,
                    extract(epoch FROM finished_at - started_at)::float8 AS seconds
                FROM quality.loads ORDER BY started_at DESC, load_id LIMIT 20
                """,
            ),
            has_zones=_value(connection, "SELECT EXISTS (SELECT FROM trips.zones)"),
            outside=_rows(
                connection,
                Outside,
                """
                SELECT taxi, month, trips
                FROM (
                    SELECT DISTINCT ON (taxi, month) taxi, month, rows_outside_month AS trips
                    FROM quality.loads WHERE state = 'LOADED'
                    ORDER BY taxi, month, finished_at DESC
                ) present
                WHERE trips > 0 ORDER BY taxi, month
                """,
            ),
            rejects=_rows(
                connection,
                Reject,
                """
                SELECT taxi, reason, count(*) AS lines
                FROM quality.rejects GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 20
                """,
            ),
        )


def _rows(connection: psycopg.Connection, row: type[_Row], query: LiteralString) -> list[_Row]:
    with connection.cursor(row_factory=class_row(row)) as cursor:
        return cursor.execute(query).fetchall()


def _value(connection: psycopg.Connection, query: LiteralString) -> Any:
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query).fetchone()
