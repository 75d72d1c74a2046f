"""What the commands print if something that they need fails."""

from __future__ import annotations

import docker
import pytest

from tests.unit.cli.command_line import CommandLine, Ended

every_command = pytest.mark.parametrize(
    "words",
    [["up"], ["down"], ["run", "a/b"], ["report"], ["status"], ["urls"], ["psql"], ["open"]],
    ids=" ".join,
)


@every_command
def test_error_of_pulumi_is_printed_once_in_its_words(
    command: CommandLine, words: list[str]
) -> None:
    message = "error: getting secrets manager: passphrase must be set\n  see the docs"
    command.set(failing={"pulumi stack": message})
    assert command.run(*words) == Ended(1, "", f"Error: {message.removeprefix('error: ')}\n")


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    "words", [["report"], ["urls"], ["psql"], ["open"], ["run", "a/b"]], ids=" ".join
)
def test_stack_that_is_not_up_is_named_with_the_fix(
    command: CommandLine, words: list[str], exists: bool
) -> None:
    if exists:
        command.add_stack(tag="official")
    message = "Error: Stack dev is not up: ./podium up\n"
    assert command.run(*words) == Ended(1, "", message)


def test_stack_that_does_not_exist_is_named_with_the_fix(command: CommandLine) -> None:
    message = "Error: There is no stack alice: ./podium --stack alice up\n"
    assert command.run("--stack", "alice", "status") == Ended(1, "", message)


def test_environment_chooses_the_stack(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_STACK", "alice")
    assert "There is no stack alice" in command.run("status").stderr


def test_cli_older_than_the_sdk_is_named(command: CommandLine) -> None:
    command.replace_tool("pulumi", "print('v3.0.0')")
    result = command.run("up")
    assert result.code == 1
    assert "your current CLI version is 3.0.0" in result.stderr


def test_docker_that_does_not_answer_is_named(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.add_stack(tag="official", resources=3)
    monkeypatch.setattr(docker, "from_env", docker.DockerClient.from_env)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    for words in (["status"], ["logs", "postgres"]):
        result = command.run(*words)
        assert result.code == 1
        assert result.stderr.startswith("Error: The Docker Engine does not answer: ")


@pytest.mark.parametrize("name", ["", "../evil", "a b", "-x", "ünï", "x" * 101, "a/b/c/d"])
def test_name_that_no_stack_can_have_is_refused_before_anything_is_run(
    command: CommandLine, name: str
) -> None:
    result = command.run("--stack", name, "down")
    assert result.code == 2
    assert f'"{name}" must be letters' in result.stderr
    assert command.calls == []


def test_role_that_does_not_exist_is_named(command: CommandLine) -> None:
    result = command.run("psql", "")
    assert (result.code, 'there is no role ""' in result.stderr) == (2, True)
