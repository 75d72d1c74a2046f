"""The pipelines as the owner of a stack uses them: zones, schedule, backfill, report."""

import time
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from bench.months import Dirt, write_month
from infra.databases import WAREHOUSE_SCHEMAS
from tests.e2e.conftest import Project
from tests.e2e.warehouse import as_reader

# The first `up` may have to build or pull every image.
pytestmark = [pytest.mark.timeout(1200)]

_TAXIS = ("yellow", "green")


@pytest.fixture(scope="module")
def kestra(outputs: dict[str, Any]) -> httpx.Client:
    """Kestra's API, as the user that the outputs name."""
    return httpx.Client(
        base_url=f"{outputs['kestraUrl']}/api/v1/main",
        auth=(outputs["kestraUser"], outputs["kestraPassword"]),
    )


@pytest.fixture(scope="module")
def months(project: Project) -> Path:
    """The folder of taxi files, with half a year of small months and the zones."""
    for taxi in _TAXIS:
        for number in range(1, 7):
            write_month(project.taxi_folder, taxi, f"2021-{number:02}", 300)
    zones = ["LocationID,Borough,Zone,service_zone"]
    zones += [f"{number},Queens,Zone {number},Boro Zone" for number in range(1, 266)]
    (project.taxi_folder / "taxi_zone_lookup.csv").write_text("\n".join([*zones, ""]))
    return project.taxi_folder


def loads(outputs: dict[str, Any], first: str, last: str) -> list[tuple[Any, ...]]:
    """The loads of the months from one to another, by month and taxi, as the reader sees them."""
    with as_reader(outputs) as connection:
        return connection.execute(
            "SELECT taxi, to_char(month, 'YYYY-MM'), state, rows_loaded FROM quality.loads"
            " WHERE month BETWEEN %s AND %s ORDER BY month, taxi, started_at",
            [f"{first}-01", f"{last}-01"],
        ).fetchall()


def test_zones(project: Project, outputs: dict[str, Any], months: Path) -> None:
    result = project.make("run-flow", "FLOW=zoomcamp/zones_load")
    assert result.returncode == 0, result.stdout + result.stderr
    with as_reader(outputs) as connection:
        assert connection.execute("SELECT count(*) FROM trips.zones").fetchone() == (265,)


def test_schedule(outputs: dict[str, Any], months: Path, kestra: httpx.Client) -> None:
    trigger = {"namespace": "zoomcamp", "flowId": "taxi_schedule", "triggerId": "monthly"}
    # Two of its dates in the past: the third of February and of March.
    missed = {"start": "2021-02-01T00:00:00Z", "end": "2021-03-31T00:00:00Z"}
    kestra.put("/triggers/backfill/create", json=trigger | {"backfill": missed}).raise_for_status()
    deadline = time.monotonic() + 60
    query = {"namespace": "zoomcamp", "flowId": "taxi_schedule"}
    ended: list[str] = []
    while len(ended) < 2:
        assert time.monotonic() < deadline, ended
        time.sleep(0.2)
        answer = kestra.get("/executions", params=query).raise_for_status()
        states = [execution["state"] for execution in answer.json()["results"]]
        ended = [state["current"] for state in states if "endDate" in state]
    assert ended == ["SUCCESS"] * 2
    assert loads(outputs, "2021-01", "2021-02") == [
        (taxi, month, "LOADED", 300) for month in ("2021-01", "2021-02") for taxi in sorted(_TAXIS)
    ]


def test_backfill_of_three_months_with_one_bad_file(
    project: Project, outputs: dict[str, Any], months: Path
) -> None:
    write_month(months, "green", "2021-04", 300, dirt=Dirt(missing_column="fare_amount"))
    arguments = ("FLOW=zoomcamp/taxi_backfill", "INPUTS=from=2021-03 to=2021-05")
    result = project.make("run-flow", *arguments)
    assert result.returncode != 0
    printed = " ".join(result.stdout.split())
    assert "1 of 6 months failed: green 2021-04" in printed
    assert [item[2] for item in loads(outputs, "2021-03", "2021-05")] == [
        "LOADED",
        "LOADED",
        "FAILED",
        "LOADED",
        "LOADED",
        "LOADED",
    ]

    write_month(months, "green", "2021-04", 300)
    result = project.make("run-flow", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 months loaded, 5 unchanged, 0 failed." in " ".join(result.stdout.split())
    with as_reader(outputs) as connection:
        assert connection.execute(
            "SELECT taxi, count(*) FROM trips.all_trips"
            " WHERE month BETWEEN '2021-03-01' AND '2021-05-01' GROUP BY taxi ORDER BY taxi"
        ).fetchall() == [("green", 900), ("yellow", 900)]


def test_report(project: Project, outputs: dict[str, Any], months: Path) -> None:
    result = project.make("report")
    assert result.returncode == 0, result.stdout + result.stderr
    page = Path(result.stdout.split()[-1]).read_text()
    assert page.count("<svg") >= 4
    assert "Zone 1" in page
    assert "FAILED" in page
    assert outputs["readerPassword"] not in page


def test_newcomers_flows(project: Project, outputs: dict[str, Any], months: Path) -> None:
    (months / "products.json").write_text(
        '{"products": [{"brand": "Essence", "price": 9.5}, {"brand": "Couture", "price": 8}]}'
    )
    result = project.make(
        "run-flow", "FLOW=zoomcamp/hello_etl", "INPUTS=uri=http://files/products.json"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "The dearest of 2 brands is Essence" in " ".join(result.stdout.split())
    result = project.make("run-flow", "FLOW=zoomcamp/hello_python")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "The median of 3 fares is 9.0." in " ".join(result.stdout.split())


def test_reader_sees_all_of_it_and_can_change_none_of_it(
    outputs: dict[str, Any], months: Path
) -> None:
    with as_reader(outputs) as connection:
        relations = connection.execute(
            "SELECT oid::regclass::text, relkind = 'v' FROM pg_class"
            " WHERE relkind IN ('r', 'p', 'v') AND relnamespace::regnamespace::text = ANY(%s)",
            [list(WAREHOUSE_SCHEMAS)],
        ).fetchall()
        assert {"trips.yellow", "trips.all_trips", "quality.loads", "reports.revenue"} <= {
            name for name, _ in relations
        }
        for name, is_view in relations:
            connection.execute(f"SELECT * FROM {name} LIMIT 1")
            changes = ("DROP VIEW",) if is_view else ("DELETE FROM", "TRUNCATE", "DROP TABLE")
            for change in changes:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"{change} {name}")
