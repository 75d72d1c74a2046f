"""The lifecycle of `infra.kestra.resources.NamespaceFile`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pulumi.dynamic import CheckFailure
from pulumi.output import Unknown

from ..content import decode, digest, encode, path_error
from .base import Lifecycle, Props, namespace_failures

if TYPE_CHECKING:
    from ..client import KestraClient


class NamespaceFileLifecycle(Lifecycle):
    """The lifecycle of one file, of which the server takes any content."""

    kind = "file"
    keys = ("namespace", "path")
    shown = "path"

    def record(self, news: Props) -> Props:
        """Returns the file's name and the digest of its content."""
        return {key: news[key] for key in self.keys} | {"digest": digest(news["content"])}

    def validate(self, news: Props) -> Iterator[CheckFailure]:
        """Yields what is wrong with namespace and path."""
        yield from namespace_failures(news)
        if not isinstance(news["path"], Unknown) and (error := path_error(news["path"])):
            yield CheckFailure("path", error)

    def find(self, client: KestraClient, id_: str) -> Props | None:
        """Returns the content of the file on the server."""
        found = client.get_file(*id_.split("/", 1))
        return None if found is None else {"content": encode(found)}

    def write(self, client: KestraClient, news: Props, olds: Props | None) -> Props:
        """Writes the file."""
        client.put_file(news["namespace"], news["path"], decode(news["content"]))
        return {}

    def remove(self, client: KestraClient, id_: str) -> None:
        """Deletes the file."""
        client.delete_file(*id_.split("/", 1))


lifecycle = NamespaceFileLifecycle()
