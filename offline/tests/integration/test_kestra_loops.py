"""The stand-in for Kestra: loops, what follows failures, retries, and executions that queue."""

from __future__ import annotations

import time
from datetime import datetime
from itertools import pairwise

from tests.kestra.servers import Client, runs, state, states

FOR_EACH = "type: io.kestra.plugin.core.flow.ForEach"
ALLOW_FAILURE = "type: io.kestra.plugin.core.flow.AllowFailure"
RETURN = "type: io.kestra.plugin.core.debug.Return"
SLEEP = "type: io.kestra.plugin.core.flow.Sleep"
FAIL = "type: io.kestra.plugin.core.execution.Fail"


def test_the_outputs_of_a_loop_are_found_by_value(client: Client) -> None:
    execution = client.run(
        f"""\
id: by_value
inputs:
  - {{id: months, type: MULTISELECT, values: ["1", "2", "3"], defaults: ["1", "3"]}}
tasks:
  - id: each
    {FOR_EACH}
    values: "{{{{ inputs.months }}}}"
    concurrencyLimit: 0
    tasks:
      - {{id: one, {RETURN}, format: "m{{{{ taskrun.value }}}}"}}
      - {{id: two, {RETURN}, format: "{{{{ outputs.one[taskrun.value].value }}}}"}}
      - id: inner
        {FOR_EACH}
        values: [a, a, 7]
        tasks:
          - {{id: deep, {RETURN}, format: "{{{{ parent.taskrun.value }}}}{{{{ taskrun.value }}}}"}}
          - {{id: same, {RETURN}, format: "{{{{ currentEachOutput(outputs.deep).value }}}}"}}
  - id: seen
    {RETURN}
    format: "{{{{ outputs.two['3'].value }}}} {{{{ outputs.same['1']['7'].value }}}}"
  - {{id: how, {RETURN}, format: "{{{{ tasks.two['3'].state }}}} {{{{ tasks.each.state }}}}"}}
"""
    )
    assert state(execution) == "SUCCESS", client.logs(execution)
    assert runs(execution)["seen"]["outputs"] == {"value": "m3 17"}
    assert runs(execution)["how"]["outputs"] == {"value": "SUCCESS SUCCESS"}
    deep = [run["value"] for run in execution["taskRunList"] if run["taskId"] == "deep"]
    assert sorted(deep) == ["7", "7", "a", "a"]  # equal values count once


def test_values_of_a_loop_are_not_null(client: Client) -> None:
    execution = client.run(
        f'id: nulls\ntasks:\n  - id: each\n    {FOR_EACH}\n    values: "[1, null]"\n'
        f"    tasks:\n      - {{id: r, {RETURN}, format: x}}\n"
    )
    assert state(execution) == "FAILED"
    (message,) = client.logs(execution, "ERROR")
    assert message == "Found '1' null values on Each, with values=[1, null]"


def loop(identifier: str, limit: int) -> str:
    """A loop over five values, the second of which fails while the first still runs."""
    return f"""\
id: {identifier}
tasks:
  - id: each
    {FOR_EACH}
    values: [1, 2, 3, 4, 5]
    concurrencyLimit: {limit}
    tasks:
      - {{id: slow, {SLEEP}, duration: PT0.5S, runIf: "{{{{ taskrun.value == '1' }}}}"}}
      - {{id: fail, {FAIL}, condition: "{{{{ taskrun.value == '2' }}}}"}}
      - {{id: after, {RETURN}, format: x}}
    errors:
      - {{id: cleaned, {RETURN}, format: x}}
  - {{id: next, {RETURN}, format: x}}
"""


def test_nothing_more_of_a_loop_begins_after_a_failure(client: Client) -> None:
    for limit, begun in ((1, 2), (2, 2), (0, 5)):
        execution = client.run(loop(f"failing_{limit}", limit))
        assert state(execution) == "FAILED"
        found = execution["taskRunList"]
        assert len({run["value"] for run in found if "value" in run}) == begun
        done = {run["value"] for run in found if run["taskId"] == "after"}
        assert done == ({"1"} if limit == 1 else done - {"1", "2"})
        assert "cleaned" in runs(execution)
        assert "next" not in runs(execution)


def test_allowed_failures_do_not_hold_up_a_loop(client: Client) -> None:
    execution = client.run(
        f"""\
id: allowed
tasks:
  - id: each
    {FOR_EACH}
    values: [1, 2, 3, 4, 5]
    concurrencyLimit: 2
    tasks:
      - id: allow
        {ALLOW_FAILURE}
        tasks:
          - {{id: fail, {FAIL}, errorMessage: "not {{{{ parent.taskrun.value }}}}",
              condition: "{{{{ parent.taskrun.value == '2' }}}}"}}
          - {{id: done, {RETURN}, format: x}}
      - {{id: after, {RETURN}, format: x}}
  - {{id: next, {RETURN}, format: x}}
"""
    )
    assert state(execution) == "WARNING"
    found = execution["taskRunList"]
    assert {run["value"] for run in found if run["taskId"] == "after"} == {"1", "2", "3", "4", "5"}
    assert sum(run["taskId"] == "done" for run in found) == 4
    assert {run["value"]: state(run) for run in found if run["taskId"] == "allow"}["2"] == "WARNING"
    assert client.logs(execution, "ERROR") == ["not 2", "Fail on a condition"]
    assert "next" in runs(execution)


def test_errors_and_finally_run_to_their_end_and_decide_nothing(client: Client) -> None:
    def fails(identifier: str) -> str:
        return f"  - {{id: {identifier}, {FAIL}}}\n"

    def works(identifier: str) -> str:
        return f"  - {{id: {identifier}, {RETURN}, format: x}}\n"

    tail = f"errors:\n{fails('e1')}{works('e2')}finally:\n{fails('f1')}{works('f2')}"
    good = client.run(f"id: good\ntasks:\n{works('m')}{tail}")
    assert state(good) == "SUCCESS"
    assert list(runs(good)) == ["m", "f1", "f2"]
    bad = client.run(f"id: bad\ntasks:\n{fails('m')}{tail}")
    assert state(bad) == "FAILED"
    assert list(runs(bad)) == ["m", "e1", "e2", "f1", "f2"]


def test_what_is_killed_ends_without_finally(client: Client) -> None:
    client.create(
        f"id: cut\nnamespace: t\ntasks:\n  - {{id: s, {SLEEP}, duration: PT1M}}\n"
        f"finally:\n  - {{id: f, {RETURN}, format: x}}\n"
    )
    started = client.start("t/cut")
    client.wait_for_task(started["id"], "s")
    client.http.delete(f"/executions/{started['id']}/kill").raise_for_status()
    assert list(runs(client.wait(started["id"], "KILLED"))) == ["s"]


def test_tasks_are_tried_again_as_the_task_around_them_says(client: Client) -> None:
    execution = client.run(
        f"""\
id: around
tasks:
  - id: outer
    type: io.kestra.plugin.core.flow.Sequential
    retry: {{type: exponential, interval: PT0.2S, maxInterval: PT1S, maxAttempts: 3}}
    tasks:
      - {{id: own, {FAIL}, retry: {{type: random, minInterval: PT0.1S, maxInterval: PT0.2S,
          maxAttempts: 2}}, runIf: "false"}}
      - {{id: fail, {FAIL}}}
"""
    )
    assert state(execution) == "FAILED"
    run = runs(execution)["fail"]
    assert [state(attempt) for attempt in run["attempts"]] == ["FAILED"] * 3
    again = ["RUNNING", "FAILED", "RETRYING", "CREATED"]
    assert states(run) == ["CREATED", *again, *again, "RUNNING", "FAILED"]
    assert states(execution) == [
        "CREATED", "RUNNING", "RETRYING", "RUNNING", "RETRYING", "RUNNING", "FAILED"
    ]  # fmt: skip
    began = [
        datetime.fromisoformat(attempt["state"]["histories"][0]["date"])
        for attempt in run["attempts"]
    ]
    assert 0.2 <= (began[1] - began[0]).total_seconds() < 0.4
    assert 0.4 <= (began[2] - began[1]).total_seconds() < 0.8


def test_an_execution_beyond_the_limit_may_fail(client: Client) -> None:
    client.create(
        "id: full\nnamespace: t\nconcurrency: {limit: 1, behavior: FAIL}\n"
        f"tasks:\n  - {{id: s, {SLEEP}, duration: PT0.5S}}\n"
    )
    first = client.start("t/full")
    second = client.start("t/full", wait=True)
    assert state(second) == "FAILED"
    message = "Execution is FAILED due to concurrency limit exceeded"
    assert client.logs(second, "ERROR") == [message]
    client.wait(first["id"], "SUCCESS")


def test_a_backfill_goes_through_the_queue_of_its_flow(client: Client) -> None:
    client.create(
        f"""\
id: monthly
namespace: t
concurrency: {{limit: 1}}
tasks:
  - {{id: s, {SLEEP}, duration: PT0.3S}}
  - {{id: m, {RETURN}, format: "{{{{ trigger.date ?? now() | date('yyyy-MM') }}}}"}}
triggers:
  - {{id: schedule, type: io.kestra.plugin.core.trigger.Schedule, cron: "0 0 1 * *"}}
"""
    )
    by_hand = client.start("t/monthly")
    client.http.put(
        "/triggers",
        json={
            "namespace": "t",
            "flowId": "monthly",
            "triggerId": "schedule",
            "backfill": {"start": "2019-01-01T00:00:00Z", "end": "2019-04-01T00:00:00Z"},
        },
    ).raise_for_status()
    query = {"namespace": "t", "flowId": "monthly", "sort": "state.startDate:asc"}
    for _ in range(200):
        found = client.http.get("/executions/search", params=query).json()["results"]
        if len(found) == 4 and all(state(each) == "SUCCESS" for each in found):
            break
        time.sleep(0.1)
    assert found[0]["id"] == by_hand["id"]
    months = [runs(each)["m"]["outputs"]["value"][:7] for each in found[1:]]
    assert months == ["2019-02", "2019-03", "2019-04"]
    times = [
        [datetime.fromisoformat(each["date"]) for each in one["state"]["histories"]]
        for one in found
    ]
    running = [(moments[-2], moments[-1]) for moments in times]
    assert all(end <= start for (_, end), (start, _) in pairwise(running))
    assert "QUEUED" in states(found[1])
