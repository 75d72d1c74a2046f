"""podium demo: which stack it works on, what it loads, where it stops."""

from __future__ import annotations

from typing import Any

import pytest

from cli.commands import demo
from cli.commands import up as up_command
from tests.unit.cli.command_line import CommandLine

LOADS = [
    ("run", "zoomcamp/zones_load", {}),
    ("run", "zoomcamp/taxi_backfill", {"from": "2019-01", "to": "2019-03"}),
]


@pytest.fixture
def steps(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What follows on `up`, noted instead of done."""
    noted: list[tuple[Any, ...]] = []

    def run(flow: tuple[str, str], inputs: Any, watch: bool, show_help: bool) -> int:
        assert not (watch or show_help)
        noted.append(("run", "/".join(flow), dict(inputs)))
        return 3 if command.outputs.get("fails") == flow[1] else 0

    monkeypatch.setattr(demo, "run", run)
    monkeypatch.setattr(demo, "report", lambda: noted.append(("report",)))
    monkeypatch.setattr(demo, "open_page", lambda page: noted.append(("open", page)))
    monkeypatch.setattr(up_command, "_choose_ports", lambda *_: None)
    return noted


def test_demo_has_a_stack_of_its_own_with_the_sample(
    command: CommandLine, steps: list[tuple[Any, ...]]
) -> None:
    result = command.run("demo")
    assert result.code == 0, result.stderr
    assert command.stacks["demo"]["config"] == {"taxiSource": "sample"}
    assert any(call.startswith("pulumi up --stack demo") for call in command.calls)
    assert steps == [*LOADS, ("report",), ("open", "report")]
    assert result.stdout.splitlines()[-1] == "Delete all of it: ./podium --stack demo down"


def test_second_demo_and_one_of_a_named_stack_keep_the_stack(
    command: CommandLine, steps: list[tuple[Any, ...]]
) -> None:
    for _ in range(2):
        assert command.run("--stack", "dev", "demo").code == 0
    assert sorted(command.stacks) == ["dev"]
    assert steps == [*LOADS, ("report",), ("open", "report")] * 2


def test_stack_with_files_of_its_own_is_left_alone(
    command: CommandLine, steps: list[tuple[Any, ...]]
) -> None:
    command.add_stack(tag="official", resources=3, taxiSource="/data/taxi")
    result = command.run("--stack", "dev", "demo")
    assert result.code == 1
    assert result.stderr == (
        "Error: taxiSource of stack dev is /data/taxi, and not sample; nothing was changed. "
        "Name a new stack: ./podium --stack <name> demo\n"
    )
    assert steps == []
    assert not any(call.startswith("pulumi up") for call in command.calls)


def test_demo_ends_with_the_first_flow_that_fails(
    command: CommandLine, steps: list[tuple[Any, ...]]
) -> None:
    command.set(outputs=command.outputs | {"fails": "zones_load"})
    assert command.run("demo").code == 3
    assert steps == LOADS[:1]


def test_demo_ends_with_an_up_that_fails(
    command: CommandLine, steps: list[tuple[Any, ...]]
) -> None:
    command.set(succeeds=False)
    assert command.run("demo").code == 255
    assert steps == []
