"""What benchmarks print of their rounds, and how the flow's load is run without a server."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bench import taxi_load
from bench.comparison import Comparison, Ratios, aim


def test_ratio_is_that_of_rounds_measured_side_by_side() -> None:
    # The machine was three times as slow in the last round, which both sides felt.
    comparison = Comparison("up", "by Docker", [2.0, 4.0, 12.0], [1.0, 1.0, 6.0])
    assert " ".join(str(comparison).split()) == "up 4.00 s by Docker 1.00 s 2.00 (2.00 to 4.00)"


def test_ratio_to_what_differs_from_round_to_round() -> None:
    ratios = Ratios([1.0, 9.0, 4.0], [2.0, 3.0, 4.0])
    assert ratios.median == 1.0
    assert str(ratios).split(maxsplit=1) == ["1.00", "(0.50 to 3.00)"]


def test_round_without_its_baseline_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        str(Comparison("up", "by Docker", [2.0, 4.0], [1.0]))


@pytest.mark.parametrize(("value", "verdict"), [(1.8, "met"), (1.81, "MISSED")])
def test_aim_is_met_at_its_limit(value: float, verdict: str) -> None:
    words = aim("a load, of bare COPY", value, 1.8).split()
    assert words[-5:] == [f"{value:.2f}", "at", "most", "1.80", verdict]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a flow takes the place of taxi_load."""
    monkeypatch.setattr(taxi_load, "_NAMESPACE_FOLDER", tmp_path)
    return tmp_path


def _write_flow(folder: Path, *tasks: dict[str, object]) -> None:
    flow = {
        "inputs": [{"id": "month"}, {"id": "force", "defaults": False}],
        "variables": {"file": "{{ inputs.month }}.csv"},
        "tasks": tasks,
    }
    (folder / "taxi_load.yaml").write_text(yaml.safe_dump(flow))


def test_loads_hand_rows_and_files_from_task_to_task(folder: Path) -> None:
    (folder / "2020-07.csv").write_text("trips\n3\n4\n")
    (folder / "files").mkdir()
    (folder / "files/sum.sql").write_text(
        "COPY (SELECT sum(trips) AS trips FROM '{{ workingDir }}/in.csv')"
        " TO '{{ outputFiles.sum }}';"
        "SELECT '{{ render(vars.file) }}' AS name, {{ inputs.force }} AS force;"
    )
    download = "io.kestra.plugin.core.http.Download"
    duckdb = "io.kestra.plugin.jdbc.duckdb.Queries"
    fail = "io.kestra.plugin.core.execution.Fail"
    _write_flow(
        folder,
        {"id": "get", "type": download, "uri": "{{ globals.source }}/{{ render(vars.file) }}"},
        {
            "id": "sum",
            "type": duckdb,
            "inputFiles": {"in.csv": "{{ outputs.get.uri }}"},
            "outputFiles": ["sum"],
            "sql": "{{ render(read('sum.sql')) }}",
        },
        {
            "id": "forced",
            "type": "io.kestra.plugin.core.flow.If",
            "condition": "{{ outputs.sum.outputs[0].row.force }}",
            "then": [{"id": "never", "type": "of no server"}],
            "else": [
                {
                    "id": "show",
                    "type": duckdb,
                    "inputFiles": {"sum.csv": "{{ outputs.sum.outputFiles.sum }}"},
                    "sql": "SELECT trips FROM '{{ workingDir }}/sum.csv'",
                }
            ],
        },
        {
            "id": "end",
            "type": fail,
            "errorMessage": "{{ outputs.sum.row.name }}: {{ outputs.show.row.trips }} trips",
        },
    )
    with pytest.raises(RuntimeError, match=r"2020-07\.csv: 7 trips"):
        taxi_load.load("", folder, month="2020-07")


def test_load_says_what_it_took(folder: Path) -> None:
    query = {"type": "io.kestra.plugin.jdbc.duckdb.Query", "sql": "SELECT 1"}
    _write_flow(folder, {"id": "one", **query}, {"id": "two", **query})
    load = taxi_load.load("", folder, month="2020-07")
    assert set(load.task_seconds) == {"one", "two"}
    assert sum(load.task_seconds.values()) <= load.seconds
    assert 10_000_000 < load.peak_memory < 10_000_000_000


def test_task_that_the_benchmark_cannot_run_is_named(folder: Path) -> None:
    _write_flow(folder, {"id": "wait", "type": "io.kestra.plugin.core.flow.Pause"})
    with pytest.raises(ValueError, match=r"wait: tasks of type core\.flow\.Pause"):
        taxi_load.load("", folder, month="2020-07")
