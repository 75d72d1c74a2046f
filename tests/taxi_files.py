"""Months of taxi trips for tests: real ones where they are at hand, generated ones otherwise."""

import csv
import gzip
import shutil
from decimal import Decimal
from pathlib import Path

from bench.months import Month, write_month

# Real months under the names and headers of the course's files; they are no part of the project.
REAL_FOLDER = Path(__file__).parents[2] / "shared/data/taxi"
_MONTHS = (("yellow", "2019-01"), ("yellow", "2020-07"), ("green", "2019-01"))
_ROWS = 10_000


def provide_months(folder: Path) -> list[Month]:
    """Puts one file for each month into a folder and returns what they hold."""
    return [_provide(folder, taxi, month) for taxi, month in _MONTHS]


def _provide(folder: Path, taxi: str, month: str) -> Month:
    real = REAL_FOLDER / f"{taxi}_tripdata_{month}.csv.gz"
    if not real.exists():
        return write_month(folder, taxi, month, _ROWS)
    path = Path(shutil.copy(real, folder))
    amounts = [Decimal(trip["total_amount"]) for trip in read_trips(path)]
    return Month(path, taxi, month, len(amounts), sum(amounts, Decimal()))


def read_trips(path: Path) -> list[dict[str, str]]:
    """Returns the trips of a csv.gz file by the names in its header."""
    with gzip.open(path, "rt") as file:
        return list(csv.DictReader(file))
