"""The internal storage: files under one folder, addressed by `kestra:///` URIs."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from offline.kestra.errors import IllegalArgument, NotFound

SCHEME = "kestra://"


def slug(name: str) -> str:
    """A flow's or task's id as it stands in storage paths."""
    return re.sub("-+", "-", re.sub(r"[^\w-]", "", name).replace("_", "-")).strip("-").lower()


def execution_prefix(execution: Mapping[str, Any]) -> str:
    """The storage path of everything that an execution leaves behind."""
    namespace = execution["namespace"].replace(".", "/")
    return f"/{namespace}/{slug(execution['flowId'])}/executions/{execution['id']}"


def _files(namespace: str) -> str:
    return f"/{namespace.replace('.', '/')}/_files"


class Storage:
    """The storage of one tenant.

    Args:
        base: its folder; made if it is not there.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        base.mkdir(parents=True, exist_ok=True)

    def path(self, uri: str) -> Path:
        """The file behind a `kestra:///` URI or a storage path.

        Raises:
            IllegalArgument: the URI reaches upwards with `..`.
        """
        if ".." in uri:
            raise IllegalArgument(
                "File should be accessed with their full path and not using relative '..' path."
            )
        return self._base / unquote(uri.removeprefix(SCHEME)).lstrip("/")

    def open(self, uri: str) -> BinaryIO:
        """A stored file, to read.

        Raises:
            NotFound: there is none.
        """
        path = self.path(uri)
        try:
            return path.open("rb")
        except (FileNotFoundError, IsADirectoryError) as error:
            raise NotFound(f"{path} (No such file or directory)") from error

    def adopt(self, file: Path, folder: str, name: str | None = None) -> str:
        """Move a finished working file into the storage.

        Args:
            file: the file; it is gone from its place afterwards.
            folder: storage path of the folder it goes to.
            name: its name there, if not the one it has.

        Returns:
            Its URI.
        """
        target = f"{folder}/{name or file.name}"
        path = self.path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(file, path)
        return f"{SCHEME}{target}"

    def delete_prefix(self, prefix: str) -> list[str]:
        """Delete everything below a storage path.

        Returns:
            The URIs of what was deleted, deepest first.
        """
        root = self.path(prefix)
        paths = sorted(root.rglob("*"), reverse=True)
        if root.exists():
            paths.append(root)
            shutil.rmtree(root)
        return [f"{SCHEME}/{path.relative_to(self._base)}" for path in paths]

    # --- the files of a namespace --------------------------------------------------------------

    def namespace_file(self, namespace: str, path: str) -> Path:
        """The file of a namespace at a path relative to its root."""
        return self.path(f"{_files(namespace)}/{path.lstrip('/')}")

    def write_namespace_file(self, namespace: str, path: str, content: BinaryIO) -> None:
        """Create or replace a file of a namespace."""
        file = self.namespace_file(namespace, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
        with scratch.open("wb") as sink:
            shutil.copyfileobj(content, sink)
        scratch.replace(file)

    def namespace_paths(self, namespace: str) -> Iterator[str]:
        """The paths of all files of a namespace, in the order of the server: last name first."""
        root = self.namespace_file(namespace, "")
        for file in sorted((found for found in root.rglob("*") if found.is_file()), reverse=True):
            yield f"/{file.relative_to(root)}"

    def attributes(self, file: Path) -> dict[str, Any]:
        """What the API says of a file.

        Raises:
            NotFound: there is none.
        """
        try:
            facts = file.stat()
        except FileNotFoundError as error:
            raise NotFound(str(file)) from error
        return {
            "type": "Directory" if file.is_dir() else "File",
            "size": facts.st_size,
            "fileName": file.name,
            "lastModifiedTime": int(facts.st_mtime * 1000),
            "creationTime": int(facts.st_ctime * 1000),
        }

    def listing(self, namespace: str, path: str) -> list[dict[str, Any]]:
        """The entries of a folder of a namespace, in the folder's own order.

        Raises:
            NotFound: there is no such folder; the root is made if it is not there.
        """
        folder = self.namespace_file(namespace, path)
        if not path.strip("/"):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            return [self.attributes(Path(entry.path)) for entry in os.scandir(folder)]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(str(folder)) from error

    def delete_namespace_file(self, namespace: str, path: str) -> None:
        """Delete a file or folder, and the folders above it that are empty then."""
        root = self.namespace_file(namespace, "")
        target = self.namespace_file(namespace, path)
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
        for parent in target.parents:
            if parent == root or not parent.is_relative_to(root) or not parent.is_dir():
                break
            if any(parent.iterdir()):
                break
            parent.rmdir()
