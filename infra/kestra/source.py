"""The YAML of flows and dashboards: their names, and their validation without a server.

The rules are those of Kestra's own validation, from 0.20 to 2.0; what only some versions refuse
is left to the server.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

# Every scalar stays text. libyaml, if PyYAML has it, is several times as fast.
LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")
NAMESPACE = re.compile(r"[a-z0-9][a-z0-9._-]*")
_TASK_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]*")
_FLOW_PARTS = "id, namespace and tasks"
_ID_LENGTH = 100
_NAMESPACE_LENGTH = 150
# https://kestra.io/docs/migration-guide/1.0.0/reserved-flow-ids; 2.0 takes `executions`.
_RESERVED_IDS = {
    "pause", "resume", "force-run", "change-status", "kill", "search", "source",
    "disable", "enable",
}  # fmt: skip
# The properties of a flow in any version.
_KEYS = {
    "id", "namespace", "tenantId", "revision", "description", "labels", "inputs", "outputs",
    "variables", "tasks", "errors", "finally", "afterExecution", "listeners", "triggers",
    "pluginDefaults", "taskDefaults", "concurrency", "retry", "sla", "checks", "workerGroup",
    "workerSelector", "policyRefs", "quotas", "draft", "disabled", "deleted", "updated",
}  # fmt: skip
# Where tasks hold tasks.
_TASK_LISTS = ("tasks", "then", "else", "errors", "finally", "defaults")
# The names at the start of a text in the form that nearly every author gives them; any other form
# is for the parser.
_NAME = r"(id|namespace):[ \t]+([A-Za-z0-9][\w.-]*)(?:[ \t]+#[\t -~]*)?[ \t]*"
_HEAD = re.compile(rf"(?:(?:#[\t -~]*)?\n)*{_NAME}\n{_NAME}(?:\n+(?=\S)|\s*\Z)", re.ASCII)
_TOO_DEEP = "is nested too deeply, or contains itself"
_REVISION = re.compile(r"^revision: \d+\n?", re.MULTILINE)
_DASHBOARD_ID = re.compile(r"^id:", re.MULTILINE)

# The keys and indices that lead to a part of a document.
Path = tuple[str | int, ...]


def decode_text(content: bytes) -> str:
    """Returns the text of a YAML file, line ends as they are.

    Raises:
        ValueError: the content is not UTF-8.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        place = _place(content[: error.start].decode())
        raise ValueError(f"is not UTF-8: {place}: byte 0x{content[error.start]:02x}") from error


def is_same_text(stored: str, text: str) -> bool:
    """Returns whether a server stores a text; some versions omit the line of the revision."""
    return _REVISION.sub("", stored, count=1) == _REVISION.sub("", text, count=1)


def is_same_document(text: str, other: str) -> bool:
    """Returns whether two texts differ in comments and layout at most."""
    try:
        return bool(yaml.load(text, Loader=LOADER) == yaml.load(other, Loader=LOADER))
    except yaml.YAMLError:
        # The server may hold what its own parser reads and this one does not.
        return False


@dataclass(frozen=True)
class FlowSource:
    """The text of one flow and its name.

    Attributes:
        namespace: the namespace that the text names.
        flow_id: the id that the text names.
        text: the YAML, as its author wrote it.
    """

    namespace: str
    flow_id: str
    text: str

    @property
    def key(self) -> str:
        """Returns namespace and id in one word, such as zoomcamp/taxi_load."""
        return f"{self.namespace}/{self.flow_id}"

    @classmethod
    def parse(cls, text: str) -> "FlowSource":
        """Reads namespace and id from a YAML text, parsing no more than it must.

        Raises:
            ValueError: the text is not a YAML mapping, or lacks a valid namespace or id.
        """
        found = _HEAD.match(text)
        head = {found[1]: found[2], found[3]: found[4]} if found else {}
        if len(head) != 2:
            head = load_document(text, _FLOW_PARTS)[1]
        if errors := list(_name_errors(head)):
            raise ValueError("; ".join(message for _, message in errors))
        return cls(head["namespace"], head["id"], text)

    @staticmethod
    def errors(text: str) -> list[str]:
        """Returns what is wrong with a YAML text, as far as that shows without a server."""
        try:
            return [message for _, message in flow_errors(load_document(text, _FLOW_PARTS)[1])]
        except ValueError as error:
            return [str(error)]
        except RecursionError:
            return [_TOO_DEEP]


def flow_errors(document: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yields what is wrong with a flow, each with its place in the document."""
    yield from _name_errors(document)
    yield from _content_errors(document)


def dashboard_id(text: str) -> str:
    """Returns the id that the YAML text of a dashboard names.

    Raises:
        ValueError: the text is not a YAML mapping, or lacks a valid id or title, or charts.
    """
    document = load_document(text, "id, title and charts")[1]
    for key in ("id", "title"):
        value = document.get(key)
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f'has no "{key}: <name>" at its top level')
    if not _DASHBOARD_ID.search(text):
        # Kestra would put a line of its own in front whenever it shows the text.
        raise ValueError('has no line that starts with "id:"')
    if not dicts(document.get("charts")):
        raise ValueError("has no charts")
    return str(document["id"])


def load_document(text: str, parts: str = _FLOW_PARTS) -> tuple[yaml.Node, dict[str, Any]]:
    """Returns the nodes of a YAML text, which have the places, and what they mean.

    Args:
        text: the YAML.
        parts: what the document should have, for the error.

    Raises:
        ValueError: the text is not a YAML mapping; the message has the place.
    """
    try:
        loader = _UniqueKeyLoader(text)
        node = loader.get_single_node()
        document = loader.construct_document(node) if node else None
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    except yaml.YAMLError as error:
        raise ValueError(yaml_error(error, text)) from error
    if not isinstance(document, dict):
        raise ValueError(f"is not a YAML mapping with {parts}")
    return node, document


def find_place(node: yaml.Node, path: Path) -> tuple[int, int]:
    """Returns line and column of a part of a document, or of what should have had it."""
    mark = node.start_mark
    for part in path:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = [(value, value) for value in node.value[part : part + 1]]
        else:
            found = []
        if not found:
            break
        mark, node = found[0][0].start_mark, found[0][1]
    return mark.line + 1, mark.column + 1


def _name_errors(document: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    for key, pattern, length in (
        ("id", _ID, _ID_LENGTH),
        ("namespace", NAMESPACE, _NAMESPACE_LENGTH),
    ):
        value = document.get(key)
        if not value or not isinstance(value, str):
            yield (key,), f'has no "{key}: <name>" at its top level'
        elif not pattern.fullmatch(value):
            yield (key,), f'has the {key} "{value}", which must match {pattern.pattern}'
        elif len(value) > length:
            yield (key,), f"has {len(value)} characters in its {key}, more than {length}"
        elif key == "id" and value in _RESERVED_IDS:
            yield (key,), f'has the id "{value}", which Kestra reserves'


def _content_errors(document: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    for key in sorted(document.keys() - _KEYS):
        yield (key,), f'has the unknown key "{key}" at its top level'
    if not isinstance(document.get("tasks"), list) or not document["tasks"]:
        yield ("tasks",), "has no tasks"
    tasks = [(path, task["id"]) for path, task in flow_tasks(document) if _has_id(task)]
    for kind, ids in (
        ("task", tasks),
        ("trigger", _ids(document, "triggers")),
        ("input", _ids(document, "inputs")),
        ("output", _ids(document, "outputs")),
    ):
        places: dict[str, list[Path]] = {}
        for path, id_ in ids:
            places.setdefault(id_, []).append(path)
        for twice in sorted(id_ for id_, paths in places.items() if len(paths) > 1):
            yield (*places[twice][1], "id"), f'has more than one {kind} with the id "{twice}"'
    for path, id_ in tasks:
        if not _TASK_ID.fullmatch(id_):
            yield (
                (*path, "id"),
                f'has a task with the id "{id_}", which must match {_TASK_ID.pattern}',
            )


def flow_tasks(holder: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yields the tasks in a flow or task, and those within them, each with its place."""
    lists: list[tuple[Path, Any]] = [((key,), holder.get(key)) for key in _TASK_LISTS]
    if isinstance(cases := holder.get("cases"), dict):
        lists.extend((("cases", case), tasks) for case, tasks in cases.items())
    if "namespace" in holder:
        lists.append((("afterExecution",), holder.get("afterExecution")))
        lists.extend(
            (("listeners", index, "tasks"), item.get("tasks"))
            for index, item in enumerate(dicts(holder.get("listeners")))
        )
    for key, tasks in lists:
        for index, task in enumerate(tasks if isinstance(tasks, list) else ()):
            if isinstance(task, dict):
                # The items of a Dag hold their task one level deeper.
                is_deeper = isinstance(task.get("task"), dict)
                inner = task["task"] if is_deeper else task
                place = (*path, *key, index, *(("task",) if is_deeper else ()))
                yield place, inner
                yield from flow_tasks(inner, place)


def _ids(document: dict[str, Any], key: str) -> list[tuple[Path, str]]:
    items = document.get(key)
    return [
        ((key, index), item["id"])
        for index, item in enumerate(items if isinstance(items, list) else ())
        if isinstance(item, dict) and _has_id(item)
    ]


def _has_id(item: dict[str, Any]) -> bool:
    return isinstance(item.get("id"), str)


def dicts(items: Any) -> list[dict[str, Any]]:
    """Returns the mappings in a list, or none if it is not a list."""
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


class _UniqueKeyLoader(LOADER):  # type: ignore[misc]
    """Refuses a mapping with a duplicate key, as Kestra does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        """Returns the mapping, or raises if a key is duplicate."""
        seen = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f'the key "{key_node.value}" is duplicate', key_node.start_mark
                )
            seen.add(key_node.value if isinstance(key_node, yaml.ScalarNode) else None)
        mapping: dict[object, object] = super().construct_mapping(node, deep)
        return mapping


def yaml_error(error: yaml.YAMLError, text: str) -> str:
    """Returns what is wrong with a text, with its place."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        reason = ", ".join(filter(None, (error.context, error.problem)))
        return f"is not valid YAML: line {mark.line + 1}, column {mark.column + 1}: {reason}"
    # This error has the position as a byte or as a character, depending on the loader.
    if control := yaml.reader.Reader.NON_PRINTABLE.search(text):
        place = _place(text[: control.start()])
        return f"is not valid YAML: {place}: character U+{ord(control[0]):04X} is not allowed"
    return f"is not valid YAML: {error}"


def _place(before: str) -> str:
    """Returns the line and column that follow a text."""
    lines = re.split(r"\r\n|\r|\n", before)
    return f"line {len(lines)}, column {len(lines[-1]) + 1}"
