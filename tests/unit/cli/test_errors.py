"""What the commands of the Makefile say where Pulumi's CLI cannot do what it is asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from report import __main__ as report
from scripts import run_flow, stack
from tests.unit.command_line import CommandLine

every_command = pytest.mark.parametrize(
    ("main", "word"),
    [(stack.main, "up"), (stack.main, "down"), (run_flow.main, "a/b"), (report.main, "--stack=x")],
    ids=["up", "down", "run-flow", "report"],
)


@every_command
def test_missing_cli_is_named(command: CommandLine, main: Callable[[], int], word: str) -> None:
    command.remove_tool("pulumi")
    message = "There is no pulumi on PATH; make sets it up: make help\n"
    result = command.run(main, word)
    assert (result.code, result.stderr) == (1, message)


@every_command
def test_cli_says_itself_what_failed(
    command: CommandLine, main: Callable[[], int], word: str
) -> None:
    message = "error: getting secrets manager: passphrase must be set\n  see the docs\n"
    command.set(failing={"pulumi stack": message.rstrip()})
    result = command.run(main, word)
    assert (result.code, result.stderr) == (1, message)


def test_cli_older_than_the_sdk_is_named(command: CommandLine) -> None:
    command.replace_tool("pulumi", "print('v3.0.0')")
    result = command.run(stack.main, "up")
    assert result.code == 1
    assert "your current CLI version is 3.0.0" in result.stderr
