"""The flows around taxi_load: schedule, backfill, zones and the first ones for newcomers."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from bench.months import Dirt, write_month
from tests.integration.conftest import Warehouse, on_server
from tests.kestra.servers import ROOT, state

ZONES = (
    '"LocationID","Borough","Zone","service_zone"\n'
    '1,"EWR","Newark Airport","EWR"\n'
    '2,"Queens","Jamaica Bay","Boro Zone"\n'
    '264,"Unknown","N/A","N/A"\n'
)


def loads(warehouse: Warehouse, columns: str = "taxi, month, state") -> list[tuple[Any, ...]]:
    """The loads in the order of taxi, month and time."""
    found = warehouse.rows(f"SELECT {columns} FROM quality.loads ORDER BY taxi, month, started_at")
    return [
        tuple(f"{value:%Y-%m}" if name == "month" else value for name, value in row.items())
        for row in found
    ]


# --- backfill -------------------------------------------------------------------------------------


def test_a_backfill_loads_every_month_of_both_taxis(warehouse: Warehouse) -> None:
    for taxi in ("yellow", "green"):
        for month in ("2019-11", "2019-12", "2020-01"):
            write_month(warehouse.folder, taxi, month, 100)
    execution = warehouse.run("taxi_backfill", **{"from": "2019-11", "to": "2020-01"})
    assert state(execution) == "SUCCESS", warehouse.kestra.logs(execution)
    assert "6 months loaded, 0 unchanged, 0 failed." in warehouse.kestra.logs(execution)
    assert loads(warehouse) == [
        (taxi, month, "LOADED")
        for taxi in ("green", "yellow")
        for month in ("2019-11", "2019-12", "2020-01")
    ]
    assert loads(warehouse, "DISTINCT batch, taxi, month, started_at")[0][0] == execution["id"]
    assert warehouse.value("SELECT count(*) FROM trips.all_trips") == 600


def test_a_bad_month_stops_no_other_and_is_named(warehouse: Warehouse) -> None:
    write_month(warehouse.folder, "yellow", "2019-01", 100)
    write_month(warehouse.folder, "yellow", "2019-02", 100, dirt=Dirt(missing_column="extra"))
    write_month(warehouse.folder, "yellow", "2019-04", 100)
    execution = warehouse.run(
        "taxi_backfill", taxis='["yellow"]', **{"from": "2019-01", "to": "2019-04"}
    )
    assert state(execution) == "FAILED"
    assert loads(warehouse, "month, state") == [
        ("2019-01", "LOADED"),
        ("2019-02", "FAILED"),
        ("2019-03", "FAILED"),
        ("2019-04", "LOADED"),
    ]
    failed = [load for load, how in loads(warehouse, "load_id, state") if how == "FAILED"]
    assert (
        f"2 of 4 months failed: yellow 2019-02 ({failed[0]}), yellow 2019-03 ({failed[1]})."
    ) in "\n".join(warehouse.kestra.logs(execution, "ERROR"))

    # With the files fixed, the same backfill goes on where it was.
    for month in ("2019-02", "2019-03"):
        write_month(warehouse.folder, "yellow", month, 100)
    again = warehouse.run(
        "taxi_backfill", taxis='["yellow"]', **{"from": "2019-01", "to": "2019-04"}
    )
    assert state(again) == "SUCCESS"
    assert "2 months loaded, 2 unchanged, 0 failed." in warehouse.kestra.logs(again)
    assert warehouse.value("SELECT count(*) FROM trips.yellow") == 400


def test_a_backfill_by_force_skips_nothing(warehouse: Warehouse) -> None:
    write_month(warehouse.folder, "green", "2019-01", 100)
    months = {"taxis": '["green"]', "from": "2019-01", "to": "2019-01"}
    warehouse.run("taxi_backfill", **months)
    warehouse.run("taxi_backfill", **months, force="true")
    assert loads(warehouse, "state") == [("LOADED",), ("LOADED",)]


def test_a_backfill_of_parquet_files(warehouse: Warehouse) -> None:
    write_month(warehouse.folder, "green", "2019-01", 100, file_format="parquet")
    months = {"taxis": '["green"]', "from": "2019-01", "to": "2019-01"}
    assert state(warehouse.run("taxi_backfill", **months, format="parquet")) == "SUCCESS"
    assert loads(warehouse, "file_name") == [("green_tripdata_2019-01.parquet",)]


def test_a_backfill_of_no_month_is_refused(warehouse: Warehouse) -> None:
    execution = warehouse.run("taxi_backfill", **{"from": "2019-02", "to": "2019-01"})
    assert state(execution) == "FAILED"
    assert "There is no month from 2019-02 to 2019-01" in "\n".join(
        warehouse.kestra.logs(execution, "ERROR")
    )
    assert warehouse.value("SELECT to_regclass('quality.loads')") is None


def test_two_months_load_at_a_time(warehouse: Warehouse) -> None:
    for number in range(1, 7):
        write_month(warehouse.folder, "yellow", f"2019-0{number}", 50)
    warehouse.run("taxi_backfill", taxis='["yellow"]', **{"from": "2019-01", "to": "2019-06"})
    spans = warehouse.rows("SELECT started_at, finished_at FROM quality.loads")
    at_once = [
        sum(other["started_at"] <= span["started_at"] < other["finished_at"] for other in spans)
        for span in spans
    ]
    assert max(at_once) == 2


# --- schedule -------------------------------------------------------------------------------------


@on_server
def test_the_schedule_loads_the_month_before_of_both_taxis(warehouse: Warehouse) -> None:
    for taxi in ("yellow", "green"):
        for month in ("2019-12", "2020-01"):
            write_month(warehouse.folder, taxi, month, 100)
    trigger = {"namespace": "zoomcamp", "flowId": "taxi_schedule", "triggerId": "monthly"}
    backfill = {"start": "2020-01-01T00:00:00Z", "end": "2020-02-28T00:00:00Z"}
    warehouse.client.http.put(
        "/triggers/backfill/create", json=trigger | {"backfill": backfill}
    ).raise_for_status()
    executions = scheduled(warehouse, 2)
    assert loads(warehouse) == [
        (taxi, month, "LOADED") for taxi in ("green", "yellow") for month in ("2019-12", "2020-01")
    ]
    # The second waited for the first.
    first, second = sorted(executions, key=lambda execution: execution["state"]["startDate"])
    running = next(
        history["date"] for history in second["state"]["histories"] if history["state"] == "RUNNING"
    )
    assert running >= first["state"]["endDate"]


def scheduled(warehouse: Warehouse, count: int) -> list[dict[str, Any]]:
    """So many executions of taxi_schedule, ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = warehouse.client.http.get(
            "/executions", params={"namespace": "zoomcamp", "flowId": "taxi_schedule"}
        ).raise_for_status()
        ended = [item for item in found.json()["results"] if "endDate" in item["state"]]
        if len(ended) == count:
            return ended
        time.sleep(0.1)
    raise AssertionError(f"{len(ended)} of {count} executions have ended")


def test_a_load_that_fails_is_tried_again(warehouse: Warehouse) -> None:
    flow = yaml.safe_load((ROOT / "flows/zoomcamp/taxi_schedule.yaml").read_text())
    # The same flow, with less patience and on its own.
    for load in flow["tasks"][0]["tasks"]:
        assert load["retry"]["type"] == "exponential"
        load["retry"] |= {"interval": "PT0.2S", "maxInterval": "PT0.3S", "maxDuration": "PT1M"}
    warehouse.kestra.create(yaml.safe_dump({**flow, "id": "impatient", "triggers": []}))
    month = f"{datetime.now(UTC).replace(day=1).date():%Y-%m}"
    year, number = map(int, month.split("-"))
    before = f"{year - (number == 1)}-{(number - 2) % 12 + 1:02}"
    write_month(warehouse.folder, "green", before, 50)
    execution = warehouse.start("impatient")
    deadline = time.monotonic() + 30
    while ("yellow", before, "FAILED") not in loaded_so_far(warehouse):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    write_month(warehouse.folder, "yellow", before, 50)
    assert state(warehouse.ended(execution)) == "SUCCESS"
    states = [how for taxi, _, how in loads(warehouse) if taxi == "yellow"]
    assert states[0] == "FAILED"
    assert states[-1] == "LOADED"
    # The other taxi was loaded once.
    assert [how for taxi, _, how in loads(warehouse) if taxi == "green"] == ["LOADED"]


def loaded_so_far(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """The loads, none while there is no table of them."""
    if warehouse.value("SELECT to_regclass('quality.loads')") is None:
        return []
    return loads(warehouse)


# --- zones ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("zones_first", [True, False])
def test_reports_name_the_zones(warehouse: Warehouse, zones_first: bool) -> None:
    (warehouse.folder / "taxi_zone_lookup.csv").write_text(ZONES)
    month = write_month(warehouse.folder, "yellow", "2019-01", 1000)
    if zones_first:
        assert state(warehouse.run("zones_load")) == "SUCCESS"
    warehouse.load("yellow", "2019-01")
    if not zones_first:
        assert state(warehouse.run("zones_load")) == "SUCCESS"
    report = warehouse.rows("SELECT * FROM reports.monthly_revenue")
    assert sum(row["revenue"] for row in report) == month.total_amount
    assert {(row["borough"], row["zone"]) for row in report} == {
        ("EWR", "Newark Airport"),
        ("Queens", "Jamaica Bay"),
        ("Unknown", "N/A"),
        ("Unknown", "Unknown"),
    }


def test_zones_are_replaced(warehouse: Warehouse) -> None:
    path = warehouse.folder / "taxi_zone_lookup.csv"
    path.write_text(ZONES)
    warehouse.run("zones_load")
    path.write_text(ZONES.replace("Jamaica Bay", "Jamaica").replace('264,"Unknown"', '265,"N"'))
    warehouse.run("zones_load")
    assert warehouse.rows("SELECT location_id, zone FROM trips.zones ORDER BY 1") == [
        {"location_id": 1, "zone": "Newark Airport"},
        {"location_id": 2, "zone": "Jamaica"},
        {"location_id": 265, "zone": "N/A"},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ZONES.replace('"Zone"', '"Name"'), "Zone"),
        (ZONES.splitlines()[0] + "\n", "there is no zone in it"),
        (ZONES.replace("264,", "two,"), '"two"'),
        (ZONES.replace("264,", "2,"), "duplicate key"),
    ],
)
def test_zones_that_are_none_leave_the_table_as_it_was(
    warehouse: Warehouse, content: str, message: str
) -> None:
    path = warehouse.folder / "taxi_zone_lookup.csv"
    path.write_text(ZONES)
    warehouse.run("zones_load")
    path.write_text(content)
    execution = warehouse.run("zones_load")
    assert state(execution) == "FAILED"
    assert message in "\n".join(warehouse.kestra.logs(execution, "ERROR"))
    assert warehouse.value("SELECT count(*) FROM trips.zones") == 3
    assert warehouse.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'") == []


# --- for newcomers --------------------------------------------------------------------------------


def test_hello_etl(warehouse: Warehouse) -> None:
    products = [
        {"id": 1, "title": "Mascara", "brand": "Essence", "price": 9.99},
        {"id": 2, "title": "Powder", "brand": "Essence", "price": 20.01},
        {"id": 3, "title": "Polish", "brand": "Nail Couture", "price": 8.99},
        {"id": 4, "title": "Apple", "price": 1.99},
    ]
    (warehouse.folder / "products.json").write_text(json.dumps({"products": products}))
    execution = warehouse.run("hello_etl", uri=f"{warehouse.source}/products.json")
    assert state(execution) == "SUCCESS", warehouse.kestra.logs(execution)
    assert (
        "The dearest of 3 brands is Essence, with an average price of 15.0."
        in warehouse.kestra.logs(execution)
    )


def test_hello_python(warehouse: Warehouse) -> None:
    execution = warehouse.run("hello_python", fares="[1.5, 2.5, 10]")
    assert state(execution) == "SUCCESS", warehouse.kestra.logs(execution)
    assert "The median of 3 fares is 2.5." in warehouse.kestra.logs(execution)
