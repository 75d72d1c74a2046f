"""The life of one namespace file: `infra.kestra.resources.NamespaceFile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)
from pulumi.output import Unknown

from ..content import decode, encode
from ..errors import KestraError
from .connection import PROPERTIES, connect, connect_in_preview, connection
from .reconcile import digest

if TYPE_CHECKING:
    from ..client import KestraClient


def check(olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
    """Finds, in a preview, whether another file is there already; the server takes any content."""
    client = connect_in_preview(news)
    fault = None
    if client and not olds:
        fault = _exists_already(client, news)
    return CheckResult(news, [CheckFailure("path", fault)] if fault else [])


def create(props: dict[str, Any]) -> CreateResult:
    """Writes the file; one with other content that nobody told of is an error.

    Raises:
        KestraError: the server refused it, or has another file there.
    """
    if fault := _exists_already(connect(props), props):
        raise KestraError(fault)
    return CreateResult(f"{props['namespace']}/{props['path']}", _write(props))


def diff(_id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
    """Compares two states; another namespace or path is another file."""
    replaces = [key for key in ("namespace", "path") if olds[key] != news[key]]
    is_changed = (
        isinstance(news["content"], Unknown)
        or olds["digest"] != digest(news["content"])
        or any(olds[key] != news[key] for key in PROPERTIES)
    )
    return DiffResult(
        changes=is_changed or bool(replaces), replaces=replaces, delete_before_replace=False
    )


def update(_id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
    """Writes the new content."""
    return UpdateResult(_write(news))


def delete(_id: str, props: dict[str, Any]) -> None:
    """Deletes the file; one that is gone already is no error."""
    connect(props).delete_file(props["namespace"], props["path"])


def read(id_: str, props: dict[str, Any]) -> ReadResult:
    """Reads the file from the server; a deleted one has no id."""
    found = connect(props).get_file(props["namespace"], props["path"])
    if found is None:
        return ReadResult("", {})
    text = encode(found)
    if digest(text) == props["digest"]:
        return ReadResult(id_, props)
    outputs = {**props, "digest": digest(text)}
    return ReadResult(id_, outputs, {**outputs, "content": text})


def _write(props: dict[str, Any]) -> dict[str, Any]:
    connect(props).put_file(props["namespace"], props["path"], decode(props["content"]))
    return {
        **connection(props),
        "namespace": props["namespace"],
        "path": props["path"],
        "digest": digest(props["content"]),
    }


def _exists_already(client: KestraClient, props: dict[str, Any]) -> str | None:
    if props["adopt"]:
        return None
    found = client.get_file(props["namespace"], props["path"])
    if found is None or encode(found) == props["content"]:
        return None
    return (
        f"file {props['path']} of namespace {props['namespace']} exists already on the server, "
        "with other content. Take it over with adopt=True, or delete it there"
    )
