"""The commands of docs/first-steps.md print what the page shows."""

import re
import shutil
import subprocess
from pathlib import Path

import docker
import pytest

from tests.e2e.conftest import Project

_PAGE = Path(__file__).parents[2] / "docs/first-steps.md"
_STACK = "first-steps"
# What differs from one machine and run to the next.
_PLACEHOLDERS = (
    (r"\d+(\.\d+)? (s|kB|MB|MiB)\b", "N"),
    (r"Duration: \S+", "Duration: N"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "MOMENT"),
    (r"^\d\d:\d\d:\d\d", "TIME"),
    (r"localhost:\d+", "localhost:PORT"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"execution \w+", "execution ID"),
    (rf"--stack {_STACK} ", ""),
    (rf"Stack {_STACK}:", "Stack dev:"),
    (r"\s+", " "),
)

pytestmark = [pytest.mark.timeout(1200)]


def _normal(line: str) -> str:
    for pattern, placeholder in _PLACEHOLDERS:
        line = re.sub(pattern, placeholder, line)
    return line.strip()


def _assert_shown(expected: list[str], printed: list[str]) -> None:
    """Fails unless the lines follow one another; `...` stands for any number of lines."""
    position, skipping = 0, False
    for line in expected:
        if line == "...":
            skipping = True
            continue
        wanted = _normal(line)
        places = range(position, len(printed)) if skipping else range(position, position + 1)
        found = next(
            (
                place
                for place in places
                if place < len(printed) and _normal(printed[place]) == wanted
            ),
            None,
        )
        assert found is not None, f"{line!r} is not printed in {printed[position:]}"
        position, skipping = found + 1, False
    assert skipping or not any(printed[position:]), printed[position:]


def test_the_page_shows_what_a_new_user_sees(
    project: Project, docker_client: docker.DockerClient
) -> None:
    blocks = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```", _PAGE.read_text(), re.M | re.S)
    assert len(blocks) >= 9
    environment = project.environment | {"PODIUM_STACK": _STACK}
    (month,) = [
        each for each in project.months if each.path.name.startswith("yellow_tripdata_2019")
    ]
    try:
        for command, output in blocks:
            if command.startswith("cp "):
                shutil.copy(month.path, project.folder / "data/taxi")
                continue
            result = subprocess.run(
                command,
                shell=True,
                cwd=project.folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            assert result.returncode == 0, result.stdout
            _assert_shown(output.splitlines(), result.stdout.splitlines())
    finally:
        subprocess.run(["make", "down"], cwd=project.folder, env=environment, check=True)
