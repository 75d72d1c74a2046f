"""What `up` says of services that do not stay healthy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cli import health
from cli.commands import up as up_command
from cli.update import Outcome
from tests.unit.cli.command_line import CommandLine
from tests.unit.cli.fake_docker import Thing


class Clock:
    """Time that passes only where something sleeps, with what happens meanwhile."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.at: dict[float, Callable[[], Any]] = {}

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for moment in [each for each in self.at if each <= self.now]:
            self.at.pop(moment)()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(health, "time", clock)
    return clock


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Callable[[int], None]:
    """Lets an update take so many seconds, and looks once in each."""
    watches = []

    class Watch(health.HealthWatch):
        def _watch(self) -> None:
            watches.append(self)

    def update(seconds: int) -> None:
        for _ in range(seconds):
            clock.sleep(1)
            watches[0]._look()

    monkeypatch.setattr(up_command, "HealthWatch", Watch)
    return update


def starts(command: CommandLine, health: str = "healthy", restarts: int = 0) -> Thing:
    """Starts Kestra's container."""
    thing = command.docker.containers.add(Thing("k1", "podium-dev-kestra", health=health))
    thing.attrs["RestartCount"] = restarts
    thing.log = "ERROR cannot log in with Secret-2\n"
    return thing


def test_up_ends_when_what_started_was_healthy_for_ten_seconds(
    command: CommandLine,
    clock: Clock,
    looking: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command.add_stack(tag="official", resources=3)

    def update(*_: object) -> Outcome:
        starts(command)
        looking(4)
        return Outcome(0)

    monkeypatch.setattr(up_command, "run_update", update)
    assert command.run("up").code == 0
    # Seen healthy after a second of the update.
    assert clock.now == 1_000 + 1 + 10


def test_up_that_starts_nothing_does_not_wait(
    command: CommandLine, clock: Clock, looking: Callable[[int], None]
) -> None:
    command.add_stack(tag="official", resources=3)
    starts(command)
    assert command.run("up").code == 0
    assert clock.now == 1_000


def test_up_fails_where_a_service_restarts_after_it_was_healthy(
    command: CommandLine,
    clock: Clock,
    looking: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command.add_stack(tag="official", resources=3)

    def restart(thing: Thing) -> None:
        thing.attrs["State"] = {"Health": {"Status": "starting"}, "StartedAt": "later"}
        thing.attrs["RestartCount"] += 1

    def update(*_: object) -> Outcome:
        thing = starts(command)
        looking(4)
        clock.at[1_008] = lambda: restart(thing)
        return Outcome(0)

    monkeypatch.setattr(up_command, "run_update", update)
    result = command.run("up")
    assert result.code == 1
    assert "The end of the log of kestra" in result.stderr
    assert "ERROR cannot log in with ******" in result.stderr
    assert "Error: kestra does not stay healthy" in result.stderr


def test_new_container_that_restarts_for_a_minute_is_removed(
    command: CommandLine, looking: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    command.add_stack(tag="official", resources=3)
    things = []

    def update(*_: object) -> Outcome:
        things.append(starts(command, "starting", restarts=1))
        looking(50)
        assert things[0].done == []
        looking(10)
        return Outcome(255)

    monkeypatch.setattr(up_command, "run_update", update)
    result = command.run("up")
    assert result.code == 255
    assert things[0].done == ["remove"]
    assert len(result.stderr.splitlines()) == 1 + 20
    assert "Secret-2" not in result.stderr


def test_container_that_was_there_before_is_not_removed(
    command: CommandLine, looking: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    command.add_stack(tag="official", resources=3)
    thing = starts(command, "starting", restarts=1)

    def update(*_: object) -> Outcome:
        looking(120)
        return Outcome(255)

    monkeypatch.setattr(up_command, "run_update", update)
    assert "The end of the log of kestra" in command.run("up").stderr
    assert thing.done == []
