"""What keeps Kestra from growing for ever, on its own engine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Warehouse
from tests.kestra.servers import ROOT, state

PURGE = (ROOT / "flows/system/purge.yaml").read_text()
EARLIER = """\
id: earlier
namespace: t
tasks:
  - {id: say, type: io.kestra.plugin.core.log.Log, message: hello}
"""


@pytest.fixture(scope="module", params=["2.0.0", "1.3.31"])
def engine(request: pytest.FixtureRequest, running_engine: Callable[..., Any]) -> Iterator[Any]:
    with running_engine(request.param, {"retention": "90"}) as engine:
        yield engine


def test_purge_deletes_what_ended_before_the_retention_and_nothing_else(engine: Any) -> None:
    engine.run(EARLIER)
    executions, logs = engine.run(PURGE).task_runs
    assert (executions.state, logs.state) == ("SUCCESS", "SUCCESS")
    assert (executions.outputs["executionsCount"], logs.outputs["count"]) == (0, 0)
    now = PURGE.replace("-1 *", "0 *")
    executions, logs = engine.run(now).task_runs
    assert executions.outputs["executionsCount"] >= 2
    assert logs.outputs["count"] >= 1


def stored(execution: dict[str, Any]) -> list[Path]:
    """Returns what the storage of the engine that ran it holds of an execution."""
    folder = f"kestra-*/main/zoomcamp/taxi-load/executions/{execution['id']}"
    found = Path(tempfile.gettempdir()).glob(folder)
    return [path for each in found for path in each.rglob("*") if path.is_file()]


@pytest.mark.parametrize("shared_warehouse", ["2.0.0", "1.3.31"], indirect=True)
def test_failed_loads_leave_no_files_and_no_tables(warehouse: Warehouse) -> None:
    text = (ROOT / "flows/zoomcamp/taxi_load.yaml").read_text()
    (warehouse.folder / "yellow_tripdata_2019-01.csv").write_text("no,header,of,trips\n1,2,3,4\n")

    def fail() -> dict[str, Any]:
        execution = warehouse.run("taxi_load", taxi="yellow", month="2019-01", format="csv")
        assert state(execution) == "FAILED"
        return execution

    warehouse.kestra.create(text.partition("finally:")[0])
    try:
        assert stored(fail())
    finally:
        warehouse.kestra.create(text)
    assert [stored(fail()) for _ in range(20)] == [[]] * 20
    assert warehouse.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'") == []
    assert warehouse.rows("SELECT DISTINCT state FROM quality.loads") == [{"state": "FAILED"}]
