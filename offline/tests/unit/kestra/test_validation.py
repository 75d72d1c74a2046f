"""Flows that the server refuses, in its words."""

from __future__ import annotations

from typing import Any, cast

import pytest

from offline.kestra.config import RELEASES
from offline.kestra.errors import ConstraintViolations
from offline.kestra.flows import Flows, is_cron, with_defaults
from offline.kestra.schema import known_properties
from offline.kestra.store import Store

HEAD = "id: f\nnamespace: a.b\n"
LOG = "tasks:\n  - id: log\n    type: io.kestra.plugin.core.log.Log\n    message: hi\n"


def flows(version: str) -> Flows:
    # Reading and validating ask nothing of the database.
    return Flows(cast(Store, None), RELEASES[version], lambda flow, deleted: None)


def refusal(source: str, version: str = "0.20.7") -> str:
    service = flows(version)
    with pytest.raises(ConstraintViolations) as raised:
        service.validate(service.parse(source))
    return str(raised.value)


@pytest.mark.parametrize("version", RELEASES)
def test_a_good_flow_passes(version: str) -> None:
    service = flows(version)
    flow = service.parse(
        HEAD + LOG + "labels: {team: x}\nvariables: {a: 1}\ninputs:\n  - {id: i, type: INT}\n"
    )
    service.validate(flow)
    assert flow["labels"] == [{"key": "team", "value": "x"}]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("id: a\n  b: [", "Illegal flow yaml: mapping values are not allowed here\n in 'reader'"),
        ("- a", "Cannot deserialize value of type `io.kestra.core.models.flows.Flow` from Array"),
        ("text", "no String-argument constructor/factory method to deserialize from String"),
        (HEAD + "id: g\n" + LOG, "Illegal flow yaml: Duplicate field 'id'\n at [Source: (String"),
        (HEAD, "tasks: must not be empty\n"),
        ("namespace: a\n" + LOG, "id: must not be null\nid: must not be blank\n"),
        ("id: f\nnamespace: A b\n" + LOG, 'namespace: must match "^[a-z0-9][a-z0-9._-]*"\n'),
        (HEAD + "tasks:\n  - id: x\n    type: nope.X\n", "Invalid type: nope.X"),
        (HEAD + "tasks:\n  - id: x\n", "Invalid type: null"),
        (HEAD + "tasks: text\n", "Cannot deserialize value of type `java.util.ArrayList` from"),
        (HEAD + LOG + "    nope: 1\n", 'Unrecognized field "nope" (class io.kestra.plugin.core.'),
        (HEAD + LOG + "    level: LOUD\n", "not one of the values accepted for Enum class: [ERR"),
        (HEAD + LOG + "    timeout: 5s\n", "Cannot deserialize value of type `java.time.Durati"),
        (HEAD + LOG + "    disabled: maybe\n", 'only "true" or "false" recognized'),
        (HEAD + LOG + "    id2: {}\n", "(14 known properties: "),
        (HEAD + LOG + LOG.removeprefix("tasks:\n"), ": Invalid Flow: Duplicate task id with"),
        (HEAD + LOG + "inputs:\n  - {id: i, type: NOPE}\n", "Invalid type: NOPE"),
        (HEAD + LOG + "inputs:\n  - {id: i}\n", "Invalid type: null"),
        (HEAD + LOG + "inputs:\n  - {id: i, type: STRING, validator: '['}\n", "invalid pattern [["),
        (HEAD + LOG + "labels: {system.x: y}\n", "System labels can only be set by Kestra itself"),
        (HEAD + LOG + "sla: []\n", "sla: not supported by the stand-in for Kestra"),
        (
            HEAD + LOG + "triggers:\n  - id: t\n    type: io.kestra.plugin.core.trigger.Schedule\n"
            "    cron: '99 * * * *'\n",
            "triggers[0]: invalid cron expression '99 * * * *'",
        ),
        (
            HEAD + "tasks:\n  - id: if\n    type: io.kestra.plugin.core.flow.If\n    then:\n"
            "      - id: inner\n        type: io.kestra.plugin.core.log.Log\n",
            "inner.then[0].message: must not be null\n",
        ),
        (
            HEAD + "tasks:\n  - id: c\n    type: io.kestra.plugin.jdbc.postgresql.CopyIn\n",
            "c.url: must not be null\nc.from: must not be null\n",
        ),
    ],
)
def test_refuses(source: str, message: str) -> None:
    assert message in refusal(source)


def test_the_path_of_an_unknown_property_names_all_classes_on_the_way() -> None:
    with pytest.raises(ConstraintViolations) as raised:
        flows("0.20.7").parse(HEAD + LOG + "    nope: 1\n")
    (violation,) = raised.value.violations
    assert violation.path == (
        'io.kestra.core.models.flows.Flow["tasks"]->java.util.ArrayList[0]'
        '->io.kestra.plugin.core.log.Log["nope"]'
    )


SCRIPT = "tasks:\n  - {id: s, type: io.kestra.plugin.scripts.python.Script, script: x"
SUBFLOW = "tasks:\n  - {id: s, type: io.kestra.plugin.core.flow.Subflow, flowId: g"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            SCRIPT + "}\n",
            "s: taskRunner: io.kestra.plugin.scripts.runner.docker.Docker is not supp",
        ),
        (SCRIPT + ", taskRunner: {type: other.X}}\n", "s: taskRunner: other.X is not supported by"),
        (SCRIPT + ", dependencies: [pandas]}\n", "dependencies: not supported by the stand-in"),
        (
            SCRIPT + ", namespaceFiles: {namespaces: [a]}}\n",
            "namespaces: not supported by the stand",
        ),
        (SUBFLOW + "}\n", "s.namespace: must not be empty"),
        (
            SUBFLOW + ", namespace: t, revision: 0}\n",
            "s.revision: must be greater than or equal to 1",
        ),
        (
            SUBFLOW + ", namespace: t, scheduleDate: x}\n",
            "scheduleDate: not supported by the stand-",
        ),
        (
            SUBFLOW + ", namespace: t, labels: {system.x: y}}\n",
            "s: System labels can only be set by Kestra itself, offending label: system.x=y",
        ),
    ],
)
def test_refuses_what_a_task_cannot_be(source: str, message: str) -> None:
    assert message in refusal(HEAD + source, "1.3.34")


def test_the_task_runner_may_come_from_plugin_defaults() -> None:
    service = flows("1.3.34")
    service.validate(
        service.parse(
            HEAD + SCRIPT + "}\npluginDefaults:\n  - type: io.kestra.plugin.scripts\n"
            "    values: {taskRunner: {type: io.kestra.plugin.core.runner.Process}}\n"
        )
    )


def test_reserved_words_are_those_of_release_1() -> None:
    source = "id: pause\nnamespace: a\n" + LOG
    assert "Flow id is a reserved keyword: pause" in refusal(source, "1.3.34")
    flows("0.20.7").validate(flows("0.20.7").parse(source))


def test_properties_are_listed_in_the_order_of_jacksons_hash_table() -> None:
    declared = (
        "id type description retry timeout disabled workerGroup logLevel allowFailure logToFile"
        " runIf allowWarning message level"
    )
    recorded = (
        "logLevel timeout level message retry allowWarning type id description workerGroup runIf"
        " logToFile disabled allowFailure"
    )
    assert known_properties(declared.split()) == recorded.split()


def test_the_properties_of_flows_differ_between_releases() -> None:
    assert 'Unrecognized field "listeners"' in refusal(HEAD + LOG + "listeners: []\n", "1.3.34")
    assert "listeners: not supported by" in refusal(HEAD + LOG + "listeners: []\n", "0.20.7")
    assert 'Unrecognized field "finally"' in refusal(HEAD + LOG + "finally: []\n", "0.20.7")


def test_plugin_defaults_fill_in_and_forced_ones_win() -> None:
    task: dict[str, Any] = {"id": "q", "type": "io.x.Query", "url": "own"}
    flow = {
        "tasks": [{"id": "outer", "type": "io.y.If", "then": [task]}],
        "pluginDefaults": [
            {"type": "io.x", "values": {"url": "default", "user": "u"}},
            {"type": "io.x.Query", "forced": True, "values": {"url": "forced"}},
        ],
    }
    inner = with_defaults(flow)["tasks"][0]["then"][0]
    assert inner == {"id": "q", "type": "io.x.Query", "url": "forced", "user": "u"}
    assert task["url"] == "own"


def test_required_properties_may_come_from_plugin_defaults() -> None:
    service = flows("1.3.34")
    service.validate(
        service.parse(
            HEAD + "tasks:\n  - id: q\n    type: io.kestra.plugin.jdbc.postgresql.Query\n"
            "    sql: SELECT 1\npluginDefaults:\n  - type: io.kestra.plugin.jdbc.postgresql\n"
            "    values: {url: 'jdbc:postgresql://h/d'}\n"
        )
    )


@pytest.mark.parametrize(
    ("expression", "seconds", "valid"),
    [
        ("0 9 * * *", False, True),
        ("*/5 * * * 1-5", False, True),
        ("@daily", False, True),
        ("@reboot", False, False),
        ("0 9 * *", False, False),
        ("0 0 9 * * *", False, False),
        ("0 0 9 * * *", True, True),
        ("60 * * * *", False, False),
        ("", False, False),
    ],
)
def test_cron(expression: str, seconds: bool, valid: bool) -> None:
    assert is_cron(expression, seconds) is valid


def test_ids_that_begin_like_a_number_stay_text() -> None:
    flow = flows("1.3.34").parse(HEAD + LOG.replace("id: log", "id: e1"))
    assert flow["tasks"][0]["id"] == "e1"
