"""Runs the Pulumi CLI for this project, with the genuine or the offline parts.

`scripts/env.sh` puts the CLI on PATH before.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

PROJECT_FOLDER = Path(__file__).parents[1]
# An executable on PATH is used as it is instead of a plugin.
_DRIVERS = PROJECT_FOLDER / "offline/plugins/bin"
# The stack keeps its answer to "which parts?" as a tag.
_PARTS_TAG = "podium:parts"


class Parts(StrEnum):
    """What a stack is made of: Pulumi's plugins and public images, or Podium's offline parts."""

    GENUINE = "genuine"
    OFFLINE = "offline"


class PulumiError(Exception):
    """The Pulumi CLI failed; the message is what it said."""


class PulumiStack:
    """One stack of the project.

    Attributes:
        name: the stack's name.
    """

    def __init__(self, name: str) -> None:
        """Keeps the name; nothing is run yet."""
        self.name = name

    def resource_count(self) -> int | None:
        """Returns how many resources the stack holds, or None where there is no such stack."""
        stacks = json.loads(_capture("stack", "ls", "--json"))
        counts = (
            int(stack.get("resourceCount", 0))
            for stack in stacks
            if stack["name"].split("/")[-1] == self.name
        )
        return next(counts, None)

    def create(self) -> None:
        """Creates the stack; an existing `Pulumi.<stack>.yaml` stays as it is."""
        _capture("stack", "init", "--stack", self.name)

    def parts(self) -> Parts | None:
        """Returns the parts that the stack remembers, or None where it was never asked."""
        listed = self._capture("stack", "tag", "ls", "--json")
        tag = json.loads(listed).get(_PARTS_TAG)
        return Parts(tag) if tag else None

    def remember(self, parts: Parts) -> None:
        """Keeps the parts that the stack is made of."""
        self._capture("stack", "tag", "set", _PARTS_TAG, parts)

    def config(self) -> dict[str, dict[str, Any]]:
        """Returns the configuration with the defaults of `Pulumi.yaml`, secrets in plain text."""
        config: dict[str, dict[str, Any]] = json.loads(
            self._capture("config", "--json", "--show-secrets")
        )
        return config

    def set_config(self, values: Mapping[str, str]) -> None:
        """Writes settings to `Pulumi.<stack>.yaml`."""
        pairs = [
            word for key, value in values.items() for word in ("--plaintext", f"{key}={value}")
        ]
        self._capture("config", "set-all", *pairs)

    def outputs(self) -> dict[str, Any]:
        """Returns the stack's outputs, secrets in plain text."""
        outputs: dict[str, Any] = json.loads(
            self._capture("stack", "output", "--json", "--show-secrets")
        )
        return outputs

    def run(self, parts: Parts, command: str) -> int:
        """Runs `up` or `destroy` before the user's eyes and returns its exit code."""
        arguments = (command, "--stack", self.name, "--yes", "--skip-preview")
        return _run(parts, *arguments).returncode

    def _capture(self, *arguments: str) -> str:
        return _capture(*arguments, "--stack", self.name)


def install_plugin(name: str, version: str) -> None:
    """Installs a genuine provider plugin, unless it is there already.

    Raises:
        PulumiError: it cannot be had here.
    """
    _capture("plugin", "install", "resource", name, version)


def _capture(*arguments: str) -> str:
    """Runs a command that needs no provider and returns what it wrote.

    Raises:
        PulumiError: it failed.
    """
    result = _run(Parts.GENUINE, *arguments, capture_output=True)
    if result.returncode:
        raise PulumiError(str(result.stderr).strip() or str(result.stdout).strip())
    return str(result.stdout)


def _run(
    parts: Parts, *arguments: str, capture_output: bool = False
) -> subprocess.CompletedProcess[str]:
    path = os.environ["PATH"]
    if parts is Parts.OFFLINE:
        path = f"{_DRIVERS}{os.pathsep}{path}"
    # What was printed so far comes before what the CLI prints.
    sys.stdout.flush()
    return subprocess.run(
        ["pulumi", *arguments],
        cwd=PROJECT_FOLDER,
        env={**os.environ, "PATH": path},
        text=True,
        capture_output=capture_output,
        check=False,
    )
