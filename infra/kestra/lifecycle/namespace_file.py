"""The lifecycle of `infra.kestra.resources.NamespaceFile`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..content import decode, digest, encode
from .base import Lifecycle, Props

if TYPE_CHECKING:
    from ..client import KestraClient


class NamespaceFileLifecycle(Lifecycle):
    """The lifecycle of one file; the server takes any content."""

    kind = "file"
    keys = ("namespace", "path")
    shown = "path"

    def record(self, news: Props) -> Props:
        """Returns the file's name and the digest of its content."""
        return {key: news[key] for key in self.keys} | {"digest": digest(news["content"])}

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
