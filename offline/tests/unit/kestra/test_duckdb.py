"""DuckDB's Query and Queries without Kestra: files, results, values, errors, kills."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest

from offline.kestra.tasks import TYPES
from offline.kestra.tasks.base import Killed, Task, TaskError
from offline.tests.task_context import TaskContext

Row = dict[str, Any]


class Worker(TaskContext):
    """Runs tasks, and is what they see of Kestra."""

    def task(self, kind: str, **properties: Any) -> Task:
        defaults = {"url": "jdbc:duckdb:", "fetchType": "NONE", "transaction": True}
        self.properties = {**defaults, **properties}
        return TYPES[f"io.kestra.plugin.jdbc.duckdb.{kind}"](self)

    def run(self, kind: str, sql: str, **properties: Any) -> Row:
        return self.task(kind, sql=sql, **properties).run()

    def row(self, sql: str, **properties: Any) -> Row:
        outputs = self.run("Query", sql, fetchType="FETCH_ONE", **properties)
        return cast(Row, outputs["row"])


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


# --- files ----------------------------------------------------------------------------------------


def test_output_files_go_to_the_storage(worker: Worker) -> None:
    outputs = worker.run(
        "Queries",
        "COPY (SELECT 1 AS a) TO '{{ outputFiles.even }}' (FORMAT csv);"
        "COPY (SELECT 2 AS a) TO '{{ outputFiles.odd }}' (FORMAT csv, HEADER false);",
        outputFiles=["even", "odd"],
    )
    assert outputs["outputs"] == []
    files = outputs["outputFiles"]
    assert worker.text(files["even"]) == "a\n1\n"
    assert worker.text(files["odd"]) == "2\n"
    assert files["odd"].startswith("odd_")


@pytest.mark.parametrize("name", ["../x", "/x", "./x"])
def test_files_outside_of_the_folder_are_refused(worker: Worker, name: str) -> None:
    with pytest.raises(TaskError, match=r"only relative path is supported\) for path '\.?\.?/x'"):
        worker.run("Query", "SELECT 1", outputFiles=[name])


def test_the_database_file_goes_from_task_to_task(worker: Worker) -> None:
    first = worker.run("Query", "CREATE TABLE t AS SELECT 1 AS a", outputDbFile=True)
    assert first["databaseUri"].endswith(".db")
    second = worker.run(
        "Queries", "INSERT INTO t VALUES (2)", databaseUri=first["databaseUri"], outputDbFile=True
    )
    assert worker.row("SELECT max(a) AS a FROM t", databaseUri=first["databaseUri"]) == {"a": 1}
    assert worker.row("SELECT max(a) AS a FROM t", databaseUri=second["databaseUri"]) == {"a": 2}


def test_a_database_may_have_its_place(worker: Worker, tmp_path: Path) -> None:
    url = f"jdbc:duckdb:{tmp_path}/place/trips.db"
    worker.run("Queries", "CREATE TABLE t AS FROM 'in.csv'", url=url, inputFiles={"in.csv": "a\n5"})
    row = worker.row("SELECT a, '{{ dbFilePath }}' AS f, '{{ workingDir }}' AS w FROM t", url=url)
    assert row == {"a": 5, "f": f"{tmp_path}/place/trips.db", "w": f"{tmp_path}/place"}


def test_each_task_has_a_database_of_its_own(worker: Worker) -> None:
    worker.run("Query", "CREATE TABLE t (a int)")
    with pytest.raises(TaskError, match="Table with name t does not exist"):
        worker.run("Query", "FROM t")
    assert worker.row("SELECT 1 AS a", url="jdbc:duckdb::memory:") == {"a": 1}
    assert "dbFilePath" not in worker.task("Query").variables


@pytest.mark.parametrize(
    ("kind", "properties", "message"),
    [
        ("Query", {"url": ""}, r"Rendered value of `url` is blank\."),
        ("Query", {"url": "jdbc:postgresql://h/d"}, "URL should start with `jdbc:duckdb`"),
        ("Queries", {"url": "jdbc:duckdb:x.db"}, r"\(Path to database file must be absolute\)"),
        ("Query", {"url": "jdbc:duckdb:md:x"}, "MotherDuck, DuckLake and options are not"),
        ("Query", {"url": "jdbc:duckdb:ducklake:x"}, "MotherDuck, DuckLake and options are not"),
        ("Query", {"url": "jdbc:duckdb:/x.db;threads=1"}, "MotherDuck, DuckLake and options are"),
        ("Query", {"url": "jdbc:duckdb::memory:", "outputDbFile": True}, "Files are only suppor"),
        ("Query", {"timeZoneId": "Mars", "fetchType": "FETCH"}, "Unknown time-zone ID: Mars"),
    ],
)
def test_wrong_properties(worker: Worker, kind: str, properties: Row, message: str) -> None:
    with pytest.raises(Exception, match=message):
        worker.run(kind, "SELECT 1", **properties)


# --- results --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "outputs"),
    [
        ({"fetchType": "FETCH"}, {"rows": [{"a": 0}, {"a": 1}], "size": 2}),
        ({"fetch": True}, {"rows": [{"a": 0}, {"a": 1}], "size": 2}),
        ({"fetchType": "FETCH_ONE"}, {"row": {"a": 0}, "size": 1}),
        ({"fetchOne": True}, {"row": {"a": 0}, "size": 1}),
        ({}, {}),
    ],
)
def test_fetch_types(worker: Worker, properties: Row, outputs: Row) -> None:
    sql = "SELECT range AS a FROM range(2)"
    assert worker.run("Query", sql, **properties) == {**outputs, "outputFiles": {}}
    assert worker.run("Queries", sql, **properties)["outputs"] == [outputs]


@pytest.mark.parametrize("properties", [{"fetchType": "STORE"}, {"store": True}])
def test_rows_are_stored_as_ion(worker: Worker, properties: Row) -> None:
    outputs = worker.run("Query", "SELECT range AS a FROM range(5000)", **properties)
    assert outputs["size"] == 5000
    lines = worker.text(outputs["uri"]).splitlines()
    assert (len(lines), lines[-1]) == (5000, "{a:4999}")


def test_nothing_found(worker: Worker) -> None:
    sql = "SELECT 1 AS a WHERE false"
    assert worker.run("Query", sql, fetchType="FETCH_ONE")["row"] is None
    assert worker.run("Query", sql, fetchType="FETCH_ONE")["size"] == 0
    assert worker.run("Queries", sql, fetchType="FETCH_ONE")["outputs"] == [
        {"row": None, "size": 1}
    ]


def test_only_statements_with_a_result_set_have_outputs(worker: Worker) -> None:
    outputs = worker.run(
        "Queries",
        "CREATE TABLE t (a int); SET threads = 1; SET VARIABLE x = 2; INSERT INTO t VALUES (1);"
        "INSERT INTO t VALUES (getvariable('x')) RETURNING a AS \"Count\"; UPDATE t SET a = a;"
        "COPY t TO '{{ workingDir }}/t.csv'; CREATE TABLE u AS FROM t; DELETE FROM u;"
        "SELECT a FROM query('FROM t') ORDER BY a; SHOW TABLES; PIVOT t ON a USING count(*);",
        fetchType="FETCH",
    )
    assert [each["rows"] for each in outputs["outputs"]] == [
        [{"Count": 2}],
        [{"a": 1}, {"a": 2}],
        [{"name": "t"}, {"name": "u"}],
        [{"1": 1, "2": 1}],
    ]


def test_a_statement_runs_whether_or_not_its_rows_are_wanted(worker: Worker) -> None:
    with pytest.raises(TaskError, match=r"^Invalid Input Error: stop here$"):
        worker.run("Queries", "SELECT error('stop here')")
    assert worker.messages("INFO") == []
    worker.run("Queries", "SELECT 1")
    assert worker.messages("INFO") == ["fetchType is set to NONE, no output will be returned"]


def test_what_the_plugin_does_not_cut_runs_whole_and_gives_its_last_result(worker: Worker) -> None:
    outputs = worker.run(
        "Queries", "CREATE TYPE m AS ENUM ('a'); SELECT 1 AS one; SELECT 2 AS two", fetch=True
    )
    assert outputs["outputs"] == [{"rows": [{"two": 2}], "size": 1}]


@pytest.mark.parametrize("sql", ["SELECT 1;;", "SELECT 1; -- the end", ""])
def test_a_statement_without_words_is_an_error(worker: Worker, sql: str) -> None:
    with pytest.raises(TaskError, match=r"^Invalid Input Error: No statements to execute\.$"):
        worker.run("Queries", f"SELECT 0; {sql};")


def test_names_that_occur_twice(worker: Worker) -> None:
    assert worker.row("SELECT 1 AS a, 2 AS a, INTERVAL 1 DAY AS b") == {"a": 2, "b": "1 day"}


def test_parameters(worker: Worker) -> None:
    given = {"low": 2, "name": "x'y", "real": 1.5}
    outputs = worker.run(
        "Queries",
        "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (:low, :name), (:missing, :name);"
        "SELECT a, b, :real AS r FROM t WHERE a >= :low",
        parameters=given,
        fetchType="FETCH",
    )
    assert outputs["outputs"][0]["rows"] == [{"a": 2, "b": "x'y", "r": 1.5}]


def test_a_query_is_one_statement(worker: Worker) -> None:
    with pytest.raises(TaskError, match="Query task support only a single SQL statement"):
        worker.run("Query", "SELECT 1; SELECT 2")
    sql = "SET file_search_path = '{{ workingDir }}/a'; FROM 'x.csv'"
    assert worker.row(sql, inputFiles={"a/x.csv": "n\n1"}) == {"n": 1}
    with pytest.raises(TaskError, match="afterSQL supports only a single SQL statement"):
        worker.run("Query", "SELECT 1", afterSQL="SELECT 1; SELECT 2", parameters={})


def test_after_sql_needs_parameters_as_in_the_plugin(worker: Worker) -> None:
    sql, after = "INSERT INTO t VALUES (2)", "UPDATE t SET a = a + :n"
    uri = worker.run("Query", "CREATE TABLE t AS SELECT 1 AS a", outputDbFile=True)["databaseUri"]
    with pytest.raises(TaskError, match="Query to execute was not specified"):
        worker.run("Query", sql, afterSQL="UPDATE t SET a = 3", databaseUri=uri)
    both = worker.run(
        "Query", sql, afterSQL=after, parameters={"n": 5}, databaseUri=uri, outputDbFile=True
    )
    assert worker.row("SELECT sum(a) AS a FROM t", databaseUri=both["databaseUri"]) == {"a": "13"}


def test_file_names_are_shown_as_in_the_folder(worker: Worker) -> None:
    files = {"in/a.csv": "x\n1", "in/b.csv": "x\n2"}
    sql = "SELECT * FROM read_csv('in/*.csv', filename = true) ORDER BY x;"
    rows = worker.run("Query", sql, inputFiles=files, fetchType="FETCH")["rows"]
    assert rows == [{"x": 1, "filename": "in/a.csv"}, {"x": 2, "filename": "in/b.csv"}]
    whole = worker.run("Queries", sql, inputFiles=files, fetch=True)["outputs"][0]["rows"]
    assert whole[0]["filename"].startswith(str(worker.scratch))


@pytest.mark.parametrize(("transaction", "left"), [(True, []), (False, [{"name": "t"}])])
def test_queries_are_one_transaction(
    worker: Worker, tmp_path: Path, transaction: bool, left: list[Row]
) -> None:
    url = f"jdbc:duckdb:{tmp_path}/x.db"
    with pytest.raises(TaskError, match="Catalog Error"):
        worker.run("Queries", "CREATE TABLE t (a int); FROM u", url=url, transaction=transaction)
    assert worker.run("Query", "SHOW TABLES", url=url, fetch=True)["rows"] == left


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("NULL", None),
        ("true", True),
        ("1::tinyint", 1),
        ("count(*)", 1),
        ("9223372036854775807", 9223372036854775807),
        ("sum(1)", "1"),
        ("1::hugeint", "1"),
        ("18446744073709551615::ubigint", "18446744073709551615"),
        ("4294967295::uinteger", 4294967295),
        ("12345.123::decimal(18, 3)", 12345.123),
        ("5::decimal(4, 0)", 5),
        ("123.456::float", 123.456),
        ("0.1::float", 0.1),
        ("3.4028235e38::float", 3.4028235e38),
        ("12345.12345::double", 12345.12345),
        ("'nan'::float", "NaN"),
        ("'-infinity'::double", "-Infinity"),
        ("'x'", "x"),
        ("'happy'::enum('happy', 'sad')", "happy"),
        ("'101'::bit", "101"),
        ("DATE '1992-09-20'", "1992-09-20"),
        ("TIME '03:04:05.120'", "03:04:05.12"),
        ("TIMESTAMP '2020-06-10 15:55:23.383345'", "2020-06-10T15:55:23.383345+02:00"),
        ("TIMESTAMP_S '2020-06-10 15:55:23'", "2020-06-10T17:55:23+02:00"),
        ("TIMESTAMPTZ '2001-08-22 12:04:05.321+02'", "2001-08-22T10:04:05.321Z"),
        ("INTERVAL '1 year 2 months 3 days 04:05:06'", "1 year 2 months 3 days 04:05:06"),
        ("'f47ac10b-58cc-4372-a567-0e02b2c3d479'::uuid", "f47ac10b-58cc-4372-a567-0e02b2c3d479"),
        ('\'{"a": {"b": [1, null]}}\'::json', {"a": {"b": [1, None]}}),
        ("NULL::json", None),
        ("[1, NULL, 3]", [1, None, 3]),
        ("[[1.5], []]", [[1.5], []]),
        ("array_value(0.1::float, 2)", [0.1, 2.0]),
        ("[1::hugeint]", [1]),
        ("[TIMESTAMP '2020-06-10 15:55:23.383345']", ["2020-06-10T15:55:23.383+00:00"]),
        ("[TIMESTAMPTZ '2020-06-10 15:55:23+02']", ["2020-06-10T13:55:23Z"]),
        ("[{'a': 1}]", ["{a=1}"]),
        ("[map {1: [2]}]", [{"1": [2]}]),
        ("{'a': 1, 'b': {'c': ['x', NULL]}}", "{a=1, b={c=[x, null]}}"),
        ("{'d': 1.50, 'f': 0.1::float, 'b': true}", "{d=1.50, f=0.1, b=true}"),
        ("{'a': 1e7, 'b': 1.25e-4, 'c': 12.0::double}", "{a=1.0E7, b=1.25E-4, c=12.0}"),
        ("{'a': TIMESTAMP '2020-01-01', 'b': map {1: 2}}", "{a=2020-01-01 00:00:00.0, b={1=2}}"),
        ("union_value(n := 2)", 2),
    ],
)
def test_values(worker: Worker, expression: str, shown: Any) -> None:
    row = worker.row(f"SELECT {expression} AS v", timeZoneId="Europe/Paris")
    assert row == {"v": shown}
    assert type(row["v"]) is type(shown)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (
            "map {'a': 1}",
            "Data of type 'class java.util.LinkedHashMap' for column 'v' is not supported, "
            r"the column type is 'MAP\(VARCHAR, INTEGER\)'",
        ),
        ("'x'::blob", r"Data of type 'class org.duckdb.DuckDBResultSet\$DuckDBBlobResult' for"),
        ("TIMETZ '10:00:00+02'", "Data of type 'class java.time.OffsetTime' for column 'v'"),
        ("'[1]'::json", r"Invalid data type \[JSON\] with value \[\[1\]\]"),
        ("[INTERVAL 1 DAY]", "for column 'v' is not supported, the column type is 'INTERVAL"),
    ],
)
def test_values_that_the_plugin_refuses(worker: Worker, expression: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        worker.row(f"SELECT {expression} AS v")


# --- the rest -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", '^Parser Error: syntax error at or near "SELEC"'),
        ("SELECT * FROM worker", "^Catalog Error: Table with name worker does not exist!"),
        ("SELECT 'x'::int", "^Conversion Error: Could not convert string 'x' to INT32"),
        ("FROM 'nope.csv'", "^IO Error: No files found that match the pattern"),
    ],
)
def test_errors_are_in_the_words_of_duckdb(worker: Worker, sql: str, message: str) -> None:
    for kind in ("Query", "Queries"):
        with pytest.raises(TaskError, match=message):
            worker.run(kind, sql)


ENDLESS = (
    "SELECT count(*) FROM range(1000000000000) a, range(1000000) b WHERE a.range % 7 = b.range"
)


@pytest.mark.parametrize(
    "sql",
    [ENDLESS, f"CREATE TABLE t AS {ENDLESS}", "SELECT range FROM range(5000000)"],
)
def test_a_running_statement_is_killed(worker: Worker, sql: str) -> None:
    task = worker.task("Queries", sql=sql, fetchType="STORE")
    timer = threading.Timer(0.3, worker.cancellation.cancel)
    timer.start()
    began = time.monotonic()
    with pytest.raises(Killed):
        task.run()
    assert time.monotonic() - began < 5
    timer.join()


def test_extensions_are_tried_and_the_query_goes_on(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(*_: object, **__: object) -> None:
        raise duckdb.HTTPException("HTTP Error: no network")

    monkeypatch.setattr(duckdb.DuckDBPyConnection, "install_extension", install, raising=True)
    worker.row("SELECT 1", communityExtensions=["h3", "a-b"])
    assert worker.messages("WARN") == [
        "Failed to install/load DuckDB community extension 'h3'. Continuing without it. "
        "SQLState=null, message=HTTP Error: no network",
        "Skipping DuckDB community extension 'a-b' because the name contains unsupported "
        "characters.",
    ]
    worker.logged.clear()
    worker.row("SELECT 1")
    assert worker.messages("WARN") == []
