"""What the commands of the Makefile say where Pulumi's CLI cannot do what it is asked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.command_line import CommandLine

every_command = pytest.mark.parametrize(
    "words",
    [("scripts.stack", "up"), ("scripts.stack", "down"), ("scripts.run_flow", "a/b")],
    ids=["up", "down", "run-flow"],
)


@pytest.fixture
def command(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def told(result: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    return result.returncode, result.stderr


@every_command
def test_missing_cli_is_named(command: CommandLine, words: tuple[str, ...]) -> None:
    command.remove_tool("pulumi")
    message = "There is no pulumi on PATH; make sets it up: make help\n"
    assert told(command.run(*words)) == (1, message)


@every_command
def test_cli_says_itself_what_failed(command: CommandLine, words: tuple[str, ...]) -> None:
    message = "error: getting secrets manager: passphrase must be set\n  see the docs\n"
    command.set(failing={"pulumi stack": message.rstrip()})
    assert told(command.run(*words)) == (1, message)


def test_cli_older_than_the_sdk_is_named(command: CommandLine) -> None:
    command.replace_tool("pulumi", "print('v3.0.0')")
    code, message = told(command.run("scripts.stack", "up"))
    assert code == 1
    assert "your current CLI version is 3.0.0" in message


def test_interrupted_command_says_nothing_more(command: CommandLine) -> None:
    command.add_stack()
    command.set(seconds=20)
    assert command.interrupt("pulumi stack tag ls", "scripts.stack", "up") == 130
