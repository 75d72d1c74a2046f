"""The set-up scripts: what they print when they cannot go on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.cli.machine import ROOT, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_old_python_is_named(machine: Machine) -> None:
    machine.command("python3", '[ "$1" = --version ] && echo Python 3.9.2')
    result = machine.run("cli/setup/venv.sh")
    assert result.returncode == 1
    message = "Podium needs Python 3.11 or newer as python3; found: Python 3.9.2.\n"
    assert result.stderr == message


def test_docker_that_the_user_may_not_use_is_named(machine: Machine) -> None:
    machine.command("docker", "echo 'permission denied while trying to connect'; exit 1")
    result = machine.run("cli/setup/docker.sh")
    assert result.returncode == 1
    assert 'add yourself to the group "docker"' in result.stderr


def test_remote_docker_that_does_not_answer_is_named(machine: Machine) -> None:
    machine.command("docker", "exit 1")
    result = machine.run("cli/setup/docker.sh", DOCKER_HOST="tcp://far:2376")
    assert result.returncode == 1
    assert result.stderr == "The Docker Engine at DOCKER_HOST=tcp://far:2376 does not answer.\n"


def test_podium_runs_from_any_folder(tmp_path: Path) -> None:
    link = tmp_path / "podium"
    link.symlink_to(ROOT / "podium")
    (tmp_path / "cli.py").write_text("raise SystemExit('not the command line')")
    result = subprocess.run([link, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "Usage: podium" in result.stdout


def test_step_prints_one_line_and_names_the_log_of_a_failure(machine: Machine) -> None:
    step = '. cli/setup/step.sh; step "Doing it" it.log sh -c "$0"'
    result = machine.run("bash", "-c", step, "echo much")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "Doing it: 0 s\n")
    result = machine.run("bash", "-c", step, "echo why; exit 3")
    log = machine.home / ".cache/podium/it.log"
    assert result.returncode == 1
    assert result.stderr == f"why\nDoing it failed; the whole log is {log}.\n"
    assert log.read_text() == "why\n"


def test_workflows_are_not_checked_without_go_but_in_ci_that_fails(machine: Machine) -> None:
    message = "The workflows are not checked: actionlint needs Go on PATH.\n"
    for ci, code in (("", 0), ("true", 1)):
        result = machine.run("cli/setup/actionlint.sh", CI=ci)
        assert (result.returncode, result.stderr) == (code, message)
