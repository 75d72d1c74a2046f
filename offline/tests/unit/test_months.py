"""Generated months: the same for the same seed, with what real months have."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from offline.months import Dirt, Month, write_month
from tests.taxi_files import REAL_FOLDER, read_trips

_DRIVER_FIELDS = (
    "VendorID",
    "passenger_count",
    "RatecodeID",
    "store_and_fwd_flag",
    "payment_type",
)


@pytest.fixture(scope="module")
def july(tmp_path_factory: pytest.TempPathFactory) -> Month:
    """Ten thousand yellow trips of a month in which all kinds of odd rows occur."""
    return write_month(tmp_path_factory.mktemp("july"), "yellow", "2020-07", 10_000)


def _lines(month: Month) -> list[str]:
    content = month.path.read_bytes()
    text = gzip.decompress(content) if month.path.suffix == ".gz" else content
    return text.decode().splitlines()


@pytest.mark.parametrize("file_format", ["csv", "csv.gz", "parquet"])
def test_same_seed_is_the_same_file(tmp_path: Path, file_format: str) -> None:
    contents = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        # More rows than a thread takes at a time.
        month = write_month(folder, "green", "2021-09", 150_000, file_format=file_format)
        contents.append(month.path.read_bytes())
    assert contents[0] == contents[1]


def test_another_seed_is_another_file(tmp_path: Path, july: Month) -> None:
    other = write_month(tmp_path, "yellow", "2020-07", 10_000, seed=1)
    assert len(_lines(other)) == len(_lines(july))
    assert len(set(_lines(other)) & set(_lines(july))) == 1  # the header


def test_says_what_it_wrote(july: Month) -> None:
    trips = read_trips(july.path)
    assert july.rows == len(trips) == 10_000
    assert july.total_amount == sum(Decimal(trip["total_amount"]) for trip in trips)


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_formats_hold_the_same_trips(tmp_path: Path, july: Month, file_format: str) -> None:
    other = write_month(tmp_path, "yellow", "2020-07", 10_000, file_format=file_format)
    assert other.total_amount == july.total_amount
    with duckdb.connect() as connection:
        for one, two in ((july, other), (other, july)):
            left = connection.sql(f"FROM '{one.path}' EXCEPT ALL FROM '{two.path}'").fetchall()
            assert left == []


def test_amounts_add_up(july: Month) -> None:
    for trip in read_trips(july.path):
        amounts = [
            Decimal(value)
            for column, value in trip.items()
            if column.endswith(("_amount", "_tax", "_surcharge", "extra"))
        ]
        assert sum(amounts) == 2 * Decimal(trip["total_amount"])


@pytest.mark.parametrize(
    ("odd", "least", "most"),
    [
        ("lacking", 700, 800),  # 752 of the real 10,000
        ("negative", 7, 44),  # 7 to 44
        ("standing", 64, 334),  # 64 to 334
        ("outside", 1, 20),
        ("equal", 1, 20),
    ],
)
def test_odd_rows_in_proportion(july: Month, odd: str, least: int, most: int) -> None:
    trips = read_trips(july.path)
    counts = {
        "lacking": sum(all(not trip[field] for field in _DRIVER_FIELDS) for trip in trips),
        "negative": sum(trip["total_amount"].startswith("-") for trip in trips),
        "standing": sum(float(trip["trip_distance"]) == 0 for trip in trips),
        "outside": sum(not trip["tpep_pickup_datetime"].startswith("2020-07") for trip in trips),
        "equal": sum(count - 1 for count in Counter(_lines(july)).values()),
    }
    assert least <= counts[odd] <= most


def test_some_rows_are_dated_outside_by_years(july: Month) -> None:
    years = {trip["tpep_pickup_datetime"][:4] for trip in read_trips(july.path)}
    assert {"2009", "2020"} <= years


@pytest.mark.skipif(not REAL_FOLDER.exists(), reason="no real months here")
@pytest.mark.parametrize(("taxi", "month"), [("yellow", "2019-01"), ("green", "2019-01")])
def test_values_are_written_as_in_real_files(tmp_path: Path, taxi: str, month: str) -> None:
    written = write_month(tmp_path, taxi, month, 10_000)
    real, generated = read_trips(REAL_FOLDER / written.path.name), read_trips(written.path)
    assert list(generated[0]) == list(real[0])
    for column in real[0]:
        assert _notations(real, column) <= _notations(generated, column), column


def _notations(trips: list[dict[str, str]], column: str) -> set[str]:
    return {re.sub(r"-?\d+", "9", trip[column]) for trip in trips}


@pytest.mark.parametrize(
    ("taxi", "month", "last_columns"),
    [
        ("yellow", "2018-12", ["improvement_surcharge", "total_amount"]),
        ("yellow", "2019-01", ["total_amount", "congestion_surcharge"]),
        ("yellow", "2022-06", ["congestion_surcharge", "airport_fee"]),
        ("yellow", "2023-02", ["congestion_surcharge", "Airport_fee"]),
        ("yellow", "2025-01", ["Airport_fee", "cbd_congestion_fee"]),
        ("green", "2018-12", ["payment_type", "trip_type"]),
        ("green", "2025-01", ["congestion_surcharge", "cbd_congestion_fee"]),
    ],
)
def test_columns_of_the_time(
    tmp_path: Path, taxi: str, month: str, last_columns: list[str]
) -> None:
    written = write_month(tmp_path, taxi, month, 1)
    assert list(read_trips(written.path)[0])[-2:] == last_columns


@pytest.mark.parametrize(
    ("month", "written_as"), [("2020-07", "1"), ("2022-06", "1.0"), ("2023-02", "1")]
)
def test_integers_are_written_as_at_the_time(tmp_path: Path, month: str, written_as: str) -> None:
    trips = read_trips(write_month(tmp_path, "yellow", month, 100).path)
    assert written_as in {trip["passenger_count"] for trip in trips}


def test_dirty_lines_come_on_top_of_the_trips(tmp_path: Path, july: Month) -> None:
    dirt = Dirt(bad_numbers=2, bad_times=3, short_lines=4, long_lines=5)
    dirty = write_month(tmp_path, "yellow", "2020-07", 10_000, dirt=dirt)
    assert (dirty.rows, dirty.total_amount) == (july.rows, july.total_amount)
    added = Counter(_lines(dirty)) - Counter(_lines(july))
    assert Counter(_lines(july)) - Counter(_lines(dirty)) == Counter()
    assert sum("twelve" in line for line in added) == 2
    assert sum("2019-13-01" in line for line in added) == 3
    assert Counter(line.count(",") for line in added) == {17: 5, 16: 4, 18: 5}


@pytest.mark.parametrize("file_format", ["csv.gz", "parquet"])
def test_columns_are_left_out_and_added(tmp_path: Path, file_format: str) -> None:
    dirt = Dirt(missing_column="total_amount", unknown_column="colour")
    month = write_month(tmp_path, "green", "2020-07", 10, file_format=file_format, dirt=dirt)
    with duckdb.connect() as connection:
        columns = connection.sql(f"FROM '{month.path}'").columns
    assert "total_amount" not in columns
    assert columns[-1] == "colour"
