"""podium watch and podium run --watch: what a save registers, and what it must not."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import click
import httpx
import pytest

from cli import services
from cli.commands import run as run_command
from cli.flows import registering
from cli.update import Outcome
from infra.kestra.client import KestraClient
from tests.unit.cli.command_line import Ended
from tests.unit.cli.content_stack import DASHBOARD, ContentStack, flow

Steps = list[Callable[[], object] | None]
UP = ("up", "--skip-preview", "--target", "**kestra:Namespace::*", "--target")


class Watch:
    """Runs a command that watches while a test edits, one step a second, and ends it by Ctrl-C."""

    def __init__(self, stack: ContentStack, monkeypatch: pytest.MonkeyPatch) -> None:
        self._stack = stack
        self._steps: Steps = []
        self._now = 0.0
        self.code = 0
        # The updates of the state, each with the second of it.
        self.updates: list[tuple[float, tuple[str, ...]]] = []
        clock = SimpleNamespace(sleep=self._sleep, monotonic=lambda: self._now)
        monkeypatch.setattr(registering, "time", clock)
        monkeypatch.setattr(registering, "run_update", self._note)

    def run(self, steps: Steps, *arguments: str) -> Ended:
        self._steps = steps
        ended = self._stack.command.run(*(arguments or ("watch",)))
        assert ended.code == 130
        return ended

    def _sleep(self, _seconds: float) -> None:
        self._now += 1
        if not self._steps:
            raise KeyboardInterrupt
        if step := self._steps.pop(0):
            step()

    def _note(self, _stack: object, _parts: object, *words: str) -> Outcome:
        self.updates.append((self._now, words))
        return Outcome(self.code)


@pytest.fixture
def watch(stack: ContentStack, monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(stack, monkeypatch)


def save(stack: ContentStack, name: str, text: str) -> Callable[[], object]:
    return lambda: (stack.flows / name).write_text(text)


def test_saved_flow_is_registered_at_once_and_recorded_later(
    stack: ContentStack, watch: Watch
) -> None:
    steps: Steps = [save(stack, "kept.yaml", flow("kept", "bye")), *[None] * 5]
    ended = watch.run(steps)
    assert stack.kestra.flows["demo/kept"]["source"] == flow("kept", "bye")
    assert len(stack.kestra.writes) == 1
    assert ended.stdout.splitlines() == [
        "Waiting for files to be saved; Ctrl-C ends.",
        "flow demo/kept: registered (0.0 s)",
    ]
    ((second, words),) = watch.updates
    assert second == 4
    assert words[:5] == UP


def test_what_was_saved_is_recorded_before_the_end(stack: ContentStack, watch: Watch) -> None:
    watch.run([save(stack, "new.yaml", flow("new")), None])
    assert stack.kestra.flows["demo/new"]["source"] == flow("new")
    assert len(watch.updates) == 1


def test_update_of_the_state_that_fails_names_the_command_that_repairs_it(
    stack: ContentStack, watch: Watch
) -> None:
    watch.code = 255
    ended = watch.run([save(stack, "new.yaml", flow("new"))])
    assert ended.stderr == "The state was not updated: ./podium up\n"


def test_nothing_is_written_where_nothing_differs(stack: ContentStack, watch: Watch) -> None:
    watch.run([save(stack, "kept.yaml", flow("kept")), *[None] * 5])
    assert stack.kestra.writes == []
    assert watch.updates == []


def test_files_and_dashboards_are_registered_files_first(stack: ContentStack, watch: Watch) -> None:
    (stack.flows / "files/x.sql").write_text("SELECT 2\n")
    (stack.flows / "kept.yaml").write_text(flow("kept", "bye"))
    dashboard = stack.command.folder / "dashboards/loads.yaml"
    dashboard.write_text(DASHBOARD + "# More.\n")
    shown = watch.run([]).stdout.splitlines()[1:]
    assert [line.split(":")[0] for line in shown] == [
        "dashboard loads",
        "file demo/x.sql",
        "flow demo/kept",
    ]
    assert stack.kestra.files["demo/x.sql"] == b"SELECT 2\n"
    assert stack.kestra.dashboards == {"loads": DASHBOARD + "# More.\n"}


def test_another_namespace_is_left_alone(stack: ContentStack, watch: Watch) -> None:
    (stack.flows / "kept.yaml").write_text(flow("kept", "bye"))
    watch.run([], "watch", "other")
    assert stack.kestra.writes == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id: kept\nnamespace: demo\ntasks: [",
            "flows/demo/kept.yaml:4:1: error: is not valid YAML: ",
        ),
        (
            flow("kept", "'{{ inputs.no }}'"),
            "flows/demo/kept.yaml:4:37: error: uses the input no, which it does not have",
        ),
        (
            flow("kept") + "  - {id: more, type: io.kestra.plugin.core.flow.ForEach}\n",
            "flows/demo/kept.yaml:5:16: error: has the type io.kestra.plugin.core.flow.ForEach, ",
        ),
    ],
)
def test_an_invalid_file_changes_nothing_until_it_is_right(
    stack: ContentStack, watch: Watch, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(stack.command.folder)
    ended = watch.run([save(stack, "kept.yaml", text), None])
    assert message in ended.stderr
    assert stack.kestra.writes == []
    assert watch.updates == []
    watch.run([save(stack, "kept.yaml", flow("kept", "right")), None])
    assert stack.kestra.flows["demo/kept"]["source"] == flow("kept", "right")


def test_a_flow_that_the_server_refuses_is_an_error(stack: ContentStack, watch: Watch) -> None:
    stack.kestra.refused["bye"] = "no such task"
    ended = watch.run([save(stack, "kept.yaml", flow("kept", "bye"))])
    assert ended.stderr == "flow demo/kept: is refused: no such task\n"
    assert watch.updates == []


def test_an_edit_of_somebody_else_is_not_overwritten(stack: ContentStack, watch: Watch) -> None:
    stack.kestra.store("demo/kept", flow("kept", "theirs"))
    ended = watch.run([save(stack, "kept.yaml", flow("kept", "ours")), None])
    assert "flow demo/kept: was changed on the server by somebody else: see" in ended.stderr
    assert stack.kestra.flows["demo/kept"]["source"] == flow("kept", "theirs")
    assert watch.updates == []


@pytest.mark.parametrize("agrees", [True, False])
def test_deletions_are_asked_for(
    stack: ContentStack, watch: Watch, monkeypatch: pytest.MonkeyPatch, agrees: bool
) -> None:
    asked: list[str] = []

    def confirm(text: str) -> bool:
        asked.append(text)
        return agrees

    monkeypatch.setattr(click, "confirm", confirm)
    steps: Steps = [(stack.flows / "gone.yaml").unlink, save(stack, "new.yaml", flow("new")), None]
    ended = watch.run(steps)
    assert asked == ["flow demo/gone has no file any more. Delete it on the server?"]
    # The update would delete it.
    assert len(watch.updates) == agrees
    assert ("is updated by ./podium up, which deletes" in ended.stdout) is not agrees


def test_a_watched_run_runs_again_after_each_save_that_is_registered(
    stack: ContentStack, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def run_flow(_client: Any, name: tuple[str, str], _inputs: Any) -> int:
        ran.append(str(stack.kestra.flows["/".join(name)]["source"]))
        return 1

    def client(*login: str, wait: float) -> KestraClient:
        return KestraClient(*login, wait=wait, transport=httpx.MockTransport(stack.kestra))

    monkeypatch.setattr(services, "KestraClient", client)
    monkeypatch.setattr(run_command, "_run_flow", run_flow)
    steps: Steps = [
        save(stack, "kept.yaml", "{"),
        save(stack, "kept.yaml", flow("kept", "bye")),
        None,
    ]
    watch.run(steps, "run", "--watch", "demo/kept")
    assert ran == [flow("kept"), flow("kept", "bye")]
