"""podium test: what the engine is given of a test, and what is printed of its outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
import yaml

from cli import offline
from tests.unit.cli.command_line import ROOT, CommandLine

LOG = "io.kestra.plugin.core.log.Log"
FLOW = f"""\
id: hello
namespace: demo
tasks:
  - {{id: fetch, type: {LOG}, message: m}}
  - {{id: say, type: {LOG}, message: "{{{{ outputs.fetch.value }}}}"}}
"""
CASE = """\
  - id: one
    type: io.kestra.core.tests.flow.UnitTest
    assertions:
      - value: "{{ outputs.say.value }}"
        equalTo: 5
"""
SUITE = f"id: hello\nnamespace: demo\nflowId: hello\ntestCases:\n{CASE}"
TESTS = "flows/demo/tests/hello.yaml"


class Line(NamedTuple):
    level: str
    task: str | None
    message: str


class Execution(NamedTuple):
    state: str = "SUCCESS"
    logs: tuple[Line, ...] = ()


class Validation(NamedTuple):
    errors: str | None


@dataclass
class Engine:
    """An engine that ends every test as the unit test wants, and keeps what it was given."""

    ends: Execution = field(default_factory=Execution)
    reasons: list[list[str]] = field(default_factory=lambda: [[]])
    error: str | None = None
    types: Sequence[str] = (LOG, "io.kestra.plugin.core.flow.Subflow")
    release: str = ""
    names: tuple[Any, ...] = ()
    tests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    registered: list[str] = field(default_factory=list)
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)

    @contextmanager
    def running(self, release: str, *names: Any) -> Iterator[Engine]:
        self.release, self.names = release, names
        yield self

    def validate(self, texts: Sequence[str]) -> list[Validation]:
        unknown = (
            task["type"]
            for task in yaml.safe_load(texts[0])["tasks"]
            if task["type"] not in self.types
        )
        return [
            Validation(next((f"Validation error: Invalid type: {kind}" for kind in unknown), None))
        ]

    def register(self, text: str) -> None:
        self.registered.append(yaml.safe_load(text)["id"])

    def write_file(self, namespace: str, path: str, content: bytes) -> None:
        self.files[namespace, path] = content

    def test(self, text: str, case: Mapping[str, Any]) -> tuple[Execution, list[list[str]]]:
        if self.error:
            raise RuntimeError(self.error)
        self.tests.append((text, dict(case)))
        return self.ends, self.reasons


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    monkeypatch.setattr(offline, "running_engine", engine.running)
    return engine


@pytest.fixture
def project(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A project with one flow and its test."""
    (command.folder / "__main__.py").write_text((ROOT / "__main__.py").read_text())
    monkeypatch.chdir(command.folder)
    write(command, **{"hello": FLOW, "tests/hello": SUITE})
    return command


def write(project: CommandLine, **texts: str) -> None:
    for name, text in texts.items():
        path = project.folder / f"flows/demo/{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_test_that_passes_ends_with_code_0(project: CommandLine, engine: Engine) -> None:
    ended = project.run("test")
    assert ended.code == 0
    assert f"{TESTS}::one PASSED" in ended.stdout
    ((text, case),) = engine.tests
    assert text == FLOW
    assert case["assertions"] == [{"value": "{{ outputs.say.value }}", "equalTo": 5}]
    assert engine.release == "2.0.0"
    assert engine.names == (
        {name: f"{name}.invalid" for name in ("retention", "source", "warehouse")},
        {"WAREHOUSE_USERNAME": "WAREHOUSE_USERNAME", "WAREHOUSE_PASSWORD": "WAREHOUSE_PASSWORD"},
    )


def test_an_assertion_that_fails_is_named_at_its_place(
    project: CommandLine, engine: Engine, tmp_path: Path
) -> None:
    engine.reasons = [["expected 5 but was 6"]]
    engine.ends = Execution(logs=(Line("INFO", "say", "fine"), Line("WARN", "say", "odd")))
    ended = project.run("test", "--format", "github", "--junit", str(tmp_path / "junit.xml"))
    assert ended.code == 1
    assert f"{TESTS}:8:9: error: expected 5 but was 6\nWARN say: odd\n" in ended.stdout
    assert "fine" not in ended.stdout
    assert f"\n::error file={TESTS},line=8,col=9::expected 5 but was 6\n" in ended.stdout
    (case,) = ElementTree.parse(tmp_path / "junit.xml").iter("testcase")
    assert case.get("name") == "one"
    assert "expected 5 but was 6" in str(case.find("failure").text)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("expected", "state", "code"),
    [(None, "SUCCESS", 0), (None, "FAILED", 1), ("FAILED", "FAILED", 0), ("FAILED", "SUCCESS", 1)],
)
def test_the_execution_has_to_end_as_expected(
    project: CommandLine, engine: Engine, expected: str | None, state: str, code: int
) -> None:
    engine.ends = Execution(state)
    if expected:
        write(project, **{"tests/hello": f"{SUITE}    expectedState: {expected}\n"})
    ended = project.run("test")
    assert ended.code == code
    message = f"error: the execution ended as {state}, not as {expected or 'SUCCESS'}"
    assert (message in ended.stdout) is bool(code)


def test_an_error_of_kestras_fails_the_test(project: CommandLine, engine: Engine) -> None:
    engine.error = "demo.hello: Invalid value for input `month`"
    ended = project.run("test")
    assert ended.code == 1
    assert f"{TESTS}:5:5: error: demo.hello: Invalid value for input `month`" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


def test_a_task_that_the_engine_does_not_have_fails_by_name(
    project: CommandLine, engine: Engine
) -> None:
    write(project, hello=FLOW.replace(LOG, "a.Slack", 1))
    ended = project.run("test")
    assert ended.code == 1
    assert (
        "the task fetch of demo/hello has the type a.Slack, which the engine does not have"
        in ended.stdout
    )
    assert engine.tests == []


def test_a_fixture_replaces_a_task_that_the_engine_does_not_have(
    project: CommandLine, engine: Engine
) -> None:
    flow = FLOW.replace(f"type: {LOG}, message: m", "type: a.Slack, url: u, runIf: 'true'", 1)
    fixtures = "    fixtures: {tasks: [{id: fetch, outputs: {value: 5, none: null}}]}\n"
    write(project, **{"hello": flow, "tests/hello": SUITE + fixtures})
    assert project.run("test").code == 0
    ((text, case),) = engine.tests
    assert yaml.safe_load(text)["tasks"][0] == {
        "id": "fetch", "runIf": "true", "type": LOG, "message": "a fixture",
    }  # fmt: skip
    (fixture,) = case["fixtures"]["tasks"]
    assert fixture == {"id": "fetch", "state": "SUCCESS", "outputs": {"value": 5, "none": None}}


def test_files_are_stored_and_their_addresses_put_in_place(
    project: CommandLine, engine: Engine
) -> None:
    fixtures = """\
    fixtures:
      files: {data.csv: "1,2"}
      inputs: {file: "{{ files['data.csv'] }}", when: 2024-01-01, on: on}
      tasks: [{id: fetch, outputs: {files: ['{{files["data.csv"]}}', "{{ fileURI('x') }}"]}}]
"""
    flow = (
        FLOW
        + "inputs: [{id: file, type: FILE}, {id: when, type: STRING}, {id: on, type: STRING}]\n"
    )
    write(project, **{"hello": flow, "tests/hello": SUITE + fixtures})
    (project.folder / "flows/demo/files").mkdir()
    (project.folder / "flows/demo/files/own.bin").write_bytes(b"\xff")
    assert project.run("test").code == 0
    stored = engine.files.copy()
    assert stored.pop(("demo", "own.bin")) == b"\xff"
    (((namespace, path), content),) = stored.items()
    assert content == b"1,2"
    address = f"kestra:///{namespace}/_files/{path}"
    ((_, case),) = engine.tests
    assert case["fixtures"]["inputs"] == {"file": address, "when": "2024-01-01", "on": "on"}
    assert case["fixtures"]["tasks"][0]["outputs"]["files"] == [address, "{{ fileURI('x') }}"]


def test_flows_that_a_flow_runs_are_registered_before_it(
    project: CommandLine, engine: Engine
) -> None:
    subflow = "{id: sub, type: io.kestra.plugin.core.flow.Subflow, namespace: demo, flowId: %s}"
    write(
        project,
        hello=f"{FLOW}  - {subflow % 'child'}\n",
        child=f"{FLOW.replace('id: hello', 'id: child')}  - {subflow % 'hello'}\n",
    )
    assert project.run("test").code == 0
    assert engine.registered == ["hello", "child"]


def test_a_flow_whose_task_is_replaced_is_not_needed(project: CommandLine, engine: Engine) -> None:
    subflow = "{id: sub, type: io.kestra.plugin.core.flow.Subflow, namespace: demo, flowId: child}"
    child = FLOW.replace("id: hello", "id: child").replace(LOG, "a.Slack", 1)
    write(project, hello=f"{FLOW}  - {subflow}\n", child=child)
    # A fixture counts for the flow that is tested, and not for those that it runs.
    write(project, **{"tests/hello": SUITE + "    fixtures: {tasks: [{id: fetch}]}\n"})
    ended = project.run("test")
    assert ended.code == 1
    assert "the task fetch of demo/child has the type a.Slack" in ended.stdout
    write(project, **{"tests/hello": SUITE + "    fixtures: {tasks: [{id: sub}]}\n"})
    assert project.run("test").code == 0
    assert engine.registered == []


def test_a_flow_that_is_no_yaml_is_named(project: CommandLine, engine: Engine) -> None:
    write(project, hello="id: hello\nnamespace: demo\ntasks: [")
    ended = project.run("test")
    assert ended.code == 1
    assert "demo/hello is not valid YAML: line 4, column 1" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ((), ["one", "two", "other"]),
        (("-k", "two or other"), ["two", "other"]),
        (("--flow", "demo/hello"), ["one", "two"]),
        (("--flow", "demo/hello", "-k", "not two"), ["one"]),
    ],
)
def test_some_tests_can_be_chosen(
    project: CommandLine, engine: Engine, arguments: tuple[str, ...], names: list[str]
) -> None:
    write(
        project,
        **{
            "tests/hello": SUITE + CASE.replace("id: one", "id: two"),
            "other": FLOW.replace("id: hello", "id: other"),
            "tests/other": SUITE.replace("flowId: hello", "flowId: other").replace("one", "other"),
        },
    )
    assert project.run("test", *arguments).code == 0
    assert [case["id"] for _, case in engine.tests] == names


def test_a_disabled_test_is_skipped_by_name(project: CommandLine, engine: Engine) -> None:
    write(project, **{"tests/hello": f"{SUITE}    disabled: true\n"})
    ended = project.run("test")
    assert ended.code == 0
    assert f"{TESTS}::one SKIPPED (disabled)" in ended.stdout
    assert engine.tests == []


def test_tests_with_errors_are_not_run(project: CommandLine, engine: Engine) -> None:
    write(project, **{"tests/hello": SUITE.replace("equalTo", "equalsTo")})
    ended = project.run("test")
    assert ended.code == 1
    assert f'{TESTS}:9:9: error: has the unknown key "equalsTo"' in ended.stdout
    assert engine.release == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--flow", "demo/none"), 1, "Error: There are no tests of demo/none."),
        (("-k", "none"), 5, "1 deselected"),
        (("--flow", "demo/hello", "elsewhere"), 1, "elsewhere is not a folder"),
    ],
)
def test_no_test_at_all_is_an_error(
    project: CommandLine, engine: Engine, arguments: tuple[str, ...], code: int, message: str
) -> None:
    ended = project.run("test", *arguments)
    assert ended.code == code
    assert message in ended.stdout + ended.stderr
