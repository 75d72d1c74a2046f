"""Finds flows, namespace files and dashboards in folders."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .content import encode
from .errors import InvalidContent
from .source import FlowSource

_YAML_SUFFIXES = (".yaml", ".yml")
_FILES = "files"
_KESTRA_1 = ".kestra-1"
# What editors leave beside the files they edit.
_BACKUP_SUFFIXES = ("~", ".bak", ".orig", ".swp", ".tmp")


@dataclass(frozen=True)
class Namespace:
    """What a folder holds for one namespace.

    Attributes:
        flows: the flows by id.
        paths: the paths of these flows, for messages.
        files: the contents of the namespace files by their path in the namespace.
        kestra_1_flows: the flows that have another text before Kestra 2.0, by id.
    """

    flows: dict[str, FlowSource] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    kestra_1_flows: dict[str, FlowSource] = field(default_factory=dict)

    def flows_for(self, *, is_kestra_1: bool) -> dict[str, FlowSource]:
        """Returns the flows by id, in their texts for Kestra before 2.0 or since."""
        return {**self.flows, **self.kestra_1_flows} if is_kestra_1 else self.flows


def read_folder(folder: Path) -> dict[str, Namespace]:
    """Returns what `<folder>/<namespace>/` holds: flows in *.yaml, files below files/.

    A file *.kestra-1.yaml has the text of the flow beside it for Kestra before 2.0. Hidden files,
    editor backups and files that are not YAML are ignored.

    Raises:
        InvalidContent: the folder or files in it are invalid; the message lists every error.
    """
    errors = []
    namespaces: dict[str, Namespace] = {}
    # Texts for Kestra 1 come after the flows that they belong to.
    for path in sorted(_files(folder), key=_is_for_kestra_1):
        parts = path.relative_to(folder).parts
        try:
            "/".join(parts).encode()
            if len(parts) > 2 and parts[1] == _FILES:
                files = namespaces.setdefault(parts[0], Namespace()).files
                files["/".join(parts[2:])] = encode(path.read_bytes())
            elif path.suffix in _YAML_SUFFIXES:
                _add_flow(namespaces, folder, path)
        except UnicodeEncodeError:
            errors.append(f"  {os.fsencode(path)!r} has a name that is not UTF-8")
        except OSError as error:
            errors.append(f"  {path} cannot be read: {error.strerror}")
        except ValueError as error:
            errors.append(f"  {path} {error}")
    raise_errors(errors)
    return namespaces


def kestra_1_path(path: Path) -> Path:
    """Returns the path of a flow's text for Kestra before 2.0, beside the flow."""
    return path.with_name(f"{path.stem}{_KESTRA_1}{path.suffix}")


def dashboard_files(folder: Path) -> dict[str, Path]:
    """Returns the files of dashboards, `<folder>/*.yaml`, by their names without suffix.

    Raises:
        InvalidContent: the folder does not exist, or two files have one name.
    """
    paths: dict[str, Path] = {}
    for path in _files(folder):
        if path.parent == folder and path.suffix in _YAML_SUFFIXES:
            if path.stem in paths:
                raise InvalidContent(f"{path} has the name of {paths[path.stem]}")
            paths[path.stem] = path
    return paths


def raise_errors(errors: list[str]) -> None:
    """Raises InvalidContent if files have errors, each of which names its file."""
    if errors:
        head = f"{len(errors)} file{'s are' if len(errors) > 1 else ' is'} invalid"
        raise InvalidContent("\n".join([f"{head}; nothing was changed.", *errors]))


def _add_flow(namespaces: dict[str, Namespace], folder: Path, path: Path) -> None:
    # Line ends stay as they are.
    flow = FlowSource.parse(path.read_bytes().decode())
    if path.parent != folder / flow.namespace:
        raise ValueError(
            f"describes {flow.key}: move it to {folder / flow.namespace}, or change its namespace"
        )
    namespace = namespaces.setdefault(flow.namespace, Namespace())
    if _is_for_kestra_1(path):
        flow_path = namespace.paths.get(flow.flow_id)
        if flow_path is None or path != kestra_1_path(flow_path):
            name = path.name.replace(_KESTRA_1, "")
            raise ValueError(f"describes {flow.key} for Kestra 1, but {name} beside it does not")
        namespace.kestra_1_flows[flow.flow_id] = flow
        return
    if flow.flow_id in namespace.flows:
        raise ValueError(f"describes {flow.key}, and so does {namespace.paths[flow.flow_id]}")
    namespace.flows[flow.flow_id] = flow
    namespace.paths[flow.flow_id] = path


def _is_for_kestra_1(path: Path) -> bool:
    return path.stem.endswith(_KESTRA_1)


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise InvalidContent(f"{folder} is not a folder")
    for path in sorted(folder.rglob("*")):
        names = path.relative_to(folder).parts
        is_ignored = any(
            name.startswith((".", "#")) or name.endswith(_BACKUP_SUFFIXES) for name in names
        )
        if path.is_file() and not is_ignored:
            yield path
