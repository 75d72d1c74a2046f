"""podium diff: what differs between files, state and server, and who changed it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from cli.commands import diff
from cli.flows import contents
from infra.kestra.client import KestraClient
from infra.kestra.content import digest
from tests.kestra.unit.fake_kestra import FakeKestra
from tests.unit.cli.command_line import CommandLine

DASHBOARD = "id: loads\ntitle: Loads\ncharts:\n  - {id: one, type: x}\n"
NAMES = ("kept", "edited", "moved", "both", "gone")


def flow(name: str, text: str = "hello") -> str:
    return f"id: {name}\nnamespace: demo\ntasks:\n  - {{id: say, message: {text}}}\n"


class Stack:
    """A stack whose content is the same in files, state and on the server, until a test edits."""

    def __init__(self, command: CommandLine) -> None:
        self.command = command
        self.kestra = FakeKestra()
        self.flows = command.folder / "flows/demo"
        (self.flows / "files").mkdir(parents=True)
        (command.folder / "dashboards").mkdir()
        (command.folder / "dashboards/loads.yaml").write_text(DASHBOARD)
        self.kestra.dashboards = {"loads": DASHBOARD}
        (self.flows / "files/x.sql").write_bytes(b"SELECT 1\r\n")
        self.kestra.files["demo/x.sql"] = b"SELECT 1\r\n"
        for name in NAMES:
            (self.flows / f"{name}.yaml").write_text(flow(name))
            self.kestra.store(f"demo/{name}", flow(name))
        self.save()

    def save(self) -> None:
        """Makes the state that of an `up` with the flows that the server has now."""
        namespace = {
            "namespace": "demo",
            "written": {
                found["id"]: {"digest": digest(found["source"]), "revision": found["revision"]}
                for found in self.kestra.flows.values()
            },
            "writtenFiles": {"x.sql": digest("SELECT 1\r\n")},
        }
        resources: list[dict[str, Any]] = [
            {"type": "pulumi:pulumi:Stack", "urn": "urn"},
            {"type": "pulumi-python:dynamic/kestra:Namespace", "id": "demo", "outputs": namespace},
            {
                "type": "pulumi-python:dynamic/kestra:Dashboard",
                "id": "loads",
                "outputs": {"digest": digest(DASHBOARD)},
            },
        ]
        self.command.set_state(resources)

    def diff(self) -> tuple[int | None, list[str]]:
        """Returns the exit code and what is printed."""
        ended = self.command.run("diff")
        assert self.kestra.writes == []
        return ended.code, ended.stdout.splitlines()


@pytest.fixture
def stack(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Stack:
    stack = Stack(command)

    def connect(*login: str, wait: float) -> KestraClient:
        return KestraClient(*login, wait=wait, transport=httpx.MockTransport(stack.kestra))

    monkeypatch.setattr(contents, "KestraClient", connect)
    return stack


def test_nothing_differs_after_an_up(stack: Stack) -> None:
    assert stack.diff() == (0, [])


def test_each_difference_says_who_changed_what(stack: Stack) -> None:
    (stack.flows / "edited.yaml").write_text(flow("edited", "bye"))
    stack.kestra.store("demo/moved", flow("moved", "bye"))
    stack.kestra.store("demo/both", flow("both", "theirs"))
    (stack.flows / "both.yaml").write_text(flow("both", "ours"))
    (stack.flows / "gone.yaml").unlink()
    (stack.flows / "new.yaml").write_text(flow("new"))
    (stack.flows / "files/x.sql").write_text("SELECT 2\n")
    del stack.kestra.files["demo/x.sql"]
    (stack.command.folder / "dashboards/loads.yaml").write_text(DASHBOARD + "# More.\n")
    code, lines = stack.diff()
    assert code == 1
    heads = [line for line in lines if line.startswith(("flow ", "file ", "dashboard "))]
    assert heads == [
        "dashboard loads: changed in the files",
        "file demo/x.sql: changed in the files and deleted on the server",
        "flow demo/both: changed in the files and changed on the server",
        "flow demo/edited: changed in the files",
        "flow demo/gone: deleted in the files",
        "flow demo/moved: changed on the server",
        "flow demo/new: new",
    ]
    begin = lines.index(heads[3])
    assert lines[begin + 1 : begin + 9] == [
        "--- server/demo/edited",
        "+++ files/demo/edited",
        "@@ -1,4 +1,4 @@",
        " id: edited",
        " namespace: demo",
        " tasks:",
        "-  - {id: say, message: hello}",
        "+  - {id: say, message: bye}",
    ]


def test_what_is_new_may_be_on_the_server_already(stack: Stack) -> None:
    for name in ("new", "other"):
        (stack.flows / f"{name}.yaml").write_text(flow(name))
    stack.kestra.store("demo/new", flow("new"))
    stack.kestra.store("demo/other", flow("other", "theirs"))
    code, lines = stack.diff()
    assert code == 1
    assert lines[:2] == [
        "flow demo/new: new, and on the server already",
        "flow demo/other: new, and on the server already with another text",
    ]


def test_flows_are_compared_in_the_text_for_the_server_with_disabled_triggers(
    stack: Stack,
) -> None:
    trigger = "triggers:\n  - {id: daily, type: x}\n"
    stack.command.write_settings("dev", schedulesEnabled="false")
    older = stack.flows / "kept.kestra-1.yaml"
    older.write_text(flow("kept", "older") + trigger)
    disabled = flow("kept", "older") + "triggers:\n  - {disabled: true, id: daily, type: x}\n"
    stack.kestra.store("demo/kept", disabled)
    stack.save()
    assert stack.diff() == (0, [])
    stack.kestra.version = "2.0.0"
    assert stack.diff()[0] == 1


def test_server_that_does_not_answer_is_neither_same_nor_different(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diff, "_WAIT_SECONDS", 0.0)
    stack.kestra.is_lost = True
    assert stack.command.run("diff").code == 2
    stack.command.set_state([])
    assert stack.command.run("diff").code == 2
