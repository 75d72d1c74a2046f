"""What a task sees while it runs: variables, rendering, its log, its files, its cancellation."""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from offline.kestra import pebble
from offline.kestra.config import Config
from offline.kestra.errors import NotFound
from offline.kestra.keyvalues import KeyValues
from offline.kestra.pebble import RenderError
from offline.kestra.states import Json, create_id, instant
from offline.kestra.storage import SCHEME, Storage, execution_prefix, slug
from offline.kestra.store import LEVELS, Store

_MAX_RENDERINGS = 100
_MAX_MESSAGE = 10 * 1024


class Killed(Exception):
    """The task was told to stop."""


class Cancellation:
    """One cancellation for a task: a flag to look at and actions to break what blocks."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._actions: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """Raise the flag and run the actions."""
        with self._lock:
            self._event.set()
            actions = list(self._actions)
        for action in actions:
            action()

    def cancelled(self) -> bool:
        """Whether the flag is up."""
        return self._event.is_set()

    def check(self) -> None:
        """Stop here if the flag is up.

        Raises:
            Killed: it is.
        """
        if self._event.is_set():
            raise Killed

    def sleep(self, seconds: float) -> None:
        """Wait, but not on when the flag goes up.

        Raises:
            Killed: it went up.
        """
        if self._event.wait(seconds):
            raise Killed

    @contextmanager
    def breaking(self, action: Callable[[], None]) -> Iterator[None]:
        """Have a cancellation run `action` while the block runs."""
        with self._lock:
            self._actions.append(action)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._actions.remove(action)


def mask(text: str, secrets: set[str]) -> str:
    """A log message with the secrets in it replaced by stars, as the server does."""
    for secret in sorted(secrets, key=len, reverse=True):
        if secret and secret in text:
            text = text.replace(secret, "*" * len(secret))
            text = text.replace("*" * 9, "**masked*", 1)
    return text


class Services:
    """What outlives a single run.

    Args:
        config: the configuration.
        store: the database.
        storage: the internal storage.
    """

    def __init__(self, config: Config, store: Store, storage: Storage) -> None:
        self.config = config
        self.store = store
        self.storage = storage
        self.key_values = KeyValues(store)


class RunContext:
    """The context of one task run, or of a rendering outside of any.

    Args:
        services: database, storage and configuration.
        flow: the flow, with plugin defaults applied.
        execution: the execution.
        task_run: the task run, if this is one.
        parents: the task runs above it, nearest first.
        min_level: messages below this level are not kept.
    """

    def __init__(
        self,
        services: Services,
        flow: Json,
        execution: Json,
        task_run: Json | None = None,
        parents: list[Json] | None = None,
        min_level: str | None = None,
    ) -> None:
        self.services = services
        self.flow = flow
        self.execution = execution
        self.task_run = task_run
        self._parents = parents or []
        self._min_level = LEVELS[min_level or "TRACE"]
        self._added: Mapping[str, Any] = {}
        self.cancellation = Cancellation()
        self.used_secrets: set[str] = set()
        self.storage = services.storage
        self.key_values = services.key_values

    # --- expressions ---------------------------------------------------------------------------

    def render(self, value: Any) -> Any:
        """Render all expressions in text, lists and maps; a lone expression keeps its type.

        Raises:
            RenderError: one of them cannot be evaluated.
        """
        if isinstance(value, str):
            if self.services.config.recursive_rendering:
                return self._recursively(value)
            return pebble.evaluate(value, self._variables())
        if isinstance(value, list):
            return [self.render(each) for each in value]
        if isinstance(value, Mapping):
            return {self.text(key): self.render(each) for key, each in value.items()}
        return value

    @contextmanager
    def adding(self, variables: Mapping[str, Any]) -> Iterator[None]:
        """Have expressions know more variables while the block runs."""
        self._added = variables
        try:
            yield
        finally:
            self._added = {}

    def text(self, value: Any) -> str:
        """Render to text."""
        return pebble.stringify(self.render(value))

    def is_true(self, value: Any) -> bool:
        """Render a condition. False are: false, 0, -0 and nothing."""
        return self.text(value) not in ("false", "0", "-0", "")

    def _recursively(self, value: Any) -> Any:
        for _ in range(_MAX_RENDERINGS):
            if not isinstance(value, str) or "{" not in value:
                return value
            rendered = pebble.evaluate(value, self._variables())
            if rendered == value:
                return value
            value = rendered
        raise RenderError("Too many rendering attempts")

    def _variables(self) -> dict[str, Any]:
        flow, execution = self.flow, self.execution
        variables: dict[str, Any] = {
            "envs": dict(self.services.config.environment),
            "globals": self.services.config.variables_globals,
            "flow": {name: flow[name] for name in ("id", "namespace", "revision") if name in flow},
            "vars": flow.get("variables") or {},
            "inputs": execution.get("inputs") or {},
            "outputs": task_outputs(execution),
            "tasks": _task_states(execution),
            "execution": {
                "id": execution["id"],
                "startDate": execution["state"]["histories"][0]["date"],
                "originalId": execution["originalId"],
            },
            "labels": self._labels(),
            **execution.get("variables", {}),
            **self._functions(),
            **self._added,
        }
        if tenant := self.services.config.release.tenant:
            variables["flow"]["tenantId"] = tenant
        if "trigger" in execution:
            variables["trigger"] = execution["trigger"]["variables"]
        if self.task_run:
            variables |= self._task_variables(self.task_run)
        return variables

    def _labels(self) -> dict[str, Any]:
        """The labels, since 1.0 as maps within maps where their keys have dots."""
        labels = [(label["key"], label["value"]) for label in self.execution.get("labels", ())]
        if self.services.config.release.tenant:
            return nested(dict(labels))
        # Of labels with the same key, 0.20 shows the first. What it shows of the server's own
        # labels below `system` has no member that an expression could name.
        flat = dict(reversed(labels))
        shown = {key: value for key, value in flat.items() if not key.startswith("system.")}
        return shown | ({"system": {}} if len(shown) < len(flat) else {})

    def _task_variables(self, run: Json) -> dict[str, Any]:
        shown = {
            "id": run["id"],
            "startDate": run["state"]["histories"][0]["date"],
            "attemptsCount": len(run.get("attempts", ())),
        }
        for name, source in (("parentId", "parentTaskRunId"), ("value", "value")):
            if source in run:
                shown[name] = run[source]
        if "iteration" in run:
            shown["iteration"] = run["iteration"]
        parents = []
        for parent in self._parents:
            known: dict[str, Any] = {}
            if "value" in parent:
                known["taskrun"] = {"value": parent["value"]}
            if parent.get("outputs"):
                known["outputs"] = parent["outputs"]
            if known:
                parents.append(known)
        result: dict[str, Any] = {
            "taskrun": shown, "task": {"id": run["taskId"]}, "parents": parents
        }  # fmt: skip
        if parents:
            result["parent"] = parents[0]
        return result

    def _functions(self) -> dict[str, Callable[..., Any]]:
        return {
            "secret": self.secret,
            "kv": self._kv,
            "render": self._render_function,
            "renderOnce": lambda value: pebble.evaluate(value, self._variables()),
            "read": self._read,
            "fileSize": lambda uri: self.storage.path(uri).stat().st_size,
            "now": self._now,
            "json": pebble.from_json,
            "fromJson": pebble.from_json,
            "currentEachOutput": self._current_each_output,
            "yaml": yaml.safe_load,
            "uuid": lambda: str(uuid.uuid4()),
            "id": create_id,
            "randomInt": lambda lower, upper: random.randrange(lower, upper),
            "range": lambda start, end, step=1: list(range(start, end + 1, step)),
            "max": lambda *values: max(values),
            "min": lambda *values: min(values),
            "printContext": lambda: json.loads(pebble.to_json(self._printable())),
        }

    def _printable(self) -> dict[str, Any]:
        return {name: value for name, value in self._variables().items() if not callable(value)}

    def secret(self, key: str) -> str:
        """The value of a secret; the log will show stars in its place.

        Raises:
            RenderError: there is no such secret.
        """
        value = self.services.config.secrets.get(key.upper())
        if value is None:
            raise RenderError(f"Cannot find secret for key '{key}'.")
        self.used_secrets.add(value)
        return value

    def _kv(
        self, key: str, namespace: str | None = None, errorOnMissing: bool | None = None
    ) -> Any:
        found = self.key_values.get(namespace or self.flow["namespace"], key)
        if found is None:
            # Since 1.0 a missing key is an error unless the expression says otherwise.
            strict = self.services.config.release.tenant is not None
            if errorOnMissing if errorOnMissing is not None else strict:
                raise RenderError(
                    f"The key '{key}' does not exist in the namespace "
                    f"'{namespace or self.flow['namespace']}'."
                )
            return None
        return found["value"]

    def _render_function(self, value: Any, recursive: bool = True) -> Any:
        if not isinstance(value, str):
            return self.render(value)
        return self._recursively(value) if recursive else pebble.evaluate(value, self._variables())

    def _read(self, path: str) -> str:
        try:
            if path.startswith(SCHEME):
                with self.storage.open(path) as file:
                    return file.read().decode()
            return self.storage.namespace_file(self.flow["namespace"], path).read_text()
        except (NotFound, FileNotFoundError) as error:
            raise RenderError(f"Unable to read the file '{path}': it does not exist") from error

    def _now(self, format: str = "iso", timeZone: str | None = None) -> str:
        return pebble.format_date(datetime.now(UTC), format, timeZone)

    def _current_each_output(self, outputs: Any) -> Any:
        """The outputs of a task in the same rounds of all loops around."""
        for run in [*reversed(self._parents), self.task_run or {}]:
            if "value" in run:
                outputs = outputs[run["value"]]
        return outputs

    def add_labels(self, labels: Mapping[str, str]) -> None:
        """Give the execution labels; one that it has already gets the new value."""
        known = {label["key"]: label["value"] for label in self.execution.get("labels", ())}
        every = {**known, **labels}
        self.execution["labels"] = [{"key": key, "value": value} for key, value in every.items()]

    # --- log -------------------------------------------------------------------------------------

    def log(self, level: str, message: str) -> None:
        """Write a line to the execution's log.

        Args:
            level: TRACE, DEBUG, INFO, WARN or ERROR.
            message: long ones are split, as on the server.
        """
        if LEVELS[level] < self._min_level:
            return
        message = mask(message, self.used_secrets)
        written = datetime.now(UTC)
        for number, start in enumerate(range(0, max(len(message), 1), _MAX_MESSAGE)):
            entry: Json = {
                "namespace": self.execution["namespace"],
                "flowId": self.execution["flowId"],
                "executionId": self.execution["id"],
                "timestamp": instant(written + timedelta(milliseconds=number)),
                "level": level,
                "thread": threading.current_thread().name,
                "message": message[start : start + _MAX_MESSAGE],
                "deleted": False,
            }
            if self.task_run:
                entry |= {
                    "taskId": self.task_run["taskId"],
                    "taskRunId": self.task_run["id"],
                    "attemptNumber": max(len(self.task_run.get("attempts", ())) - 1, 0),
                }
            self.services.store.add_log(entry)

    # --- files -----------------------------------------------------------------------------------

    def working_file(self, suffix: str = "") -> Path:
        """An empty file for the task to write, named like the server's: a number and the suffix."""
        folder = self.services.config.scratch
        folder.mkdir(parents=True, exist_ok=True)
        stem = str(time.time_ns())
        handle, name = tempfile.mkstemp(prefix=stem, suffix=suffix, dir=folder)
        with open(handle, "wb"):
            return Path(name)

    @contextmanager
    def working_dir(self) -> Iterator[Path]:
        """A folder for the task to work in; it is gone after the block."""
        folder = self.services.config.scratch
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as name:
            yield Path(name)

    def put_file(self, file: Path, name: str | None = None) -> str:
        """Move a finished file into the storage of the task run.

        Returns:
            Its URI.
        """
        assert self.task_run is not None
        run = self.task_run
        folder = f"{execution_prefix(self.execution)}/tasks/{slug(run['taskId'])}/{run['id']}"
        return self.storage.adopt(file, folder, name)

    def delete_execution_files(self) -> list[str]:
        """Delete all files of the execution.

        Returns:
            Their URIs.
        """
        return self.storage.delete_prefix(execution_prefix(self.execution))


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """A map with the dots in its keys opened into maps; a key that is in another's way is not."""
    result: dict[str, Any] = {}
    for key, value in flat.items():
        place = result
        *path, last = key.split(".")
        for step in path:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                break
        else:
            place.setdefault(last, value)
    return result


def _task_states(execution: Json) -> Json:
    """The states of the task runs by task id, and by value below that for loops."""
    found: Json = {}
    for run in execution.get("taskRunList", ()):
        shown = {"state": run["state"]["current"]}
        if "value" in run:
            found.setdefault(run["taskId"], {})[run["value"]] = shown
        else:
            found[run["taskId"]] = shown
    return found


def task_outputs(execution: Json) -> Json:
    """The outputs of the task runs by task id, and by value below that for loops."""
    runs = {run["id"]: run for run in execution.get("taskRunList", ())}
    outputs: Json = {}
    for run in runs.values():
        values: list[str] = []
        above: Json | None = run
        while above:
            if "value" in above:
                values.insert(0, above["value"])
            above = runs.get(above.get("parentTaskRunId", ""))
        place = outputs
        for step in [run["taskId"], *values]:
            place = place.setdefault(step, {})
        place.update(run.get("outputs") or {})
    return outputs
