"""What tasks see of Kestra, for tests of tasks without it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from jinja2 import Template

from offline.kestra.tasks.base import Cancellation


class TaskContext:
    """The context of tasks whose properties are given, and whose expressions only have variables.

    Args:
        folder: an empty folder; files that are stored go to `stored` in it.
    """

    def __init__(self, folder: Path) -> None:
        self.cancellation = Cancellation()
        self.properties: dict[str, Any] = {}
        self.logged: list[tuple[str, str]] = []
        self.scratch, self.stored = folder / "scratch", folder / "stored"
        self.scratch.mkdir()
        self.stored.mkdir()

    def property(self, name: str, variables: Mapping[str, Any]) -> Any:
        value = self.properties.get(name)
        if isinstance(value, str) and "{{" in value:  # jinja2 changes the ends of lines
            return Template(value, keep_trailing_newline=True).render(variables)
        return value

    def log(self, level: str, message: str) -> None:
        self.logged.append((level, message))

    def working_dir(self) -> Path:
        return self.scratch

    def working_file(self, suffix: str = "") -> Path:
        return Path(tempfile.mkstemp(suffix, dir=self.scratch)[1])

    def write_input_files(self, folder: Path, variables: Mapping[str, Any]) -> None:
        for name, content in self.properties["inputFiles"].items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(content)

    def open(self, uri: str) -> BinaryIO:
        return (self.stored / uri).open("rb")

    def put(self, file: Path, name: str | None = None) -> str:
        return Path(shutil.move(file, self.stored / (name or file.name))).name

    def text(self, uri: str) -> str:
        """The content of a stored file."""
        return (self.stored / uri).read_bytes().decode()

    def messages(self, level: str) -> list[str]:
        """What was logged at a level."""
        return [message for written, message in self.logged if written == level]
