"""The commands of README and docs work, and print what the page of the first steps shows."""

import re
import subprocess
from pathlib import Path

import docker
import pytest

from tests.documentation import PAGES, commands, is_run
from tests.e2e.conftest import Project

_PAGE = Path("docs/first-steps.md")
_STACK = "first-steps"
# What differs from one machine and run to the next.
_PLACEHOLDERS = (
    (r"\d+(\.\d+)? (s|kB|MB|MiB)\b", "N"),
    (r"Duration: \S+", "Duration: N"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "MOMENT"),
    (r"^\d\d:\d\d:\d\d", "TIME"),
    (rf"\b{_STACK}\.localhost", "dev.localhost"),
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


class _Shell:
    """Runs the commands of the docs in the copy of the project, on a stack of their own."""

    def __init__(self, project: Project) -> None:
        self._folder = project.folder
        self._environment = project.environment | {"PODIUM_STACK": _STACK}

    def run(self, command: str) -> list[str]:
        """Returns the lines that a command prints; it must succeed."""
        result = subprocess.run(
            command,
            shell=True,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout
        return result.stdout.splitlines()


def test_commands_of_the_docs_do_what_the_pages_show(
    project: Project, docker_client: docker.DockerClient
) -> None:
    shell = _Shell(project)
    steps = [step for step in commands(_PAGE) if is_run(step)]
    *until_down, down = steps
    assert down.text == "make down"
    others = {
        command.text
        for page in PAGES
        for command in commands(page)
        if is_run(command) and command.text not in {step.text for step in steps}
    }
    try:
        for step in until_down:
            _assert_shown(step.output, shell.run(step.text))
        for command in sorted(others):
            shell.run(command)
    finally:
        printed = shell.run(down.text)
    _assert_shown(down.output, printed)
