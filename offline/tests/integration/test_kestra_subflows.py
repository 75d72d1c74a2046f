"""The stand-in for Kestra: flows that run flows, and loops of them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.kestra.servers import Client, StandIn, Start, runs, state, states

SUBFLOW = "type: io.kestra.plugin.core.flow.Subflow"
RETURN = "type: io.kestra.plugin.core.debug.Return"
SLEEP = "type: io.kestra.plugin.core.flow.Sleep"
FAIL = "type: io.kestra.plugin.core.execution.Fail"


def children(client: Client, flow: str) -> list[dict[str, Any]]:
    """The executions of a flow in the namespace `t`, oldest first."""
    query: dict[str, str | int] = {
        "namespace": "t",
        "flowId": flow,
        "sort": "state.startDate:asc",
        "size": 100,
    }
    found = client.http.get("/executions/search", params=query).raise_for_status().json()
    return found["results"]


def test_a_subflow_takes_inputs_and_gives_outputs(client: Client) -> None:
    client.create(
        f"""\
id: child
namespace: t
labels: {{team: etl, system.readOnly: "true"}}
inputs:
  - {{id: number, type: INT}}
  - {{id: flag, type: BOOL, defaults: false}}
  - {{id: kinds, type: MULTISELECT, values: [a, b, c]}}
tasks:
  - {{id: t, {RETURN}, format: "{{{{ trigger.flowId }}}} {{{{ labels.system.correlationId }}}}"}}
outputs:
  - {{id: double, type: INT, value: "{{{{ inputs.number * 2 }}}}"}}
  - {{id: flag, type: BOOL, value: "{{{{ inputs.flag }}}}"}}
  - {{id: kinds, type: ARRAY, value: "{{{{ inputs.kinds }}}}"}}
"""
    )
    parent = client.run(
        f"""\
id: parent
labels: {{of: parent}}
tasks:
  - id: sub
    {SUBFLOW}
    namespace: "{{{{ flow.namespace }}}}"
    flowId: child
    inputs: {{number: 21, flag: true, kinds: [a, c], unknown: 1}}
    labels: {{month: "{{{{ flow.id }}}}"}}
  - {{id: seen, {RETURN}, format: "{{{{ outputs.sub.outputs.double + 1 }}}}"}}
"""
    )
    assert state(parent) == "SUCCESS", client.logs(parent)
    sub = runs(parent)["sub"]
    child = client.execution(sub["outputs"]["executionId"])
    assert sub["outputs"] == {
        "executionId": child["id"],
        "state": "SUCCESS",
        "outputs": {"double": 42, "flag": True, "kinds": ["a", "c"]},
    }
    assert runs(parent)["seen"]["outputs"] == {"value": "43"}
    assert child["inputs"] == {"number": 21, "flag": True, "kinds": ["a", "c"]}
    assert child["trigger"] == {
        "id": "sub",
        "type": "io.kestra.plugin.core.flow.Subflow",
        "variables": {
            "executionId": parent["id"],
            "namespace": "t",
            "flowId": "parent",
            "flowRevision": parent["flowRevision"],
            "taskRunId": sub["id"],
            "taskId": "sub",
        },
    }
    assert child["labels"] == [
        {"key": "team", "value": "etl"},
        {"key": "system.correlationId", "value": parent["id"]},
        {"key": "month", "value": "parent"},
    ]
    assert runs(child)["t"]["outputs"] == {"value": f"parent {parent['id']}"}
    assert states(sub) == ["CREATED", "RUNNING", "SUCCESS"]
    assert [states(attempt) for attempt in sub["attempts"]] == [states(sub)]
    link = f'[[link execution="{child["id"]}" flowId="child" namespace="t"]]'
    assert client.logs(parent) == [
        f"Input unknown was provided by parent execution {parent['id']} for subflow t.child "
        "but isn't declared at the subflow inputs",
        f"Created new execution {link}",
    ]


ENDINGS = f"""\
id: ending
namespace: t
inputs:
  - {{id: how, type: STRING}}
tasks:
  - {{id: fail, {FAIL}, runIf: "{{{{ inputs.how == 'FAILED' }}}}"}}
  - {{id: warn, {FAIL}, runIf: "{{{{ inputs.how == 'WARNING' }}}}", allowFailure: true}}
"""


def test_the_state_of_a_subflow_is_transmitted(client: Client) -> None:
    client.create(ENDINGS)
    for number, (how, properties, ends) in enumerate(
        (
            ("FAILED", "", "FAILED"),
            ("WARNING", "", "WARNING"),
            ("WARNING", "allowWarning: true", "SUCCESS"),
            ("FAILED", "allowFailure: true", "WARNING"),
            ("FAILED", "transmitFailed: false", "SUCCESS"),
        )
    ):
        parent = client.run(
            f"""\
id: transmits_{number}
tasks:
  - id: sub
    {SUBFLOW}
    namespace: t
    flowId: ending
    inputs: {{how: {how}}}
    {properties}
"""
        )
        assert state(parent) == ends
        sub = runs(parent)["sub"]
        assert sub["outputs"]["state"] == how
        assert states(sub) == ["CREATED", "RUNNING", how, *([ends] if ends != how else [])]
        told = [line for line in client.logs(parent, "WARN") if line.endswith(f"in {ends} state")]
        assert len(told) == (ends != "SUCCESS")


def test_a_flow_depends_on_the_flows_that_it_runs(client: Client) -> None:
    run = f"tasks:\n  - {{{{id: s, {SUBFLOW}, namespace: t, flowId: {{}}}}}}\n"
    client.create("id: dep_a\nnamespace: t\n" + run.format("dep_b"))
    client.create("id: dep_b\nnamespace: t\n" + run.format("dep_c"))
    client.create("id: dep_c\nnamespace: t\n" + run.format("dep_c"))
    assert client.http.get("/flows/t/dep_b/dependencies").json() == {
        "nodes": [
            {"uid": f"main_t_dep_{each}", "namespace": "t", "id": f"dep_{each}"} for each in "abc"
        ],
        "edges": [
            {"source": "main_t_dep_a", "target": "main_t_dep_b", "relation": "FLOW_TASK"},
            {"source": "main_t_dep_b", "target": "main_t_dep_c", "relation": "FLOW_TASK"},
        ],
    }
    only = client.http.get("/flows/t/dep_b/dependencies", params={"destinationOnly": True}).json()
    assert [edge["source"] for edge in only["edges"]] == ["main_t_dep_a"]


def test_a_subflow_that_is_not_there_fails(client: Client) -> None:
    source = f"""\
id: early
tasks:
  - {{id: sub, {SUBFLOW}, namespace: t, flowId: late, allowFailure: true}}
"""
    parent = client.run(source)
    assert state(parent) == "FAILED"
    assert [states(run) for run in parent["taskRunList"]] == [["CREATED", "RUNNING", "FAILED"]]
    assert client.logs(parent, "ERROR") == ["Unable to find flow 't'.'late' with revision '0'"]
    late = f"id: late\nnamespace: t\ntasks:\n  - {{id: r, {RETURN}, format: x}}\n"
    client.create(late)
    assert state(client.start("t/early", wait=True)) == "SUCCESS"
    client.http.post(
        "/flows/disable/by-ids", json=[{"namespace": "t", "id": "late"}]
    ).raise_for_status()
    parent = client.start("t/early", wait=True)
    assert client.logs(parent, "ERROR") == ["Cannot execute a flow which is disabled"]


def test_wrong_inputs_of_a_subflow_fail_its_task(client: Client) -> None:
    client.create(ENDINGS.replace("ending", "wants"))
    parent = client.run(
        f"id: wrong\ntasks:\n  - {{id: s, {SUBFLOW}, namespace: t, flowId: wants}}\n"
    )
    assert state(parent) == "FAILED"
    (message,) = client.logs(parent, "ERROR")
    assert "Invalid input for `how`, missing required input" in message
    assert children(client, "wants") == []


def test_a_subflow_need_not_be_waited_for(client: Client) -> None:
    client.create(f"id: long\nnamespace: t\ntasks:\n  - {{id: s, {SLEEP}, duration: PT1M}}\n")
    parent = client.run(
        f"id: hasty\ntasks:\n  - {{id: s, {SUBFLOW}, namespace: t, flowId: long, wait: false}}\n"
    )
    assert state(parent) == "SUCCESS"
    outputs = runs(parent)["s"]["outputs"]
    assert outputs == {"executionId": outputs["executionId"], "state": "CREATED"}
    client.wait(outputs["executionId"], "RUNNING")
    client.http.delete(f"/executions/{outputs['executionId']}/kill").raise_for_status()
    client.wait(outputs["executionId"], "KILLED")


def test_killing_reaches_the_subflows_of_subflows(client: Client) -> None:
    client.create(f"id: leaf\nnamespace: t\ntasks:\n  - {{id: s, {SLEEP}, duration: PT1M}}\n")
    client.create(
        f"id: mid\nnamespace: t\ntasks:\n  - {{id: s, {SUBFLOW}, namespace: t, flowId: leaf}}\n"
    )
    client.create(
        f"id: top\nnamespace: t\ntasks:\n  - {{id: s, {SUBFLOW}, namespace: t, flowId: mid}}\n"
    )
    started = client.start("t/top")
    leaf = next(iter(wait_for_children(client, "leaf", 1)))
    client.http.delete(f"/executions/{started['id']}/kill").raise_for_status()
    killed = client.wait(started["id"], "KILLED", seconds=5)
    assert states(runs(killed)["s"]) == ["CREATED", "RUNNING", "KILLED"]
    assert state(client.execution(leaf["id"])) == "KILLED"
    assert [state(each) for each in children(client, "mid")] == ["KILLED"]


def test_killing_a_subflow_does_not_kill_its_parent(client: Client) -> None:
    client.create(f"id: victim\nnamespace: t\ntasks:\n  - {{id: s, {SLEEP}, duration: PT1M}}\n")
    client.create(
        f"""\
id: survivor
namespace: t
tasks:
  - {{id: s, {SUBFLOW}, namespace: t, flowId: victim}}
  - {{id: after, {RETURN}, format: "{{{{ outputs.s.state }}}}"}}
"""
    )
    started = client.start("t/survivor")
    victim = next(iter(wait_for_children(client, "victim", 1)))
    client.http.delete(f"/executions/{victim['id']}/kill").raise_for_status()
    parent = client.wait(started["id"], "KILLED")
    assert state(runs(parent)["s"]) == "KILLED"
    assert runs(parent)["after"]["outputs"] == {"value": "KILLED"}
    assert states(parent) == ["CREATED", "RUNNING", "KILLED"]


def test_each_attempt_is_a_new_execution(client: Client) -> None:
    client.create(
        f"""\
id: third
namespace: t
tasks:
  - {{id: count, type: io.kestra.plugin.core.kv.Set, key: tries,
      value: "{{{{ (kv('tries', errorOnMissing=false) ?? 0) + 1 }}}}", kvType: NUMBER}}
  - {{id: fail, {FAIL}, condition: "{{{{ kv('tries') < 3 }}}}"}}
"""
    )
    parent = client.run(
        f"""\
id: stubborn
tasks:
  - id: sub
    {SUBFLOW}
    namespace: t
    flowId: third
    retry: {{type: constant, interval: PT0.1S, maxAttempts: 3}}
"""
    )
    assert state(parent) == "SUCCESS", client.logs(parent)
    sub = runs(parent)["sub"]
    tries = children(client, "third")
    assert [state(each) for each in tries] == ["FAILED", "FAILED", "SUCCESS"]
    assert sub["outputs"]["executionId"] == tries[-1]["id"]
    assert [state(attempt) for attempt in sub["attempts"]] == ["FAILED", "FAILED", "SUCCESS"]
    again = ["FAILED", "RETRYING", "CREATED", "RUNNING"]
    assert states(sub) == ["CREATED", "RUNNING", *again, *again, "SUCCESS"]


@pytest.mark.parametrize("behavior", ["RETRY_FAILED", "NEW_EXECUTION"])
def test_a_restart_restarts_the_failed_subflow(client: Client, behavior: str) -> None:
    name = behavior.lower()
    client.create(
        f"""\
id: child_{name}
namespace: t
tasks:
  - {{id: first, {RETURN}, format: x}}
  - {{id: fail, {FAIL}, condition: "{{{{ kv('{name}', errorOnMissing=false) is null }}}}"}}
"""
    )
    failed = client.run(
        f"""\
id: parent_{name}
tasks:
  - {{id: s, {SUBFLOW}, namespace: t, flowId: child_{name}, restartBehavior: {behavior}}}
finally:
  - {{id: f, {RETURN}, format: x}}
"""
    )
    assert state(failed) == "FAILED"
    client.http.put(f"/namespaces/t/kv/{name}", json=1).raise_for_status()
    client.http.post(f"/executions/{failed['id']}/restart").raise_for_status()
    parent = client.wait(failed["id"], "SUCCESS")
    assert {"key": "system.restarted", "value": "true"} in parent["labels"]
    assert [run["taskId"] for run in parent["taskRunList"]] == ["s", "f"]
    assert len(runs(parent)["s"]["attempts"]) == 2
    found = children(client, f"child_{name}")
    assert runs(parent)["s"]["outputs"]["executionId"] == found[-1]["id"]
    if behavior == "NEW_EXECUTION":
        assert [state(each) for each in found] == ["FAILED", "SUCCESS"]
    else:
        (child,) = found
        assert states(child) == ["CREATED", "RUNNING", "FAILED", "RESTARTED", "RUNNING", "SUCCESS"]
        assert [len(run["attempts"]) for run in child["taskRunList"]] == [1, 2]
        assert any(line.startswith("Restarted execution") for line in client.logs(parent))


def wait_for_children(client: Client, flow: str, count: int) -> list[dict[str, Any]]:
    """The running executions of a flow, as soon as there are so many."""
    for _ in range(200):
        found = [each for each in children(client, flow) if state(each) == "RUNNING"]
        if len(found) == count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{len(found)} executions of {flow} run, not {count}")


def test_waiting_parents_do_not_starve_their_subflows(client: Client) -> None:
    """More executions wait than tasks may run at once, on three floors, and one at a time below."""
    client.create(
        f"id: narrow\nnamespace: t\nconcurrency: {{limit: 2}}\n"
        f"tasks:\n  - {{id: s, {SLEEP}, duration: PT0.01S}}\n"
    )
    client.create(
        f"id: mids\nnamespace: t\ntasks:\n  - {{id: s, {SUBFLOW}, namespace: t, flowId: narrow}}\n"
    )
    client.create(
        f"""\
id: wide
namespace: t
tasks:
  - id: each
    type: io.kestra.plugin.core.flow.ForEach
    values: [1, 2, 3]
    concurrencyLimit: 0
    tasks:
      - {{id: s, {SUBFLOW}, namespace: t, flowId: mids}}
"""
    )
    started = [client.start("t/wide") for _ in range(20)]
    for each in started:
        client.wait(each["id"], "SUCCESS", seconds=60)
    assert [state(each) for each in children(client, "narrow")] == ["SUCCESS"] * 60


RESUMED = f"""\
id: resumed
namespace: t
tasks:
  - id: each
    type: io.kestra.plugin.core.flow.ForEach
    values: ["2019-01", "2019-02"]
    concurrencyLimit: 0
    tasks:
      - {{id: s, {SUBFLOW}, namespace: t, flowId: slow}}
  - {{id: after, {RETURN}, format: "{{{{ outputs.s['2019-01'].state }}}}"}}
"""
SLOW = f"id: slow\nnamespace: t\ntasks:\n  - {{id: s, {SLEEP}, duration: PT2S}}\n"


@pytest.mark.parametrize("version", ["1.3.34", "0.20.7"])
@pytest.mark.parametrize("ending", ["kill", "stop"])
def test_a_waiting_parent_goes_on_with_the_subflows_it_had(
    start_stand_in: Start, version: str, ending: str
) -> None:
    server = start_stand_in(version=version)
    client = Client(server)
    for source in (SLOW, RESUMED):
        client.create(source)
    started = client.start("t/resumed")
    before = wait_for_children(client, "slow", 2)
    if ending == "kill":
        server.kill()
    else:
        assert server.stop() == 0
    server.start()
    parent = client.wait(started["id"], "SUCCESS")
    assert {each["id"] for each in children(client, "slow")} == {each["id"] for each in before}
    (first, second) = [run for run in parent["taskRunList"] if run["taskId"] == "s"]
    assert {run["outputs"]["executionId"] for run in (first, second)} == {
        each["id"] for each in before
    }
    assert [states(run) for run in (first, second)] == [["CREATED", "RUNNING", "SUCCESS"]] * 2
    assert runs(parent)["after"]["outputs"] == {"value": "SUCCESS"}


def test_a_parent_that_was_killed_with_the_server_kills_its_subflow(server: StandIn) -> None:
    client = Client(server)
    client.create(SLOW.replace("PT2S", "PT1M"))
    client.create(
        f"id: p\nnamespace: t\ntasks:\n  - {{id: s, {SUBFLOW}, namespace: t, flowId: slow}}\n"
    )
    started = client.start("t/p")
    (child,) = wait_for_children(client, "slow", 1)
    server.kill()
    with server.database.connect() as connection:  # as if it had been asked at the last moment
        connection.execute(
            "UPDATE executions SET state = 'KILLING', value = jsonb_set("
            "value, '{state,current}', '\"KILLING\"') WHERE id = %s",
            (started["id"],),
        )
    server.start()
    client.wait(started["id"], "KILLED")
    client.wait(child["id"], "KILLED")
