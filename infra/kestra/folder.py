"""Finds the flows and namespace files in a folder."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pulumi

from .content import encode
from .source import FlowSource

_FLOW_SUFFIXES = (".yaml", ".yml")
_FILES = "files"
# What editors leave beside the files they edit.
_BACKUP_SUFFIXES = ("~", ".bak", ".orig", ".swp", ".tmp")


class FolderError(pulumi.RunError):
    """Files of flows are wrong; the message lists every fault with its file."""


@dataclass(frozen=True)
class Namespace:
    """What a folder holds for one namespace.

    Attributes:
        flows: the flows by id.
        paths: the paths of these flows, for messages.
        files: the contents of the namespace files by their path in the namespace.
    """

    flows: dict[str, FlowSource] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def read_folder(folder: Path) -> dict[str, Namespace]:
    """Returns what `<folder>/<namespace>/` holds: flows in *.yaml, files below files/.

    Hidden files, editor backups and what is no YAML are left alone.

    Raises:
        FolderError: the folder or files in it are wrong; every fault is in the message.
    """
    faults = [] if folder.is_dir() else [f"  {folder} is no folder"]
    namespaces: dict[str, Namespace] = {}
    for path in _files(folder):
        parts = path.relative_to(folder).parts
        if len(parts) > 2 and parts[1] == _FILES:
            files = namespaces.setdefault(parts[0], Namespace()).files
            files["/".join(parts[2:])] = encode(path.read_bytes())
        elif path.suffix in _FLOW_SUFFIXES:
            try:
                _add_flow(namespaces, folder, path)
            except ValueError as error:
                faults.append(f"  {path} {error}")
    raise_faults(faults)
    return namespaces


def raise_faults(faults: list[str]) -> None:
    """Raises a FolderError where files have faults; each names its file."""
    if faults:
        head = f"{len(faults)} file{'s are' if len(faults) > 1 else ' is'} wrong"
        raise FolderError("\n".join([f"{head}; nothing was changed.", *faults]))


def _add_flow(namespaces: dict[str, Namespace], folder: Path, path: Path) -> None:
    # Line ends stay as they are.
    flow = FlowSource.parse(path.read_bytes().decode())
    if path.parent != folder / flow.namespace:
        raise ValueError(
            f"describes {flow.key}: move it to {folder / flow.namespace}, or name its namespace "
            "as its folder"
        )
    namespace = namespaces.setdefault(flow.namespace, Namespace())
    if flow.flow_id in namespace.flows:
        raise ValueError(f"describes {flow.key}, and so does {namespace.paths[flow.flow_id]}")
    namespace.flows[flow.flow_id] = flow
    namespace.paths[flow.flow_id] = path


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        names = path.relative_to(folder).parts
        is_left_alone = any(
            name.startswith((".", "#")) or name.endswith(_BACKUP_SUFFIXES) for name in names
        )
        if path.is_file() and not is_left_alone:
            yield path
