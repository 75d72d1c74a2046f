"""Runs the tasks whose Java classes only have properties, with the code in `offline.kestra.tasks`.

Imported only after the Java machine has started.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from jpype import JClass, JException, JImplements, JOverride

from offline.kestra.context import Cancellation, Killed, RunContext
from offline.kestra.tasks import TYPES
from offline.kestra.tasks.base import Runnable

_Files = JClass("java.nio.file.Files")
_Mapper = JClass("io.kestra.core.serializers.JacksonMapper")


def from_java(value: Any) -> Any:
    """Returns a Java object as plain data, as Kestra's API writes it."""
    return json.loads(str(_Mapper.ofJson().writeValueAsString(value)))


def to_java(value: Mapping[str, Any]) -> Any:
    """Returns plain data as a Java map."""
    return _Mapper.toMap(json.dumps(value))


class _Storage:
    """Kestra's internal storage, as one task sees it."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def open(self, uri: str) -> BinaryIO:
        """Opens a stored file to read."""
        copy = self._context.workingDir().createTempFile()
        with self._context.storage().getFile(JClass("java.net.URI").create(uri)) as source:
            _Files.copy(source, copy, JClass("java.nio.file.StandardCopyOption").REPLACE_EXISTING)
        path = Path(str(copy))
        file = path.open("rb")
        path.unlink()  # the open file keeps its content
        return file


class _Context:
    """The part of `offline.kestra.context.RunContext` that tasks use, on Kestra's own context."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._added: Mapping[str, Any] | None = None
        self.cancellation = Cancellation()
        self.storage = _Storage(context)

    def render(self, value: Any) -> Any:
        """Renders all expressions in texts, lists and maps; a lone expression keeps its type."""
        if isinstance(value, str):
            if self._added is not None:
                return self.text(value)
            return from_java(self._context.renderTyped(value))
        if isinstance(value, list):
            return [self.render(each) for each in value]
        if isinstance(value, Mapping):
            return {self.text(key): self.render(each) for key, each in value.items()}
        return value

    def text(self, value: Any) -> str:
        """Renders to text."""
        template = value if isinstance(value, str) else json.dumps(value)
        return str(self._context.render(template, to_java(self._added or {})))

    @contextmanager
    def adding(self, variables: Mapping[str, Any]) -> Iterator[None]:
        """Adds variables, which may still change, to the expressions rendered in the block."""
        self._added = variables
        try:
            yield
        finally:
            self._added = None

    def log(self, level: str, message: str) -> None:
        """Writes to the execution's log."""
        getattr(self._context.logger(), level.lower())(message)

    def working_file(self, suffix: str = "") -> Path:
        """Creates an empty file for the task to write."""
        return Path(str(self._context.workingDir().createTempFile(suffix)))

    @contextmanager
    def working_dir(self) -> Iterator[Path]:
        """The folder of the task, which Kestra removes."""
        yield Path(str(self._context.workingDir().path()))

    def put_file(self, file: Path, name: str | None = None) -> str:
        """Moves a file into the storage and returns its URI."""
        source = JClass("java.io.File")(str(file))
        return str(self._context.storage().putFile(source, name or file.name))


@JImplements("podium.PythonTask$Work")
class _Work:
    """One run of a task."""

    def __init__(self, data: dict[str, Any], context: Any) -> None:
        task_type = TYPES[data["type"]]
        for name, declared in task_type.properties.items():
            # A property that is a list or a map comes as the JSON that is its expression.
            if declared.kind == "any" and isinstance(data.get(name), str):
                with suppress(ValueError):
                    data[name] = json.loads(data[name])
        self._context = _Context(context)
        self._task = cast(Runnable, task_type(data, cast(RunContext, self._context)))

    @JOverride
    def run(self) -> str:
        task = self._task
        outputs: dict[str, Any] = {}
        error = None
        try:
            if names := sorted(name for name in task.unsupported if task.data.get(name)):
                raise NotImplementedError(f"not available here: {', '.join(names)}")
            outputs = task.run()
        except Killed:
            error = "killed"
        except JException as exception:
            error = str(exception.getMessage())
        except Exception as exception:  # whatever it is, the task has failed and its log says why
            error = str(exception)
            outputs = getattr(exception, "outputs", {})
        return json.dumps({"outputs": outputs, "error": error})

    @JOverride
    def kill(self) -> None:
        self._context.cancellation.cancel()


@JImplements("podium.PythonTask$Python")
class _Python:
    @JOverride
    def begin(self, task: str, context: Any) -> _Work:
        return _Work(json.loads(str(task)), context)


def install() -> None:
    """Has Python run the tasks."""
    JClass("podium.PythonTask").runWith(_Python())
