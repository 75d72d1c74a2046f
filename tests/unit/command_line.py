"""The commands of the Makefile with a Pulumi, a Docker and a build.sh of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from scripts import pulumi_cli, stack
from tests.unit.harness import PROJECT

ROOT = Path(__file__).parents[2]

# Stands for pulumi, docker and build.sh: notes what it is asked for, keeps what it is told in a
# file, and fails or is slow where the file says so.
_TOOL = """
import json, os, sys, time
from pathlib import Path

file = Path(os.environ["TOOLS_STATE"])
state = json.loads(file.read_text())
words = [Path(sys.argv[0]).name, *(word for word in sys.argv[1:] if word != "--non-interactive")]


def note(call):
    with file.with_name("calls").open("a") as calls:
        calls.write(json.dumps([call, os.environ["PATH"]]) + chr(10))


note(" ".join(words))
for beginning, message in state["failing"].items():
    if " ".join(words).startswith(beginning):
        sys.exit(message)
if state["slow"] and " ".join(words).startswith(state["slow"]):
    try:
        time.sleep(20)
    except KeyboardInterrupt:
        time.sleep(0.6)
        note(f"{words[0]} has ended in order")
        sys.exit(255)
stack = {}
if words[0] == "pulumi" and "--stack" in words:
    position = words.index("--stack")
    name = words[position + 1]
    del words[position : position + 2]
    if name not in state["stacks"]:
        sys.exit(f"error: no stack named '{name}' found")
    stack = state["stacks"][name]
match words:
    case ["pulumi", "version"]:
        print("v3.259.0")
    case ["pulumi", "stack", "init", name]:
        state["stacks"][name] = {"tags": {}, "config": {}, "resources": []}
    case ["pulumi", "stack", "tag", "ls", "--json"]:
        print(json.dumps(stack["tags"]))
    case ["pulumi", "stack", "tag", "set", key, value]:
        stack["tags"][key] = value
    case ["pulumi", "stack", "export", "--show-secrets"]:
        print(json.dumps({"version": 3, "deployment": {"resources": stack["resources"]}}))
    case ["pulumi", "stack", "output", "--json", *_]:
        print(json.dumps(state["outputs"] if stack["resources"] else {}))
    case ["pulumi", "config", "--show-secrets", "--json"]:
        config = {**state["defaults"], **stack["config"]}
        values = {key: {"value": value, "secret": False} for key, value in config.items()}
        print(json.dumps({f"{state['project']}:{key}": value for key, value in values.items()}))
    case ["pulumi", "config", "set-all", *pairs]:
        stack["config"] |= dict(pair.split("=", 1) for pair in pairs if pair != "--plaintext")
    case ["pulumi", "plugin", "install", "resource", _, _] | ["docker", "pull", _] | ["build.sh"]:
        pass
    case ["pulumi", "up", "--yes", "--skip-preview"]:
        stack["resources"] = [{}]
    case ["pulumi", "destroy", "--yes"]:
        stack["resources"] = []
    case ["docker", "images", "--quiet", image]:
        print("0123456789ab\\n" if image in state["images"] else "", end="")
    case _:
        sys.exit(f"not expected: {words}")
file.write_text(json.dumps(state))
"""


class Ended(NamedTuple):
    """How a command ended."""

    code: int | None
    stdout: str
    stderr: str


class CommandLine:
    """The project with its tools, and what they were asked for."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, output: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder / "podium"
        self._tools = folder / "bin"
        self._state = folder / "state"
        self._monkeypatch = monkeypatch
        self._output = output
        self._tools.mkdir()
        (self.folder / "offline/images").mkdir(parents=True)
        shutil.copy(ROOT / "Pulumi.yaml", self.folder)
        for tool in (
            self._tools / "pulumi",
            self._tools / "docker",
            self.folder / "offline/images/build.sh",
        ):
            tool.write_text(f"#!{sys.executable} -SE\n{_TOOL}")
            tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(self._tools))
        monkeypatch.setenv("TOOLS_STATE", str(self._state))
        monkeypatch.setattr(pulumi_cli, "PROJECT_FOLDER", self.folder)
        monkeypatch.setattr(stack, "PROJECT_FOLDER", self.folder)
        self._write(
            {
                "project": PROJECT["name"],
                "stacks": {},
                "defaults": {
                    key: str(entry["default"]).lower() for key, entry in PROJECT["config"].items()
                },
                "outputs": {
                    "kestraUrl": "http://localhost:8080",
                    "kestraUser": "admin@example.com",
                    "kestraPassword": "Secret-1",
                    "pgadminUrl": "http://localhost:8085",
                    "pgadminUser": "admin@example.com",
                },
                "images": [],
                "failing": {},
                "slow": None,
            }
        )

    def set(self, **values: Any) -> None:
        """Changes what the tools have or how they answer."""
        self._write(self._read() | values)

    def add_stack(self, *, tag: str | None = None, resources: int = 0, **config: str) -> None:
        """Makes the stack "dev" as if it had been there before."""
        tags = {"podium:parts": tag} if tag else {}
        stack = {"tags": tags, "config": config, "resources": [{}] * resources}
        self.set(stacks={"dev": stack})

    def replace_tool(self, name: str, script: str) -> None:
        (self._tools / name).write_text(f"#!{sys.executable} -SE\n{script}\n")

    def remove_tool(self, name: str) -> None:
        (self._tools / name).unlink()

    @property
    def defaults(self) -> dict[str, str]:
        """The values that Pulumi.yaml gives to settings."""
        defaults: dict[str, str] = self._read()["defaults"]
        return defaults

    @property
    def outputs(self) -> dict[str, Any]:
        """What a stack that is up gives."""
        outputs: dict[str, Any] = self._read()["outputs"]
        return outputs

    @property
    def stack(self) -> dict[str, Any]:
        """The stack "dev" as Pulumi has it."""
        stack: dict[str, Any] = self._read()["stacks"]["dev"]
        return stack

    @property
    def calls(self) -> list[str]:
        """What the tools were asked for, in order."""
        return [call for call, _ in self._noted()]

    def path_of(self, beginning: str) -> str:
        """Returns the PATH with which the one call that begins so was made."""
        (path,) = [path for call, path in self._noted() if call.startswith(beginning)]
        return path

    def run(self, main: Callable[[], int], *arguments: str) -> Ended:
        """Runs a command to its end, as `python -m` does."""
        self._monkeypatch.setattr(sys, "argv", ["", *arguments])
        code: int | str | None
        try:
            code = main()
        except SystemExit as error:
            code = error.code
        stdout, stderr = self._output.readouterr()
        return (
            Ended(1, stdout, f"{code}\n") if isinstance(code, str) else Ended(code, stdout, stderr)
        )

    def interrupt(self, call: str, module: str, *arguments: str) -> Ended:
        """Presses Ctrl-C while a tool is at what begins with `call`.

        The signal reaches the command and the tool, as a terminal sends it.
        """
        self.set(slow=call)
        for package in ("infra", "scripts"):
            shutil.copytree(ROOT / package, self.folder / package)
        # A pipe would end only with the tool, which may live longer than the command.
        errors = self.folder / "errors"
        with errors.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=file,
                start_new_session=True,
                # Tests that run in a shell's background would have it ignore Ctrl-C.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        for _ in range(200):
            if any(noted.startswith(call) for noted in self.calls):
                break
            time.sleep(0.05)
        # The tool has noted the call, and must get as far as being slow.
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        code = process.wait(timeout=30)
        return Ended(code, "", errors.read_text())

    def _noted(self) -> list[tuple[str, str]]:
        calls = self._state.with_name("calls")
        lines = calls.read_text().splitlines() if calls.exists() else []
        return [(call, path) for call, path in map(json.loads, lines)]

    def _read(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._state.read_text())
        return state

    def _write(self, state: dict[str, Any]) -> None:
        self._state.write_text(json.dumps(state))
