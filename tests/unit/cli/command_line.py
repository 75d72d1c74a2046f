"""The command line with a Pulumi, a Docker and an offline/setup of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import docker
import httpx
import psycopg
import pytest

from cli import environment, logins, offline, setup
from cli.__main__ import main
from infra import settings
from tests.unit.cli.fake_docker import FakeDocker
from tests.unit.harness import PROJECT

ROOT = Path(__file__).parents[3]
OFFLINE_STACK: dict[str, Any] = {
    "config": {
        "registryPrefix": "",
        "postgresImage": "offline/postgres:17",
        "kestraImage": "offline/kestra:1",
        "pgadminImage": "offline/pgadmin4:9",
        "filesImage": "offline/nginx:1",
        "gatewayImage": "offline/caddy:2",
    },
    "otherImages": ["offline/postgres:18"],
    "notice": "Some parts are Podium's own.",
}

NEW_STACK: dict[str, Any] = {"tags": {}, "config": {}, "resources": [], "pending_operations": []}

# Replaces pulumi, docker and offline/setup: notes what it is asked for, keeps what was set in a
# file, and fails or is slow where the file says so.
_TOOL = """
import json, os, sys, time
from pathlib import Path

file = Path(os.environ["TOOLS_STATE"])
state = json.loads(file.read_text())
words = [Path(sys.argv[0]).name, *(word for word in sys.argv[1:] if word != "--non-interactive")]


def note(call):
    known = {key: value for key, value in os.environ.items() if key[:6] in ("PATH", "PULUMI")}
    with file.with_name("calls").open("a") as calls:
        calls.write(json.dumps([call, known]) + chr(10))


# What has a password in it comes on standard input.
is_given = "-qU" in words or words[-1] == "-"
note(" ".join([*words, "<", sys.stdin.read()] if is_given else words))
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
def print_event(**event):
    print(json.dumps({"sequence": 1, **event}))


def print_summary(**changes):
    print_event(summaryEvent={"resourceChanges": changes, "durationSeconds": 7})


match words:
    case ["pulumi", "version"]:
        print("v3.259.0")
    case ["pulumi", "stack", "init", name]:
        state["stacks"][name] = state["new"]
    case ["pulumi", "stack", "rm", name, "--yes"] | ["pulumi", "stack", "rm", "--yes", name]:
        del state["stacks"][name]
    case ["pulumi", "stack", "tag", "ls", "--json"]:
        print(json.dumps(stack["tags"]))
    case ["pulumi", "stack", "tag", "set", key, value]:
        stack["tags"][key] = value
    case ["pulumi", "stack", "export"]:
        state_file = {key: stack[key] for key in ("resources", "pending_operations")}
        print(json.dumps({"version": 3, "deployment": state_file}))
    case ["pulumi", "stack", "export", "--show-secrets"]:
        secret = {"outputs": {"result": {"plaintext": json.dumps(state["secret"])}}}
        resources = [item | secret for item in stack["resources"]]
        print(json.dumps({"deployment": {"resources": resources}}))
    case ["pulumi", "stack", "import"]:
        stack |= {"pending_operations": [], **json.load(sys.stdin)["deployment"]}
    case ["pulumi", "refresh", "--yes", "--skip-preview", *_]:
        pass
    case ["pulumi", "stack", "output", "--json", *_]:
        print(json.dumps(state["outputs"] if stack["resources"] else {}))
    case ["pulumi", "config", "--show-secrets", "--json"]:
        config = {**state["defaults"], **stack["config"]}
        values = {
            key: {"value": value, "secret": key.endswith("Password")}
            for key, value in config.items()
        }
        print(json.dumps({f"{state['project']}:{key}": value for key, value in values.items()}))
    case ["pulumi", "config", "set-all", *pairs]:
        stack["config"] |= dict(pair.split("=", 1) for pair in pairs if pair != "--plaintext")
        config = {f"{state['project']}:{key}": value for key, value in stack["config"].items()}
        Path(os.environ["PULUMI_OPTION_CONFIG_FILE"]).write_text(json.dumps({"config": config}))
    case ["pulumi", "plugin", "install", "resource", _, _] | ["setup", "images", *_]:
        pass
    case ["docker", "pull" | "info" | "logs" | "exec", *_]:
        pass
    case ["setup", "path"]:
        print("/offline/bin")
    case ["pulumi", "up", "--yes", "--skip-preview", "--json"]:
        stack["resources"] = [{"type": "pulumi:pulumi:Stack", "urn": "urn"}]
        first = state.pop("first_events", None)
        for event in first or state["events"]:
            print_event(**event)
        if first or not state["succeeds"]:
            file.write_text(json.dumps(state))
            sys.exit(255)
        print_summary(create=1)
    case ["pulumi", "up", "--yes", "--skip-preview", "--target-replace", *_]:
        pass
    case ["pulumi", "destroy", "--yes", "--json"]:
        stack["resources"] = []
        print_summary(delete=1)
    case ["pulumi", "stack", "ls", "--json"]:
        print(json.dumps([{"name": name, "current": False} for name in state["stacks"]]))
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
        (self.folder / "offline").mkdir(parents=True)
        (self.folder / "sample").mkdir()
        shutil.copy(ROOT / "Pulumi.yaml", self.folder)
        (self.folder / "offline/stack.yaml").write_text(json.dumps(OFFLINE_STACK))
        for tool in (
            self._tools / "pulumi",
            self._tools / "pulumi-language-python",
            self._tools / "docker",
            self.folder / "offline/setup",
        ):
            tool.write_text(f"#!{sys.executable} -SE\n{_TOOL}")
            tool.chmod(0o755)
        # The set-up of Docker is a script of bash.
        monkeypatch.setenv("PATH", f"{self._tools}:/usr/bin:/bin")
        monkeypatch.setenv("TOOLS_STATE", str(self._state))
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        monkeypatch.delenv("PODIUM_STACK", raising=False)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        monkeypatch.setenv("PULUMI_BACKEND_URL", folder.as_uri())
        monkeypatch.setattr(environment, "prepare", lambda: None)
        monkeypatch.setattr(setup, "start_docker", lambda: None)
        self.docker = FakeDocker()
        monkeypatch.setattr(docker, "from_env", lambda **_: self.docker)
        # Why PostgreSQL refuses the next login of a role.
        self.refusals: dict[str, str] = {}
        fake = SimpleNamespace(connect=self._connect, OperationalError=psycopg.OperationalError)
        monkeypatch.setattr(logins, "psycopg", fake)
        # The password of pgAdmin's login; None while it does not answer.
        self.pgadmin_password: str | None = "Secret-1"
        pgadmin = partial(httpx.Client, transport=httpx.MockTransport(self._log_in))
        fake = SimpleNamespace(Client=pgadmin, HTTPError=httpx.HTTPError)
        monkeypatch.setattr(logins, "httpx", fake)
        monkeypatch.setattr(offline, "FOLDER", self.folder / "offline")
        monkeypatch.setattr(settings, "_PROJECT_FILE", self.folder / "Pulumi.yaml")
        for name, module in list(sys.modules.items()):
            if name.startswith("cli.") and hasattr(module, "PROJECT_FOLDER"):
                monkeypatch.setattr(module, "PROJECT_FOLDER", self.folder)
        self._write(
            {
                "project": PROJECT["name"],
                "stacks": {},
                "new": NEW_STACK,
                "defaults": {
                    key: str(entry["default"]).lower() for key, entry in PROJECT["config"].items()
                },
                "outputs": {
                    "kestraUrl": "http://localhost:8080",
                    "kestraUser": "admin@example.com",
                    "kestraPassword": "Secret-1",
                    "pgadminUrl": "http://localhost:8085",
                    "pgadminUser": "admin@example.com",
                    "pgadminPassword": "Secret-1",
                    "postgresHost": "localhost",
                    "postgresPort": 5432,
                    "warehouseDatabase": "ny_taxi",
                    **{f"{role}User": role for role in ("postgres", "etl", "reader")},
                    **{f"{role}Password": "Secret-1" for role in ("postgres", "etl", "reader")},
                    "flows": {"zoomcamp/taxi_load": 1},
                },
                "images": [],
                "secret": "Secret-2",
                "events": [],
                "succeeds": True,
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
        resource = {"type": "pulumi:pulumi:Stack", "urn": "urn"}
        stack = {"tags": tags, "config": config, "resources": [resource] * resources}
        self.set(stacks={"dev": NEW_STACK | stack})
        self.write_settings("dev", **config)

    def write_settings(self, stack: str, **config: str) -> None:
        """Writes the local settings of a stack."""
        path = self.folder / f".podium/Pulumi.{stack}.yaml"
        path.parent.mkdir(exist_ok=True)
        values = {f"{PROJECT['name']}:{key}": value for key, value in config.items()}
        path.write_text(json.dumps({"config": values}))

    def set_state(self, resources: Sequence[Any], pending: Sequence[Any] = ()) -> None:
        """Makes the stack "dev" with these resources and pending operations."""
        stack = {"tags": {"podium:parts": "official"}, "resources": resources}
        self.set(stacks={"dev": NEW_STACK | stack | {"pending_operations": pending}})

    def replace_tool(self, name: str, script: str) -> None:
        (self._tools / name).write_text(f"#!{sys.executable} -SE\n{script}\n")
        (self._tools / name).chmod(0o755)

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
        stack: dict[str, Any] = self.stacks["dev"]
        return stack

    @property
    def stacks(self) -> dict[str, Any]:
        """The stacks that Pulumi has."""
        stacks: dict[str, Any] = self._read()["stacks"]
        return stacks

    @property
    def calls(self) -> list[str]:
        """What the tools were asked for, in order."""
        return [call for call, _ in self._noted()]

    def path_of(self, beginning: str) -> str:
        """Returns the PATH with which the one call that begins so was made."""
        return self.environment_of(beginning)["PATH"]

    def environment_of(self, beginning: str) -> dict[str, str]:
        """Returns the environment in which the one call that begins so was made."""
        (environment,) = [known for call, known in self._noted() if call.startswith(beginning)]
        return environment

    def run(self, *arguments: str) -> Ended:
        """Runs a command to its end, as `./podium` does."""
        with pytest.raises(SystemExit) as ended:
            main(arguments, prog_name="podium")
        code = ended.value.code
        assert isinstance(code, int)
        return Ended(code, *self._output.readouterr())

    def interrupt(self, call: str, *arguments: str, number: int = signal.SIGINT) -> Ended:
        """Sends a signal while a tool is at what begins with `call`.

        Ctrl-C reaches the tool too, as a terminal sends it; any other signal does not.
        """
        self.set(slow=call)
        for package in ("infra", "cli"):
            shutil.copytree(ROOT / package, self.folder / package)
        # A pipe would end only with the tool, which may live longer than the command.
        errors = self.folder / "errors"
        with errors.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli", *arguments],
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
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        code = process.wait(timeout=30)
        return Ended(code, "", errors.read_text())

    def _log_in(self, request: httpx.Request) -> httpx.Response:
        """Answers as pgAdmin's login page does."""
        if self.pgadmin_password is None:
            raise httpx.ConnectError("Connection refused")
        if request.url.path == "/login":
            return httpx.Response(200, text='{"csrfToken": "t0ken"}')
        login = dict(parse_qsl(request.content.decode()))
        assert login["csrf_token"] == "t0ken"
        page = "/browser/" if login["password"] == self.pgadmin_password else "/login"
        return httpx.Response(302, headers={"location": page})

    def _connect(self, **arguments: Any) -> SimpleNamespace:
        """Connects to PostgreSQL, or is refused where a test says so."""
        if reason := self.refusals.pop(arguments["user"], ""):
            raise psycopg.OperationalError(reason)
        return SimpleNamespace(close=lambda: None)

    def _noted(self) -> list[tuple[str, dict[str, str]]]:
        calls = self._state.with_name("calls")
        lines = calls.read_text().splitlines() if calls.exists() else []
        return [(call, environment) for call, environment in map(json.loads, lines)]

    def _read(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._state.read_text())
        return state

    def _write(self, state: dict[str, Any]) -> None:
        self._state.write_text(json.dumps(state))
