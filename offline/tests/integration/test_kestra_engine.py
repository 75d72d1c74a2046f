"""Kestra's own engine in process: the project's flows on each of its releases."""

from __future__ import annotations

import json
import re
from multiprocessing import active_children
from pathlib import Path

import pytest

from offline.kestra.engine import Engine, EngineError, Fixture
from offline.kestra.engine.classpath import class_path
from offline.months import write_month
from offline.tests.executions import messages, states
from tests.kestra.servers import ROOT, Database

FLOWS = {path.stem: path.read_text() for path in sorted((ROOT / "flows").glob("*/*.yaml"))}
LOG = "type: io.kestra.plugin.core.log.Log"


def text_for(release: str, name: str) -> str:
    """A flow of the project, in its text for a release."""
    older = f"{name}.kestra-1"
    return FLOWS[older if release.startswith("1.") and older in FLOWS else name]


@pytest.mark.parametrize("name", [name for name in FLOWS if "." not in name])
def test_every_flow_of_the_project_is_valid(engine: Engine, release: str, name: str) -> None:
    (validation,) = engine.validate([text_for(release, name)])
    assert validation.errors is None
    assert validation.warnings == ()


def test_each_release_refuses_the_loop_of_the_other(engine: Engine, release: str) -> None:
    loop = "Loop" if release.startswith("1.") else "ForEach"
    text = FLOWS["taxi_backfill"].replace("flow.Loop", f"flow.{loop}")
    (validation,) = engine.validate([text])
    assert validation.errors == (
        f"Validation error: Invalid type: io.kestra.plugin.core.flow.{loop}"
    )


@pytest.mark.parametrize(
    ("task", "error"),
    [
        ("{type: io.kestra.plugin.Nothing}", "Invalid type: io.kestra.plugin.Nothing"),
        ("{type: io.kestra.plugin.jdbc.duckdb.Query}", "sql: must not be null"),
        (
            "{type: io.kestra.plugin.jdbc.postgresql.CopyIn, url: u, from: f, tabel: t}",
            'Unrecognized field "tabel" (class io.kestra.plugin.jdbc.postgresql.CopyIn)',
        ),
        ("{type: io.kestra.plugin.compress.FileDecompress}", "compression: must not be null"),
    ],
)
def test_an_invalid_task_is_refused_in_kestras_words(engine: Engine, task: str, error: str) -> None:
    text = f"id: invalid\nnamespace: t\ntasks: [{{id: one, {task[1:]}]\n"
    valid = f"id: valid\nnamespace: t\ntasks: [{{id: one, {LOG}, message: hello}}]\n"
    refused, accepted = engine.validate([text, valid])
    assert error in str(refused.errors)
    assert accepted.errors is None
    with pytest.raises(EngineError, match=re.escape(error)):
        engine.run(text)


def test_inputs_come_typed_and_outputs_go_out(engine: Engine) -> None:
    execution = engine.run(
        f"""\
id: double
namespace: t
inputs:
  - {{id: number, type: INT}}
tasks:
  - {{id: say, {LOG}, message: "{{{{ inputs.number * 2 }}}}"}}
outputs:
  - {{id: double, type: INT, value: "{{{{ inputs.number * 2 }}}}"}}
""",
        {"number": "21"},
    )
    assert execution.state == "SUCCESS"
    assert execution.outputs == {"double": 42}
    assert messages(execution) == ["42"]


def test_a_fixture_replaces_a_task(engine: Engine) -> None:
    text = f"""\
id: replaced
namespace: t
tasks:
  - {{id: get, type: io.kestra.plugin.core.http.Download, uri: http://unreachable.invalid}}
  - {{id: say, {LOG}, message: "{{{{ outputs.get.uri }}}}"}}
"""
    execution = engine.run(text, fixtures={"get": Fixture(outputs={"uri": "kestra:///a.csv"})})
    assert states(execution) == {"get": "SUCCESS", "say": "SUCCESS"}
    assert messages(execution) == ["kestra:///a.csv"]
    failed = engine.run(text, fixtures={"get": Fixture(state="FAILED")})
    assert (failed.state, states(failed)) == ("FAILED", {"get": "FAILED"})


def test_flows_read_the_key_values_of_their_namespace(engine: Engine) -> None:
    engine.put_key_value("t", "limits", {"rows": [1, 2]})
    execution = engine.run(
        f"""\
id: reader
namespace: t
tasks:
  - {{id: say, {LOG}, message: "{{{{ kv('limits').rows[1] }}}}"}}
"""
    )
    assert messages(execution) == ["2"]


def test_the_engine_starts_from_the_archive_of_its_classes(engine: Engine, release: str) -> None:
    archive = class_path(release)[0].with_suffix(".jsa")
    maps = [Path(f"/proc/{each.pid}/maps").read_text() for each in active_children()]
    assert any(str(archive) in files for files in maps)


def test_a_wrong_input_is_an_error(engine: Engine) -> None:
    with pytest.raises(EngineError, match="month"):
        engine.run(FLOWS["taxi_load"], {"month": "2019-13"})


def test_hello_python_gives_its_outputs_to_the_next_task(engine: Engine) -> None:
    execution = engine.run(FLOWS["hello_python"], {"fares": [1, 2, 6]})
    assert execution.state == "SUCCESS"
    script, _ = execution.task_runs
    assert script.outputs["vars"] == {"rides": 3, "median": 2}
    assert messages(execution) == ["The median of 3 fares is 2.0."]


def test_a_script_that_fails_fails_its_execution(engine: Engine) -> None:
    text = FLOWS["hello_python"].replace("import json, os, statistics", "import sys; sys.exit(3)")
    execution = engine.run(text)
    assert execution.state == "FAILED"
    assert [(run.task, run.state) for run in execution.task_runs] == [("script", "FAILED")]


def test_a_task_that_is_not_available_here_says_so(engine: Engine) -> None:
    text = FLOWS["hello_python"].replace(
        "plugin.core.runner.Process", "plugin.scripts.runner.docker.Docker"
    )
    execution = engine.run(text)
    assert execution.state == "FAILED"
    assert "only io.kestra.plugin.core.runner.Process is available" in str(
        messages(execution, "ERROR")
    )


def test_hello_etl_queries_what_it_downloads(engine: Engine, source: Path) -> None:
    products = [
        {"brand": "A", "price": 3.5},
        {"brand": "B", "price": 9},
        {"brand": "B", "price": 10},
    ]
    (source / "products.json").write_text(json.dumps({"products": products}))
    uri = "{{ globals.source }}/products.json"
    text = FLOWS["hello_etl"].replace('"{{ inputs.uri }}"', f'"{uri}"')
    execution = engine.run(text)
    assert execution.state == "SUCCESS", messages(execution, "ERROR")
    assert messages(execution) == ["The dearest of 2 brands is B, with an average price of 9.5."]


def test_files_are_compressed_and_decompressed(engine: Engine, source: Path) -> None:
    (source / "text.txt").write_text("some text\n" * 1000)
    execution = engine.run(
        f"""\
id: compressed
namespace: t
tasks:
  - {{id: get, type: io.kestra.plugin.core.http.Download, uri: "{{{{ globals.source }}}}/text.txt"}}
  - id: small
    type: io.kestra.plugin.compress.FileCompress
    compression: GZIP
    from: "{{{{ outputs.get.uri }}}}"
  - id: large
    type: io.kestra.plugin.compress.FileDecompress
    compression: GZIP
    from: "{{{{ outputs.small.uri }}}}"
  - id: say
    {LOG}
    message: "{{{{ fileSize(outputs.small.uri) < 500 }}}} {{{{ fileSize(outputs.large.uri) }}}}"
"""
    )
    assert messages(execution) == ["true 10000"], messages(execution, "ERROR")


def test_rows_are_stored_and_written_as_csv(engine: Engine) -> None:
    execution = engine.run(
        f"""\
id: rows
namespace: t
tasks:
  - id: query
    type: io.kestra.plugin.jdbc.postgresql.Query
    url: "{{{{ globals.warehouse }}}}"
    username: "{{{{ secret('WAREHOUSE_USERNAME') }}}}"
    password: "{{{{ secret('WAREHOUSE_PASSWORD') }}}}"
    sql: SELECT n, 'é' || n AS name FROM generate_series(1, 2) AS n
    fetchType: STORE
  - {{id: csv, type: io.kestra.plugin.serdes.csv.IonToCsv, from: "{{{{ outputs.query.uri }}}}"}}
  - {{id: say, {LOG}, message: "{{{{ read(outputs.csv.uri) }}}}"}}
"""
    )
    assert messages(execution) == ["n,name\n1,é1\n2,é2\n"], messages(execution, "ERROR")


@pytest.mark.parametrize(
    ("name", "file_format"), [("2019-01", "csv.gz"), ("2019-02", "csv"), ("2019-03", "parquet")]
)
def test_taxi_load_loads_a_month_exactly_and_once(
    engine: Engine, warehouse: Database, source: Path, name: str, file_format: str
) -> None:
    month = write_month(source, "yellow", name, 10_000, file_format=file_format)
    inputs = {"taxi": "yellow", "month": name, "format": file_format}
    first = engine.run(FLOWS["taxi_load"], inputs)
    assert first.state == "SUCCESS", messages(first, "ERROR")
    again = engine.run(FLOWS["taxi_load"], inputs)
    assert again.state == "SUCCESS", messages(again, "ERROR")
    with warehouse.connect() as connection:
        loads = connection.execute(
            "SELECT load_id, state, rows_loaded, total_amount FROM quality.loads "
            "WHERE month = %s ORDER BY started_at",
            [f"{name}-01"],
        )
        loaded, unchanged = loads.fetchall()
        trips = connection.execute(
            "SELECT count(*), sum(total_amount) FROM trips.yellow WHERE month = %s", [f"{name}-01"]
        )
        assert trips.fetchone() == (10_000, month.total_amount)
    assert loaded == (first.id, "LOADED", 10_000, month.total_amount)
    assert unchanged[:2] == (again.id, "UNCHANGED")


def test_taxi_backfill_loads_the_months_there_are_and_names_the_others(
    engine: Engine, release: str, warehouse: Database, source: Path
) -> None:
    for name in ("2020-01", "2020-03", "2020-04"):
        write_month(source, "green", name, 100)
    engine.register(FLOWS["taxi_load"])
    execution = engine.run(
        text_for(release, "taxi_backfill"),
        {"taxis": ["green"], "from": "2020-01", "to": "2020-04"},
        timeout=120,
    )
    assert execution.state == "FAILED"
    assert "3 months loaded, 0 unchanged, 1 failed." in messages(execution)
    assert "1 of 4 months failed: green 2020-02" in "".join(messages(execution, "ERROR"))
    with warehouse.connect() as connection:
        loads = connection.execute(
            "SELECT to_char(month, 'YYYY-MM'), state FROM quality.loads "
            "WHERE batch = %s ORDER BY month",
            [execution.id],
        )
        assert [row for row in loads if row[1] == "LOADED"] == [
            (name, "LOADED") for name in ("2020-01", "2020-03", "2020-04")
        ]
