"""The lifecycle that flows, namespace files, key-values and dashboards share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)
from pulumi.output import Unknown

from ..errors import Conflict, KestraError
from ..source import NAMESPACE
from .connection import connect, connect_in_preview, connection

if TYPE_CHECKING:
    from ..client import KestraClient

Props = dict[str, Any]

EXISTS = (
    "already exists on the server with different content. Adopt it with adopt=True, or delete it "
    "there"
)
CHANGED = (
    "was changed on the server by somebody else. Review the change with pulumi refresh, or replace "
    "it with overwrite=True"
)


def constraints(validation: Props) -> list[str]:
    """Returns why the server would refuse a text, from its answer to a validation."""
    # One text up to 1.3, a list of errors after that.
    found = validation.get("errors") or [validation.get("constraints")]
    return [str(reason).strip() for reason in found if reason]


def namespace_failures(news: Props) -> Iterator[CheckFailure]:
    """Yields what is wrong with the namespace among inputs."""
    if not isinstance(news["namespace"], Unknown) and not NAMESPACE.fullmatch(news["namespace"]):
        yield CheckFailure("namespace", f"must match {NAMESPACE.pattern}")


class Lifecycle(ABC):
    """What a provider does with one kind of content.

    Inputs (`news`) hold the content, outputs (`olds`) what is needed to compare and delete it.

    Attributes:
        kind: what messages call the content, before its id.
        keys: the inputs that name the content; with other values it is other content, and replaced.
        shown: the input beside which Pulumi shows what is wrong, with its value.
    """

    kind: ClassVar[str]
    keys: ClassVar[tuple[str, ...]]
    shown: ClassVar[str]

    def identity(self, news: Props) -> str:
        """Returns the id of the resource, such as zoomcamp/sql/merge.sql."""
        return "/".join(str(news[key]) for key in self.keys)

    def place(self, news: Props) -> str:
        """Returns what messages call the content, such as the path of its file."""
        return f"{self.kind} {self.identity(news)}"

    @abstractmethod
    def record(self, news: Props) -> Props:
        """Returns the outputs that follow from the inputs alone."""

    @abstractmethod
    def find(self, client: KestraClient, id_: str) -> Props | None:
        """Returns the content on the server as inputs, or None if there is none."""

    @abstractmethod
    def write(self, client: KestraClient, news: Props, olds: Props | None) -> Props:
        """Writes the content, which is new if `olds` is None; returns what the server decides."""

    @abstractmethod
    def remove(self, client: KestraClient, id_: str) -> None:
        """Deletes the content; it is no error if it is gone already."""

    def validate(self, news: Props) -> Iterable[CheckFailure]:
        """Returns what is wrong with the inputs, without a server."""
        return ()

    def review(self, client: KestraClient, olds: Props, news: Props) -> Iterable[str]:
        """Returns why the server would refuse valid inputs; called in a preview only."""
        if not olds and self.conflicts(client, news):
            yield EXISTS

    def is_same(self, found: Props, recorded: Props) -> bool:
        """Returns whether content on the server is what the outputs record."""
        return self.record({**recorded, **found}).items() <= recorded.items()

    def conflicts(self, client: KestraClient, news: Props) -> bool:
        """Returns whether the server has other content, which a new resource may not adopt."""
        found = None if news["adopt"] else self.find(client, self.identity(news))
        return found is not None and not self.is_same(found, self.record(news))

    def check(self, olds: Props, news: Props) -> CheckResult:
        """Validates the inputs, in a preview with the help of a server that answers."""
        client = connect_in_preview(news)
        if olds and self.record(olds) == self.record(news):
            return CheckResult(news, [])
        failures = list(self.validate(news))
        if client and not failures:
            failures = [
                CheckFailure(self.shown, error) for error in self.review(client, olds, news)
            ]
        return CheckResult(news, failures)

    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        """Compares outputs with new inputs; replaced content is created before it is deleted."""
        new = {**connection(news), **self.record(news)}
        is_changed = any(olds.get(key) != value for key, value in new.items())
        is_other = is_changed and self.identity(news) != id_
        return DiffResult(
            changes=is_changed,
            replaces=[key for key in self.keys if is_other and olds.get(key) != news[key]],
            delete_before_replace=False,
        )

    def create(self, news: Props) -> CreateResult:
        """Writes new content, or adopts what exists.

        Raises:
            KestraError: the server refused it, or has other content.
        """
        return CreateResult(self.identity(news), self._write(news, None))

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Writes changed content."""
        return UpdateResult(self._write(news, olds))

    def delete(self, id_: str, olds: Props) -> None:
        """Deletes the content; it is no error if it is gone already."""
        self.remove(connect(olds), id_)

    def read(self, id_: str, olds: Props) -> ReadResult:
        """Reads the content from the server; a deleted one has no id."""
        found = self.find(connect(olds), id_)
        if found is None:
            return ReadResult("", {})
        if self.is_same(found, olds):
            return ReadResult(id_, olds)
        now = {**olds, **found}
        outputs = {**{key: now[key] for key in olds}, **self.record(now)}
        return ReadResult(id_, outputs, {**outputs, **found})

    def _write(self, news: Props, olds: Props | None) -> Props:
        try:
            client = connect(news)
            if olds is None and self.conflicts(client, news):
                raise Conflict(EXISTS)
            written = self.write(client, news, olds)
        except KestraError as error:
            raise error.within(self.place(news)) from error
        return {**connection(news), **self.record(news), **written}
