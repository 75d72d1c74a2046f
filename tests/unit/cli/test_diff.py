"""podium diff: what differs between files, state and server, and who changed it."""

from __future__ import annotations

import pytest

from cli.commands import diff
from tests.unit.cli.content_stack import DASHBOARD, ContentStack, flow


def show(stack: ContentStack) -> tuple[int | None, list[str]]:
    """Returns the exit code and what is printed."""
    ended = stack.command.run("diff")
    assert stack.kestra.writes == []
    return ended.code, ended.stdout.splitlines()


def test_nothing_differs_after_an_up(stack: ContentStack) -> None:
    assert show(stack) == (0, [])


def test_each_difference_says_who_changed_what(stack: ContentStack) -> None:
    (stack.flows / "edited.yaml").write_text(flow("edited", "bye"))
    stack.kestra.store("demo/moved", flow("moved", "bye"))
    stack.kestra.store("demo/both", flow("both", "theirs"))
    (stack.flows / "both.yaml").write_text(flow("both", "ours"))
    (stack.flows / "gone.yaml").unlink()
    (stack.flows / "new.yaml").write_text(flow("new"))
    (stack.flows / "files/x.sql").write_text("SELECT 2\n")
    del stack.kestra.files["demo/x.sql"]
    (stack.command.folder / "dashboards/loads.yaml").write_text(DASHBOARD + "# More.\n")
    code, lines = show(stack)
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
        "-  - {id: say, type: x, message: hello}",
        "+  - {id: say, type: x, message: bye}",
    ]


def test_what_is_new_may_be_on_the_server_already(stack: ContentStack) -> None:
    for name in ("new", "other"):
        (stack.flows / f"{name}.yaml").write_text(flow(name))
    stack.kestra.store("demo/new", flow("new"))
    stack.kestra.store("demo/other", flow("other", "theirs"))
    code, lines = show(stack)
    assert code == 1
    assert lines[:2] == [
        "flow demo/new: not recorded in the state yet",
        "flow demo/other: new, and on the server with another text",
    ]


def test_flows_are_compared_in_the_text_for_the_server_with_disabled_triggers(
    stack: ContentStack,
) -> None:
    trigger = "triggers:\n  - {id: daily, type: x}\n"
    stack.command.write_settings("dev", schedulesEnabled="false")
    older = stack.flows / "kept.kestra-1.yaml"
    older.write_text(flow("kept", "older") + trigger)
    disabled = flow("kept", "older") + "triggers:\n  - {disabled: true, id: daily, type: x}\n"
    stack.kestra.store("demo/kept", disabled)
    stack.save()
    assert show(stack) == (0, [])
    stack.kestra.version = "2.0.0"
    assert show(stack)[0] == 1


def test_server_that_does_not_answer_is_neither_same_nor_different(
    stack: ContentStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diff, "_WAIT_SECONDS", 0.0)
    stack.kestra.is_lost = True
    assert stack.command.run("diff").code == 2
    stack.command.set_state([])
    assert stack.command.run("diff").code == 2
