"""Kestra's own engine in a process of Python, to validate flows and to run them.

Source of the order in which its parts start: io.kestra.core.runners.TestRunner, which is used here.
"""

from __future__ import annotations

import base64
import os
import secrets as random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

import jpype
from jpype import JClass

from offline.kestra.engine.machine import TENANT, Kestra

_LAST_LINE = "The execution has ended."
_LOG_TIMEOUT = 60  # seconds until the last line of a log is stored


class EngineError(Exception):
    """Kestra refused a flow or its inputs, or an execution did not end in time."""


@dataclass(frozen=True)
class Validation:
    """What Kestra says of a flow's text.

    Attributes:
        errors: why it is invalid, in Kestra's words; None if it is valid.
        warnings: what works but should be changed, deprecated properties among it.
    """

    errors: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Fixture:
    """What a task is replaced by in a test, which does not run it.

    Attributes:
        outputs: its outputs.
        state: the state it ends in, such as FAILED.
    """

    outputs: Mapping[str, Any] = field(default_factory=dict)
    state: str = "SUCCESS"


@dataclass(frozen=True)
class TaskRun:
    """One run of a task.

    Attributes:
        task: the id of the task.
        state: the state it ended in, such as SUCCESS.
        value: the value of the iteration, in a ForEach.
        outputs: its outputs.
    """

    task: str
    state: str
    value: str | None
    outputs: Mapping[str, Any]


@dataclass(frozen=True)
class Log:
    """One line of an execution's log.

    Attributes:
        level: TRACE, DEBUG, INFO, WARN or ERROR.
        task: the id of the task; None for lines of the execution itself.
        message: the text.
    """

    level: str
    task: str | None
    message: str


@dataclass(frozen=True)
class Execution:
    """An execution that has ended.

    Attributes:
        id: its id.
        state: the state it ended in: SUCCESS, WARNING, FAILED, KILLED, CANCELLED ...
        outputs: the outputs of the flow.
        task_runs: the runs of its tasks, in the order they began.
        logs: its log.
    """

    id: str
    state: str
    outputs: Mapping[str, Any]
    task_runs: tuple[TaskRun, ...]
    logs: tuple[Log, ...]


class Engine:
    """The engine of one release; a process can have one, and only once.

    `running` starts one in a process of its own, which is what tests want.

    Args:
        release: one of `classpath.RELEASES`.
        variables: what flows see as `globals`.
        secrets: what flows see by `secret('NAME')`.

    Raises:
        SetupError: if the engine cannot be downloaded or compiled.
    """

    def __init__(
        self,
        release: str,
        variables: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        for name, value in (secrets or {}).items():
            os.environ[f"SECRET_{name}"] = base64.b64encode(value.encode()).decode()
        self._before_2 = release.startswith("1.")
        self._folder = tempfile.TemporaryDirectory(prefix="kestra-")
        self._kestra = Kestra(release, _properties(self._folder.name, variables or {}))
        self._bean, self._json = self._kestra.bean, self._kestra.json

    def validate(self, texts: Sequence[str]) -> list[Validation]:
        """Validates flows as Kestra's API does.

        Args:
            texts: the flows, as YAML.

        Returns:
            What there is to say of each text, in their order.
        """
        source = JClass("io.kestra.core.models.flows.FlowSource")
        return [
            Validation(
                None if each.getConstraints() is None else str(each.getConstraints()),
                tuple(
                    str(warning)
                    for group in (each.getDeprecationPaths(), each.getWarnings())
                    for warning in group or ()
                ),
            )
            for text in texts
            for each in self._bean("core.services.FlowService").validate(
                TENANT, JClass("java.util.List").of(source("flow.yaml", text))
            )
        ]

    def expression_errors(self, texts: Sequence[str]) -> list[str | None]:
        """Parses texts with expressions, without evaluating them.

        Args:
            texts: values of a flow, such as `{{ inputs.month }}`.

        Returns:
            Why each does not parse, in Pebble's words; None if it does.
        """
        parser = self._bean("core.runners.pebble.PebbleEngineFactory").create()
        errors: list[str | None] = []
        for text in texts:
            try:
                parser.getLiteralTemplate(text)
                errors.append(None)
            except jpype.JException as error:
                errors.append(str(error.getMessage()))
        return errors

    def register(self, text: str) -> None:
        """Creates or updates a flow.

        Raises:
            EngineError: if Kestra refuses it.
        """
        self._import(text)

    def write_file(self, namespace: str, path: str, content: bytes) -> None:
        """Writes a namespace file.

        Args:
            namespace: the namespace.
            path: the path in it, such as `sql/begin.sql`.
            content: the content.
        """
        storage = self._bean("core.storages.StorageInterface")
        self._bean("core.storages.NamespaceFactory").of(TENANT, namespace, storage).putFile(
            JClass("java.nio.file.Path").of(f"/{path}"),
            JClass("java.io.ByteArrayInputStream")(content),
            JClass("io.kestra.core.storages.Namespace$Conflicts").OVERWRITE,
        )

    def put_key_value(self, namespace: str, key: str, value: Any) -> None:
        """Sets a key-value.

        Args:
            namespace: the namespace.
            key: the key.
            value: a text, number, boolean, list or mapping.
        """
        store = self._bean("core.services.KVStoreService").get(TENANT, namespace, namespace)
        plain = self._kestra.java(value, "java.lang.Object")
        store.put(key, JClass("io.kestra.core.storages.kv.KVValueAndMetadata")(None, plain))

    def run(
        self,
        text: str,
        inputs: Mapping[str, Any] | None = None,
        fixtures: Mapping[str, Fixture] | None = None,
        *,
        timeout: float = 60,
    ) -> Execution:
        """Registers a flow and runs it to its end.

        Args:
            text: the flow, as YAML.
            inputs: the inputs by their ids.
            fixtures: what replaces tasks, by their ids.
            timeout: seconds to wait for its end.

        Raises:
            EngineError: if Kestra refuses the flow or the inputs, or the execution does not end
                in time.
        """
        _, execution = self._run(text, inputs or {}, self._fixtures(fixtures or {}), None, timeout)
        return self._ended(execution)

    def test(
        self, text: str, case: Mapping[str, Any], *, timeout: float = 60
    ) -> tuple[Execution, list[list[str]]]:
        """Runs a test case of a flow, with Kestra's own fixtures and assertions.

        Args:
            text: the flow, as YAML.
            case: the test case, in the form of io.kestra.core.test.flow.UnitTest.
            timeout: seconds to wait for the end of the execution.

        Returns:
            The execution, and for each assertion why it fails, nothing if it holds.

        Raises:
            EngineError: as `run` does.
        """
        unit = self._kestra.java(dict(case), "io.kestra.core.test.flow.UnitTest")
        fixtures, trigger = unit.getFixtures(), None
        if given := fixtures.getTrigger():
            builder = JClass("io.kestra.core.models.executions.ExecutionTrigger").builder()
            builder = builder.id(given.getId()).type(given.getType())
            trigger = builder.variables(given.getVariables()).build()
        inputs = case["fixtures"].get("inputs", {})
        flow, execution = self._run(text, inputs, fixtures.getTasks(), trigger, timeout)
        context = self._bean("core.runners.RunContextFactory").of(flow, execution)
        results = [self._json(each.run(context)) for each in unit.getAssertions()]
        return self._ended(execution), [
            [error["details"].removeprefix("error was: ") for error in result["errors"]]
            + [each["errorMessage"] for each in result["results"] if not each["isSuccess"]]
            for result in results
        ]

    def memory(self) -> int:
        """Returns the memory of the engine's process, in bytes."""
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def close(self) -> None:
        """Stops the engine and removes its files."""
        self._kestra.close()
        self._folder.cleanup()

    def _run(
        self, text: str, inputs: Mapping[str, Any], fixtures: Any, trigger: Any, timeout: float
    ) -> tuple[Any, Any]:
        """Returns a flow and its execution that has ended."""
        flow = self._import(text)
        given = self._kestra.java(dict(inputs), "java.util.Map")
        reader = self._bean("core.runners.FlowInputOutput")
        try:
            execution = JClass("io.kestra.core.models.executions.Execution").newExecution(
                flow,
                lambda flow, execution: reader.readExecutionInputs(flow, execution, given),
                None,
                JClass("java.util.Optional").empty(),
            )
            return flow, self._bean("core.runners.TestRunnerUtils").runOne(
                execution.withFixtures(fixtures).withTrigger(trigger),
                flow,
                JClass("java.time.Duration").ofMillis(int(timeout * 1000)),
            )
        except jpype.JException as error:
            raise EngineError(
                f"{flow.getNamespace()}.{flow.getId()}: {error.getMessage()}"
            ) from None

    def _import(self, text: str) -> Any:
        (validation,) = self.validate([text])
        if validation.errors is not None:
            raise EngineError(validation.errors)
        return self._bean("core.services.FlowService").importFlow(TENANT, text)

    def _fixtures(self, fixtures: Mapping[str, Fixture]) -> Any:
        """Returns fixtures as those of Kestra's own tests of flows."""
        replaced = JClass("java.util.ArrayList")()
        for task, fixture in fixtures.items():
            replaced.add(
                JClass("io.kestra.core.test.flow.TaskFixture")
                .builder()
                .id(task)
                .state(JClass("io.kestra.core.models.flows.State$Type").valueOf(fixture.state))
                .outputs(self._kestra.java(dict(fixture.outputs), "java.util.Map"))
                .build()
            )
        return replaced

    def _ended(self, execution: Any) -> Execution:
        data = self._json(execution)
        outputs = [self._outputs(run) for run in execution.getTaskRunList() or ()]
        return Execution(
            data["id"],
            data["state"]["current"],
            self._json(self._flow_outputs(execution)) or {},
            tuple(
                TaskRun(run["taskId"], run["state"]["current"], run.get("value"), outputs or {})
                for run, outputs in zip(data.get("taskRunList", ()), outputs, strict=True)
            ),
            self._logs(execution),
        )

    def _outputs(self, run: Any) -> Any:
        """Returns the outputs of a task run, which 2.0 keeps beside the execution."""
        if self._before_2:
            return self._json(run.getOutputs())
        return self._json(self._bean("core.services.TaskOutputService").getOutputs(run))

    def _flow_outputs(self, execution: Any) -> Any:
        if self._before_2:
            return execution.getOutputs()
        return self._bean("core.services.ExecutionOutputService").getOutputs(execution)

    def _logs(self, execution: Any) -> tuple[Log, ...]:
        """Returns the log of an execution that has ended."""
        # Lines are stored in the order in which they were written, a little later.
        self._bean("core.runners.RunContextLoggerFactory").create(execution).logger().trace(
            _LAST_LINE
        )
        name = "LogRepositoryInterface" if self._before_2 else "LogDataStoreInterface"
        store = self._bean(f"core.repositories.{name}")
        deadline = time.monotonic() + _LOG_TIMEOUT
        while True:
            lines = [
                self._json(line)
                for line in store.findByExecutionId(TENANT, execution.getId(), None)
            ]
            if any(line.get("message") == _LAST_LINE for line in lines):
                break
            if time.monotonic() > deadline:
                raise EngineError(f"The log of execution {execution.getId()} is incomplete.")
            time.sleep(0.02)
        return tuple(
            Log(each["level"], each.get("taskId"), each.get("message", ""))
            for each in sorted(lines, key=lambda line: line["timestamp"])
            if each.get("message") != _LAST_LINE
        )


def _properties(storage: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings: those of Kestra's server, on H2 in memory, with short delays."""
    migrations = "flyway.datasources.h2"  # 1.3 alone
    return {
        "datasources.h2.url": "jdbc:h2:mem:public;TIME ZONE=UTC;DB_CLOSE_DELAY=-1",
        "datasources.h2.username": "sa",
        "datasources.h2.password": "",
        "datasources.h2.driverClassName": "org.h2.Driver",
        f"{migrations}.enabled": True,
        f"{migrations}.locations": ["classpath:migrations/h2"],
        f"{migrations}.ignore-migration-patterns": "*:missing,*:future",
        f"{migrations}.out-of-order": True,
        "kestra.repository.type": "h2",
        "kestra.queue.type": "h2",
        "kestra.jdbc.queues.min-poll-interval": "10ms",
        "kestra.jdbc.queues.max-poll-interval": "100ms",
        "kestra.jdbc.queues.poll-switch-interval": "5s",
        "kestra.storage.type": "local",
        "kestra.storage.local.base-path": storage,
        "kestra.encryption.secret-key": base64.b64encode(random.token_bytes(32)).decode(),
        "kestra.server.termination-grace-period": "1s",
        **{f"kestra.variables.globals.{name}": value for name, value in variables.items()},
    }


class _Processes(BaseManager):
    """Starts a process that answers for the objects in it."""

    def Engine(self, *args: Any) -> Engine:  # noqa: N802 - replaced by `register`
        """Makes an engine in the process."""
        raise NotImplementedError


_Processes.register("Engine", Engine)


@contextmanager
def running(
    release: str,
    variables: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> Iterator[Engine]:
    """Runs an engine in a process of its own, which ends with the block.

    Args:
        release: one of `classpath.RELEASES`.
        variables: what flows see as `globals`.
        secrets: what flows see by `secret('NAME')`.

    Raises:
        SetupError: if the engine cannot be downloaded or compiled.
    """
    with _Processes(ctx=get_context("spawn")) as processes:
        engine = processes.Engine(release, variables, secrets)
        try:
            yield engine
        finally:
            engine.close()
