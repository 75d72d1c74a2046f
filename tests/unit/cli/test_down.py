"""podium down: with which parts a stack is deleted, what is printed."""

from __future__ import annotations

import pytest

from tests.unit.cli.command_line import OFFLINE_STACK, CommandLine

DESTROY = "pulumi destroy --stack dev --yes --json"
ACTING = ("pulumi up", "pulumi destroy", "setup images")


@pytest.mark.parametrize(
    ("tag", "offline"), [("official", False), ("older", False), (None, False), ("offline", True)]
)
def test_down_uses_the_parts_of_the_stack(
    command: CommandLine, tag: str | None, offline: bool
) -> None:
    command.add_stack(tag=tag, resources=3)
    assert command.run("down").code == 0
    assert [call for call in command.calls if call.startswith(ACTING)] == [DESTROY]
    assert ("offline/bin" in command.path_of("pulumi destroy")) is offline
    assert command.stack["resources"] == []


def test_stack_comes_up_again_with_its_parts(command: CommandLine) -> None:
    image = OFFLINE_STACK["config"]["kestraImage"]
    command.add_stack(tag="offline", resources=3, kestraImage=image)
    assert command.run("down").code == 0
    assert command.run("up").code == 0
    assert [call for call in command.calls if call.startswith(ACTING)] == [
        DESTROY,
        "setup images kestra:1",
        "pulumi up --stack dev --yes --skip-preview --json",
    ]


def test_down_without_a_stack_says_so(command: CommandLine) -> None:
    result = command.run("down")
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout == "There is no stack dev: nothing to delete.\n"


def test_failed_down_ends_with_its_error_and_exit_code(command: CommandLine) -> None:
    command.add_stack(tag="official", resources=3)
    command.set(failing={"pulumi destroy": "error: update failed"})
    result = command.run("down")
    assert (result.code, result.stderr) == (1, "error: update failed\n")
