"""The environment of all that the command line runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.unit.cli.machine import ROOT, Machine

PREPARE = """
import json, os
from cli.environment import prepare
prepare()
print(json.dumps(dict(os.environ)))
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with Pulumi on PATH that notes what it is asked for."""
    machine = Machine(tmp_path)
    machine.command(
        "pulumi", '[ "$1" = version ] && echo v3.259.0 || echo "$@" >>"$HOME/pulumi-calls"'
    )
    machine.command("pulumi-language-python", "")
    return machine


def prepared(machine: Machine, **variables: str) -> dict[str, str]:
    result = machine.run(sys.executable, "-c", PREPARE, **variables)
    assert result.returncode == 0, result.stderr
    environment: dict[str, str] = json.loads(result.stdout)
    return environment


def test_python_of_the_project_comes_first_and_pulumi_after_it(machine: Machine) -> None:
    environment = prepared(machine)
    assert environment["PATH"].split(":")[:2] == [f"{ROOT}/.venv/bin", str(machine.bin)]
    assert environment["PODIUM_PYTHON"] == f"{ROOT}/.venv/bin/python"
    assert environment["PULUMI_SKIP_UPDATE_CHECK"] == "true"


def test_cli_of_the_installer_is_used_where_none_is_on_path(machine: Machine) -> None:
    installed = machine.home / ".pulumi/bin"
    installed.parent.mkdir()
    machine.bin.rename(installed)
    assert prepared(machine)["PATH"].split(":")[1] == str(installed)


def test_cli_without_its_language_host_is_not_used(machine: Machine) -> None:
    installed = machine.home / ".pulumi/bin"
    installed.mkdir(parents=True)
    for name in ("pulumi", "pulumi-language-python"):
        (installed / name).symlink_to(machine.bin / name)
    other = machine.home / "other"
    other.mkdir()
    (other / "pulumi").symlink_to(machine.bin / "pulumi")
    environment = prepared(machine, PATH=f"{other}:/usr/bin:/bin")
    assert environment["PATH"].split(":")[1] == str(installed)


def test_passphrase_is_generated_once_and_only_the_user_may_read_it(machine: Machine) -> None:
    first, second = (prepared(machine)["PULUMI_CONFIG_PASSPHRASE_FILE"] for _ in range(2))
    path = machine.home / ".config/podium/passphrase"
    assert first == second == str(path)
    passphrase = path.read_text()
    prepared(machine)
    assert path.read_text() == passphrase
    assert len(passphrase.strip()) == 32
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "variables",
    [
        {"PULUMI_CONFIG_PASSPHRASE": "mine"},
        {"PULUMI_CONFIG_PASSPHRASE": ""},
        {"PULUMI_CONFIG_PASSPHRASE_FILE": "/mine"},
    ],
)
def test_passphrase_of_the_user_is_kept(machine: Machine, variables: dict[str, str]) -> None:
    environment = prepared(machine, **variables)
    found = {key: environment[key] for key in environment if "PASSPHRASE" in key}
    assert found == variables
    assert not (machine.home / ".config").exists()


def test_user_without_a_login_gets_a_local_backend(machine: Machine) -> None:
    prepared(machine)
    assert (machine.home / "pulumi-calls").read_text() == "login --local\n"


@pytest.mark.parametrize(
    "variables", [{"PULUMI_BACKEND_URL": "file:///x"}, {"PULUMI_ACCESS_TOKEN": "x"}, {}]
)
def test_login_of_the_user_is_kept(machine: Machine, variables: dict[str, str]) -> None:
    if not variables:
        (machine.home / ".pulumi").mkdir()
        credentials = '{\n    "current": "s3://states"\n}'
        (machine.home / ".pulumi/credentials.json").write_text(credentials)
    prepared(machine, **variables)
    assert not (machine.home / "pulumi-calls").exists()
