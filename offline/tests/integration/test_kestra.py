"""The stand-in for Kestra on a real PostgreSQL: flows that run, fail, are killed, and survive."""

from __future__ import annotations

import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kestra.servers import (
    PASSWORD,
    USERNAME,
    Client,
    KestraServer,
    Start,
    runs,
    state,
    states,
)


@pytest.fixture
def jdbc(shared_kestra: KestraServer) -> str:
    """Plugin defaults with the connection to the server's database."""
    database = shared_kestra.database
    return (
        "\npluginDefaults:\n  - type: io.kestra.plugin.jdbc.postgresql\n    values:\n"
        f"      url: {database.url}\n      username: {database.server.user}\n"
        f"      password: {database.server.password}\n"
    )


# --- secrets --------------------------------------------------------------------------------------


def test_neither_logs_nor_outputs_hold_the_password(start_kestra: Start) -> None:
    client = Client(start_kestra(secrets={"WAREHOUSE_PASSWORD": "Sesame-42"}))
    client.create(
        "id: leak\nnamespace: t\ntasks:\n  - id: log\n    type: io.kestra.plugin.core.log.Log\n"
        "    message: \"it is {{ secret('WAREHOUSE_PASSWORD') }}.\"\n"
    )
    (line,) = client.logs(client.start("t/leak", wait=True))
    assert line.startswith("it is **masked*")
    assert "Sesame-42" not in line
    assert "Sesame-42" not in client.server.log()


# --- release 1.x ----------------------------------------------------------------------------------


def test_release_1_wants_a_tenant_and_credentials(server: KestraServer) -> None:
    flows = f"{server.api}/flows/search"
    refused = httpx.get(flows)
    assert (refused.status_code, refused.content) == (401, b"")
    assert refused.headers["www-authenticate"] == "Basic"
    assert httpx.get(flows, auth=(USERNAME, "wrong")).status_code == 401
    assert httpx.get(flows, headers={"Authorization": "Basic !!!"}).status_code == 401
    assert httpx.get(flows, auth=(USERNAME, PASSWORD)).json() == {"results": [], "total": 0}
    plain = f"{server.base}/api/v1/flows/search"
    assert httpx.get(plain, auth=(USERNAME, PASSWORD)).status_code == 404
    assert httpx.get(f"{server.base}/api/v1/configs").json()["version"] == "1.3.34"
    assert httpx.get(f"{server.base}/ping").text == "pong"


def test_release_1_lets_nobody_in_with_a_weak_password(start_kestra: Start, monkeypatch) -> None:
    monkeypatch.setattr("tests.kestra.servers.PASSWORD", "short")
    server = start_kestra()
    answer = httpx.get(f"{server.api}/flows/search", auth=(USERNAME, "short"))
    assert answer.status_code == 401
    (error,) = httpx.get(f"{server.base}/api/v1/basicAuthValidationErrors").json()
    assert "The password must have 8 chars" in error
    assert "nobody can log in" in server.log()


def test_release_1_reserves_words(client: Client) -> None:
    response = client.http.post(
        "/flows",
        content="id: pause\nnamespace: t\ntasks:\n  - id: l\n"
        "    type: io.kestra.plugin.core.log.Log\n    message: x\n",
        headers={"Content-Type": "application/x-yaml"},
    )
    assert response.status_code == 422
    assert "Flow id is a reserved keyword: pause" in response.json()["message"]


def test_what_is_not_supported_is_refused_by_name(client: Client) -> None:
    for method, path in (("GET", "blueprints"), ("POST", "executions/x/resume")):
        answer = client.http.request(method, f"/{path}")
        assert answer.status_code == 501
        assert f"has no `{path}`" in answer.json()["message"]
    report = client.http.post(
        "/flows/validate",
        content="id: a\nnamespace: t\nsla: []\ntasks: []\n",
        headers={"Content-Type": "application/x-yaml"},
    ).json()
    assert report[0]["constraints"].startswith("sla: not supported by the stand-in")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/triggers", "[]"),
        ("PUT", "/triggers", "{"),
        ("DELETE", "/flows/delete/by-ids", '[{"id": "a"}]'),
        ("DELETE", "/executions/kill/by-ids", '{"a": 1}'),
        ("GET", "/flows/search?filters[namespace][EQUALS]=t", None),
        ("GET", "/flows/search?sort=nope:asc", None),
        ("GET", "/executions/search?startDate=yesterday", None),
        ("GET", "/executions/search?timeRange=1d", None),
    ],
)
def test_malformed_requests_are_answered_with_what_is_wrong(
    client: Client, method: str, path: str, body: str | None
) -> None:
    headers = {"Content-Type": "application/json"} if body else None
    answer = client.http.request(method, path, content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["message"].startswith("Illegal argument: ")


def test_the_page_says_what_it_is(client: Client) -> None:
    client.run("id: shown\ntasks:\n  - {id: f, type: io.kestra.plugin.core.execution.Fail}\n")
    assert httpx.get(client.server.base).status_code == 401
    page = httpx.get(client.server.base, auth=(USERNAME, PASSWORD))
    assert "This is not Kestra." in page.text
    assert "shown" in page.text
    assert "FAILED" in page.text
    assert page.headers["server"] == "podium-kestra-stand-in"


def test_health(client: Client) -> None:
    base = f"http://127.0.0.1:{client.server.management_port}"
    assert httpx.get(f"{base}/health/readiness").json()["status"] == "UP"
    assert httpx.get(f"{base}/health/liveness").json()["status"] == "UNKNOWN"


# --- tasks ----------------------------------------------------------------------------------------


def test_rows_are_shown_as_the_jdbc_plugin_shows_them(client: Client, jdbc: str) -> None:
    execution = client.run(
        """\
id: types
tasks:
  - id: one
    type: io.kestra.plugin.jdbc.postgresql.Query
    fetchType: FETCH_ONE
    sql: >-
      SELECT 1::int AS i, 1.50::numeric AS n, 2::numeric AS w, true AS b, 'x'::text AS t,
      NULL::int AS nothing, date '2024-01-02' AS d, time '03:04:05' AS c,
      timestamp '2024-01-02 03:04:05.120' AS ts, timestamptz '2024-01-02 03:04:05+02' AS tz,
      interval '1 year 2 days 03:04:05' AS iv, '{"a": [1]}'::jsonb AS j, ARRAY[1, 2] AS a,
      'f47ac10b-58cc-4372-a567-0e02b2c3d479'::uuid AS u
"""
        + jdbc
    )
    assert state(execution) == "SUCCESS", client.logs(execution)
    assert runs(execution)["one"]["outputs"]["row"] == {
        "i": 1, "n": 1.5, "w": 2, "b": True, "t": "x", "nothing": None, "d": "2024-01-02",
        "c": "03:04:05", "ts": "2024-01-02T03:04:05.12", "tz": "2024-01-02T01:04:05Z",
        "iv": "P1Y0M2DT3H4M5S", "j": {"a": [1]}, "a": [1, 2],
        "u": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    }  # fmt: skip


def test_queries_are_one_transaction(client: Client, jdbc: str) -> None:
    script = "CREATE TABLE half (id int); INSERT INTO half VALUES (1); SELECT broken;"
    task = "id: q{n}\ntasks:\n  - id: q\n    type: io.kestra.plugin.jdbc.postgresql.Queries\n"
    whole = client.run(task.format(n=1) + f"    sql: {script}\n" + jdbc)
    assert state(whole) == "FAILED"
    (message,) = client.logs(whole, "ERROR")
    assert message == 'ERROR: column "broken" does not exist\n  Position: 8'
    exists = "SELECT to_regclass('half') IS NOT NULL"
    with client.server.database.connect() as connection:
        assert connection.execute(exists).fetchone() == (False,)
    client.run(task.format(n=2) + f"    transaction: false\n    sql: {script}\n" + jdbc)
    with client.server.database.connect() as connection:
        assert connection.execute(exists).fetchone() == (True,)


def test_query_takes_one_statement_and_parameters(client: Client, jdbc: str) -> None:
    execution = client.run(
        """\
id: bound
tasks:
  - id: bound
    type: io.kestra.plugin.jdbc.postgresql.Query
    fetchType: FETCH
    sql: SELECT x FROM generate_series(1, 10) AS x WHERE x > :low AND x % 2 = 0
    parameters: {low: 6}
  - id: two
    type: io.kestra.plugin.jdbc.postgresql.Query
    sql: SELECT 1; SELECT 2
"""
        + jdbc
    )
    assert runs(execution)["bound"]["outputs"] == {"rows": [{"x": 8}, {"x": 10}], "size": 2}
    assert state(execution) == "FAILED"
    assert "only a single SQL statement" in client.logs(execution, "ERROR")[0]


def test_a_table_goes_out_and_in_again(client: Client, jdbc: str) -> None:
    execution = client.run(
        """\
id: copies
tasks:
  - id: out
    type: io.kestra.plugin.jdbc.postgresql.CopyOut
    sql: SELECT x, NULL::text AS y FROM generate_series(1, 1000) AS x
    format: CSV
    header: true
    delimiter: ";"
    nullString: "-"
  - id: pack
    type: io.kestra.plugin.compress.FileCompress
    from: "{{ outputs.out.uri }}"
    compression: GZIP
  - id: unpack
    type: io.kestra.plugin.compress.FileDecompress
    from: "{{ outputs.pack.uri }}"
    compression: GZIP
  - id: table
    type: io.kestra.plugin.jdbc.postgresql.Queries
    sql: CREATE TABLE target (y text, x int);
  - id: in
    type: io.kestra.plugin.jdbc.postgresql.CopyIn
    from: "{{ outputs.unpack.uri }}"
    table: target
    columns: [x, y]
    format: CSV
    header: true
    delimiter: ";"
    nullString: "-"
  - id: store
    type: io.kestra.plugin.jdbc.postgresql.Query
    fetchType: STORE
    sql: SELECT x FROM target WHERE x < 3 ORDER BY x
  - id: purge
    type: io.kestra.plugin.core.storage.PurgeCurrentExecutionFiles
outputs:
  - {id: stored, type: INT, value: "{{ outputs.store.size }}"}
"""
        + jdbc
    )
    assert state(execution) == "SUCCESS", client.logs(execution)
    found = runs(execution)
    assert found["out"]["outputs"]["rowCount"] == found["in"]["outputs"]["rowCount"] == 1000
    assert execution["outputs"] == {"stored": 2}
    assert len(found["purge"]["outputs"]["uris"]) >= 4
    assert not list((client.server.folder / "storage" / "t" / "copies").rglob("*.ion"))


def test_duckdb_prepares_files_for_postgresql(client: Client, jdbc: str) -> None:
    execution = client.run(
        """\
id: ducks
tasks:
  - id: read
    type: io.kestra.plugin.jdbc.duckdb.Queries
    inputFiles:
      in.csv: "id,name\\n1,a\\n2,b\\n3,c"
    outputFiles: [even, odd]
    fetchType: FETCH_ONE
    sql: |
      CREATE TABLE t AS FROM 'in.csv';
      COPY (FROM t WHERE id % 2 = 0) TO '{{ outputFiles.even }}' (HEADER false);
      COPY (FROM t WHERE id % 2 = 1) TO '{{ outputFiles.odd }}' (HEADER false);
      SELECT count(*) AS lines FROM t;
  - id: table
    type: io.kestra.plugin.jdbc.postgresql.Query
    sql: CREATE TABLE ducks (id int, name text)
  - id: copy
    type: io.kestra.plugin.core.flow.ForEach
    values: [even, odd]
    tasks:
      - id: in
        type: io.kestra.plugin.jdbc.postgresql.CopyIn
        from: "{{ outputs.read.outputFiles[taskrun.value] }}"
        table: ducks
        format: CSV
outputs:
  - {id: lines, type: INT, value: "{{ outputs.read.outputs[0].row.lines }}"}
"""
        + jdbc
    )
    assert state(execution) == "SUCCESS", client.logs(execution)
    assert execution["outputs"] == {"lines": 3}
    with client.server.database.connect() as connection:
        found = connection.execute("SELECT id, name FROM ducks ORDER BY id").fetchall()
    assert found == [(1, "a"), (2, "b"), (3, "c")]


def test_flowable_tasks(client: Client) -> None:
    execution = client.run(
        """\
id: flowables
inputs:
  - {id: way, type: STRING, defaults: left}
tasks:
  - id: if
    type: io.kestra.plugin.core.flow.If
    condition: "{{ inputs.way == 'left' }}"
    then:
      - {id: yes, type: io.kestra.plugin.core.debug.Return, format: "{{ inputs.way }}"}
    else:
      - {id: no, type: io.kestra.plugin.core.debug.Return, format: no}
  - id: switch
    type: io.kestra.plugin.core.flow.Switch
    value: "{{ inputs.way }}"
    cases:
      left:
        - {id: case, type: io.kestra.plugin.core.debug.Return, format: "{{ outputs.yes.value }}!"}
  - id: each
    type: io.kestra.plugin.core.flow.ForEach
    values: [a, b, 3]
    concurrencyLimit: 0
    tasks:
      - {id: inner, type: io.kestra.plugin.core.debug.Return, format: "{{ taskrun.value }}-"}
      - {id: outer, type: io.kestra.plugin.core.debug.Return,
         format: "{{ outputs.inner[taskrun.value].value }}{{ taskrun.iteration }}"}
  - id: parallel
    type: io.kestra.plugin.core.flow.Parallel
    tasks:
      - {id: p1, type: io.kestra.plugin.core.flow.Sleep, duration: PT0.4S}
      - {id: p2, type: io.kestra.plugin.core.flow.Sleep, duration: PT0.4S}
  - id: soft
    type: io.kestra.plugin.core.flow.AllowFailure
    tasks:
      - {id: f, type: io.kestra.plugin.core.execution.Fail}
  - {id: skipped, type: io.kestra.plugin.core.debug.Return, runIf: "{{ false }}", format: x}
  - {id: mark, type: io.kestra.plugin.core.execution.Labels, labels: {way: "{{ inputs.way }}"}}
  - {id: off, type: io.kestra.plugin.core.debug.Return, disabled: true, format: x}
outputs:
  - {id: all, type: JSON, value: "{{ outputs.outer }}"}
"""
    )
    found = runs(execution)
    assert state(execution) == "WARNING"
    assert found["if"]["outputs"] == {"evaluationResult": True}
    assert "no" not in found
    assert found["case"]["outputs"] == {"value": "left!"}
    assert execution["outputs"]["all"] == {
        value: {"value": f"{value}-{n}"} for n, value in enumerate(("a", "b", "3"))
    }
    assert state(found["skipped"]) == "SKIPPED"
    assert {"key": "way", "value": "left"} in execution["labels"]
    search = {"labels": "way:left"}
    assert client.http.get("/executions/search", params=search).json()["total"] == 1
    assert "off" not in found
    slept = [found[name]["state"] for name in ("p1", "p2")]
    assert slept[0]["startDate"] < slept[1]["endDate"]
    assert slept[1]["startDate"] < slept[0]["endDate"]


def test_retry_timeout_and_allowed_failure(client: Client) -> None:
    execution = client.run(
        """\
id: robust
tasks:
  - id: again
    type: io.kestra.plugin.core.execution.Fail
    allowFailure: true
    retry: {type: constant, interval: PT0.1S, maxAttempts: 3}
  - id: slow
    type: io.kestra.plugin.core.flow.Sleep
    duration: PT30S
    timeout: PT0.3S
    retry: {type: exponential, interval: PT0.1S, maxInterval: PT1S, maxAttempts: 2}
errors:
  - {id: handler, type: io.kestra.plugin.core.log.Log, message: "handled {{ flow.id }}"}
"""
    )
    found = runs(execution)
    assert state(execution) == "FAILED"
    assert len(found["again"]["attempts"]) == 3
    assert state(found["again"]) == "WARNING"
    assert [state(attempt) for attempt in found["slow"]["attempts"]] == ["FAILED", "FAILED"]
    assert states(found["slow"]) == [
        "CREATED", "RUNNING", "FAILED", "RETRYING", "CREATED", "RUNNING", "FAILED",
    ]  # fmt: skip
    lines = client.logs(execution)
    assert "Timeout after 00:00:00.300" in lines
    assert "handled robust" in lines


def test_expressions_reach_files_keys_and_secrets(start_kestra: Start) -> None:
    client = Client(start_kestra(secrets={"TOKEN": "s3cret-token"}))
    client.http.post(
        "/namespaces/t/files", params={"path": "/a/b.txt"}, files={"fileContent": b"from namespace"}
    ).raise_for_status()
    client.http.put("/namespaces/t/kv/k", json={"a": 1}).raise_for_status()
    client.create(
        """\
id: reach
namespace: t
inputs:
  - {id: doc, type: FILE}
tasks:
  - id: all
    type: io.kestra.plugin.core.debug.Return
    format: "{{ read(inputs.doc) }}, {{ read('a/b.txt') }}, {{ kv('k').a }}, {{ secret('token') }}"
  - id: unset
    type: io.kestra.plugin.core.debug.Return
    format: "{{ kv('x', errorOnMissing=false) ?? 'no' }}"
  - {id: set, type: io.kestra.plugin.core.kv.Set, key: n, value: "{{ 6 * 7 }}"}
  - {id: get, type: io.kestra.plugin.core.kv.Get, key: n}
  - {id: missing, type: io.kestra.plugin.core.debug.Return, format: "{{ kv('x') }}"}
"""
    )
    response = client.http.post(
        "/executions/t/reach", params={"wait": True}, files={"doc": ("any.txt", b"from input")}
    )
    found = runs(response.raise_for_status().json())
    assert found["all"]["outputs"]["value"] == "from input, from namespace, 1, s3cret-token"
    assert found["unset"]["outputs"] == {"value": "no"}
    assert found["get"]["outputs"] == {"value": 42}
    (message,) = client.logs(response.json(), "ERROR")
    assert message == "The key 'x' does not exist in the namespace 't'."
    assert not any("s3cret-token" in line for line in client.logs(response.json(), "TRACE"))


def test_requests(client: Client, tmp_path: Path) -> None:
    (tmp_path / "hello.txt").write_text("hello")
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as web_server:
        threading.Thread(target=web_server.serve_forever, daemon=True).start()
        files = f"http://127.0.0.1:{web_server.server_port}"
        execution = client.run(
            f"""\
id: request
tasks:
  - id: there
    type: io.kestra.plugin.core.http.Request
    uri: {files}/hello.txt
  - id: allowed
    type: io.kestra.plugin.core.http.Request
    uri: {files}/nope
    options: {{allowFailed: true}}
  - id: refused
    type: io.kestra.plugin.core.http.Download
    uri: http://127.0.0.1:1/x
"""
        )
        web_server.shutdown()
    found = runs(execution)
    assert found["there"]["outputs"]["code"] == 200
    assert found["there"]["outputs"]["body"] == "hello"
    assert found["allowed"]["outputs"]["code"] == 404
    (message,) = client.logs(execution, "ERROR")
    assert message.startswith("http://127.0.0.1:1/x: ")


def test_an_undefined_name_fails_the_task(client: Client) -> None:
    execution = client.run(
        "id: u\ntasks:\n  - id: l\n    type: io.kestra.plugin.core.log.Log\n"
        '    message: "{{ inputs.nope }}"\n'
    )
    assert state(execution) == "FAILED"
    assert client.logs(execution, "ERROR") == [
        "Unable to find `nope` used in the expression `{{ inputs.nope }}` at line 1"
    ]


def test_a_running_query_is_killed(client: Client, jdbc: str) -> None:
    client.create(
        "id: long\nnamespace: t\ntasks:\n  - id: sleep\n"
        "    type: io.kestra.plugin.jdbc.postgresql.Query\n    sql: SELECT pg_sleep(300)\n" + jdbc
    )
    started = client.start("t/long")
    client.wait_for_task(started["id"], "sleep")
    assert client.http.delete(f"/executions/{started['id']}/kill").status_code == 202
    killed = client.wait(started["id"], "KILLED", seconds=5)
    assert states(killed) == ["CREATED", "RUNNING", "KILLING", "KILLED"]
    (run,) = killed["taskRunList"]
    assert states(run) == ["CREATED", "RUNNING", "KILLED"]
    assert states(run["attempts"][0]) == ["CREATED", "RUNNING", "KILLED"]
    with client.server.database.connect() as connection:
        busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)' "
        busy += "AND state = 'active' AND pid <> pg_backend_pid()"
        assert connection.execute(busy).fetchone() == (0,)


def test_concurrency_holds_executions_back(client: Client) -> None:
    client.create(
        "id: one\nnamespace: t\nconcurrency: {limit: 1}\ntasks:\n  - id: s\n"
        "    type: io.kestra.plugin.core.flow.Sleep\n    duration: PT0.5S\n"
    )
    first, second = (client.start("t/one") for _ in range(2))
    assert state(client.execution(second["id"])) == "QUEUED"
    ended = client.wait(second["id"], "SUCCESS")
    assert (
        client.execution(first["id"])["state"]["endDate"] <= ended["state"]["histories"][2]["date"]
    )


# --- schedules ------------------------------------------------------------------------------------


def test_a_schedule_runs_until_it_is_disabled(client: Client) -> None:
    client.create(
        "id: ticking\nnamespace: t\ntasks:\n  - id: l\n    type: io.kestra.plugin.core.log.Log\n"
        '    message: "{{ trigger.date }}"\ntriggers:\n  - id: every\n'
        "    type: io.kestra.plugin.core.trigger.Schedule\n"
        '    cron: "* * * * * *"\n    withSeconds: true\n'
    )
    search = {"namespace": "t", "flowId": "ticking"}
    for _ in range(100):
        found = client.http.get("/executions/search", params=search).json()
        if found["total"] >= 2:
            break
        time.sleep(0.05)
    assert found["total"] >= 2
    trigger = {"namespace": "t", "flowId": "ticking", "triggerId": "every"}
    client.http.put("/triggers", json=trigger | {"disabled": True}).raise_for_status()
    time.sleep(0.5)
    before = client.http.get("/executions/search", params=search).json()["total"]
    time.sleep(1.5)
    assert client.http.get("/executions/search", params=search).json()["total"] == before
    (state,) = client.http.get("/triggers/search", params=search).json()["results"]
    assert state["triggerContext"]["disabled"] is True


def test_a_schedule_stops_after_a_failure(client: Client) -> None:
    client.create(
        """\
id: once
namespace: t
tasks:
  - {id: f, type: io.kestra.plugin.core.execution.Fail}
triggers:
  - id: every
    type: io.kestra.plugin.core.trigger.Schedule
    cron: "* * * * * *"
    withSeconds: true
    stopAfter: [FAILED]
"""
    )
    for _ in range(100):
        (found,) = client.http.get("/triggers/t/once").json()["results"]
        if found["disabled"]:
            break
        time.sleep(0.05)
    assert found["disabled"] is True
    search = {"namespace": "t", "flowId": "once"}
    assert client.http.get("/executions/search", params=search).json()["total"] == 1


# --- restarts -------------------------------------------------------------------------------------


def test_everything_survives_a_restart(server: KestraServer) -> None:
    client = Client(server)
    execution = client.run(
        "id: kept\ntasks:\n  - {id: l, type: io.kestra.plugin.core.log.Log, message: hi}\n"
    )
    client.http.put("/namespaces/t/kv/answer", json=42).raise_for_status()
    uuid = httpx.get(f"{server.base}/api/v1/configs").json()["uuid"]
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 5
    server.start()
    assert client.http.get("/flows/t/kept").json()["revision"] == 1
    assert client.execution(execution["id"])["state"] == execution["state"]
    assert client.logs(execution) == ["hi"]
    assert client.http.get("/namespaces/t/kv/answer").json() == {"type": "NUMBER", "value": 42}
    assert httpx.get(f"{server.base}/api/v1/configs").json()["uuid"] == uuid


def test_a_stop_waits_for_what_runs(server: KestraServer) -> None:
    client = Client(server)
    client.create(
        "id: short\nnamespace: t\ntasks:\n  - id: s\n"
        "    type: io.kestra.plugin.core.flow.Sleep\n    duration: PT2S\n"
    )
    started = client.start("t/short")
    client.wait_for_task(started["id"], "s")
    assert server.process is not None
    server.process.terminate()
    time.sleep(0.5)
    late = client.start("t/short")
    assert server.stop() == 0
    server.start()
    execution = client.execution(started["id"])
    assert state(execution) == "SUCCESS"
    assert len(execution["taskRunList"][0]["attempts"]) == 1
    client.wait(late["id"], "SUCCESS")


def test_a_killed_server_goes_on_where_it_was(server: KestraServer) -> None:
    client = Client(server)
    client.create(
        """\
id: resumed
namespace: t
tasks:
  - {id: done, type: io.kestra.plugin.core.debug.Return, format: once}
  - {id: slow, type: io.kestra.plugin.core.flow.Sleep, duration: PT2S}
  - {id: last, type: io.kestra.plugin.core.debug.Return, format: "{{ outputs.done.value }}"}
"""
    )
    started = client.start("t/resumed")
    client.wait_for_task(started["id"], "slow")
    server.kill()
    server.start()
    execution = client.wait(started["id"], "SUCCESS")
    found = runs(execution)
    assert len(found["done"]["attempts"]) == 1
    assert [state(attempt) for attempt in found["slow"]["attempts"]] == ["KILLED", "SUCCESS"]
    assert found["last"]["outputs"] == {"value": "once"}


def test_executions_wait_for_a_database_that_is_away(server: KestraServer) -> None:
    client = Client(server)
    client.create(
        """\
id: patient
namespace: t
tasks:
  - {id: a, type: io.kestra.plugin.core.flow.Sleep, duration: PT1S}
  - {id: b, type: io.kestra.plugin.core.debug.Return, format: done}
"""
    )
    started = client.start("t/patient")
    name = server.database.name
    with server.database.server.connect() as superuser:
        superuser.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        health = httpx.get(f"http://127.0.0.1:{server.management_port}/health", timeout=10)
        assert (health.status_code, health.json()["status"]) == (503, "DOWN")
        time.sleep(2)
        superuser.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    for _ in range(600):  # the pool tries again in growing steps
        health = httpx.get(f"http://127.0.0.1:{server.management_port}/health", timeout=10)
        if health.status_code == 200:
            break
        time.sleep(0.1)
    execution = client.wait(started["id"], "SUCCESS", seconds=60)
    assert runs(execution)["b"]["outputs"] == {"value": "done"}


def test_a_failed_execution_is_restarted_from_the_failed_task(client: Client) -> None:
    execution = client.run(
        """\
id: second
tasks:
  - {id: a, type: io.kestra.plugin.core.debug.Return, format: x}
  - {id: b, type: io.kestra.plugin.core.kv.Get, key: missing, errorOnMissing: true}
"""
    )
    assert state(execution) == "FAILED"
    client.http.put("/namespaces/t/kv/missing", json="now here").raise_for_status()
    client.http.post(f"/executions/{execution['id']}/restart").raise_for_status()
    again = client.wait(execution["id"], "SUCCESS")
    assert [len(run["attempts"]) for run in again["taskRunList"]] == [1, 2]
    assert again["metadata"]["attemptNumber"] == 2


def test_a_server_without_its_database_says_so(start_kestra: Start, database: Any) -> None:
    server = start_kestra()
    server.stop()
    server.database.server = type(database.server)(
        "127.0.0.1", database.server.port, "postgres", "wrong"
    )
    with pytest.raises(AssertionError, match=r"datasources\.postgres\.url: cannot use"):
        server.start()
