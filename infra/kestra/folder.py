"""Finds flows, namespace files and dashboards in folders."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .content import encode, path_error, read_content, size_error
from .errors import InvalidContent
from .source import NAMESPACE, FlowSource, dashboard_id, decode_text

_YAML_SUFFIXES = (".yaml", ".yml")
_FILES = "files"
_TESTS = "tests"
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

    def files_for(self, *, is_kestra_1: bool) -> dict[Path, FlowSource]:
        """Returns the flows by the paths of their files, as `flows_for` chooses them."""
        texts = self.kestra_1_flows if is_kestra_1 else {}
        return {
            kestra_1_path(self.paths[id_]) if id_ in texts else self.paths[id_]: flow
            for id_, flow in self.flows_for(is_kestra_1=is_kestra_1).items()
        }


# What is wrong with files, in the order it was found.
Errors = list[tuple[Path, str]]


def read_folder(folder: Path) -> dict[str, Namespace]:
    """Returns what `<folder>/<namespace>/` holds: flows in *.yaml, files below files/.

    A file *.kestra-1.yaml has the text of the flow beside it for Kestra before 2.0. Hidden files,
    editor backups, files that are not YAML, and what is below tests/ are ignored.

    Raises:
        InvalidContent: the folder or files in it are invalid; the message lists every error.
    """
    namespaces, errors = scan_folder(folder)
    raise_errors(errors)
    return namespaces


def scan_folder(folder: Path) -> tuple[dict[str, Namespace], Errors]:
    """Returns what is valid in a folder, as `read_folder` does, and what is wrong with the rest.

    Raises:
        InvalidContent: there is no such folder.
    """
    errors: Errors = []
    namespaces: dict[str, Namespace] = {}
    sizes: Counter[str] = Counter()
    # Texts for Kestra 1 come after the flows that they belong to.
    for path in sorted(_files(folder, folder.rglob("*"), errors), key=is_for_kestra_1):
        with _noting(path, errors):
            if _is_below(_FILES, folder, path):
                name, size = _add_file(namespaces, folder, path)
                sizes[name] += size
            elif path.suffix in _YAML_SUFFIXES and not _is_below(_TESTS, folder, path):
                _add_flow(namespaces, folder, path)
    for name, size in sizes.items():
        if error := size_error(size):
            errors.append((folder / name / _FILES, error))
    return namespaces, errors


def suite_files(folder: Path) -> list[Path]:
    """Returns the files of the tests of flows, `<folder>/<namespace>/tests/*.yaml`."""
    paths = folder.glob(f"*/{_TESTS}/*")
    return [path for path in _files(folder, paths, []) if path.suffix in _YAML_SUFFIXES]


def kestra_1_path(path: Path) -> Path:
    """Returns the path of a flow's text for Kestra before 2.0, beside the flow."""
    return path.with_name(f"{path.stem}{_KESTRA_1}{path.suffix}")


def dashboard_files(folder: Path) -> dict[str, Path]:
    """Returns the files of dashboards, `<folder>/*.yaml`, by the ids of their dashboards.

    Raises:
        InvalidContent: the folder or files in it are invalid; the message lists every error.
    """
    errors: Errors = []
    paths: dict[str, Path] = {}
    for path in _files(folder, folder.glob("*"), errors):
        if path.suffix in _YAML_SUFFIXES:
            with _noting(path, errors):
                if path.stem in paths:
                    raise ValueError(f"has the name of {paths[path.stem]}")
                id_ = dashboard_id(decode_text(read_content(path)))
                if id_ != path.stem:
                    raise ValueError(
                        f"describes the dashboard {id_}: rename it to {id_}{path.suffix}, or "
                        "change its id"
                    )
                paths[id_] = path
    raise_errors(errors)
    return paths


def raise_errors(errors: Errors) -> None:
    """Raises InvalidContent if files have errors."""
    if errors:
        head = f"{len(errors)} file{'s are' if len(errors) > 1 else ' is'} invalid"
        lines = [f"  {path_name(path)} {error}" for path, error in errors]
        raise InvalidContent("\n".join([f"{head}; nothing was changed.", *lines]))


def path_name(path: Path) -> str:
    """Returns a path for messages, which may not be UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return repr(os.fsencode(path))
    return str(path)


@contextmanager
def _noting(path: Path, errors: Errors) -> Iterator[None]:
    """Adds what is wrong with a file to the errors."""
    try:
        yield
    except ValueError as error:
        errors.append((path, str(error)))


def _add_file(namespaces: dict[str, Namespace], folder: Path, path: Path) -> tuple[str, int]:
    """Adds a namespace file and returns its namespace and size."""
    name, _, *parts = path.relative_to(folder).parts
    if not NAMESPACE.fullmatch(name):
        raise ValueError(f'is in the namespace "{name}", which must match {NAMESPACE.pattern}')
    if error := path_error("/".join(parts)):
        raise ValueError(error)
    content = read_content(path)
    namespaces.setdefault(name, Namespace()).files["/".join(parts)] = encode(content)
    return name, len(content)


def _add_flow(namespaces: dict[str, Namespace], folder: Path, path: Path) -> None:
    flow = FlowSource.parse(decode_text(read_content(path)))
    if path.parent != folder / flow.namespace:
        raise ValueError(
            f"describes {flow.key}: move it to {folder / flow.namespace}, or change its namespace"
        )
    namespace = namespaces.setdefault(flow.namespace, Namespace())
    if is_for_kestra_1(path):
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


def is_for_kestra_1(path: Path) -> bool:
    """Returns whether a file has the text of a flow for Kestra before 2.0."""
    return path.stem.endswith(_KESTRA_1)


def _is_below(name: str, folder: Path, path: Path) -> bool:
    """Returns whether a path is below the folder of a name in a namespace."""
    parts = path.relative_to(folder).parts
    return len(parts) > 2 and parts[1] == name


def _files(folder: Path, paths: Iterable[Path], errors: Errors) -> Iterator[Path]:
    """Yields the files among paths in a folder, and adds what is wrong with others to the errors.

    What is skipped silently would be deleted on the server.
    """
    if not folder.is_dir():
        raise InvalidContent(f"{folder} is not a folder")
    for path in sorted(paths):
        names = path.relative_to(folder).parts
        if any(name.startswith((".", "#")) or name.endswith(_BACKUP_SUFFIXES) for name in names):
            continue
        if path_name(path) != str(path):
            errors.append((path, "has a name that is not UTF-8"))
        elif problem := _problem(folder, path):
            errors.append((path, problem))
        elif path.is_file():
            yield path


def _problem(folder: Path, path: Path) -> str | None:
    """Returns why a link, folder or special file can be neither read nor ignored, or None."""
    is_read = path.suffix in _YAML_SUFFIXES or _is_below(_FILES, folder, path)
    if path.is_symlink():
        if path.is_dir():
            return "is a link to a folder: put the folder itself there"
        target = Path(os.path.realpath(path))
        if is_read and not target.is_file():
            return f"is a link to {os.readlink(path)}, where there is no file"
        if is_read and not target.is_relative_to(folder.resolve()):
            return f"is a link to {target}, outside of {folder}: put a copy there"
    elif path.is_dir():
        if not os.access(path, os.R_OK | os.X_OK):
            return "cannot be read: Permission denied"
        if is_read and not _is_below(_FILES, folder, path):
            return "is a folder, but has the name of a YAML file: rename it"
    elif is_read and not path.is_file():
        return "is neither a file nor a folder"
    return None
