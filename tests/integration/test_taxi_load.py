"""Loads of taxi months: what the warehouse holds afterwards, whatever the file is like."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bench.months import Dirt, Month, write_month
from tests.integration.conftest import HEADER, TRIP, Warehouse
from tests.kestra.servers import ROOT
from tests.taxi_files import REAL_FOLDER

COLUMNS = {
    taxi: list(
        csv.DictReader((ROOT / f"flows/zoomcamp/files/columns/{taxi}.csv").read_text().splitlines())
    )
    for taxi in ("yellow", "green")
}
CONVERT: dict[str, Callable[[str], Any]] = {
    "integer": lambda text: int(Decimal(text)),
    "numeric": Decimal,
    "timestamp": datetime.fromisoformat,
    "text": str,
}


def lines_of(path: Path) -> list[str]:
    """The lines of a file, header first."""
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode().splitlines()


def write_lines(warehouse: Warehouse, *lines: str, month: str = "2019-01") -> Path:
    """Writes a file of yellow trips line by line."""
    path = warehouse.folder / f"yellow_tripdata_{month}.csv.gz"
    path.write_bytes(gzip.compress("\n".join([*lines, ""]).encode()))
    return path


def expected(path: Path, taxi: str) -> list[dict[str, Any]]:
    """The trips of a file as the warehouse has to hold them, converted by Python alone."""
    header, *lines = csv.reader(lines_of(path))
    places = {name.lower(): place for place, name in enumerate(header)}
    trips = []
    for number, fields in enumerate(lines, start=2):
        trip: dict[str, Any] = {"line": number}
        for column in COLUMNS[taxi]:
            place = places.get(column["header"].lower())
            text = fields[place] if place is not None else ""
            trip[column["column"]] = CONVERT[column["type"]](text) if text else None
        trips.append(trip)
    return trips


def loaded(warehouse: Warehouse, taxi: str, month: str) -> list[dict[str, Any]]:
    """The trips of a month in the warehouse, without its name."""
    columns = ", ".join(column["column"] for column in COLUMNS[taxi])
    return warehouse.rows(
        f"SELECT line, {columns} FROM trips.{taxi} WHERE month = '{month}-01' ORDER BY line"
    )


# --- files as they come ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taxi", "month"),
    [("yellow", "2019-01"), ("yellow", "2019-02"), ("yellow", "2020-07")]
    + [("green", f"2019-0{number}") for number in (1, 2, 3)],
)
def test_a_month_of_the_course(warehouse: Warehouse, taxi: str, month: str) -> None:
    name = f"{taxi}_tripdata_{month}.csv.gz"
    if (REAL_FOLDER / name).exists():
        shutil.copy(REAL_FOLDER / name, warehouse.folder)
    else:
        write_month(warehouse.folder, taxi, month, 10_000)
    load = warehouse.load(taxi, month)
    trips = expected(warehouse.folder / name, taxi)
    assert load["rows_read"] == load["rows_loaded"] == len(trips)
    assert load["total_amount"] == sum(trip["total_amount"] for trip in trips)
    assert loaded(warehouse, taxi, month) == trips


@pytest.mark.parametrize(
    ("taxi", "month"),
    [
        ("yellow", "2018-06"),  # no congestion_surcharge yet
        ("yellow", "2021-03"),  # airport_fee
        ("yellow", "2022-05"),  # integers written as 1.0
        ("yellow", "2024-01"),  # Airport_fee
        ("yellow", "2025-02"),  # cbd_congestion_fee
        ("green", "2018-06"),
        ("green", "2022-05"),
        ("green", "2025-02"),
    ],
)
@pytest.mark.parametrize("file_format", ["csv.gz", "csv", "parquet"])
def test_a_month_of_any_year_and_format(
    warehouse: Warehouse, taxi: str, month: str, file_format: str
) -> None:
    written = write_month(warehouse.folder, taxi, month, 500, file_format=file_format)
    load = warehouse.load(taxi, month, format=file_format)
    assert load["file_name"] == written.path.name
    assert load["rows_loaded"] == 500
    assert load["total_amount"] == written.total_amount
    if file_format == "parquet":
        # The same trips as text, whose first line is a header.
        text = write_month(warehouse.folder, taxi, month, 500, file_format="csv")
        trips = expected(text.path, taxi)
        assert [{**trip, "line": trip["line"] + 1} for trip in loaded(warehouse, taxi, month)] == (
            trips
        )
    else:
        assert loaded(warehouse, taxi, month) == expected(written.path, taxi)


@pytest.mark.parametrize(
    ("case", "change"),
    [
        ("case", lambda lines: [lines[0].upper(), *lines[1:]]),
        ("spaces", lambda lines: [lines[0].replace(",", " , "), *lines[1:]]),
        ("quotes", lambda lines: [",".join(f'"{x}"' for x in line.split(",")) for line in lines]),
        ("carriage returns", lambda lines: [f"{line}\r" for line in lines]),
        ("blank lines at the end", lambda lines: [*lines, "", ""]),
        (
            "another order",
            lambda lines: [",".join(reversed(line.split(","))) for line in lines],
        ),
    ],
)
def test_the_form_of_a_file_does_not_matter(warehouse: Warehouse, case: str, change: Any) -> None:
    written = write_month(warehouse.folder, "yellow", "2019-01", 50)
    trips = expected(written.path, "yellow")
    write_lines(warehouse, *change(lines_of(written.path)))
    assert warehouse.load("yellow", "2019-01")["rows_read"] == 50, case
    assert loaded(warehouse, "yellow", "2019-01") == trips


def test_a_text_may_hold_commas_and_quotes(warehouse: Warehouse) -> None:
    odd = TRIP.replace(",N,", ',"a ""b"", c",')
    # The second has an integer to rewrite, which the first has not.
    write_lines(warehouse, HEADER, odd, odd.replace(",151,", ",151.0,"))
    warehouse.load("yellow", "2019-01")
    assert [trip["store_and_fwd_flag"] for trip in loaded(warehouse, "yellow", "2019-01")] == (
        ['a "b", c'] * 2
    )


def test_a_leap_day_is_a_day(warehouse: Warehouse) -> None:
    days = ["2020-02-28", "2020-02-29", "2020-03-01"]
    write_lines(warehouse, HEADER, *(TRIP.replace("2019-01-15", day) for day in days))
    warehouse.load("yellow", "2019-01")
    trips = loaded(warehouse, "yellow", "2019-01")
    assert [f"{trip['pickup_at']:%Y-%m-%d}" for trip in trips] == days


def test_numbers_keep_their_digits(warehouse: Warehouse) -> None:
    amounts = ["0.10", "-.5", "1234567890123456789.01", "1e2", "+3"]
    write_lines(warehouse, HEADER, *(TRIP.replace(",12.8,", f",{amount},") for amount in amounts))
    warehouse.load("yellow", "2019-01")
    assert [trip["total_amount"] for trip in loaded(warehouse, "yellow", "2019-01")] == [
        Decimal(amount) for amount in amounts
    ]


# --- inputs that are refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"taxi": "blue", "month": "2019-01"}, "it must match the values `[yellow, green]`"),
        ({"taxi": "yellow", "month": "2019-13"}, "it must match the pattern"),
        ({"taxi": "yellow"}, "Missing required input"),
    ],
)
def test_wrong_inputs_are_refused(
    warehouse: Warehouse, inputs: dict[str, str], message: str
) -> None:
    assert message in warehouse.kestra.refusal("taxi_load", **inputs)


# --- files that are refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dirt", "message"),
    [
        (Dirt(missing_column="PULocationID"), 'missing column "PULocationID"'),
        (Dirt(unknown_column="Mood"), 'unknown column "Mood"'),
        (
            Dirt(missing_column="total_amount", unknown_column="Total"),
            'unknown column "Total"; missing column "total_amount"',
        ),
    ],
)
@pytest.mark.parametrize("file_format", ["csv.gz", "parquet"])
def test_a_file_with_other_columns_is_refused(
    warehouse: Warehouse, dirt: Dirt, message: str, file_format: str
) -> None:
    write_month(warehouse.folder, "yellow", "2019-01", 100)
    warehouse.load("yellow", "2019-01")
    before = warehouse.content()
    bad = write_month(warehouse.folder, "yellow", "2019-01", 99, file_format=file_format, dirt=dirt)
    errors = warehouse.load_fails("yellow", "2019-01", format=file_format)
    assert f"{bad.path.name}: {message}" in errors
    assert "columns/yellow.csv" in errors
    assert warehouse.content() == before
    assert warehouse.rows("SELECT state FROM quality.loads ORDER BY started_at") == [
        {"state": "LOADED"},
        {"state": "FAILED"},
    ]
    assert tables(warehouse, "staging") == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEADER], "there is no trip in it"),
        (["<html><body>Not found</body></html>"], "unknown column"),
        ([f"{HEADER},{HEADER}", f"{TRIP},{TRIP}"], 'column "VendorID" twice'),
    ],
)
def test_a_file_that_is_no_month_is_refused(
    warehouse: Warehouse, lines: list[str], message: str
) -> None:
    write_lines(warehouse, *lines)
    assert message in warehouse.load_fails("yellow", "2019-01")
    assert warehouse.value("SELECT count(*) FROM trips.yellow") == 0


def test_a_file_that_is_not_there(warehouse: Warehouse) -> None:
    assert "response code '404'" in warehouse.load_fails("yellow", "2019-01")
    (load,) = warehouse.rows("SELECT * FROM quality.loads")
    assert (load["state"], load["file_name"]) == ("FAILED", "yellow_tripdata_2019-01.csv.gz")
    assert load["finished_at"] >= load["started_at"]


# --- lines that are no trips ----------------------------------------------------------------------


def test_lines_that_are_no_trips_are_kept_with_their_reason(warehouse: Warehouse) -> None:
    fields = TRIP.split(",")
    bad = {
        'fare_amount "twelve" is no numeric': TRIP.replace(",10,", ",twelve,"),
        'fare_amount "NaN" is no numeric': TRIP.replace(",10,", ",NaN,"),
        'fare_amount "1_0" is no numeric': TRIP.replace(",10,", ",1_0,"),
        'VendorID "1.5" is no integer': "1.5" + TRIP[1:],
        'PULocationID "99999999999" is no integer': TRIP.replace(",151,", ",99999999999,"),
        'tpep_pickup_datetime "2019-13-01 00:00:00" is no timestamp': TRIP.replace(
            "2019-01-15 08:00:00", "2019-13-01 00:00:00"
        ),
        'tpep_pickup_datetime "0000-01-15 08:00:00" is no timestamp': TRIP.replace(
            "2019", "0000", 1
        ),
        'tpep_pickup_datetime "2019-02-29 08:00:00" is no timestamp': TRIP.replace(
            "2019-01-15 08:00:00", "2019-02-29 08:00:00"
        ),
        'tpep_pickup_datetime "infinity" is no timestamp': TRIP.replace(
            "2019-01-15 08:00:00", "infinity"
        ),
        "tpep_dropoff_datetime is empty": TRIP.replace("2019-01-15 08:20:00", ""),
        "total_amount is empty": TRIP.replace(",12.8,", ",,"),
        "17 fields instead of 18": ",".join(fields[:-1]),
        "19 fields instead of 18": f"{TRIP},",
        "1 fields instead of 18": "Total: 1000 trips",
    }
    lines = [TRIP] * 2000
    for number, line in enumerate(bad.values()):
        lines.insert(100 * number, line)
    write_lines(warehouse, HEADER, *lines)
    load = warehouse.load("yellow", "2019-01")
    assert (load["rows_read"], load["rows_loaded"], load["rows_rejected"]) == (2014, 2000, 14)
    assert warehouse.rows("SELECT * FROM quality.rejects ORDER BY line") == [
        {
            "load_id": load["load_id"],
            "taxi": "yellow",
            "month": date(2019, 1, 1),
            "line": 2 + 100 * number,
            "reason": reason,
            "raw": line,
        }
        for number, (reason, line) in enumerate(bad.items())
    ]
    # The trips are those of the other lines.
    rejected = {2 + 100 * number for number in range(len(bad))}
    assert {trip["line"] for trip in loaded(warehouse, "yellow", "2019-01")} == (
        set(range(2, 2016)) - rejected
    )


DIRTY = Dirt(bad_numbers=10, bad_times=5, short_lines=3, long_lines=2)


def test_too_many_rejects_leave_the_month_as_it_was(warehouse: Warehouse) -> None:
    write_month(warehouse.folder, "yellow", "2019-01", 500)
    warehouse.load("yellow", "2019-01")
    before = warehouse.content()
    write_month(warehouse.folder, "yellow", "2019-01", 980, dirt=DIRTY)
    errors = warehouse.load_fails("yellow", "2019-01")
    assert "2.0 % of the lines are no trips, more than the 1 %" in errors
    assert warehouse.content() == before
    failed = warehouse.rows("SELECT * FROM quality.loads WHERE state = 'FAILED'")
    assert [(load["rows_read"], load["rows_rejected"]) for load in failed] == [(1000, 20)]
    assert (
        warehouse.value(
            f"SELECT count(*) FROM quality.rejects WHERE load_id = '{failed[0]['load_id']}'"
        )
        == 20
    )
    assert tables(warehouse, "staging") == []


@pytest.mark.parametrize(
    ("setting", "loads"),
    [(2, True), (2.5, True), ("2.5", True), (1.9, False), (0, False)],
)
def test_the_share_of_rejects_is_a_key_value(
    warehouse: Warehouse, setting: float | str, loads: bool
) -> None:
    write_month(warehouse.folder, "yellow", "2019-01", 980, dirt=DIRTY)
    warehouse.kestra.put_key_value("taxi_rejects_percent", setting)
    try:
        if loads:
            assert warehouse.load("yellow", "2019-01")["rows_rejected"] == 20
        else:
            assert "taxi_rejects_percent" in warehouse.load_fails("yellow", "2019-01")
    finally:
        warehouse.kestra.put_key_value("taxi_rejects_percent", 1)


# --- exactness ------------------------------------------------------------------------------------


def test_equal_trips_all_stay(warehouse: Warehouse) -> None:
    write_lines(warehouse, HEADER, *[TRIP] * 3)
    assert warehouse.load("yellow", "2019-01")["rows_loaded"] == 3
    assert warehouse.value("SELECT count(DISTINCT (month, line)) FROM trips.yellow") == 3


def test_trips_that_the_courses_key_merges_both_stay(warehouse: Warehouse) -> None:
    # The course's key is an md5 of some of the values, glued together without a separator.
    one, other = (
        TRIP.replace("151,239,1,10,", f"{pickup},{dropoff},1,10,")
        for pickup, dropoff in (("11", "239"), ("112", "39"))
    )
    write_lines(warehouse, HEADER, one, other)
    warehouse.load("yellow", "2019-01")
    keys = warehouse.rows(
        "SELECT md5(concat(vendor_id, pickup_at, dropoff_at, pickup_location_id,"
        " dropoff_location_id, fare_amount, trip_distance)) AS key FROM trips.yellow"
    )
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_the_same_file_again_changes_nothing(warehouse: Warehouse) -> None:
    write_month(warehouse.folder, "yellow", "2019-01", 300)
    warehouse.load("yellow", "2019-01")
    before = warehouse.content()
    partition = warehouse.value("SELECT 'trips.yellow_2019_01'::regclass::oid")
    again = warehouse.load("yellow", "2019-01")
    assert (again["state"], again["rows_loaded"]) == ("UNCHANGED", None)
    assert warehouse.content() == before
    assert warehouse.value("SELECT 'trips.yellow_2019_01'::regclass::oid") == partition


def test_a_load_by_force_reads_the_file_again(warehouse: Warehouse) -> None:
    write_month(warehouse.folder, "yellow", "2019-01", 300)
    warehouse.load("yellow", "2019-01")
    before = warehouse.content()
    assert warehouse.load("yellow", "2019-01", force="true")["state"] == "LOADED"
    assert warehouse.content() == before


def test_a_month_that_was_dropped_is_loaded_again(warehouse: Warehouse) -> None:
    write_month(warehouse.folder, "yellow", "2019-01", 300)
    warehouse.load("yellow", "2019-01")
    warehouse.execute("DROP TABLE trips.yellow_2019_01")
    assert warehouse.load("yellow", "2019-01")["state"] == "LOADED"
    assert warehouse.value("SELECT count(*) FROM trips.yellow") == 300


def test_a_corrected_file_replaces_its_month_and_no_other(warehouse: Warehouse) -> None:
    write_month(warehouse.folder, "yellow", "2019-02", 200)
    warehouse.load("yellow", "2019-02")
    write_month(warehouse.folder, "yellow", "2019-01", 300, dirt=Dirt(bad_numbers=1))
    warehouse.load("yellow", "2019-01")
    corrected = write_month(warehouse.folder, "yellow", "2019-01", 250, seed=1)
    load = warehouse.load("yellow", "2019-01")
    assert (load["state"], load["rows_loaded"]) == ("LOADED", 250)
    assert loaded(warehouse, "yellow", "2019-01") == expected(corrected.path, "yellow")
    assert warehouse.value("SELECT count(*) FROM trips.yellow") == 450
    # Nothing of the file before is reported any more.
    assert warehouse.value("SELECT count(*) FROM quality.rejects") == 0
    check_reports(warehouse)


def test_the_file_before_the_correction_can_come_back(warehouse: Warehouse) -> None:
    for seed in (0, 1, 0):
        write_month(warehouse.folder, "yellow", "2019-01", 100, seed=seed)
        assert warehouse.load("yellow", "2019-01")["state"] == "LOADED"


# --- what is recorded of a load -------------------------------------------------------------------


def test_the_quality_of_a_load_is_recorded(warehouse: Warehouse) -> None:
    written = write_month(
        warehouse.folder, "yellow", "2020-07", 10_000, dirt=Dirt(bad_times=7, short_lines=5)
    )
    load = warehouse.load("yellow", "2020-07")
    content = written.path.read_bytes()
    assert load["batch"] == load["load_id"]
    assert load["month"] == date(2020, 7, 1)
    assert load["file_size"] == len(content)
    assert load["checksum"] == hashlib.md5(content).hexdigest()
    assert (load["rows_read"], load["rows_loaded"], load["rows_rejected"]) == (10_012, 10_000, 12)
    assert load["total_amount"] == written.total_amount
    trips = loaded(warehouse, "yellow", "2020-07")
    outside = sum(f"{trip['pickup_at']:%Y-%m}" != "2020-07" for trip in trips)
    assert load["rows_outside_month"] == outside > 0
    present = [column["column"] for column in COLUMNS["yellow"][:18]]
    assert load["null_counts"] == {
        column: sum(trip[column] is None for trip in trips) for column in present
    }
    assert load["null_counts"]["vendor_id"] > 0
    for column in ("read_seconds", "copy_seconds", "publish_seconds"):
        assert load[column] > 0
    recorded = sum(load[column] for column in ("read_seconds", "copy_seconds", "publish_seconds"))
    assert recorded <= (load["finished_at"] - load["started_at"]).total_seconds() + 0.01


def check_reports(warehouse: Warehouse) -> None:
    """Compares the reports with what Python makes of all trips."""
    trips = warehouse.rows("SELECT * FROM trips.all_trips")
    revenue: dict[tuple[Any, ...], Decimal] = {}
    for trip in trips:
        key = (trip["taxi"], trip["month"], trip["pickup_location_id"])
        revenue[key] = revenue.get(key, Decimal()) + trip["total_amount"]
    reported = warehouse.rows("SELECT * FROM reports.revenue")
    keys = ("taxi", "month", "pickup_location_id")
    assert {tuple(row[key] for key in keys): row["revenue"] for row in reported} == revenue
    assert sum(row["trips"] for row in reported) == len(trips)
    hours = Counter(
        (trip["taxi"], trip["pickup_at"].replace(minute=0, second=0))
        for trip in trips
        if trip["pickup_at"].date().replace(day=1) == trip["month"]
    )
    assert {
        (row["taxi"], row["hour"]): row["trips"]
        for row in warehouse.rows("SELECT * FROM reports.trips_per_hour")
    } == hours


def test_reports_hold_every_month_once(warehouse: Warehouse) -> None:
    for taxi, month in (("yellow", "2019-01"), ("yellow", "2019-02"), ("green", "2019-01")):
        write_month(warehouse.folder, taxi, month, 3000)
        warehouse.load(taxi, month)
    check_reports(warehouse)


# --- the layout -----------------------------------------------------------------------------------


def tables(warehouse: Warehouse, schema: str) -> list[str]:
    """The names of the tables in a schema."""
    found = warehouse.rows(f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'")
    return sorted(row["tablename"] for row in found)


def test_a_month_is_a_partition_with_every_index(warehouse: Warehouse) -> None:
    for month in ("2019-01", "2019-02"):
        write_month(warehouse.folder, "yellow", month, 100)
        warehouse.load("yellow", month)
    assert tables(warehouse, "trips") == [
        "green",
        "yellow",
        "yellow_2019_01",
        "yellow_2019_02",
        "zones",
    ]
    for partition in ("yellow_2019_01", "yellow_2019_02"):
        (row,) = warehouse.rows(
            "SELECT relispartition, array_agg(pg_get_indexdef(indexrelid)) AS indexes"
            f" FROM pg_class JOIN pg_index ON indrelid = pg_class.oid WHERE relname = '{partition}'"
            " AND EXISTS (SELECT FROM pg_inherits WHERE inhrelid = indexrelid)"
            " GROUP BY relispartition"
        )
        assert row["relispartition"]
        assert {index.rsplit(" ", 1)[1] for index in row["indexes"]} == {
            "(pickup_at)",
            "(pickup_location_id)",
        }
        assert len(row["indexes"]) == 2
        # The load's own helpers are gone.
        assert (
            warehouse.value(
                f"SELECT count(*) FROM pg_constraint WHERE conrelid = 'trips.{partition}'::regclass"
            )
            == 0
        )


def test_a_table_of_an_earlier_version_is_named(warehouse: Warehouse) -> None:
    warehouse.execute("CREATE TABLE trips.yellow (trip_id uuid PRIMARY KEY)")
    write_month(warehouse.folder, "yellow", "2019-01", 50)
    assert "trips.yellow or trips.green is a table without partitions" in (
        warehouse.load_fails("yellow", "2019-01")
    )
    warehouse.execute("DROP TABLE trips.yellow")
    assert warehouse.load("yellow", "2019-01")["rows_loaded"] == 50


def test_a_query_of_a_month_reads_its_partition_only(warehouse: Warehouse) -> None:
    for month in ("2019-01", "2019-02"):
        write_month(warehouse.folder, "yellow", month, 100)
        warehouse.load("yellow", month)
    plan = json.dumps(
        warehouse.rows(
            "EXPLAIN SELECT sum(total_amount) FROM trips.all_trips"
            " WHERE taxi = 'yellow' AND month = '2019-02-01'"
        )
    )
    assert "yellow_2019_02" in plan
    assert "yellow_2019_01" not in plan
    assert "green" not in plan


def test_all_trips_are_in_one_view(warehouse: Warehouse) -> None:
    months: list[Month] = []
    for taxi in ("yellow", "green"):
        months.append(write_month(warehouse.folder, taxi, "2019-01", 100))
        warehouse.load(taxi, "2019-01")
    assert warehouse.rows(
        "SELECT taxi, count(*), sum(total_amount) FROM trips.all_trips GROUP BY taxi ORDER BY taxi"
    ) == [
        {"taxi": month.taxi, "count": 100, "sum": month.total_amount} for month in reversed(months)
    ]


def test_a_column_that_is_new_in_the_list_is_added(warehouse: Warehouse) -> None:
    path = "columns/yellow.csv"
    columns = (ROOT / "flows/zoomcamp/files" / path).read_text()
    write_month(warehouse.folder, "yellow", "2019-01", 50)
    warehouse.load("yellow", "2019-01")
    write_lines(warehouse, f"{HEADER},tip_percent", f"{TRIP},20", month="2019-02")
    assert 'unknown column "tip_percent"' in warehouse.load_fails("yellow", "2019-02")
    warehouse.kestra.put_file(path, f"{columns}tip_percent,tip_percent,numeric,no\n")
    try:
        warehouse.load("yellow", "2019-02")
    finally:
        warehouse.kestra.put_file(path, columns)
    assert warehouse.rows("SELECT count(*), sum(tip_percent) FROM trips.yellow") == [
        {"count": 51, "sum": 20}
    ]
