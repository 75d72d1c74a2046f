"""What a task is, and what it sees of Kestra while it runs."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Protocol

Json = dict[str, Any]


class TaskError(Exception):
    """A task failed; the message is what its log says."""


class Killed(Exception):
    """The execution of the task was killed."""


class Cancellation:
    """The cancellation of a task: a flag to check, and actions that end what blocks."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._actions: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """Raises the flag and runs the actions."""
        with self._lock:
            self._event.set()
            actions = list(self._actions)
        for action in actions:
            action()

    def check(self) -> None:
        """Ends the task if the flag is up.

        Raises:
            Killed: if it is.
        """
        if self._event.is_set():
            raise Killed("killed")

    @contextmanager
    def breaking(self, action: Callable[[], None]) -> Iterator[None]:
        """Has a cancellation run `action` while the block runs."""
        with self._lock:
            self._actions.append(action)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._actions.remove(action)


class Context(Protocol):
    """What a task sees of Kestra.

    Attributes:
        cancellation: what Kestra cancels when it kills the task.
    """

    cancellation: Cancellation

    def property(self, name: str, variables: Mapping[str, Any]) -> Any:
        """Returns a property of the task, rendered and converted to its type; None if not given.

        Args:
            name: its name.
            variables: what its expressions can use besides Kestra's own variables.
        """

    def log(self, level: str, message: str) -> None:
        """Writes to the log of the execution, at level DEBUG, INFO or WARN."""

    def working_dir(self) -> Path:
        """Returns the folder of the task, which Kestra removes."""

    def working_file(self, suffix: str = "") -> Path:
        """Creates an empty file in the folder of the task."""

    def write_input_files(self, folder: Path, variables: Mapping[str, Any]) -> None:
        """Writes the files of the property `inputFiles`.

        Args:
            folder: where to write them.
            variables: as those of `property`.
        """

    def open(self, uri: str) -> BinaryIO:
        """Opens a file of Kestra's internal storage to read."""

    def put(self, file: Path, name: str | None = None) -> str:
        """Moves a file into the internal storage and returns its URI.

        Args:
            file: the file.
            name: its name there; that of the file if not given.
        """


class Task(ABC):
    """One run of a task.

    Attributes:
        type: its type in flows.
        variables: what its expressions can use besides Kestra's own variables.
    """

    type: ClassVar[str]

    def __init__(self, context: Context) -> None:
        self.context = context
        self.variables: Json = {}

    @abstractmethod
    def run(self) -> Json:
        """Runs the task and returns its outputs.

        Raises:
            TaskError: if it fails.
            Killed: if it was cancelled.
        """

    def property(self, name: str) -> Any:
        """Returns a property, rendered and converted to its type; None if not given."""
        return self.context.property(name, self.variables)

    def refuse(self, *names: str) -> None:
        """Refuses properties that only the official plugin supports.

        Raises:
            TaskError: if one of them is given.
        """
        if given := [name for name in names if self.property(name)]:
            raise TaskError(f"not available here: {', '.join(given)}")
