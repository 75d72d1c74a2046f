"""Whether the services of a stack get healthy during an update, and stay so."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

import click
from docker.errors import DockerException
from docker.models.containers import Container

from cli.output import console
from cli.services import connect, health_of, list_containers
from cli.stack import Stack

# Kestra answers before it finds out that it cannot go on, and Docker starts it again.
_STEADY_SECONDS = 10
# One restart may be the database's, which came back meanwhile.
_RESTARTING_SECONDS = 55
_LOOK_SECONDS = 1
_LINES_OF_LOG = 20
_MASK = "******"


class HealthWatch:
    """Looks at the containers of a stack while an update runs.

    A new container that restarts again and again is removed, so that the update fails at once
    instead of waiting the minutes that a slow start may take; the next one creates it again.
    """

    def __init__(self, stack: Stack) -> None:
        """Remembers what runs already.

        Args:
            stack: the stack.

        Raises:
            docker.errors.DockerException: the Docker Engine does not answer.
        """
        self._stack, self._client = stack, connect()
        self._before = {_start_of(each) for each in self._containers().values()}
        self._known = {container for container, _ in self._before}
        self._healthy_since: dict[tuple[str, str], float] = {}
        self._restarting_since: dict[str, float] = {}
        self._logs: dict[str, str] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Begins to look."""
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Stops looking."""
        self._ended.set()
        self._thread.join()

    def wait_until_steady(self) -> None:
        """Waits until each service that started during the update is healthy for 10 seconds.

        Raises:
            click.ClickException: a service does not stay healthy.
        """
        deadline = time.monotonic() + _RESTARTING_SECONDS
        with console.status("Waiting until the services stay healthy"):
            while unsteady := list(self._unsteady()):
                if time.monotonic() > deadline:
                    self.print_logs()
                    raise click.ClickException(f"{', '.join(unsteady)} does not stay healthy")
                time.sleep(_LOOK_SECONDS)

    def print_logs(self) -> None:
        """Prints the end of the log of each service that is unhealthy or restarts."""
        for service, container in self._containers().items():
            health = health_of(container)
            if health == "unhealthy" or (health == "starting" and container.attrs["RestartCount"]):
                self._logs[service] = _last_lines(container)
        secrets = sorted(self._stack.secrets, key=len, reverse=True) if self._logs else ()
        for service, log in self._logs.items():
            for secret in secrets:
                log = log.replace(secret, _MASK)
            click.echo(
                f"The end of the log of {service}, which is not healthy:\n{log.rstrip()}", err=True
            )

    def _containers(self) -> dict[str, Container]:
        return list_containers(self._stack, self._client)

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            # A container may go while it is looked at; the update itself says more.
            with suppress(DockerException):
                self._look()

    def _look(self) -> None:
        now = time.monotonic()
        for service, container in self._containers().items():
            id_ = str(container.id)
            if health_of(container) == "healthy":
                self._healthy_since.setdefault(_start_of(container), now)
                self._restarting_since.pop(id_, None)
            elif (
                id_ not in self._known
                and container.attrs["RestartCount"]
                and now - self._restarting_since.setdefault(id_, now) > _RESTARTING_SECONDS
            ):
                self._logs[service] = _last_lines(container)
                container.remove(force=True, v=True)

    def _unsteady(self) -> Iterator[str]:
        now = time.monotonic()
        for service, container in self._containers().items():
            start = _start_of(container)
            since = 0.0 if start in self._before else self._healthy_since.get(start, now)
            if health_of(container) not in ("healthy", "") or now - since < _STEADY_SECONDS:
                yield service


def _start_of(container: Container) -> tuple[str, str]:
    """Returns what differs after each start of a container."""
    return str(container.id), str(container.attrs["State"]["StartedAt"])


def _last_lines(container: Container) -> str:
    return str(container.logs(tail=_LINES_OF_LOG).decode(errors="replace"))
