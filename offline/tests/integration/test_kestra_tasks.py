"""The tasks that Python runs, in flows on Kestra's own engine: SQL, COPY, files, ends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from offline.kestra.engine import Engine
from offline.tests.executions import messages, outputs, states
from tests.kestra.servers import Database

DUCKDB = "io.kestra.plugin.jdbc.duckdb."
POSTGRESQL = "io.kestra.plugin.jdbc.postgresql."
RETURN = "io.kestra.plugin.core.debug.Return"
CONNECTION = {
    "url": "{{ globals.warehouse }}",
    "username": "{{ secret('WAREHOUSE_USERNAME') }}",
    "password": "{{ secret('WAREHOUSE_PASSWORD') }}",
}
ENDLESS = (
    "SELECT count(*) FROM range(1000000000000) a, range(1000000) b WHERE a.range % 7 = b.range"
)


def flow(*tasks: dict, name: str = "tasks", **more: object) -> str:
    """A flow of tasks."""
    return yaml.safe_dump({"id": name, "namespace": "t", "tasks": tasks, **more})


def on_postgresql(identifier: str, kind: str, **properties: object) -> dict:
    """A task of PostgreSQL with the connection to the warehouse."""
    return {"id": identifier, "type": POSTGRESQL + kind, **CONNECTION, **properties}


def killed_after(task: dict, seconds: float) -> list[dict]:
    """A task, and what kills its execution meanwhile."""
    pause = {"id": "pause", "type": "io.kestra.plugin.core.flow.Sleep", "duration": f"PT{seconds}S"}
    kill = {"id": "kill", "type": "io.kestra.plugin.core.execution.Exit", "state": "KILLED"}
    then = {"id": "then", "type": "io.kestra.plugin.core.flow.Sequential", "tasks": [pause, kill]}
    return [{"id": "both", "type": "io.kestra.plugin.core.flow.Parallel", "tasks": [task, then]}]


def wait_until_idle(warehouse: Database, query: str, seconds: float = 5) -> None:
    """Waits until PostgreSQL runs a query no more."""
    deadline = time.monotonic() + seconds
    with warehouse.server.connect() as connection:
        while True:
            if not connection.execute(
                "SELECT FROM pg_stat_activity WHERE query = %s AND state = 'active'", [query]
            ).rowcount:
                return
            assert time.monotonic() < deadline, f"still runs: {query}"
            time.sleep(0.05)


# --- PostgreSQL -----------------------------------------------------------------------------------


def test_rows_are_shown_as_the_jdbc_plugin_shows_them(engine: Engine) -> None:
    execution = engine.run(
        flow(
            on_postgresql(
                "one",
                "Query",
                fetchType="FETCH_ONE",
                sql="""\
SELECT 1::int AS i, 1.50::numeric AS n, 2::numeric AS w, true AS b, 'x'::text AS t,
date '2024-01-02' AS d, time '03:04:05' AS c,
timestamp '2024-01-02 03:04:05.120' AS ts, timestamptz '2024-01-02 03:04:05+02' AS tz,
interval '1 year 2 days 03:04:05' AS iv, '{"a": [1]}'::jsonb AS j, ARRAY[1, 2] AS a,
'f47ac10b-58cc-4372-a567-0e02b2c3d479'::uuid AS u""",
            )
        )
    )
    assert execution.state == "SUCCESS", messages(execution, "ERROR")
    assert outputs(execution)["one"]["row"] == {
        "i": 1, "n": 1.5, "w": 2, "b": True, "t": "x", "d": "2024-01-02",
        "c": "03:04:05", "ts": "2024-01-02T03:04:05.12", "tz": "2024-01-02T01:04:05Z",
        "iv": "P1Y0M2DT3H4M5S", "j": {"a": [1]}, "a": [1, 2],
        "u": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    }  # fmt: skip


def test_queries_are_one_transaction(engine: Engine, warehouse: Database) -> None:
    script = "CREATE TABLE half (id int); INSERT INTO half VALUES (1); SELECT broken;"
    task = on_postgresql("q", "Queries", sql=script)
    whole = engine.run(flow(task))
    assert whole.state == "FAILED"
    assert messages(whole, "ERROR") == ['ERROR: column "broken" does not exist\n  Position: 8']
    exists = "SELECT to_regclass('half') IS NOT NULL"
    with warehouse.connect() as connection:
        assert connection.execute(exists).fetchone() == (False,)
    engine.run(flow({**task, "transaction": False}))
    with warehouse.connect() as connection:
        assert connection.execute(exists).fetchone() == (True,)


def test_query_takes_one_statement_and_parameters(engine: Engine) -> None:
    bound = on_postgresql(
        "bound",
        "Query",
        fetchType="FETCH",
        sql="SELECT x FROM generate_series(1, 10) AS x WHERE x > :low AND x % 2 = 0",
        parameters={"low": "{{ 3 * 2 }}"},
    )
    two = on_postgresql("two", "Query", sql="SELECT 1; SELECT 2")
    execution = engine.run(flow(bound, two))
    assert outputs(execution)["bound"] == {"rows": [{"x": 8}, {"x": 10}], "size": 2}
    assert execution.state == "FAILED"
    assert "only a single SQL statement" in messages(execution, "ERROR")[0]


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"url": " "}, "Rendered value of `url` is blank."),
        ({"url": "postgresql://h/d"}, "URL should start with `jdbc:"),
        ({"password": "wrong"}, "password authentication failed"),
        ({"ssl": True}, "server does not support SSL"),
        ({"sslMode": "REQUIRE"}, "server does not support SSL"),
        ({"sslCert": "x"}, "not available here: sslCert"),
        ({"outputFiles": ["x"]}, "not available here: outputFiles"),
    ],
)
def test_a_connection_that_fails_says_why(engine: Engine, properties: dict, message: str) -> None:
    execution = engine.run(flow(on_postgresql("q", "Query", **{"sql": "SELECT 1", **properties})))
    assert execution.state == "FAILED"
    assert message in messages(execution, "ERROR")[0]


def test_a_table_goes_out_and_in_again(engine: Engine) -> None:
    form = {"format": "CSV", "header": True, "delimiter": ";", "nullString": "-"}
    sql = "SELECT x, NULL::text AS y FROM generate_series(1, 1000) AS x"
    compress = "io.kestra.plugin.compress.File"
    execution = engine.run(
        flow(
            on_postgresql("out", "CopyOut", sql=sql, **form),
            {"id": "pack", "type": f"{compress}Compress", "compression": "GZIP",
             "from": "{{ outputs.out.uri }}"},
            {"id": "unpack", "type": f"{compress}Decompress", "compression": "GZIP",
             "from": "{{ outputs.pack.uri }}"},
            on_postgresql("table", "Query", sql="CREATE TABLE target (y text, x int)"),
            on_postgresql("in", "CopyIn", table="target", columns=["x", "y"],
                          **{"from": "{{ outputs.unpack.uri }}"}, **form),
            on_postgresql("store", "Query", fetchType="STORE",
                          sql="SELECT x, y FROM target WHERE x < 3 ORDER BY x"),
            {"id": "csv", "type": "io.kestra.plugin.serdes.csv.IonToCsv",
             "from": "{{ outputs.store.uri }}", "fieldSeparator": ";", "alwaysDelimitText": True},
            {"id": "read", "type": RETURN, "format": "{{ read(outputs.csv.uri) }}"},
        )
    )  # fmt: skip
    assert execution.state == "SUCCESS", messages(execution, "ERROR")
    found = outputs(execution)
    assert found["out"]["rowCount"] == found["in"]["rowCount"] == 1000
    assert found["store"]["size"] == 2
    assert found["read"]["value"] == '"x";"y"\n"1";""\n"2";""\n'


def test_a_query_ends_with_its_timeout_or_the_kill_of_its_execution(
    engine: Engine, warehouse: Database
) -> None:
    late = on_postgresql("late", "Query", sql="SELECT pg_sleep(301)", timeout="PT0.5S")
    execution = engine.run(flow(late))
    assert execution.state == "FAILED"
    assert messages(execution, "ERROR") == ["Timeout after 00:00:00.500"]
    wait_until_idle(warehouse, late["sql"])
    killed = on_postgresql("killed", "Queries", sql="SELECT pg_sleep(302)")
    execution = engine.run(flow(*killed_after(killed, 0.5)))
    assert execution.state == "KILLED"
    assert f"Starting query: {killed['sql']}" in messages(execution, "DEBUG")
    wait_until_idle(warehouse, killed["sql"])


# --- DuckDB ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {
            "a/in.csv": "{{ outputs.csv.uri }}",
            "b.csv": "n\nin {{ flow.namespace }}",
            "no.csv": None,
        },
        '{"a/in.csv": "{{ outputs.csv.uri }}", "b.csv": "n\\nin {{ flow.namespace }}"}',
    ],
)
def test_input_files_are_found_by_their_names(
    engine: Engine, source: Path, given: dict[str, str | None] | str
) -> None:
    (source / "in.csv").write_text("id,name\n1,x\n2,y\n")
    csv = {
        "id": "csv",
        "type": "io.kestra.plugin.core.http.Download",
        "uri": "{{ globals.source }}/in.csv",
    }
    duck = {
        "id": "duck",
        "type": f"{DUCKDB}Query",
        "fetchType": "FETCH_ONE",
        "inputFiles": given,
        "sql": "SELECT (SELECT sum(id) FROM 'a/in.csv') AS ids, (SELECT n FROM 'b.csv') AS n",
    }
    execution = engine.run(flow(csv, duck))
    assert execution.state == "SUCCESS", messages(execution, "ERROR")
    assert outputs(execution)["duck"]["row"] == {"ids": "3", "n": "in t"}


def test_files_and_the_database_go_from_task_to_task(engine: Engine) -> None:
    first = {
        "id": "first",
        "type": f"{DUCKDB}Queries",
        "sql": "CREATE TABLE t AS SELECT 1 AS a; COPY t TO '{{ outputFiles.one }}' (FORMAT csv)",
        "outputFiles": ["one"],
        "outputDbFile": True,
    }
    second = {
        "id": "second",
        "type": f"{DUCKDB}Queries",
        "sql": "INSERT INTO t FROM 'x/one.csv'; SELECT count(*) AS n FROM t",
        "fetchType": "FETCH_ONE",
        "databaseUri": "{{ outputs.first.databaseUri }}",
        "inputFiles": {"x/one.csv": "{{ outputs.first.outputFiles.one }}"},
    }
    execution = engine.run(flow(first, second))
    assert execution.state == "SUCCESS", messages(execution, "ERROR")
    found = outputs(execution)
    uri = found["first"]["outputFiles"]["one"]
    assert uri.startswith(f"kestra:///t/tasks/executions/{execution.id}/tasks/first/")
    assert found["first"]["databaseUri"].endswith(".db")
    assert found["second"]["outputs"] == [{"row": {"n": 2}, "size": 1}]


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"inputFiles": ["a"]}, "Invalid `files` properties with type"),
        ({"inputFiles": "a.csv"}, "Unrecognized token 'a'"),
        ({"inputFiles": {"../x": "x"}}, "(only relative path is supported) for path '../x'"),
        ({"inputFiles": {"/x": "x"}}, "(only relative path is supported) for path '/x'"),
        ({"outputFiles": ["./x"]}, "(only relative path is supported) for path './x'"),
        ({"fetchType": "ALL"}, "Unrecognized token 'ALL'"),
        ({"databaseUri": "kestra:///nope.db"}, "nope.db"),
        ({"sql": "SELECT '{{ dbFilePath }}'"}, "Unable to find `dbFilePath`"),
        ({"sql": "SELEC 1"}, 'Parser Error: syntax error at or near "SELEC"'),
    ],
)
def test_what_is_wrong_with_a_task_is_in_its_log(
    engine: Engine, properties: dict, message: str
) -> None:
    execution = engine.run(
        flow({"id": "duck", "type": f"{DUCKDB}Query", "sql": "SELECT 1", **properties})
    )
    assert execution.state == "FAILED"
    assert message in messages(execution, "ERROR")[0]


@pytest.mark.parametrize("kind", ["Query", "Queries"])
def test_properties_of_duckdb_are_validated(engine: Engine, kind: str) -> None:
    task = {
        "id": "duck", "type": DUCKDB + kind, "sql": "SELECT 1", "inputFiles": {"a": "b"},
        "outputFiles": ["c"], "databaseUri": "x", "outputDbFile": True, "timeZoneId": "UTC",
        "communityExtensions": ["h3"], "fetchType": "STORE", "parameters": {"a": 1},
    }  # fmt: skip

    def errors(**changes: object) -> str:
        (validation,) = engine.validate([flow({**task, **changes})])
        return validation.errors or ""

    assert errors() == ""
    assert "sql: must not be null" in errors(sql=None)
    assert 'Unrecognized field "ssl"' in errors(ssl=True)
    unknown = 'Unrecognized field "transaction"' if kind == "Query" else ""
    assert unknown in errors(transaction=True)
    assert bool(unknown) == bool(errors(transaction=True))


def test_sql_may_be_in_namespace_files_with_expressions(engine: Engine) -> None:
    engine.write_file(
        "t",
        "sql/read.sql",
        b"-- a trip {'a': 1}\n"
        b"{% if vars.header %}\nSELECT 'header' AS kind;\n{% else %}\n"
        b"SELECT 'none' AS kind;\n{% endif %}\n"
        b"SELECT {{ outputs.nope.outputs[0].row.b ?? 'NULL' }} AS missing;\n"
        b"COPY ({{ render(read('sql/' ~ vars.part ~ '.sql')) }})"
        b" TO '{{ outputFiles.out }}' (HEADER false)",
    )
    engine.write_file("t", "sql/part.sql", b"SELECT '{{ flow.id }}' AS id")
    execution = engine.run(
        flow(
            {
                "id": "duck",
                "type": f"{DUCKDB}Queries",
                "sql": "{{ render(read('sql/read.sql')) }}",
                "fetchType": "FETCH_ONE",
                "outputFiles": ["out"],
            },
            {"id": "read", "type": RETURN, "format": "{{ read(outputs.duck.outputFiles.out) }}"},
            name="sql_of_files",
            variables={"header": False, "part": "part"},
        )
    )
    assert execution.state == "SUCCESS", messages(execution, "ERROR")
    found = outputs(execution)
    assert [each["row"] for each in found["duck"]["outputs"]] == [
        {"kind": "none"},
        {},  # Kestra keeps no null in outputs
    ]
    assert found["read"]["value"] == "sql_of_files\n"


def test_duckdb_prepares_files_for_postgresql(engine: Engine, warehouse: Database) -> None:
    read = {
        "id": "read",
        "type": f"{DUCKDB}Queries",
        "inputFiles": {"in.csv": "id,name\n1,a\n2,b\n3,c"},
        "outputFiles": ["even", "odd"],
        "fetchType": "FETCH_ONE",
        "sql": """\
CREATE TABLE t AS FROM 'in.csv';
COPY (FROM t WHERE id % 2 = 0) TO '{{ outputFiles.even }}' (HEADER false);
COPY (FROM t WHERE id % 2 = 1) TO '{{ outputFiles.odd }}' (HEADER false);
SELECT count(*) AS lines FROM t;""",
    }
    table = on_postgresql("table", "Query", sql="CREATE TABLE ducks (id int, name text)")
    copies = [
        on_postgresql(
            f"copy_{name}",
            "CopyIn",
            table="ducks",
            format="CSV",
            **{"from": f"{{{{ outputs.read.outputFiles.{name} }}}}"},
        )
        for name in ("even", "odd")
    ]
    lines = {"id": "lines", "type": "INT", "value": "{{ outputs.read.outputs[0].row.lines }}"}
    execution = engine.run(flow(read, table, *copies, outputs=[lines]))
    assert execution.state == "SUCCESS", messages(execution, "ERROR")
    assert execution.outputs == {"lines": 3}
    with warehouse.connect() as connection:
        found = connection.execute("SELECT id, name FROM ducks ORDER BY id").fetchall()
    assert found == [(1, "a"), (2, "b"), (3, "c")]


def test_a_statement_of_duckdb_ends_with_its_timeout(engine: Engine) -> None:
    began = time.monotonic()
    task = {"id": "duck", "type": f"{DUCKDB}Query", "sql": ENDLESS, "timeout": "PT0.5S"}
    execution = engine.run(flow(task))
    assert states(execution) == {"duck": "FAILED"}
    assert messages(execution, "ERROR") == ["Timeout after 00:00:00.500"]
    assert time.monotonic() - began < 5


# --- the other tasks ------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["GZIP", "DEFLATE", "BZIP2", "XZ", "LZMA"])
def test_what_is_compressed_comes_back(engine: Engine, source: Path, algorithm: str) -> None:
    (source / "text.txt").write_text("some text\n" * 1000)
    get = {
        "id": "get",
        "type": "io.kestra.plugin.core.http.Download",
        "uri": "{{ globals.source }}/text.txt",
    }
    small, large = (
        {"id": name, "type": f"io.kestra.plugin.compress.File{name}",
         "compression": algorithm, "from": f"{{{{ outputs.{of}.uri }}}}"}
        for name, of in (("Compress", "get"), ("Decompress", "Compress"))
    )  # fmt: skip
    sizes = {
        "id": "sizes",
        "type": RETURN,
        "format": "{{ fileSize(outputs.Compress.uri) < 500 }} "
        "{{ read(outputs.Decompress.uri) == read(outputs.get.uri) }}",
    }
    execution = engine.run(flow(get, small, large, sizes))
    assert execution.state == "SUCCESS", messages(execution, "ERROR")
    assert outputs(execution)["sizes"] == {"value": "true true"}


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"compression": "ZSTD"}, "compression: ZSTD is not available here. Available: GZIP"),
        ({"compression": "GZIP"}, "Input is not in the GZIP format"),
    ],
)
def test_a_file_that_cannot_be_decompressed_fails(
    engine: Engine, source: Path, properties: dict, message: str
) -> None:
    (source / "plain.txt").write_text("no gzip\n")
    get = {
        "id": "get",
        "type": "io.kestra.plugin.core.http.Download",
        "uri": "{{ globals.source }}/plain.txt",
    }
    task = {
        "id": "large",
        "type": "io.kestra.plugin.compress.FileDecompress",
        "from": "{{ outputs.get.uri }}",
        **properties,
    }
    execution = engine.run(flow(get, task))
    assert execution.state == "FAILED"
    assert message in messages(execution, "ERROR")[0]
