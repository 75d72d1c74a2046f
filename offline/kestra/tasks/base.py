"""What all task types are: runnable ones do something, flowable ones decide what runs."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from offline.kestra.context import RunContext
from offline.kestra.schema import Json, Property


class TaskError(Exception):
    """A task failed; the message is what its log says.

    Args:
        outputs: what it has to give all the same.
    """

    def __init__(self, message: str, outputs: Json | None = None) -> None:
        super().__init__(message)
        self.outputs = outputs or {}


class TaskType:
    """A type of task.

    Attributes:
        type: its name in `type`.
        aliases: older names.
        properties: its own properties; those of every task come on top.
        unsupported: those of them that the stand-in refuses.
    """

    type: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    properties: ClassVar[Mapping[str, Property]] = {}
    unsupported: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, data: Json, context: RunContext) -> None:
        self.data = data
        self.context = context

    @classmethod
    def faults(cls, data: Json) -> Iterator[str]:
        """What is wrong with a task as it stands in the flow, beyond single properties."""
        return iter(())

    def given(self, name: str) -> Any:
        """The value of a property as it stands in the flow, or its default."""
        value = self.data.get(name)
        return self.properties[name].default if value is None else value

    def rendered(self, name: str) -> Any:
        """The value of a property with its expressions evaluated; None stays None.

        Raises:
            RenderError: an expression cannot be evaluated.
        """
        value = self.given(name)
        return None if value is None else self.context.render(value)

    def structured(self, name: str) -> Any:
        """A property that is a list or a map, or text that renders to its JSON.

        Raises:
            TaskError: the text is no JSON.
        """
        value = self.rendered(name)
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError as error:
            raise TaskError(f"{name}: `{value}` is no JSON: {error}") from error

    def text(self, name: str) -> str | None:
        """A property rendered to text."""
        value = self.given(name)
        return None if value is None else self.context.text(value)

    def flag(self, name: str) -> bool:
        """A property rendered to a truth value.

        Raises:
            TaskError: it is none.
        """
        value = self.rendered(name)
        if isinstance(value, str):
            if value.lower() not in ("true", "false"):
                raise TaskError(f"{name}: `{value}` is not a boolean")
            return value.lower() == "true"
        return bool(value)

    def choice(self, name: str, values: tuple[str, ...]) -> str | None:
        """A property rendered to one of a list of values.

        Raises:
            TaskError: it is none of them.
        """
        value = self.text(name)
        if value is not None and value not in values:
            raise TaskError(f"{name}: `{value}` is none of {', '.join(values)}")
        return value


class Runnable(TaskType, ABC):
    """A task that does something, on one of the worker's threads.

    Attributes:
        state: what it ends in when it does not fail: SUCCESS or WARNING.
    """

    state: str = "SUCCESS"

    @abstractmethod
    def run(self) -> Json:
        """Do it.

        Returns:
            The outputs.

        Raises:
            TaskError: it went wrong.
            Killed: the context was cancelled.
        """


class Executable(TaskType, ABC):
    """A task that starts an execution of another flow."""

    @abstractmethod
    def create(self) -> tuple[Json, Json]:
        """Make the execution.

        Returns:
            The flow, and its new execution, not yet saved.

        Raises:
            TaskError: there is no such flow, or its inputs are not these.
        """

    @abstractmethod
    def waits(self) -> bool:
        """Whether the task ends when the execution ends; if not, at once."""

    @abstractmethod
    def restarts(self) -> bool:
        """Whether a restart of the execution around restarts this one, rather than a new one."""

    @abstractmethod
    def result(self, execution: Json) -> tuple[str, Json]:
        """What becomes of the task.

        Args:
            execution: the execution, ended if the task waits for that.

        Returns:
            The state of the task and its outputs.
        """


class Branch:
    """Tasks to run one after the other, for one value of a loop if there is one.

    Attributes:
        tasks: the tasks.
        value: the value, as text.
        iteration: the number of the value, from zero.
    """

    def __init__(
        self, tasks: list[Json], value: str | None = None, iteration: int | None = None
    ) -> None:
        self.tasks = tasks
        self.value = value
        self.iteration = iteration


class Flowable(TaskType, ABC):
    """A task that holds tasks.

    Attributes:
        tolerates_failure: whether a failure of its tasks ends in WARNING.
    """

    tolerates_failure: ClassVar[bool] = False

    def outputs(self) -> Json:
        """What it decided, kept so that a resumed execution takes the same way."""
        return {}

    @abstractmethod
    def branches(self, outputs: Json) -> list[Branch]:
        """What is to run, given what `outputs` decided."""

    def concurrency(self) -> int:
        """How many branches may run at once; 0 for all."""
        return 1


def child_tasks(data: Json, properties: Mapping[str, Property]) -> Iterator[Json]:
    """The tasks directly inside a task."""
    for name, declared in properties.items():
        value = data.get(name)
        if declared.kind == "tasks":
            yield from value or ()
        elif declared.kind == "cases":
            for members in (value or {}).values():
                yield from members
