"""Runs the tasks whose Java classes only have properties, with the code in `offline.kestra.tasks`.

Imported only after the Java machine has started.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from jpype import JClass, JException, JImplements, JOverride

from offline.kestra.tasks import TYPES
from offline.kestra.tasks.base import Cancellation

_Exception = JClass("java.lang.Exception")
_Files = JClass("java.nio.file.Files")
_Mapper = JClass("io.kestra.core.serializers.JacksonMapper")
_Path = JClass("java.nio.file.Path")
_Utilities = JClass("io.kestra.core.models.tasks.runners.PluginUtilsService")


def to_java(value: Mapping[str, Any]) -> Any:
    """Returns plain data as a Java map."""
    return _Mapper.toMap(json.dumps(value))


class _Context:
    """`offline.kestra.tasks.base.Context` on Kestra's own context of a task."""

    def __init__(self, task: Any, context: Any) -> None:
        self._task = task
        self._context = context
        self.cancellation = Cancellation()

    def property(self, name: str, variables: Mapping[str, Any]) -> Any:
        return json.loads(str(self._task.property(self._context, name, to_java(variables))))

    def log(self, level: str, message: str) -> None:
        getattr(self._context.logger(), level.lower())(message)

    def working_dir(self) -> Path:
        return Path(str(self._context.workingDir().path()))

    def working_file(self, suffix: str = "") -> Path:
        return Path(str(self._context.workingDir().createTempFile(suffix)))

    def write_input_files(self, folder: Path, variables: Mapping[str, Any]) -> None:
        known = to_java(variables)
        files = _Utilities.transformInputFiles(self._context, known, self._task.inputFiles)
        _Utilities.createInputFiles(self._context, _Path.of(str(folder)), files, known)

    def open(self, uri: str) -> BinaryIO:
        copy = self.working_file()
        with self._context.storage().getFile(JClass("java.net.URI").create(uri)) as source:
            replace = JClass("java.nio.file.StandardCopyOption").REPLACE_EXISTING
            _Files.copy(source, _Path.of(str(copy)), replace)
        file = copy.open("rb")
        copy.unlink()  # the open file keeps its content
        return file

    def put(self, file: Path, name: str | None = None) -> str:
        source = JClass("java.io.File")(str(file))
        return str(self._context.storage().putFile(source, name or file.name))


@JImplements("podium.PythonTask$Work")
class _Work:
    """One run of a task."""

    def __init__(self, task: Any, context: Any) -> None:
        self._context = _Context(task, context)
        self._task = TYPES[str(task.getType())](self._context)

    @JOverride
    def run(self) -> str:
        try:
            return json.dumps(self._task.run())
        except JException:
            raise
        except Exception as error:  # whatever it is, the task has failed and its log says why
            raise _Exception(str(error)) from error

    @JOverride
    def kill(self) -> None:
        self._context.cancellation.cancel()


@JImplements("podium.PythonTask$Python")
class _Python:
    @JOverride
    def begin(self, task: Any, context: Any) -> _Work:
        return _Work(task, context)


def install() -> None:
    """Has Python run the tasks."""
    JClass("podium.PythonTask").runWith(_Python())
