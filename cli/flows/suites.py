"""Tests of flows, `flows/<namespace>/tests/*.yaml`, in the form of Kestra's own unit tests.

The form is io.kestra.core.test.TestSuite; https://kestra.io/docs/enterprise/governance/unit-tests
describes it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from cli.flows.findings import Finding
from infra.kestra.content import read_content
from infra.kestra.folder import Namespace, suite_files
from infra.kestra.source import Path as Keys
from infra.kestra.source import decode_text, dicts, find_place, flow_tasks, load_document

_OPERATORS = (
    "equal_to", "not_equal_to", "contains", "starts_with", "ends_with", "in", "not_in", "is_null",
    "is_not_null", "greater_than", "greater_than_or_equal_to", "less_than",
    "less_than_or_equal_to",
)  # fmt: skip
_TaskState = Literal["SUCCESS", "WARNING", "FAILED", "KILLED", "CANCELLED", "SKIPPED"]
_State = Literal["SUCCESS", "WARNING", "FAILED", "KILLED", "CANCELLED"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class TaskFixture(_Model):
    """What a task is replaced by; `value` names the iteration of a loop."""

    id: str
    description: str | None = None
    value: str | None = None
    state: _TaskState = "SUCCESS"
    outputs: dict[str, Any] = {}
    assets: list[Any] | None = None


class TriggerFixture(_Model):
    """What an execution sees as its trigger."""

    id: str
    type: str
    variables: dict[str, Any] = {}


class Fixtures(_Model):
    """What a test case starts from."""

    inputs: dict[str, Any] = {}
    files: dict[str, str] = {}
    tasks: list[TaskFixture] = []
    trigger: TriggerFixture | None = None


class Assertion(_Model):
    """What has to be true of an execution that has ended: a value and at least one operator."""

    value: Any
    task_id: str | None = None
    description: str | None = None
    error_message: str | None = None
    equal_to: Any = None
    not_equal_to: Any = None
    contains: Any = None
    starts_with: Any = None
    ends_with: Any = None
    in_: Any = Field(None, alias="in")
    not_in: Any = None
    is_null: Any = None
    is_not_null: Any = None
    greater_than: Any = None
    greater_than_or_equal_to: Any = None
    less_than: Any = None
    less_than_or_equal_to: Any = None

    @model_validator(mode="after")
    def _has_operator(self) -> Self:
        if not self.model_fields_set & set(_OPERATORS):
            raise ValueError(f"needs one of {', '.join(map(to_camel, _OPERATORS))}")
        return self


class Case(_Model):
    """One execution of the flow and what has to be true of it.

    Kestra 2.0 has `expectedState`; here it works for every release.
    """

    id: str
    type: Literal["io.kestra.core.tests.flow.UnitTest"]
    description: str | None = None
    disabled: bool = False
    fixtures: Fixtures = Fixtures()
    assertions: list[Assertion] = Field(min_length=1)
    expected_state: _State = "SUCCESS"


class Suite(_Model):
    """The tests of one flow."""

    id: str
    namespace: str
    flow_id: str
    description: str | None = None
    disabled: bool = False
    test_cases: list[Case] = Field(min_length=1)


@dataclass(frozen=True)
class SuiteFile:
    """A suite and the file that it is from.

    Attributes:
        path: the file.
        suite: what it says.
        root: the nodes of its text, which have the places.
    """

    path: Path
    suite: Suite
    root: yaml.Node

    def finding(self, keys: Keys, message: str) -> Finding:
        """Returns a finding at a place of the file."""
        return Finding.of(self.path, find_place(self.root, keys), message)


def read_suites(
    folder: Path, namespaces: Mapping[str, Namespace]
) -> tuple[list[SuiteFile], list[Finding]]:
    """Returns the suites in a folder of flows, and what is wrong with them.

    Args:
        folder: the folder.
        namespaces: what it holds.
    """
    suites, findings = [], []
    for path in suite_files(folder):
        try:
            text = decode_text(read_content(path))
            root, _ = load_document(text, "id, namespace, flowId and testCases")
            suite = Suite.model_validate(yaml.load(text, Loader=_Loader))
        except ValidationError as error:
            findings += [
                Finding.of(path, find_place(root, each["loc"]), _message(each))
                for each in error.errors()
            ]
        except ValueError as error:
            findings.append(Finding.of_message(path, str(error)))
        else:
            suites.append(SuiteFile(path, suite, root))
            errors = _suite_errors(suite, path.parent.parent.name, namespaces)
            findings += [suites[-1].finding(keys, message) for keys, message in errors]
    return suites, findings


def _message(error: Any) -> str:
    key = error["loc"][-1] if error["loc"] else "content"
    match error["type"]:
        case "extra_forbidden":
            return f'has the unknown key "{key}"'
        case "missing":
            return f'lacks the key "{key}"'
        case "value_error":
            return f"has an assertion that {error['ctx']['error']}"
        case _:
            return f'has an invalid "{key}": {error["msg"]}'


def _suite_errors(
    suite: Suite, folder: str, namespaces: Mapping[str, Namespace]
) -> Iterator[tuple[Keys, str]]:
    """Yields what does not fit the flow, each with its place."""
    if suite.namespace != folder:
        yield ("namespace",), f"has the namespace {suite.namespace}, but is in that of {folder}"
        return
    content = namespaces.get(suite.namespace, Namespace())
    if suite.flow_id not in content.flows:
        yield ("flowId",), f"tests the flow {suite.namespace}/{suite.flow_id}, which does not exist"
        return
    try:
        flow = load_document(content.flows[suite.flow_id].text)[1]
    except ValueError:
        return  # which is an error of the flow
    tasks = {task.get("id") for _, task in flow_tasks(flow)}
    loops = {
        inner.get("id"): task.get("id")
        for _, task in flow_tasks(flow)
        if str(task.get("type")).endswith(".flow.Loop")
        for _, inner in flow_tasks(task)
    }
    inputs = {str(item.get("id")).partition(".")[0] for item in dicts(flow.get("inputs"))}
    triggers = {item.get("id") for item in dicts(flow.get("triggers"))}
    seen = set()
    for index, case in enumerate(suite.test_cases):
        place: Keys = ("testCases", index)
        if case.id in seen:
            yield (*place, "id"), f'has more than one test case with the id "{case.id}"'
        seen.add(case.id)
        place = (*place, "fixtures")
        for name in case.fixtures.inputs:
            if name.partition(".")[0] not in inputs:
                yield (*place, "inputs", name), f"sets the input {name}, which the flow lacks"
        for number, fixture in enumerate(case.fixtures.tasks):
            at = (*place, "tasks", number, "id")
            if fixture.id not in tasks:
                yield at, f"replaces the task {fixture.id}, which the flow lacks"
            elif loop := loops.get(fixture.id):
                # An iteration of Kestra 2.0 is an execution of its own, without the fixtures.
                yield at, f"replaces the task {fixture.id} within a loop: replace {loop} as a whole"
        if (trigger := case.fixtures.trigger) and trigger.id not in triggers:
            yield (*place, "trigger", "id"), f"has the trigger {trigger.id}, which the flow lacks"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads scalars as YAML 1.2 does, which leaves dates and words such as `on` text."""

    yaml_implicit_resolvers: dict[str, Any] = {}


for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"[-+]?(?:0|[1-9]\d*)", list("-+0123456789")),
    ("float", r"[-+]?(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first
    )
