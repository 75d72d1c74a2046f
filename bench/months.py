"""Generated months of taxi trips, from `taxi-months` of the offline parts, which is on PATH."""

import json
import subprocess
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TypedDict


class Dirt(TypedDict, total=False):
    """What no file should have; `taxi-months --help` describes it."""

    bad_numbers: int
    bad_times: int
    short_lines: int
    long_lines: int
    missing_column: str
    unknown_column: str


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
    dirt: Dirt | None = None,
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

    Raises:
        subprocess.CalledProcessError: the arguments are wrong; standard error says which.
    """
    options = {"format": file_format, "seed": seed, **(dirt or {})}
    command = ["taxi-months", str(folder), taxi, month, str(rows)]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    written = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    content = json.loads(written)
    path, total_amount = Path(content["path"]), Decimal(content["total_amount"])
    return Month(path, taxi, month, rows, total_amount)
