"""Scripts: Python code and commands in a process of their own.

Sources: io.kestra.plugin.scripts.python.Script and Commands as releases 1.3 and 0.20 have them,
io.kestra.plugin.scripts.shell.Commands, io.kestra.plugin.scripts.exec and
io.kestra.plugin.core.runner.Process.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote_plus

from offline.kestra.context import Killed
from offline.kestra.pebble import parse_json, stringify
from offline.kestra.schema import LEVELS, Class, Json, Property
from offline.kestra.states import create_id
from offline.kestra.storage import SCHEME
from offline.kestra.tasks.base import Runnable, TaskError

PROCESS = "io.kestra.plugin.core.runner.Process"
DOCKER = "io.kestra.plugin.scripts.runner.docker.Docker"
_STORED = re.compile(r"kestra://[-\w%.+~#=/]*")
_DATA = re.compile(r"^::(\{.*})::$")
_PRELUDE = "true = True\nfalse = False\nnull = None\n"
_NAMESPACE_FILES = Class(
    "io.kestra.core.models.tasks.NamespaceFiles",
    {
        "enabled": Property("flag", default=True),
        "include": Property("any"),
        "exclude": Property("any"),
        "namespaces": Property("any"),
        "ifExists": Property(),
        "folderPerNamespace": Property("flag"),
    },
    unsupported=frozenset({"namespaces", "ifExists", "folderPerNamespace"}),
)
_DEPENDENCIES = {
    "dependencies": Property("any"),
    "pythonVersion": Property(),
    "dependencyCacheEnabled": Property("flag", default=True),
    "packageManager": Property("enum", values=("UV", "PIP"), default="UV"),
    "uvAutoInstallEnabled": Property("flag", default=True),
    "uvInstallerVersion": Property(),
    "uvInstallerSha256": Property(),
}


class _Process:
    """A process whose output goes to the log of a task.

    Attributes:
        variables: what it gave back on lines such as `::{"outputs": {"rows": 1}}::`.
        errors: how many lines it wrote to its error output.
    """

    def __init__(self, task: Runnable, command: list[str], folder: Path, env: Json) -> None:
        self._context = task.context
        self.variables: Json = {}
        self.errors = 0
        self._asked = False
        self._fault: Exception | None = None
        try:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **env},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # so that its children can be ended with it
            )
        except OSError as error:
            raise TaskError(f'Cannot run program "{command[0]}": {error.strerror}') from error
        pid = self._process.pid
        self._context.log("DEBUG", f"Starting command with pid {pid} [{' '.join(command)}]")

    def wait(self) -> int:
        """Wait for its end.

        Returns:
            The exit code.

        Raises:
            Killed: it was told to stop.
        """
        assert self._process.stdout and self._process.stderr
        name = threading.current_thread().name
        readers = [
            threading.Thread(target=self._read, args=output, name=name, daemon=True)
            for output in ((self._process.stdout, "INFO"), (self._process.stderr, "ERROR"))
        ]
        for reader in readers:
            reader.start()
        try:
            with self._context.cancellation.breaking(self._stop):
                code = self._process.wait()
                for reader in readers:
                    reader.join()
                self._context.cancellation.check()
        except Killed:
            self._stop()  # what was not told yet, or does not listen
            raise
        if self._fault:
            raise self._fault
        return code

    def _stop(self) -> None:
        """Ask the process and its children to end; make them end when asked again."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL if self._asked else signal.SIGTERM)
        self._asked = True

    def _read(self, output: IO[str], level: str) -> None:
        for line in output:
            try:
                self._take(line.rstrip("\n"), level)
            except Exception as error:  # the database is away, say: the process must not block
                self._fault = error
            self.errors += level == "ERROR"

    def _take(self, line: str, level: str) -> None:
        data = _DATA.match(line)
        if data is None:
            self._context.log(level, line)
            return
        try:
            given = json.loads(data[1])
            self.variables |= given.get("outputs") or {}
            logs = [(each["level"], stringify(each["message"])) for each in given.get("logs") or ()]
        except (ValueError, TypeError, LookupError) as error:
            self._context.log("WARN", f"Invalid outputs '{error}'")
            return
        for severity, message in logs:
            if severity in LEVELS:
                self._context.log(severity, message)
            else:
                self._context.log("WARN", f"Invalid log '{data[1]}'")


class _Script(Runnable):
    """What tasks that run commands have in common."""

    properties = {
        "runner": Property("enum", values=("PROCESS", "DOCKER")),
        "taskRunner": Property("any"),
        "beforeCommands": Property("any"),
        "env": Property("any"),
        "warningOnStdErr": Property("flag", default=True),
        "interpreter": Property("any", default=["/bin/sh", "-c"]),
        "failFast": Property("flag", default=True),
        "namespaceFiles": Property("object", of=_NAMESPACE_FILES),
        "inputFiles": Property("any"),
        "outputFiles": Property("any"),
        "outputDirectory": Property("flag"),
        "targetOS": Property("enum", values=("LINUX", "WINDOWS", "AUTO"), default="AUTO"),
        "docker": Property("any"),
        "containerImage": Property(),  # only for runners that have one, as the plugin says
        **_DEPENDENCIES,
    }
    unsupported = frozenset({"runner", "outputDirectory", "targetOS", "docker", *_DEPENDENCIES})

    @classmethod
    def faults(cls, data: Json) -> Iterator[str]:
        runner = data.get("taskRunner") or {"type": DOCKER}
        named = runner.get("type") if isinstance(runner, dict) else runner
        if named != PROCESS:
            yield (
                f"taskRunner: {named} is not supported by the stand-in for Kestra, "
                f"which only has {PROCESS}"
            )
        elif len(runner) > 1:
            yield f"taskRunner: {PROCESS} has no properties but its type"

    @property
    def _since_1(self) -> bool:
        return self.context.services.config.release.tenant is not None

    def run(self) -> Json:
        self.context.log("DEBUG", f"Using task runner '{PROCESS}'")
        with (
            self.context.working_dir() as folder,
            self.context.adding({"workingDir": str(folder)}),
        ):
            return self._run(folder)

    def _run(self, folder: Path) -> Json:
        self._copy_namespace_files(folder)
        self._write_input_files(folder)
        process = _Process(self, self._command(folder), folder, self._environment(folder))
        code = process.wait()
        outputs = {
            "vars": process.variables,
            "exitCode": code,
            "outputFiles": self._output_files(folder),
        }
        if code:
            raise TaskError(
                "io.kestra.core.models.tasks.runners.TaskException: "
                f"Command failed with exit code {code}",
                outputs,
            )
        self.context.log("DEBUG", f"Command succeed with exit code {code}")
        if not self._since_1 and process.errors and self.flag("warningOnStdErr"):
            self.state = "WARNING"
        return outputs

    # --- the command -----------------------------------------------------------------------------

    @abstractmethod
    def commands(self, folder: Path) -> list[str]:
        """The lines for the interpreter, after those of `beforeCommands`."""

    def _command(self, folder: Path) -> list[str]:
        lines = [
            *(["set -e"] if self.flag("failFast") else []),
            *(self._local(line, folder) for line in self._list("beforeCommands")),
            *self.commands(folder),
        ]
        return [*self._list("interpreter"), "\n".join(lines)]

    def _environment(self, folder: Path) -> Json:
        given = self.rendered("env") or {}
        return {
            **{name: stringify(value) for name, value in given.items()},
            "PYTHONUNBUFFERED": "true",
            "PIP_ROOT_USER_ACTION": "ignore",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "WORKING_DIR": str(folder),
        }

    def _list(self, name: str) -> list[str]:
        """A property that is a list, or text that renders to one."""
        value = self.rendered(name)
        value = parse_json(value) if isinstance(value, str) else value or []
        if not isinstance(value, list):
            raise TaskError(f"{name}: `{stringify(value)}` is no list")
        return [stringify(each) for each in value]

    def _local(self, text: str, folder: Path) -> str:
        """The text with the URIs of stored files replaced by paths of copies in the folder."""

        def copy(uri: re.Match[str]) -> str:
            handle, name = tempfile.mkstemp(".tmp", dir=folder)
            with self.context.storage.open(uri[0]) as source, open(handle, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
            return name

        return _STORED.sub(copy, text)

    # --- files -----------------------------------------------------------------------------------

    def _copy_namespace_files(self, folder: Path) -> None:
        given = self.rendered("namespaceFiles")
        if given is None or stringify(given.get("enabled", True)) == "false":
            return
        include, exclude = (
            [glob_pattern(_anywhere(glob)) for glob in given.get(name) or ()]
            for name in ("include", "exclude")
        )
        root = self.context.storage.namespace_file(self.context.flow["namespace"], "")
        for file in sorted(each for each in root.rglob("*") if each.is_file()):
            path = f"/{file.relative_to(root)}"
            if include and not any(glob.fullmatch(path) for glob in include):
                continue
            if any(glob.fullmatch(path) for glob in exclude):
                continue
            target = folder / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)

    def _write_input_files(self, folder: Path) -> None:
        given = self.rendered("inputFiles")
        given = parse_json(given) if isinstance(given, str) else given or {}
        if not isinstance(given, Mapping):
            raise TaskError(f"Invalid `files` properties with type '{type(given).__name__}'")
        for name, content in given.items():
            if content is None:
                continue
            path = (folder / name).resolve()
            if not path.is_relative_to(folder.resolve()):
                raise TaskError(f"inputFiles: `{name}` is not below the working directory")
            path.parent.mkdir(parents=True, exist_ok=True)
            text = stringify(content)
            if text.startswith(SCHEME):
                with self.context.storage.open(text) as source, path.open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
            else:
                path.write_text(text, encoding="utf-8")

    def _output_files(self, folder: Path) -> dict[str, str]:
        globs = [glob_pattern(glob.removeprefix("/")) for glob in self._list("outputFiles")]
        files = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
        return {
            str(file): self.context.put_file(
                folder / file, f"{create_id()}-{quote_plus(file.name)}"
            )
            for file in sorted(files)
            if any(glob.fullmatch(str(file)) for glob in globs)
        }


class Script(_Script):
    """Run Python code."""

    type = "io.kestra.plugin.scripts.python.Script"
    properties = {**_Script.properties, "script": Property(required=True)}

    def commands(self, folder: Path) -> list[str]:
        handle, name = tempfile.mkstemp(".py", dir=folder)
        with open(handle, "w", encoding="utf-8") as file:
            if self._since_1:
                file.write(_PRELUDE)
            file.write(self._local(self.text("script") or "", folder))
        if not self._since_1:
            return [f"python {name}"]
        python = next((each for each in ("python3", "python") if shutil.which(each)), None)
        if python is None:
            raise TaskError("Could not find a suitable Python interpreter for version: null")
        own = f'"$VIRTUAL_ENV/bin/python" "{name}"'  # an environment that beforeCommands entered
        return [f'if [ -n "$VIRTUAL_ENV" ]; then {own}; else "{python}" "{name}"; fi']


class Commands(_Script):
    """Run commands, such as `python main.py`."""

    type = "io.kestra.plugin.scripts.python.Commands"
    properties = {**_Script.properties, "commands": Property("any", required=True)}

    def commands(self, folder: Path) -> list[str]:
        return [self._local(line, folder) for line in self._list("commands")]


class ShellCommands(Commands):
    """Run commands of a shell."""

    type = "io.kestra.plugin.scripts.shell.Commands"
    properties = {
        name: each for name, each in Commands.properties.items() if name not in _DEPENDENCIES
    }


def _anywhere(glob: str) -> str:
    """A glob for files of a namespace: one that begins with a word is for any folder."""
    return f"**/{glob}" if re.match(r"\w", glob) else glob


def glob_pattern(glob: str) -> re.Pattern[str]:
    """A glob of Java's file systems, or `regex:` and a pattern, as a pattern for whole paths.

    Args:
        glob: with `*` and `?` within a folder, `**` across folders, `[a-z]` and `{a,b}`.
    """
    if glob.startswith("regex:"):
        return re.compile(glob.removeprefix("regex:"))
    words = {"**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")"}
    pattern, depth = "", 0
    for word in re.findall(r"\*\*|\[[^]]+\]|\\.|.", glob.removeprefix("glob:")):
        depth += (word == "{") - (word == "}")
        if word == "," and depth:
            pattern += "|"
        elif word.startswith("[") and len(word) > 1:
            pattern += word.replace("[!", "[^", 1)
        else:
            pattern += words.get(word) or re.escape(word.removeprefix("\\") or word)
    return re.compile(pattern)


TASKS = (Script, Commands, ShellCommands)
