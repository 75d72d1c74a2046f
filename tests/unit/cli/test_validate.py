"""podium validate: what is found in flows and their tests, and at which place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli import offline
from cli.flows.program import read_given
from cli.flows.rules import flow_findings, flow_texts
from cli.flows.suites import read_suites
from infra.kestra.folder import scan_folder
from tests.unit.cli.command_line import ROOT, CommandLine

LOG = "type: io.kestra.plugin.core.log.Log"
FLOW = f"""\
id: hello
namespace: demo
inputs:
  - {{id: name, type: STRING}}
  - {{id: deep.er, type: STRING}}
tasks:
  - id: first
    {LOG}
    message: hello
"""
BROKEN = "is not valid YAML: while parsing a flow node, did not find expected node content"
SUITE = """\
id: tests
namespace: demo
flowId: hello
testCases:
  - id: one
    type: io.kestra.core.tests.flow.UnitTest
    assertions:
      - {value: "{{ outputs.first }}", isNull: true}
"""


def write(folder: Path, **texts: str) -> Path:
    """Writes files: `demo__hello` is demo/hello.yaml."""
    for name, text in texts.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def findings(folder: Path) -> list[tuple[int, int, str]]:
    """What is wrong with the flows in a folder."""
    namespaces, _ = scan_folder(folder)
    return [
        (each.line, each.column, each.message)
        for path, text in flow_texts(namespaces).items()
        for each in sorted(flow_findings(path, text, namespaces, read_given()))
    ]


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ("task: []\n", [(10, 1, 'has the unknown key "task" at its top level')]),
        (
            f"errors:\n  - id: first\n    {LOG}\n",
            [(11, 5, 'has more than one task with the id "first"')],
        ),
        (f"errors: [{{{LOG}}}]\n", [(10, 10, "has a task without id")]),
        ("errors: [{id: second}]\n", [(10, 10, "has a task without type")]),
        (
            "variables:\n  a: |\n    first line\n    {{ inputs.nam }}\n",
            [(13, 8, "uses the input nam, which it does not have")],
        ),
        (
            "variables: {ä: 'ä {{ inputs[''nam''] }}'}\n",
            [(10, 22, "uses the input nam, which it does not have")],
        ),
        (
            "variables: {ä: 'ä', a: \"{{ inputs['nam'] }}\"}\n",
            [(10, 28, "uses the input nam, which it does not have")],
        ),
        (
            "variables:\n  a: '{{ outputs.secnd.value }}'\n",
            [(11, 10, "uses the outputs of the task secnd, which it does not have")],
        ),
        (
            "variables:\n  a: '{% if inputs.nam %}x{% endif %}'\n",
            [(11, 13, "uses the input nam, which it does not have")],
        ),
        (
            "variables: {a: '{{ globals.sourc }}'}\n",
            [(10, 20, "uses the global sourc, which the stack does not have")],
        ),
        (
            "variables: {a: \"{{ secret('NONE') }}\"}\n",
            [(10, 20, "uses the secret NONE, which the stack does not have")],
        ),
        (
            "variables: {a: '{{ secret(''NONE'') }}'}\n",
            [(10, 20, "uses the secret NONE, which the stack does not have")],
        ),
        (
            "variables: {a: \"{{ read('sql/no.sql') }}\"}\n",
            [(10, 20, "reads the namespace file sql/no.sql, which does not exist")],
        ),
        (
            "variables: {a: nsfile:///sql/no.sql}\n",
            [(10, 16, "reads the namespace file sql/no.sql, which does not exist")],
        ),
        (
            "variables: {a: '{{ inputs.name'}\n",
            [(10, 17, "has an expression that does not end with }}")],
        ),
        (
            f"errors:\n  - id: dag\n    type: io.kestra.plugin.core.flow.Dag\n    tasks:\n"
            f"      - task: {{id: a, {LOG}, message: a}}\n        dependsOn: [first, b]\n",
            [(15, 28, "waits for the task b, which it does not have")],
        ),
        (
            "errors:\n  - id: sub\n    type: io.kestra.plugin.core.flow.Subflow\n"
            "    namespace: demo\n    flowId: gone\n",
            [(14, 5, "runs the flow demo/gone, which does not exist")],
        ),
        (
            "triggers:\n  - id: daily\n    type: io.kestra.plugin.core.trigger.Schedule\n"
            "    cron: 0 24 * * *\n",
            [
                (
                    13,
                    5,
                    'has "24" as the hour of the cron expression "0 24 * * *", which must be '
                    "from 0 to 23",
                )
            ],
        ),
        (
            "pluginDefaults:\n  - {type: a, values: {apiKey: abc}}\n",
            [(11, 32, "has apiKey in plain text: use {{ secret('NAME') }}")],
        ),
        (
            "variables: {a: 'postgresql://me:hunter2@host/db'}\n",
            [(10, 28, "has credentials in plain text: use {{ secret('NAME') }}")],
        ),
        (
            "variables: {a: 'key AKIAIOSFODNN7EXAMPLE'}\n",
            [(10, 21, "has credentials in plain text: use {{ secret('NAME') }}")],
        ),
    ],
)
def test_an_error_is_found_at_its_place(
    tmp_path: Path, added: str, expected: list[tuple[int, int, str]]
) -> None:
    assert findings(write(tmp_path, demo__hello=FLOW + added)) == expected


@pytest.mark.parametrize(
    "added",
    [
        "variables: {a: '{{ inputs.name ~ inputs.deep.er ~ outputs.first.value }}'}\n",
        "variables: {a: \"{{ inputs['deep.er'] }}\"}\n",
        "variables: {a: \"{{ inputs.other ?? 'none' }}{{ outputs.gone.files.x ?? '' }}\"}\n",
        "variables: {a: \"{{ outputs.gone | default('none') }}\"}\n",
        "variables: {a: \"{{ 'inputs.other' }}{{ my.inputs.other }}{{ trigger.outputs.x }}\"}\n",
        "variables: {a: '{% raw %}{{ inputs.other }}{% endraw %}{# {{ inputs.other }} #}'}\n",
        "# {{ inputs.other }}\n",
        "description: Loads {{ inputs.other }} and {{ more.\n",
        "variables: {a: \"{{ globals.source }}{{ secret('WAREHOUSE_PASSWORD') }}\"}\n",
        "variables: {a: \"{{ read('sql/yes.sql') }}{{ fileURI('sql/yes.sql') }}\"}\n",
        "variables: {a: \"{{ read(inputs.name) }}{{ read('sql/' ~ inputs.name) }}\"}\n",
        "variables: {a: \"{{ read('kestra:///demo/x') }}{{ read('x', namespace='other') }}\"}\n",
        "triggers:\n  - id: after\n    type: io.kestra.plugin.core.trigger.Flow\n"
        "    inputs: {name: '{{ outputs.gone.value }}'}\n",
        "triggers:\n  - id: daily\n    type: io.kestra.plugin.core.trigger.Schedule\n"
        "    cron: '{{ globals.source }}'\n",
        "pluginDefaults: [{values: {password: \"{{ secret('WAREHOUSE_PASSWORD') }}\"}}]\n",
        "pluginDefaults:\n  - {type: a, values: {fetchToken: true, secret: ''}}\n",
        "variables: {a: 'https://example.com/a?b=c', b: 'me@example.com:x'}\n",
        "errors:\n  - id: sub\n    type: io.kestra.plugin.core.flow.Subflow\n"
        "    namespace: elsewhere\n    flowId: any\n",
        "errors:\n  - id: each\n    type: io.kestra.plugin.core.flow.ForEachItem\n"
        "    items: '{{ outputs.each_merge.subflowOutputs }}'\n",
        "errors:\n  - id: plugin\n    type: a.Plugin\n    onDone: {id: inner, type: b.Plugin}\n"
        "    text: '{{ outputs.inner.x }}'\n",
    ],
)
def test_what_may_be_right_is_left_alone(tmp_path: Path, added: str) -> None:
    (tmp_path / "demo/files/sql").mkdir(parents=True)
    (tmp_path / "demo/files/sql/yes.sql").write_text("SELECT 1")
    assert findings(write(tmp_path, demo__hello=FLOW + added)) == []


@pytest.mark.parametrize("before", ["\ufeff", "# ä\r\n"])
def test_places_count_characters(tmp_path: Path, before: str) -> None:
    text = f"{before}{FLOW}variables: {{a: '{{{{ inputs.nam }}}}'}}\n"
    lines = before.count("\n")
    assert findings(write(tmp_path, demo__hello=text)) == [
        (10 + lines, 20, "uses the input nam, which it does not have")
    ]


def test_an_alias_that_contains_itself_is_an_error(tmp_path: Path) -> None:
    assert findings(write(tmp_path, demo__hello=FLOW + "variables: &a {b: *a}\n")) == [
        (10, 12, "is not valid YAML: found unconstructable recursive node")
    ]


# What the engine of Kestra 2.0.0 says of each.
@pytest.mark.parametrize(
    ("cron", "is_valid"),
    [
        ("* * * * *", True),
        ("@midnight", True),
        ("@annually", True),
        ("0 0 L * *", True),
        ("0 0 * JAN-MAR MON", True),
        ("0 0 * jan sun", True),
        ("0 0 * * 5-7", True),
        ("5/10 * * * *", True),
        ("0 0 * * 1,3,5", True),
        ("0 0 31 2 *", True),
        ("60 * * * *", False),
        ("0 0 0 * *", False),
        ("0 0 ? * *", False),
        ("0 0 1W * *", False),
        ("0 0 * * MON#1", False),
        ("0 0 * * FRI-MON", False),
        ("10-5 * * * *", False),
        ("*/0 * * * *", False),
        ("*/90 * * * *", False),
        ("@every", False),
        ("0 0 * *", False),
        ("0 0 0 1 1 *", False),
    ],
)
def test_cron_expressions_are_checked_as_kestra_does(
    tmp_path: Path, cron: str, is_valid: bool
) -> None:
    schedule = "type: io.kestra.plugin.core.trigger.Schedule"
    text = f"{FLOW}triggers:\n  - {{id: a, {schedule}, cron: '{cron}'}}\n"
    found = findings(write(tmp_path, demo__hello=text))
    assert (found == []) is is_valid
    with_seconds = text.replace(cron, f"30 {cron}").replace("}\n", ", withSeconds: true}\n")
    if not cron.startswith("@"):
        assert (findings(write(tmp_path, demo__hello=with_seconds)) == []) is is_valid


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SUITE, []),
        (SUITE + "more: x\n", [(9, 1, 'has the unknown key "more"')]),
        (SUITE.replace("isNull", "isNul"), [(8, 40, 'has the unknown key "isNul"')]),
        (
            SUITE.replace(", isNull: true", ""),
            [
                (
                    8,
                    9,
                    "has an assertion that needs one of equalTo, notEqualTo, contains, startsWith, "
                    "endsWith, in, notIn, isNull, isNotNull, greaterThan, greaterThanOrEqualTo, "
                    "lessThan, lessThanOrEqualTo",
                )
            ],
        ),
        (SUITE.replace("flowId: hello\n", ""), [(1, 1, 'lacks the key "flowId"')]),
        (
            SUITE.replace("hello", "other"),
            [(3, 1, "tests the flow demo/other, which does not exist")],
        ),
        (
            SUITE.replace("demo", "other"),
            [(2, 1, "has the namespace other, but is in that of demo")],
        ),
        (
            SUITE.replace("UnitTest", "Test"),
            [
                (
                    6,
                    5,
                    "has an invalid \"type\": Input should be 'io.kestra.core.tests.flow.UnitTest'",
                )
            ],
        ),
        (
            SUITE + "    fixtures: {tasks: [{id: first, state: GOOD}]}\n",
            [
                (
                    9,
                    36,
                    "has an invalid \"state\": Input should be 'SUCCESS', 'WARNING', 'FAILED', "
                    "'KILLED', 'CANCELLED' or 'SKIPPED'",
                )
            ],
        ),
        (
            SUITE + "    fixtures:\n      inputs: {nam: x}\n      tasks: [{id: secnd}]\n"
            "      trigger: {id: daily, type: x}\n",
            [
                (10, 16, "sets the input nam, which the flow lacks"),
                (11, 16, "replaces the task secnd, which the flow lacks"),
                (12, 17, "has the trigger daily, which the flow lacks"),
            ],
        ),
        (
            SUITE + SUITE[SUITE.index("  - id: one") :],
            [(9, 5, 'has more than one test case with the id "one"')],
        ),
        (
            "id: [",
            [(2, 1, BROKEN)],
        ),
    ],
)
def test_tests_of_flows_are_checked(
    tmp_path: Path, text: str, expected: list[tuple[int, int, str]]
) -> None:
    write(tmp_path, demo__hello=FLOW, demo__tests__hello=text)
    found = read_suites(tmp_path, scan_folder(tmp_path)[0])[1]
    assert [(each.line, each.column, each.message) for each in found] == expected


def test_tests_of_a_flow_that_is_no_yaml_add_no_error(tmp_path: Path) -> None:
    write(tmp_path, demo__hello="id: hello\nnamespace: demo\ntasks: [", demo__tests__hello=SUITE)
    namespaces, _ = scan_folder(tmp_path)
    assert read_suites(tmp_path, namespaces)[1] == []
    assert findings(tmp_path) == [(4, 1, BROKEN)]


def test_a_fixture_within_a_loop_is_refused(tmp_path: Path) -> None:
    loop = (
        "errors: [{id: each, type: io.kestra.plugin.core.flow.Loop, tasks: [{id: in, type: x}]}]\n"
    )
    suite = SUITE + "    fixtures: {tasks: [{id: each}, {id: in}]}\n"
    write(tmp_path, demo__hello=FLOW + loop, demo__tests__hello=suite)
    (found,) = read_suites(tmp_path, scan_folder(tmp_path)[0])[1]
    assert found.message == "replaces the task in within a loop: replace each as a whole"


def test_the_program_gives_what_the_flows_use() -> None:
    given = read_given()
    assert given.variables == frozenset({"retention", "source", "warehouse"})
    assert given.secrets == frozenset({"WAREHOUSE_USERNAME", "WAREHOUSE_PASSWORD"})


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def project(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A project with a flow that is valid and one that is not."""
    (command.folder / "__main__.py").write_text((ROOT / "__main__.py").read_text())
    wrong = FLOW.replace("id: hello", "id: wrong") + "variables: {a: '{{ inputs.nam }}'}\n"
    broken = "id: broken\nnamespace: demo\ntasks: ["
    write(command.folder / "flows", demo__hello=FLOW, demo__wrong=wrong, demo__tests__hello=SUITE)
    write(command.folder / "flows", demo__broken=broken)
    monkeypatch.chdir(command.folder)
    return command


TEXT = f"""\
flows/demo/broken.yaml:4:1: error: {BROKEN}
flows/demo/wrong.yaml:10:20: error: uses the input nam, which it does not have
"""
GITHUB = f"""\
::error file=flows/demo/broken.yaml,line=4,col=1::{BROKEN}
::error file=flows/demo/wrong.yaml,line=10,col=20::uses the input nam, which it does not have
"""


@pytest.mark.parametrize(("format_", "output"), [("text", TEXT), ("github", GITHUB)])
def test_errors_are_printed_and_end_with_code_1(
    project: CommandLine, format_: str, output: str
) -> None:
    ended = project.run("validate", "--format", format_)
    assert ended == (1, output, "flows: 3, test files: 1, errors: 2\n")


def test_errors_are_data_as_json(project: CommandLine) -> None:
    ended = project.run("validate", "--format", "json")
    assert ended.code == 1
    assert json.loads(ended.stdout)[1] == {
        "file": "flows/demo/wrong.yaml",
        "line": 10,
        "column": 20,
        "message": "uses the input nam, which it does not have",
        "level": "error",
    }


def test_flows_without_errors_end_with_code_0(project: CommandLine) -> None:
    for name in ("wrong", "broken"):
        (project.folder / f"flows/demo/{name}.yaml").unlink()
    assert project.run("validate").code == 0
    assert json.loads(project.run("validate", "--format", "json").stdout) == []


def test_a_folder_that_does_not_exist_is_an_error(project: CommandLine) -> None:
    ended = project.run("validate", "elsewhere")
    assert (ended.code, ended.stderr) == (1, "Error: elsewhere is not a folder\n")


@pytest.mark.parametrize("release", ["v2.0.0", "v1.3.25"])
def test_types_that_the_release_of_the_image_lacks_are_errors(
    project: CommandLine, release: str
) -> None:
    settings = f"config: {{podium:kestraImage: 'kestra/kestra:{release}'}}\n"
    (project.folder / "Pulumi.dev.yaml").write_text(settings)
    newer = "io.kestra.plugin.core.flow.Loop"
    older = "io.kestra.plugin.core.flow.ForEach"
    task = "  - {{id: more, type: {}}}\n"
    (project.folder / "flows/demo/hello.yaml").write_text(FLOW + task.format(newer))
    (project.folder / "flows/demo/hello.kestra-1.yaml").write_text(FLOW + task.format(older))
    lacking = f"which Kestra {release[1]} does not have: "
    assert lacking not in project.run("validate").stdout
    # Without a text of its own for Kestra 1.
    (project.folder / "flows/demo/hello.kestra-1.yaml").unlink()
    wrong = older if release == "v2.0.0" else newer
    (project.folder / "flows/demo/hello.yaml").write_text(FLOW + task.format(wrong))
    ended = project.run("validate")
    assert ended.code == 1
    assert f"flows/demo/hello.yaml:10:16: error: has the type {wrong}, {lacking}" in ended.stdout


class Validation(NamedTuple):
    errors: str | None
    warnings: tuple[str, ...] = ()


class Engine:
    """An engine that says what a test wants of each flow."""

    def __init__(self, validations: dict[str, Validation]) -> None:
        self._validations = validations
        self.release = ""

    @contextmanager
    def running(self, release: str, *_: Any) -> Iterator[Engine]:
        self.release = release
        yield self

    def validate(self, texts: list[str]) -> list[Validation]:
        return [
            next((v for part, v in self._validations.items() if part in text), Validation(None))
            for text in texts
        ]

    def expression_errors(self, texts: list[str]) -> list[str | None]:
        return ["no expression" if "1 +" in text else None for text in texts]


@pytest.mark.parametrize(
    ("errors", "place"),
    [
        ("Validation error: tasks[first].tasks[first].message: must not be null\n", "9:5"),
        ("Validation error: first.message: must not be null", "9:5"),
        ('Validation error: Unrecognized field "message" (class x)', "9:5"),
        ("Validation error: Invalid type: io.kestra.plugin.core.log.Log", "8:11"),
        ("Validation error: first.level: must not be null", "7:5"),
        ("Validation error: something else", "1:1"),
    ],
)
def test_the_engines_words_get_a_place(
    project: CommandLine, monkeypatch: pytest.MonkeyPatch, errors: str, place: str
) -> None:
    engine = Engine({"id: hello": Validation(errors)})
    monkeypatch.setattr(offline, "running_engine", engine.running)
    ended = project.run("validate", "--engine")
    message = errors.removeprefix("Validation error: ").strip()
    assert f"flows/demo/hello.yaml:{place}: error: Kestra: {message}\n" in ended.stdout


def test_the_engine_checks_expressions_and_warns(
    project: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (project.folder / "flows/demo").glob("*.yaml"):
        path.unlink()
    added = "variables: {a: '{{ 1 + }}'}\ndescription: '{{ 1 + }}'\n"
    write(project.folder / "flows", demo__hello=FLOW + added)
    engine = Engine({"id: hello": Validation(None, ("old property",))})
    monkeypatch.setattr(offline, "running_engine", engine.running)
    ended = project.run("validate", "--engine")
    assert ended.stdout == (
        "flows/demo/hello.yaml:1:1: warning: Kestra: old property\n"
        "flows/demo/hello.yaml:10:16: error: Kestra: no expression\n"
    )


@pytest.mark.parametrize(
    ("image", "release", "text"),
    [
        (None, "2.0.0", "hello.yaml"),
        ("kestra/kestra:v2.3", "2.0.0", "hello.yaml"),
        ("registry.example.com:5000/kestra:v1.3.25", "1.3.31", "hello.kestra-1.yaml"),
        ("registry.example.com:5000/kestra@sha256:1", "2.0.0", "hello.yaml"),
    ],
)
def test_the_engine_is_that_of_the_stacks_image(
    project: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    image: str | None,
    release: str,
    text: str,
) -> None:
    if image:
        settings = f"config: {{podium:kestraImage: '{image}'}}\n"
        (project.folder / "Pulumi.dev.yaml").write_text(settings)
    older = project.folder / "flows/demo/hello.kestra-1.yaml"
    older.write_text(FLOW)
    engine = Engine({"id: hello": Validation("wrong")})
    monkeypatch.setattr(offline, "running_engine", engine.running)
    assert (
        f"flows/demo/{text}:1:1: error: Kestra: wrong" in project.run("validate", "--engine").stdout
    )
    assert engine.release == release
