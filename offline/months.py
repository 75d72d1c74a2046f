"""Months of taxi trips as the TLC and the course publish them, generated from a seed.

`taxi-months FOLDER TAXI MONTH ROWS` writes one and prints what it holds as JSON.

Headers, number formats and the shares of odd rows are those counted in real files: 10,000 yellow
rows of 2019-01, 2019-02 and 2020-07 each and a few green ones; what is too rare for these to hold
any (trips outside the month, equal trips) is there often enough for 10,000 rows to hold some.
"""

import argparse
import gzip
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb

# From the first of these months on the TLC publishes parquet alone, until the second with integers
# that may be null as floating point numbers: a CSV file made of it says 1.0 for 1.
_PARQUET_ONLY, _INTEGERS_AGAIN = "2021-08", "2023-02"
# The columns of 2018 in their order; later ones, and since when, are below.
_COLUMNS = {
    "yellow": (
        "VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,"
        "RatecodeID,store_and_fwd_flag,PULocationID,DOLocationID,payment_type,fare_amount,extra,"
        "mta_tax,tip_amount,tolls_amount,improvement_surcharge,total_amount"
    ),
    "green": (
        "VendorID,lpep_pickup_datetime,lpep_dropoff_datetime,store_and_fwd_flag,RatecodeID,"
        "PULocationID,DOLocationID,passenger_count,trip_distance,fare_amount,extra,mta_tax,"
        "tip_amount,tolls_amount,ehail_fee,improvement_surcharge,total_amount,payment_type,"
        "trip_type"
    ),
}
_CONGESTION_SINCE, _AIRPORT_SINCE, _CBD_SINCE = "2019-01", "2021-01", "2025-01"
_INTEGERS = {"VendorID", "PULocationID", "DOLocationID"}
_NULLABLE_INTEGERS = {"passenger_count", "RatecodeID", "payment_type", "trip_type"}
_TEXTS = {"store_and_fwd_flag"}
# Distances and amounts are whole hundredths until they are written, so that sums are exact.
_TRIPS = """
CREATE MACRO draw(trip, what) AS hash(trip, what, getvariable('seed')) / 18446744073709551616;
CREATE MACRO below(bound, trip, what) AS floor(bound * draw(trip, what))::BIGINT;
CREATE MACRO pick(choices, trip, what) AS choices[1 + below(len(choices), trip, what)];
CREATE VIEW trips AS
WITH numbered AS (
  SELECT number, greatest(number - (draw(number, 'equal') < 0.001)::BIGINT, 0) AS trip
  FROM range(getvariable('rows')) AS numbers(number)
), drawn AS (
  SELECT
    *,
    draw(trip, 'lacking') < getvariable('lacking_share') AS lacking,
    CASE WHEN draw(trip, 'negative') < 0.002 THEN -1 ELSE 1 END AS sign,
    -- Files are about in the order of pickup.
    getvariable('first_day') + to_seconds(
      (getvariable('seconds') * trip // getvariable('rows') + below(3600, trip, 'late'))
      % getvariable('seconds')
    ) + to_days(
      CASE WHEN draw(trip, 'outside') < 0.0005
        THEN pick([-32, 32, -4018, 21915], trip, 'days') ELSE 0 END
    ) AS pickup_datetime,
    CASE WHEN draw(trip, 'distance') < 0.015 THEN 0
      ELSE 1 + floor(-290 * ln(1 - draw(trip, 'distance')))::BIGINT END AS trip_distance,
    pick([1, 1, 1, 2], trip, 'payment') AS payment
  FROM numbered
), amounts AS (
  SELECT
    *,
    CASE WHEN lacking THEN 250 + 5 * trip_distance + below(500, trip, 'fare')
      ELSE 250 + 50 * (trip_distance // 20 + below(10, trip, 'fare')) END AS fare,
    pick([0, 0, 50, 100, 250], trip, 'extra') AS extra,
    CASE WHEN payment = 1 AND draw(trip, 'tips') < 0.95
      THEN 100 + below(400, trip, 'tip') ELSE 0 END AS tip,
    CASE WHEN draw(trip, 'tolls') < 0.05 THEN 612 ELSE 0 END AS tolls,
    CASE WHEN getvariable('congestion') AND draw(trip, 'known') < getvariable('congestion_share')
      THEN pick([250, 250, 250, 250, 0], trip, 'congestion') END AS congestion,
    CASE WHEN getvariable('airport') THEN 125 * (draw(trip, 'airport') < 0.08)::BIGINT END
      AS airport,
    CASE WHEN getvariable('cbd') THEN 75 * (draw(trip, 'cbd') < 0.7)::BIGINT END AS cbd
  FROM drawn
)
SELECT
  number,
  pickup_datetime,
  pickup_datetime + to_seconds(60 + below(2400, trip, 'duration')) AS dropoff_datetime,
  CASE WHEN NOT lacking THEN pick([1, 2, 2], trip, 'vendor') END AS VendorID,
  CASE WHEN NOT lacking THEN pick([1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 0, 3, 5, 6], trip, 'people') END
    AS passenger_count,
  CASE WHEN lacking THEN NULL WHEN draw(trip, 'rate') < 0.97 THEN 1
    WHEN draw(trip, 'rate') < 0.9999 THEN 2 ELSE 99 END AS RatecodeID,
  CASE WHEN lacking THEN NULL WHEN draw(trip, 'flag') < 0.007 THEN 'Y' ELSE 'N' END
    AS store_and_fwd_flag,
  -- Some zones see many trips, most few.
  1 + floor(265 * draw(trip, 'from') ** 2)::BIGINT AS PULocationID,
  1 + floor(265 * draw(trip, 'to') ** 2)::BIGINT AS DOLocationID,
  CASE WHEN NOT lacking THEN payment END AS payment_type,
  CASE WHEN NOT lacking THEN 1 + (draw(trip, 'dispatched') < 0.03)::BIGINT END AS trip_type,
  trip_distance,
  sign * fare AS fare_amount,
  sign * extra AS extra,
  sign * 50 AS mta_tax,
  sign * tip AS tip_amount,
  sign * tolls AS tolls_amount,
  sign * 30 AS improvement_surcharge,
  sign * congestion AS congestion_surcharge,
  sign * airport AS airport_fee,
  sign * cbd AS cbd_congestion_fee,
  NULL::BIGINT AS ehail_fee,
  sign * (fare + extra + 50 + tip + tolls + 30
    + coalesce(congestion, 0) + coalesce(airport, 0) + coalesce(cbd, 0)) AS total_amount
FROM amounts;
"""


@dataclass(frozen=True)
class Dirt:
    """What no file should have.

    Its lines stand between the trips and are no trips: a file has as many trips with as without.

    Attributes:
        bad_numbers: how many lines have a word for their fare.
        bad_times: how many lines have a pickup in a thirteenth month.
        short_lines: how many lines lack their last field.
        long_lines: how many lines have a field more than the header.
        missing_column: a column that is left out, as the header calls it.
        unknown_column: a column that is added at the end.
    """

    bad_numbers: int = 0
    bad_times: int = 0
    short_lines: int = 0
    long_lines: int = 0
    missing_column: str | None = None
    unknown_column: str | None = None


CLEAN = Dirt()


@dataclass(frozen=True)
class Month:
    """One file, and what a load of it comes to.

    Attributes:
        path: the file.
        taxi: yellow or green.
        month: the month that the file is named after, YYYY-MM.
        rows: how many trips it has.
        total_amount: the sum of their total_amount, in dollars.
    """

    path: Path
    taxi: str
    month: str
    rows: int
    total_amount: Decimal


def write_month(
    folder: Path,
    taxi: str,
    month: str,
    rows: int,
    *,
    file_format: str = "csv.gz",
    seed: int = 0,
    dirt: Dirt = CLEAN,
) -> Month:
    """Writes a month of trips under the name that the course's file has.

    Args:
        folder: where the file goes.
        taxi: yellow or green.
        month: the month, YYYY-MM.
        rows: how many trips.
        file_format: csv, csv.gz or parquet: the same trips in each.
        seed: another number makes other trips.
        dirt: what no file should have; its lines are for csv and csv.gz alone.
    """
    path = folder / f"{taxi}_tripdata_{month}.{file_format}"
    first_day = date.fromisoformat(f"{month}-01")
    next_month = date(first_day.year + first_day.month // 12, first_day.month % 12 + 1, 1)
    variables = {
        "rows": rows,
        "seed": f"{seed} {taxi} {month}",
        "first_day": first_day,
        "seconds": (next_month - first_day).days * 86_400,
        "lacking_share": 0.075 if month >= "2020-01" else 0.0,
        "congestion": month >= _CONGESTION_SINCE,
        "congestion_share": 0.37 if month == _CONGESTION_SINCE else 1.0,
        "airport": taxi == "yellow" and month >= _AIRPORT_SINCE,
        "cbd": month >= _CBD_SINCE,
    }
    columns = _columns(taxi, month, file_format, dirt)
    fields = ", ".join(f'{expression} AS "{name}"' for name, expression in columns.items())
    options = "" if file_format == "parquet" else "(TIMESTAMPFORMAT '%Y-%m-%d %H:%M:%S')"
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        for name, value in variables.items():
            connection.execute(f"SET VARIABLE {name} = $1", [value])
        connection.execute(_TRIPS)
        connection.execute(
            f"COPY (SELECT {fields} FROM trips ORDER BY number) TO '{path}' {options}"
        )
        ((cents,),) = connection.execute("SELECT sum(total_amount)::BIGINT FROM trips").fetchall()
    _insert_lines(path, list(columns), dirt)
    return Month(path, taxi, month, rows, Decimal(cents) / 100)


def _columns(taxi: str, month: str, file_format: str, dirt: Dirt) -> dict[str, str]:
    """Returns the SQL of each column of a file by its name in the header."""
    names = _COLUMNS[taxi].split(",")
    if month >= _CONGESTION_SINCE:
        names.append("congestion_surcharge")
    if taxi == "yellow" and month >= _AIRPORT_SINCE:
        names.append("airport_fee" if month < _INTEGERS_AGAIN else "Airport_fee")
    if month >= _CBD_SINCE:
        names.append("cbd_congestion_fee")
    columns = {name: _expression(name, taxi, month, file_format) for name in names}
    if dirt.missing_column:
        del columns[dirt.missing_column]
    if dirt.unknown_column:
        columns[dirt.unknown_column] = "'?'"
    return columns


def _expression(name: str, taxi: str, month: str, file_format: str) -> str:
    of_parquet = file_format == "parquet" or month >= _PARQUET_ONLY
    if name.endswith("_datetime"):
        return name.split("_", 1)[1]
    if name in _NULLABLE_INTEGERS:
        return f"{name}::DOUBLE" if of_parquet and month < _INTEGERS_AGAIN else name
    if name in _INTEGERS:
        return name if month < _INTEGERS_AGAIN else f"{name}::INTEGER"
    if name in _TEXTS:
        return name
    # Green files say .86, 3 and 0.5 where yellow ones say 0.86, 3.0 and 0.5.
    if taxi == "yellow" or of_parquet:
        return f"{name} / 100"
    if name == "trip_distance":
        return f"ltrim(format('{{:.2f}}', {name} / 100), '0')"
    return f"regexp_replace(({name} / 100)::VARCHAR, '\\.0$', '')"


def _insert_lines(path: Path, header: list[str], dirt: Dirt) -> None:
    """Inserts the lines that no file should have, each a copy of a trip with one error."""

    def with_value(suffix: str, value: str) -> Callable[[list[str]], list[str]]:
        return lambda fields: [
            value if name.endswith(suffix) else field
            for name, field in zip(header, fields, strict=True)
        ]

    errors = (
        [with_value("fare_amount", "twelve")] * dirt.bad_numbers
        + [with_value("pickup_datetime", "2019-13-01 00:00:00")] * dirt.bad_times
        + [lambda fields: fields[:-1]] * dirt.short_lines
        + [lambda fields: [*fields, "0"]] * dirt.long_lines
    )
    if not errors:
        return
    content = path.read_bytes()
    is_gzip = path.suffix == ".gz"
    first, *trips = (gzip.decompress(content) if is_gzip else content).decode().splitlines()
    for number, error in reversed(list(enumerate(errors))):
        place = number * len(trips) // len(errors)
        trips.insert(place, ",".join(error(trips[place].split(","))))
    content = "\n".join([first, *trips, ""]).encode()
    path.write_bytes(gzip.compress(content, mtime=0) if is_gzip else content)


def main() -> int:
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(prog="taxi-months", description=__doc__)
    parser.add_argument("folder", type=_folder, help="where the file goes")
    parser.add_argument("taxi", choices=_COLUMNS)
    parser.add_argument("month", type=_month, help="YYYY-MM")
    parser.add_argument("rows", type=_count, help="how many trips")
    parser.add_argument("--format", choices=("csv", "csv.gz", "parquet"), default="csv.gz")
    parser.add_argument("--seed", type=int, default=0, help="another number makes other trips")
    for each in fields(Dirt):
        option = f"--{each.name.replace('_', '-')}"
        parser.add_argument(option, type=_count if each.default == 0 else str, default=each.default)
    arguments = vars(parser.parse_args())
    dirt = Dirt(**{each.name: arguments.pop(each.name) for each in fields(Dirt)})
    file_format = arguments.pop("format")
    written = write_month(**arguments, file_format=file_format, dirt=dirt)
    json.dump(vars(written), sys.stdout, default=str)
    return 0


def _folder(value: str) -> Path:
    if not Path(value).is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {value}")
    return Path(value)


def _month(value: str) -> str:
    if not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", value):
        raise argparse.ArgumentTypeError(f"{value} is no month: write YYYY-MM")
    return value


def _count(value: str) -> int:
    if not value.isdecimal():
        raise argparse.ArgumentTypeError(f"{value} is not a number of rows")
    return int(value)


if __name__ == "__main__":
    sys.exit(main())
