"""Months of taxi trips for tests: real ones where they are at hand, generated ones otherwise."""

import csv
import gzip
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

# Real months under the names and headers of the course's files; they are no part of the project.
_REAL_FOLDER = Path(__file__).parents[2] / "shared/data/taxi"
_HEADERS = {
    "yellow": (
        "VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,"
        "RatecodeID,store_and_fwd_flag,PULocationID,DOLocationID,payment_type,fare_amount,extra,"
        "mta_tax,tip_amount,tolls_amount,improvement_surcharge,total_amount,congestion_surcharge"
    ),
    "green": (
        "VendorID,lpep_pickup_datetime,lpep_dropoff_datetime,store_and_fwd_flag,RatecodeID,"
        "PULocationID,DOLocationID,passenger_count,trip_distance,fare_amount,extra,mta_tax,"
        "tip_amount,tolls_amount,ehail_fee,improvement_surcharge,total_amount,payment_type,"
        "trip_type,congestion_surcharge"
    ),
}
_MONTHS = (("yellow", "2019-01"), ("yellow", "2020-07"), ("green", "2019-01"))
_ROWS = 10_000
# Some trips are equal to the one before them, and some lack what the driver did not enter.
_EQUAL_SHARE = 0.01
_EMPTY_SHARE = 0.02
_OFTEN_EMPTY = frozenset({"VendorID", "passenger_count", "RatecodeID", "payment_type"})


@dataclass(frozen=True)
class Month:
    """One file, and what a load of it must come to."""

    taxi: str
    month: str
    rows: int
    total_amount: Decimal


def provide_months(folder: Path) -> list[Month]:
    """Puts one file for each month into a folder and returns what they hold."""
    for taxi, month in _MONTHS:
        name = f"{taxi}_tripdata_{month}.csv.gz"
        if (_REAL_FOLDER / name).exists():
            shutil.copy(_REAL_FOLDER / name, folder)
        else:
            _generate(folder / name, taxi, month)
    return [
        _summary(folder / f"{taxi}_tripdata_{month}.csv.gz", taxi, month) for taxi, month in _MONTHS
    ]


def _summary(path: Path, taxi: str, month: str) -> Month:
    with gzip.open(path, "rt", newline="") as file:
        amounts = [Decimal(row["total_amount"]) for row in csv.DictReader(file)]
    return Month(taxi, month, len(amounts), sum(amounts, Decimal()))


def _generate(path: Path, taxi: str, month: str) -> None:
    columns = _HEADERS[taxi].split(",")
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(_trips(columns, month))


def _trips(columns: list[str], month: str) -> Iterator[list[str]]:
    rng = random.Random(month)
    first = datetime.fromisoformat(f"{month}-01")
    trip: list[str] = []
    for _ in range(_ROWS):
        if not trip or rng.random() > _EQUAL_SHARE:
            pickup = first + timedelta(seconds=rng.randrange(28 * 86_400))
            lacking = rng.random() < _EMPTY_SHARE
            trip = [
                "" if lacking and column in _OFTEN_EMPTY else _value(rng, column, pickup)
                for column in columns
            ]
        yield trip


def _value(rng: random.Random, column: str, pickup: datetime) -> str:
    if column.endswith("pickup_datetime"):
        return str(pickup)
    if column.endswith("dropoff_datetime"):
        return str(pickup + timedelta(seconds=rng.randrange(60, 3600)))
    if column == "store_and_fwd_flag":
        return rng.choice("NY")
    if column in ("PULocationID", "DOLocationID"):
        return str(rng.randint(1, 265))
    if column in (*_OFTEN_EMPTY, "trip_type"):
        return str(rng.randint(1, 2))
    if column == "ehail_fee":
        return ""
    return f"{rng.uniform(-5, 60):.2f}"
