"""podium test and podium validate --engine on Kestra's own engines, both releases."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cli import offline
from cli.__main__ import main
from cli.commands import test as test_command
from cli.commands import validate as validate_command
from infra.kestra.releases import NOT_IN_1, NOT_IN_2
from tests.kestra.servers import ROOT

TEMPLATES = ("hello", "etl", "sql", "python")
ALERT = """\
id: alert
namespace: zoomcamp
inputs:
  - {id: file, type: FILE, required: false}
tasks:
  - {id: say, type: io.kestra.plugin.slack.SlackIncomingWebhook, url: http://slack.invalid}
  - id: sub
    type: io.kestra.plugin.core.flow.Subflow
    namespace: zoomcamp
    flowId: child
    wait: true
    inputs: {number: "5"}
  - id: content
    type: io.kestra.plugin.core.debug.Return
    format: "{{ inputs.file is null ? trigger.date : read(inputs.file) }}"
  - id: query
    type: io.kestra.plugin.jdbc.postgresql.Query
    url: "{{ globals.warehouse }}"
    username: "{{ secret('WAREHOUSE_USERNAME') }}"
    password: "{{ secret('WAREHOUSE_PASSWORD') }}"
    sql: SELECT 1
triggers:
  - {id: daily, type: io.kestra.plugin.core.trigger.Schedule, cron: "@daily"}
"""
CHILD = """\
id: child
namespace: zoomcamp
inputs:
  - {id: number, type: INT}
tasks:
  - {id: double, type: io.kestra.plugin.core.debug.Return, format: "{{ inputs.number * 2 }}"}
outputs:
  - {id: double, type: INT, value: "{{ outputs.double.value }}"}
"""
CASE = "type: io.kestra.core.tests.flow.UnitTest"
SUITE = f"""\
id: alert
namespace: zoomcamp
flowId: alert
testCases:
  - id: passes
    {CASE}
    fixtures:
      files: {{greeting.txt: hello}}
      inputs: {{file: "{{{{ files['greeting.txt'] }}}}"}}
      tasks: [{{id: say}}, {{id: query, outputs: {{size: 3}}}}]
    assertions:
      - {{value: "{{{{ outputs.content.value }}}}", equalTo: hello, startsWith: he, endsWith: lo}}
      - {{value: "{{{{ outputs.content.value }}}}", contains: ell, in: [hello, bye]}}
      - {{value: "{{{{ outputs.sub.outputs.double }}}}", greaterThan: 9.5, lessThanOrEqualTo: 10}}
      - {{value: "{{{{ outputs.query.row ?? null }}}}", equalTo: ""}}
      - {{value: "{{{{ outputs.query.size }}}}", isNotNull: true, notIn: ["4"], notEqualTo: 4}}
  - id: has_a_trigger
    {CASE}
    fixtures:
      trigger:
        id: daily
        type: io.kestra.plugin.core.trigger.Schedule
        variables: {{date: 2024-02-03}}
      tasks: [{{id: say}}, {{id: query}}]
    assertions:
      - {{value: "{{{{ outputs.content.value }}}}", equalTo: 2024-02-03}}
  - id: fails_as_expected
    {CASE}
    fixtures:
      tasks: [{{id: say, state: FAILED}}]
    expectedState: FAILED
    assertions:
      - {{value: "{{{{ outputs.content.value ?? null }}}}", equalTo: ""}}
  - id: wrong_value
    {CASE}
    fixtures:
      inputs: {{file: "{{{{ files['greeting.txt'] }}}}"}}
      files: {{greeting.txt: bye}}
      tasks: [{{id: say}}, {{id: query}}]
    assertions:
      - {{value: "{{{{ outputs.content.value }}}}", equalTo: hello}}
      - {{value: "{{{{ outputs.none.value }}}}", equalTo: hello}}
  - id: no_plugin
    {CASE}
    assertions:
      - {{value: x, equalTo: x}}
  - id: no_database
    {CASE}
    fixtures:
      trigger: {{id: daily, type: x, variables: {{date: any}}}}
      tasks: [{{id: say}}]
    assertions:
      - {{value: x, equalTo: x}}
  - id: wrong_input
    {CASE}
    fixtures:
      inputs: {{file: kestra:///none}}
      tasks: [{{id: say}}, {{id: query}}]
    assertions:
      - {{value: x, equalTo: x}}
"""
# Why tests fail that have to.
FAILURES = {
    "wrong_value": [
        ":41:9: error: expected '{{ outputs.content.value }}' to equal 'hello' but was 'bye'",
        ":42:9: error: Unable to find `none`",
    ],
    "no_plugin": [
        ":43:5: error: the task say of zoomcamp/alert has the type io.kestra.plugin.slack."
    ],
    "no_database": [":47:5: error: the execution ended as FAILED, not as SUCCESS", "ERROR query: "],
    "wrong_input": [
        ":54:5: error: the execution ended as FAILED, not as SUCCESS",
        "kestra:///none",
    ],
}


@pytest.fixture(params=["2.0.0", "1.3.31"])
def release(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A release, whose engine the commands use."""
    for command in (test_command, validate_command):
        monkeypatch.setattr(command, "engine_release", lambda _: request.param)
    return str(request.param)


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    """A copy of the project's flows."""
    return Path(shutil.copytree(ROOT / "flows", tmp_path / "flows"))


def run(*arguments: str) -> int:
    """Runs a command of Podium's and returns its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments, prog_name="podium")
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_tests_pass_and_fail_as_they_should(release: str, flows: Path, tmp_path: Path) -> None:
    for name in TEMPLATES:
        for source, path in ((name, f"{name}_new"), (f"{name}.test", f"tests/{name}_new")):
            text = (ROOT / f"cli/templates/{source}.yaml").read_text()
            text = text.replace("flow_id", f"{name}_new").replace("flow_namespace", "zoomcamp")
            (flows / f"zoomcamp/{path}.yaml").write_text(text)
    for name, text in (("alert", ALERT), ("child", CHILD), ("tests/alert", SUITE)):
        (flows / f"zoomcamp/{name}.yaml").write_text(text)
    junit = tmp_path / "junit.xml"
    assert run("test", str(flows), "--junit", str(junit)) == 1
    reasons = {
        f"{case.get('classname')}::{case.get('name')}": str(failure.text)
        for case in ElementTree.parse(junit).iter("testcase")
        for failure in [case.find("failure"), case.find("error")]
        if failure is not None
    }
    assert reasons.keys() == {f"zoomcamp.tests.alert.yaml::{name}" for name in FAILURES}
    for name, expected in FAILURES.items():
        for part in expected:
            assert part in reasons[f"zoomcamp.tests.alert.yaml::{name}"]


def test_the_engine_refuses_the_types_that_its_release_is_said_to_lack(release: str) -> None:
    kinds = {
        f"io.kestra.plugin.core.{name}": "triggers" if name == "trigger.McpToolTrigger" else "tasks"
        for name in {**NOT_IN_1, **NOT_IN_2}
        if name != "condition"
    }
    texts = [
        f"id: one\nnamespace: demo\n{key}:\n  - {{id: first, type: {kind}}}\n"
        for kind, key in kinds.items()
    ]
    with offline.running_engine(release, {}, {}) as engine:
        validations = engine.validate(texts)
    refused = {
        kind
        for kind, validation in zip(kinds, validations, strict=True)
        if "Invalid type" in (validation.errors or "")
    }
    lacking = NOT_IN_1 if release.startswith("1.") else NOT_IN_2
    assert refused == {kind for kind in kinds if kind.split(".core.")[1] in lacking}


def test_the_engine_validates_flows_and_expressions(
    release: str, flows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (flows / "zoomcamp/hello_python.yaml").read_text()
    text = text.replace("    script: |", "    skript: |").replace("id: hello_python", "id: wrong")
    (flows / "zoomcamp/wrong.yaml").write_text(text)
    text = CHILD.replace("inputs.number * 2", "inputs.number *").replace("id: child", "id: odd")
    (flows / "zoomcamp/odd.yaml").write_text(text)
    assert run("validate", "--engine", str(flows)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert f"{flows}/zoomcamp/odd.yaml:6:68: error: Kestra: " in lines[0]
    assert (
        f'{flows}/zoomcamp/wrong.yaml:26:5: error: Kestra: Unrecognized field "skript"' in lines[1]
    )
