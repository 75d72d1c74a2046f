"""The set-up scripts: the environment they give, and what they say when they cannot go on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Machine:
    """A home folder and a PATH with a few commands of the test's own before the system's."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.bin = folder / "bin"
        self.home.mkdir()
        self.bin.mkdir()
        self.environment = {"HOME": str(self.home), "PATH": f"{self.bin}:/usr/bin:/bin"}

    def command(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(self, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=30,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def pulumi(machine: Machine) -> Machine:
    """A machine with Pulumi on PATH that notes what it is asked for."""
    machine.command(
        "pulumi", '[ "$1" = version ] && echo v3.259.0 || echo "$@" >>"$HOME/pulumi-calls"'
    )
    machine.command("pulumi-language-python", "")
    return machine


def path_of(machine: Machine, words: str) -> list[str]:
    return machine.run(f'{words} && echo "$PATH"').stdout.strip().split(":")


def test_offline_puts_the_drivers_before_the_cli_and_the_venv_before_both(pulumi: Machine) -> None:
    path = path_of(pulumi, ". scripts/env.sh offline")
    assert path[:3] == [
        f"{ROOT}/.venv/bin",
        f"{ROOT}/offline/bin",
        str(pulumi.bin),
    ]


def test_genuine_takes_the_drivers_off_again(pulumi: Machine) -> None:
    path = path_of(pulumi, ". scripts/env.sh offline && . scripts/env.sh genuine")
    assert f"{ROOT}/offline/bin" not in path


def test_passphrase_is_generated_once_and_only_the_user_may_read_it(pulumi: Machine) -> None:
    read = '. scripts/env.sh genuine && cat "$PULUMI_CONFIG_PASSPHRASE_FILE"'
    first, second = pulumi.run(read).stdout, pulumi.run(read).stdout
    assert first == second
    assert len(first.strip()) == 32
    folder = pulumi.home / ".config/podium"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "passphrase").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "variables",
    [
        {"PULUMI_CONFIG_PASSPHRASE": "mine"},
        {"PULUMI_CONFIG_PASSPHRASE": ""},
        {"PULUMI_CONFIG_PASSPHRASE_FILE": "/mine"},
    ],
)
def test_passphrase_of_the_user_is_kept(pulumi: Machine, variables: dict[str, str]) -> None:
    shown = pulumi.run(". scripts/env.sh genuine && env", **variables).stdout.splitlines()
    passphrases = [line for line in shown if line.startswith("PULUMI_CONFIG_PASSPHRASE")]
    assert passphrases == [f"{name}={value}" for name, value in variables.items()]
    assert not (pulumi.home / ".config").exists()


def test_whoever_is_not_logged_in_gets_a_local_backend(pulumi: Machine) -> None:
    pulumi.run(". scripts/env.sh genuine")
    assert (pulumi.home / "pulumi-calls").read_text() == "login --local\n"


@pytest.mark.parametrize(
    "variables", [{"PULUMI_BACKEND_URL": "file:///x"}, {"PULUMI_ACCESS_TOKEN": "x"}, {}]
)
def test_a_login_is_kept(pulumi: Machine, variables: dict[str, str]) -> None:
    if not variables:
        (pulumi.home / ".pulumi").mkdir()
        credentials = '{\n    "current": "s3://states"\n}'
        (pulumi.home / ".pulumi/credentials.json").write_text(credentials)
    pulumi.run(". scripts/env.sh genuine", **variables)
    assert not (pulumi.home / "pulumi-calls").exists()


def test_environment_needs_one_of_its_two_words(pulumi: Machine) -> None:
    result = pulumi.run(". scripts/env.sh ofline")
    assert (result.returncode, result.stderr) == (2, "usage: . scripts/env.sh genuine|offline\n")


def test_old_python_is_named(machine: Machine) -> None:
    machine.command("python3", '[ "$1" = --version ] && echo Python 3.9.2')
    result = machine.run("scripts/venv.sh")
    assert result.returncode == 1
    message = "Podium needs Python 3.11 or newer as python3; found: Python 3.9.2.\n"
    assert result.stderr == message


def test_old_go_is_named(machine: Machine) -> None:
    machine.command("go", "echo go1.19.8")
    result = machine.run("offline/engine/build.sh")
    assert result.returncode == 1
    assert "newer on PATH, not go1.19.8: install it." in result.stderr


def test_docker_that_the_user_may_not_use_is_named(machine: Machine) -> None:
    machine.command("docker", "echo 'permission denied while trying to connect'; exit 1")
    result = machine.run("scripts/docker.sh")
    assert result.returncode == 1
    assert 'add yourself to the group "docker"' in result.stderr


def test_remote_docker_that_does_not_answer_is_named(machine: Machine) -> None:
    machine.command("docker", "exit 1")
    result = machine.run("scripts/docker.sh", DOCKER_HOST="tcp://far:2376")
    assert result.returncode == 1
    assert result.stderr == "The Docker Engine at DOCKER_HOST=tcp://far:2376 does not answer.\n"


def test_unknown_image_is_named(machine: Machine) -> None:
    result = machine.run("offline/images/build.sh mysql")
    assert result.returncode == 2
    assert result.stderr.startswith('There is no image "mysql"; there are: ')
