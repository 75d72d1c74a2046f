"""The door, offline/setup: what it prints, and what it says when it cannot go on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from offline.kestra.engine import RELEASES

FOLDER = Path(__file__).parents[2]
CONFIG = yaml.safe_load((FOLDER / "stack.yaml").read_text())["config"]
# A Go that downloads a lot, and builds nothing but empty files.
GO = """\
echo "$@" >>"$HOME/calls"
case "$*" in
    "env GOVERSION") echo go1.99.0 ;;
    list*)
        mkdir -p "$HOME/sdk/python/cmd" "$HOME/sdk/python/dist"
        touch "$HOME/sdk/python/cmd/pulumi-language-python-exec"
        touch "$HOME/sdk/python/dist/pulumi-resource-pulumi-python"
        echo "$HOME/sdk"
        ;;
    *) echo "go: downloading everything" >&2 ;;
esac
"""


class Machine:
    """A home folder, and a PATH with commands of the test's own before the system's."""

    def __init__(self, folder: Path) -> None:
        self.home = folder

    def command(self, name: str, script: str) -> None:
        path = self.home / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def setup(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [FOLDER / "setup", *arguments],
            env={"HOME": str(self.home), "PATH": f"{self.home}/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=30,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_path_is_the_folder_of_providers_and_kestra(machine: Machine) -> None:
    result = machine.setup("path")
    assert (result.stdout, result.stderr) == (f"{FOLDER}/bin\n", "")
    names = {path.name for path in (FOLDER / "bin").iterdir()}
    assert {"kestra", "pulumi-resource-docker", "taxi-months"} <= names


def test_engine_is_built_once_with_one_line_of_progress(machine: Machine) -> None:
    machine.command("go", GO)
    first = machine.setup("engine")
    assert first.stderr.startswith("Building the Pulumi CLI 3.")
    assert first.stderr.endswith(" s\n")
    assert len(first.stderr.splitlines()) == 1
    folder = Path(first.stdout.strip())
    assert {path.name for path in folder.iterdir()} == {
        "pulumi-language-python-exec",
        "pulumi-resource-pulumi-python",
    }
    calls = (machine.home / "calls").read_text()
    second = machine.setup("engine")
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert (machine.home / "calls").read_text() == calls


def test_failed_build_shows_its_log_and_leaves_nothing_half_built(machine: Machine) -> None:
    machine.command("go", '[ "$1" = env ] && echo go1.99.0 || { echo no space left >&2; exit 1; }')
    result = machine.setup("engine")
    assert (result.returncode, result.stdout) == (1, "")
    first, last = result.stderr.splitlines()
    assert first == "no space left"
    assert "failed after" in last
    log = Path(last.rsplit(" ", 1)[1].rstrip("."))
    assert log.read_text() == "no space left\n"
    assert [path for path in log.parent.iterdir() if path.is_dir()] == []


def test_old_go_is_named(machine: Machine) -> None:
    machine.command("go", "echo go1.19.8")
    result = machine.setup("engine")
    assert result.returncode == 1
    assert "newer on PATH, not go1.19.8: install it." in result.stderr


def test_unknown_image_is_named_with_those_that_there_are(machine: Machine) -> None:
    result = machine.setup("images", "mysql")
    assert result.returncode == 2
    message, names = result.stderr.split("; there are: ")
    assert message == 'There is no image "mysql"'
    assert {"base", "postgres", "pgadmin4", "nginx", "caddy", "kestra", "postgres:18"} == set(
        names.rstrip(".\n").split()
    )


def test_unknown_command_is_an_error_with_the_usage(machine: Machine) -> None:
    result = machine.setup("image")
    assert result.returncode == 2
    assert result.stderr.startswith('offline/setup: there is no command "image"\nusage: ')


def test_versions_are_those_of_the_official_images() -> None:
    """A stack of offline parts runs the releases that the defaults of the program name."""
    project = yaml.safe_load((FOLDER.parent / "Pulumi.yaml").read_text())
    for key in ("kestraImage", "postgresImage"):
        default = project["config"][key]["default"]
        assert CONFIG[key].split(":")[1] == default.split(":")[1]
    assert CONFIG["kestraImage"].endswith(f":v{RELEASES[0]}")
