"""The API on Kestra's engine: executions, starts and stops, and input that is no good."""

from __future__ import annotations

import io
import json
import time
import zipfile
from itertools import pairwise
from typing import Any

import docker
import httpx
import pytest

from tests.kestra.servers import (
    Client,
    Start,
    free_port,
    new_database,
    running_postgres,
    starting,
    state,
    states,
)

LOG = "type: io.kestra.plugin.core.log.Log"
SLEEP = "type: io.kestra.plugin.core.flow.Sleep"
YAML = {"Content-Type": "application/x-yaml"}
JSON = {"Content-Type": "application/json"}


def post(client: Client, path: str, **arguments: Any) -> dict[str, Any]:
    answer = client.http.post(path, **arguments)
    assert answer.is_success, answer.text
    return dict(answer.json())


def failing(client: Client, flow: str) -> dict[str, Any]:
    """An execution that has failed in its second task, which fails only the first time."""
    return client.run(
        f"""\
id: {flow}
tasks:
  - {{id: before, {LOG}, message: before}}
  - id: fails
    type: io.kestra.plugin.core.execution.Fail
    condition: "{{{{ taskrun.attemptsCount == 0 }}}}"
  - {{id: after, {LOG}, message: after}}
"""
    )


# --- executions ----------------------------------------------------------------------------------


def test_an_execution_is_killed_with_its_tasks(client: Client) -> None:
    client.create(f"{{id: killed, namespace: t, tasks: [{{id: s, {SLEEP}, duration: PT60S}}]}}")
    started = client.start("t/killed")
    client.wait_for_task(started["id"], "s")
    killed = post(client, f"/executions/{started['id']}/kill")
    assert state(killed) in ("KILLING", "KILLED")
    ended = client.wait(started["id"], "KILLED")
    assert [run["state"]["current"] for run in ended["taskRunList"]] == ["KILLED"]
    again = client.http.post(f"/executions/{ended['id']}/kill", params={"isOnKillCascade": False})
    assert again.status_code == 409


def test_a_failed_execution_is_restarted_where_it_failed(client: Client) -> None:
    failed = failing(client, "restarted")
    assert state(failed) == "FAILED"
    assert [run["taskId"] for run in failed["taskRunList"]] == ["before", "fails"]
    restarted = post(client, f"/executions/{failed['id']}/restart")
    assert restarted["id"] == failed["id"]
    ended = client.wait(failed["id"], "SUCCESS")
    assert states(ended).count("RESTARTED") == 1
    assert [run["taskId"] for run in ended["taskRunList"]] == ["before", "fails", "after"]


def test_a_replay_is_a_new_execution(client: Client) -> None:
    client.create(f"{{id: replayed, namespace: t, tasks: [{{id: say, {LOG}, message: hello}}]}}")
    first = client.start("t/replayed", wait=True)
    replayed = post(client, f"/executions/{first['id']}/replay")
    assert replayed["id"] != first["id"]
    assert replayed["originalId"] == first["id"]
    while client.http.get(f"/executions/{replayed['id']}").status_code == 404:
        time.sleep(0.05)  # the executor has not begun it
    assert client.logs(client.wait(replayed["id"], "SUCCESS")) == ["hello"]


def test_a_paused_execution_is_resumed_with_inputs(client: Client) -> None:
    client.create(
        f"""\
id: paused
namespace: t
tasks:
  - id: wait
    type: io.kestra.plugin.core.flow.Pause
    onResume: [{{id: reason, type: STRING}}]
  - {{id: say, {LOG}, message: "{{{{ outputs.wait.onResume.reason }}}}"}}
"""
    )
    started = client.start("t/paused")
    client.wait(started["id"], "PAUSED")
    resumed = client.http.post(
        f"/executions/{started['id']}/resume", files={"reason": (None, "because")}
    )
    assert resumed.is_success, resumed.text
    assert client.logs(client.wait(started["id"], "SUCCESS")) == ["because"]


def test_the_state_of_an_execution_is_changed(client: Client) -> None:
    failed = failing(client, "changed")
    path = f"/executions/{failed['id']}/change-status"
    assert client.http.post(path, params={"status": "RUNNING"}).status_code == 422
    post(client, path, params={"status": "SUCCESS"})
    assert state(client.wait(failed["id"], "SUCCESS")) == "SUCCESS"


def test_following_shows_each_step_and_ends_with_the_execution(client: Client) -> None:
    client.create(f"{{id: followed, namespace: t, tasks: [{{id: s, {SLEEP}, duration: PT2S}}]}}")
    started = client.start("t/followed")
    events = []
    with client.http.stream("GET", f"/executions/{started['id']}/follow") as answer:
        events = [
            json.loads(line.removeprefix("data:"))
            for line in answer.iter_lines()
            if line.startswith("data:")
        ]
    assert events[0]["id"] == started["id"]
    assert state(events[-1]) == "SUCCESS"


def test_a_webhook_starts_an_execution_without_a_login(client: Client) -> None:
    client.create(
        f"""\
id: hooked
namespace: t
tasks: [{{id: say, {LOG}, message: "{{{{ trigger.body.name }}}}"}}]
triggers: [{{id: hook, type: io.kestra.plugin.core.trigger.Webhook, key: a-secret-key}}]
"""
    )
    url = f"{client.server.api}/executions/webhook/t/hooked"
    assert httpx.post(f"{url}/another-key", json={}).status_code == 404
    started = httpx.post(f"{url}/a-secret-key", json={"name": "Ada"}).raise_for_status().json()
    assert client.logs(client.wait(started["id"], "SUCCESS")) == ["Ada"]


def test_a_backfill_runs_each_date_once(client: Client) -> None:
    client.create(
        f"""\
id: daily
namespace: backfill
tasks: [{{id: say, {LOG}, message: "{{{{ trigger.date | date('yyyy-MM-dd') }}}}"}}]
triggers: [{{id: day, type: io.kestra.plugin.core.trigger.Schedule, cron: "0 6 * * *"}}]
"""
    )
    trigger = {"namespace": "backfill", "flowId": "daily", "triggerId": "day"}
    for _ in range(100):
        if client.http.get("/triggers/backfill/daily").json()["total"]:
            break
        time.sleep(0.1)
    backfill = {"start": "2024-02-01T00:00:00Z", "end": "2024-02-04T00:00:00Z"}
    created = client.http.put("/triggers/backfill/create", json=trigger | {"backfill": backfill})
    assert created.is_success, created.text
    query: dict[str, str | int] = {"filters[namespace][EQUALS]": "backfill", "size": 50}
    ended: list[dict[str, Any]] = []
    for _ in range(200):
        found = client.http.get("/executions/search", params=query).json()["results"]
        ended = [each for each in found if state(each) == "SUCCESS"]
        if len(ended) == 3:
            break
        time.sleep(0.1)
    messages = sorted(message for each in ended for message in client.logs(each))
    assert messages == ["2024-02-01", "2024-02-02", "2024-02-03"]


def test_a_limit_of_one_runs_executions_one_after_another(client: Client) -> None:
    client.create(
        f"""\
id: single
namespace: t
concurrency: {{limit: 1, behavior: QUEUE}}
tasks: [{{id: s, {SLEEP}, duration: PT1S}}]
"""
    )
    ids = [client.start("t/single")["id"] for _ in range(3)]
    ended = [client.wait(each, "SUCCESS", seconds=60) for each in ids]
    spans = sorted(
        (run["state"]["startDate"], run["state"]["endDate"])
        for each in ended
        for run in each["taskRunList"]
    )
    assert all(one[1] <= two[0] for one, two in pairwise(spans))


# --- starting and stopping -----------------------------------------------------------------------


def test_an_execution_goes_on_after_a_stop_and_after_a_kill(start_kestra: Start) -> None:
    server = start_kestra()
    client = Client(server)
    client.create(
        f"""\
id: long
namespace: t
tasks:
  - {{id: one, {SLEEP}, duration: PT4S}}
  - {{id: two, {SLEEP}, duration: PT4S}}
"""
    )
    started = client.start("t/long")
    client.wait_for_task(started["id"], "one")
    assert server.stop(60) == 0
    server.start()
    client.wait_for_task(started["id"], "two")
    server.kill()
    server.start()
    ended = client.wait(started["id"], "SUCCESS", "FAILED", seconds=180)
    assert state(ended) == "SUCCESS"


def test_the_server_ends_when_it_loses_its_database(
    docker_client: docker.DockerClient, postgres_image: str, tmp_path: Any
) -> None:
    with (
        running_postgres(docker_client, postgres_image, free_port()) as (postgres, container),
        new_database(postgres) as database,
        starting(database, tmp_path) as start,
    ):
        server = start()
        assert (
            httpx.get(f"http://127.0.0.1:{server.management_port}/health").json()["status"] == "UP"
        )
        container.restart(timeout=5)
        postgres.wait_until_ready()
        assert server.process is not None
        assert server.process.wait(120) == 1
        server.start()


def test_a_foreign_database_is_refused(start_kestra: Start, database: Any) -> None:
    with database.connect() as connection:
        connection.execute("CREATE TABLE flows (key text)")
    with pytest.raises(AssertionError, match="Kestra cannot start"):
        start_kestra()


# --- input that is no good -----------------------------------------------------------------------


def zip_of(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "id: z")
    return buffer.getvalue()


NESTED = "[" * 5000 + "]" * 5000
FLOW = f"namespace: t\ntasks: [{{id: l, {LOG}, message: hi}}]\n"
FILES = "/namespaces/t/files?path="


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        *((method, FILES + path, {"files": {"fileContent": b"x"}}, 422)
          for method in ("GET", "POST", "DELETE")
          for path in ("/../../etc/passwd", "/%2e%2e/x", "/..%5cx", "/a/../../x")),
        ("GET", FILES + "/%252e%252e/%252e%252e/etc/passwd", {}, 404),
        ("GET", FILES + "/a%00b", {}, 400),
        ("POST", "/namespaces/t%00/files?path=/a", {"files": {"fileContent": b"x"}}, 400),
        ("POST", FILES + "/a.zip", {"files": {"fileContent": ("a.zip", zip_of("../../x"))}}, 422),
        ("GET", "/dashboards/x%00", {}, 400),
        ("PUT", "/namespaces/t/kv/..%2fb", {"content": "1"}, 404),
        ("GET", "/flows/search?page=99999999999999", {}, 400),
        ("GET", "/flows/t/a?revision=99999999999999", {}, 400),
        ("GET", "/executions/search?sort=nope:asc", {}, 422),
        ("GET", "/executions/search?filters[startDate][EQUALS]=x", {}, 422),
        ("POST", "/executions/latest", {"content": "[" * 100_000, "headers": JSON}, 400),
        ("POST", "/executions/latest", {"content": '[{"id": NaN}]', "headers": JSON}, 422),
        ("POST", "/flows", {"content": f"id: d\nvariables: {{a: {NESTED}}}\n{FLOW}",
                            "headers": YAML}, 422),
        ("POST", "/flows", {"content": b"\xff\xfe\x00", "headers": YAML}, 422),
        ("POST", "/flows", {"content": b"x" * (11 << 20), "headers": YAML}, 413),
        ("POST", "/flows/import", {"files": {"fileUpload": ("a.zip", b"none")}}, 422),
        ("POST", "/flows/import", {"files": {"fileUpload": ("a.yaml", b"\xff")}}, 422),
    ],
)  # fmt: skip
def test_what_is_no_good_is_refused(
    client: Client, method: str, path: str, content: dict[str, Any], status: int
) -> None:
    arguments = {} if method in ("GET", "DELETE") else content
    answer = client.http.request(method, path, **arguments)
    assert answer.status_code == status, answer.text[:500]
