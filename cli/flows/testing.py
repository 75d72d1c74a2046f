"""Runs the tests of flows on Kestra's engine: a plugin of pytest that collects their files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cli.flows.engine_rules import UNKNOWN_TYPE
from cli.flows.findings import Finding, Format, render
from cli.flows.suites import Case, SuiteFile
from infra.kestra.content import decode
from infra.kestra.folder import Namespace
from infra.kestra.source import flow_tasks, load_document

if TYPE_CHECKING:
    from cli.offline import Engine, Execution

# What a task keeps when another one is run in its place.
_COMMON = ("id", "runIf", "disabled", "allowFailure", "allowWarning", "timeout", "retry")
_LOG_LINES = 10


class Failure(Exception):
    """A test failed; the findings say where and why."""

    def __init__(self, findings: Sequence[Finding], log: Sequence[str] = ()) -> None:
        super().__init__(render(findings, Format.TEXT))
        self.findings = findings
        self.log = log


class FlowTests:
    """The plugin.

    Args:
        engine: the engine, which is running.
        suites: the files with tests.
        namespaces: the folder of flows that they belong to.
        is_kestra_1: whether the engine is that of Kestra before 2.0.
    """

    def __init__(
        self,
        engine: Engine,
        suites: Sequence[SuiteFile],
        namespaces: Mapping[str, Namespace],
        *,
        is_kestra_1: bool,
    ) -> None:
        self._engine = engine
        self._suites = {suite.path: suite for suite in suites}
        self._namespaces = namespaces
        self._flows = {
            (name, flow.flow_id): flow.text
            for name, content in namespaces.items()
            for flow in content.flows_for(is_kestra_1=is_kestra_1).values()
        }
        self._ready: set[object] = set()
        self.findings: list[Finding] = []

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> _File | None:
        """Collects a file with tests."""
        if suite := self._suites.get(file_path):
            return _File.from_parent(parent, path=file_path, plugin=self, suite=suite)
        return None

    def run(self, suite: SuiteFile, index: int) -> None:
        """Runs a test case.

        Raises:
            Failure: an assertion fails, or the flow does not run as expected.
        """
        case, namespace = suite.suite.test_cases[index], suite.suite.namespace
        place = ("testCases", index)
        self._prepare(namespace)
        try:
            replaced = {fixture.id for fixture in case.fixtures.tasks}
            text = self._runnable((namespace, suite.suite.flow_id), replaced)
            execution, results = self._engine.test(text, self._content(suite, case))
        except Exception as error:  # Kestra's; its class is behind the door of offline/
            raise Failure([suite.finding((*place, "id"), str(error))]) from error
        findings = [
            suite.finding((*place, "assertions", number), reason)
            for number, reasons in enumerate(results)
            for reason in reasons
        ]
        if execution.state != case.expected_state:
            message = f"the execution ended as {execution.state}, not as {case.expected_state}"
            findings.append(suite.finding((*place, "expectedState"), message))
        if findings:
            raise Failure(findings, _log(execution))

    def _prepare(self, namespace: str) -> None:
        """Gives the engine the files of a namespace, once."""
        if namespace not in self._ready:
            self._ready.add(namespace)
            for path, content in self._namespaces[namespace].files.items():
                self._engine.write_file(namespace, path, decode(content))

    def _runnable(self, key: tuple[str, str], replaced: Collection[str] = ()) -> str:
        """Returns the text of a flow that the engine can run, and registers the flows it runs.

        Args:
            key: namespace and id of the flow.
            replaced: the ids of its tasks that have fixtures.

        Raises:
            ValueError: the flow is not valid YAML, or has a task that the engine does not have.
        """
        text, name = self._flows[key], "/".join(key)
        try:
            document = load_document(text)[1]
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error
        for _, task in flow_tasks(document):
            other = str(task.get("namespace")), str(task.get("flowId"))
            if other in self._flows and other not in self._ready and task.get("id") not in replaced:
                # Before it is, since flows may run each other.
                self._ready.add(other)
                self._prepare(other[0])
                self._engine.register(self._runnable(other))
        while found := UNKNOWN_TYPE.search(str(self._engine.validate([text])[0].errors)):
            tasks = [task for _, task in flow_tasks(document) if task.get("type") == found[1]]
            missing = [str(task.get("id")) for task in tasks if task.get("id") not in replaced]
            if missing or not tasks:
                owner = f"the task {', '.join(missing)} of {name}" if missing else name
                raise ValueError(
                    f"{owner} has the type {found[1]}, which the engine does not have: replace it "
                    "by a fixture"
                )
            for task in tasks:
                kept = {name: task[name] for name in _COMMON if name in task}
                task.clear()
                task.update(kept, type="io.kestra.plugin.core.log.Log", message="a fixture")
            text = yaml.safe_dump(document, sort_keys=False)
        return text

    def _content(self, suite: SuiteFile, case: Case) -> dict[str, Any]:
        """Returns a case in Kestra's form, with its files stored and their addresses in place."""
        namespace = suite.suite.namespace
        addresses = {}
        for name, text in case.fixtures.files.items():
            path = f"_tests/{suite.suite.id}/{case.id}/{name}"
            self._engine.write_file(namespace, path, text.encode())
            addresses[name] = f"kestra:///{namespace.replace('.', '/')}/_files/{path}"
        content = case.model_dump(by_alias=True, exclude_unset=True)
        fixtures = case.fixtures.model_dump(by_alias=True, exclude_none=True)
        return {**content, "fixtures": _with_addresses(fixtures, addresses)}


def _with_addresses(value: Any, addresses: Mapping[str, str]) -> Any:
    """Returns fixtures with the addresses of files instead of `{{ files['name'] }}`."""
    if isinstance(value, dict):
        return {key: _with_addresses(item, addresses) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_addresses(item, addresses) for item in value]
    if isinstance(value, str):
        for name, address in addresses.items():
            pattern = rf"""\{{\{{\s*files\[\s*['"]{re.escape(name)}['"]\s*\]\s*\}}\}}"""
            value = address.join(re.split(pattern, value))
    return value


def _log(execution: Execution) -> list[str]:
    lines = [
        f"{line.level} {line.task or ''}: {line.message}"
        for line in execution.logs
        if line.level in ("WARN", "ERROR")
    ]
    return lines[-_LOG_LINES:]


class _File(pytest.File):
    def __init__(self, *, plugin: FlowTests, suite: SuiteFile, **rest: Any) -> None:
        super().__init__(**rest)
        self._plugin = plugin
        self._suite = suite

    def collect(self) -> Iterator[pytest.Item]:
        for index, case in enumerate(self._suite.suite.test_cases):
            item = _Item.from_parent(
                self, name=case.id, plugin=self._plugin, suite=self._suite, index=index
            )
            if self._suite.suite.disabled or case.disabled:
                item.add_marker(pytest.mark.skip(reason="disabled"))
            yield item


class _Item(pytest.Item):
    def __init__(self, *, plugin: FlowTests, suite: SuiteFile, index: int, **rest: Any) -> None:
        super().__init__(**rest)
        self._plugin = plugin
        self._suite = suite
        self._index = index

    def runtest(self) -> None:
        self._plugin.run(self._suite, self._index)

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        if isinstance(excinfo.value, Failure):
            self._plugin.findings.extend(excinfo.value.findings)
            return "\n".join([str(excinfo.value), *excinfo.value.log])
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        case = self._suite.suite.test_cases[self._index]
        line = self._suite.finding(("testCases", self._index), "").line
        flow = f"{self._suite.suite.namespace}/{self._suite.suite.flow_id}"
        return self.path, line - 1, f"{flow}: {case.id}"
