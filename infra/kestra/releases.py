"""What flows may not use on a release of Kestra, and what to use in its place.

The types are those that only one of the libraries `io.kestra:core` 1.3.31 and 2.0.0 has. Their
replacements are named where 1.3.31 deprecates them, and in
https://kestra.io/docs/migration-guide/v2.0.0.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .source import Path, find_place, load_document

_CORE = "io.kestra.plugin.core."
_LOOP = f"{_CORE}flow.Loop"
_WHEN = "when, an expression, in the trigger"
# Types and packages without `_CORE`.
NOT_IN_2: Mapping[str, str] = {
    "condition": _WHEN,
    "debug.Echo": f"{_CORE}log.Log",
    "execution.Count": "io.kestra.plugin.kestra.executions.Count",
    "execution.Resume": "io.kestra.plugin.kestra.executions.Resume",
    "flow.EachParallel": _LOOP,
    "flow.EachSequential": _LOOP,
    "flow.ForEach": _LOOP,
    "flow.ForEachItem": _LOOP,
    "flow.Template": f"{_CORE}flow.Subflow",
    "log.Fetch": "io.kestra.plugin.kestra.logs.Fetch",
    "state.Delete": f"{_CORE}kv.Delete",
    "state.Get": f"{_CORE}kv.Get",
    "state.Set": f"{_CORE}kv.Set",
    "storage.LocalFiles": f"inputFiles of {_CORE}flow.WorkingDirectory",
    "trigger.Toggle": "io.kestra.plugin.kestra.triggers.Toggle",
}
NOT_IN_1: Mapping[str, str] = {
    "flow.Loop": f"{_CORE}flow.ForEach",
    "flow.PurgeFlows": "Kestra's API",
    "trigger.McpToolTrigger": f"{_CORE}trigger.Webhook",
}
# Names from before 0.17, which 1.3.31 has as aliases.
_ALIAS = re.compile(
    r"io\.kestra\.core\."
    r"(?:tasks\.(debug|execution|flow|log|state|storage|templating|trigger)s?"
    r"|models\.(trigger|condition)s\.types)\.(\w+)"
)
_RENAMED: Mapping[str, str] = {
    "execution.Counts": "execution.Count",
    "flow.Flow": "flow.Subflow",
    "flow.Worker": "flow.WorkingDirectory",
    "storage.Purge": "execution.PurgeExecutions",
    "storage.PurgeExecution": "storage.PurgeCurrentExecutionFiles",
}
# Properties by the type that had them, those of the flow itself by "".
_KEYS_NOT_IN_2: Mapping[str, Mapping[str, str]] = {
    "": {
        "pluginDefaults": "the values in each task",
        "taskDefaults": "the values in each task",
        "listeners": "afterExecution",
    },
    "flow.Pause": {"delay": "pauseDuration"},
    "trigger.Flow": {"preconditions": "dependsOn"},
}
# Most flows need not be parsed.
_SUSPECT = re.compile(
    rf"io\.kestra\.core\.|{re.escape(_CORE)}(?:"
    rf"{'|'.join(map(re.escape, (*NOT_IN_1, *NOT_IN_2, *filter(None, _KEYS_NOT_IN_2))))})\b"
    rf"|^(?:{'|'.join(_KEYS_NOT_IN_2[''])}):",
    re.MULTILINE,
)


def major_version(image: str) -> int | None:
    """Returns the major version of Kestra that an image's tag names, or None if it names none.

    Args:
        image: the reference, such as kestra/kestra:v2.0.0.
    """
    found = re.search(r":v?(\d+)[^/]*$", image.partition("@")[0])
    return int(found[1]) if found else None


def release_errors(text: str, major: int) -> Iterator[tuple[tuple[int, int], str]]:
    """Yields what a flow uses that a release lacks, each with line and column.

    Args:
        text: the YAML.
        major: the major version of the release.

    Raises:
        ValueError: the text is not a YAML mapping.
    """
    if _SUSPECT.search(text):
        root, document = load_document(text)
        for path, holder in _mappings(document):
            for key, what, use in _lacking(holder, major, is_flow=not path):
                message = f"has {what}, which Kestra {major} does not have: use {use}"
                yield find_place(root, (*path, key)), message


def _lacking(
    holder: Mapping[str, Any], major: int, *, is_flow: bool
) -> Iterator[tuple[str, str, str]]:
    """Yields the key, the name and the replacement of what a mapping has that a release lacks."""
    kind = "" if is_flow else str(holder.get("type"))
    if use := _replacement(kind, major):
        yield "type", f"the type {kind}", use
    if major > 1:
        for key, use in _KEYS_NOT_IN_2.get(kind.removeprefix(_CORE), {}).items():
            if key in holder:
                yield key, key, use


def _replacement(kind: str, major: int) -> str | None:
    """Returns what to use in the place of a type that a release lacks, or None if it has it."""
    if alias := _ALIAS.fullmatch(kind):
        name = f"{alias[1] or alias[2]}.{alias[3]}"
        name = _RENAMED.get(name, name)
    else:
        name = kind.removeprefix(_CORE) if kind.startswith(_CORE) else ""
    if major < 2:
        return NOT_IN_1.get(name)
    use = NOT_IN_2.get(name) or NOT_IN_2.get(name.partition(".")[0])
    return use or (f"{_CORE}{name}" if alias else None)


def _mappings(value: Any, path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yields the mappings in a document, each with its place."""
    if isinstance(value, dict):
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, dict | list):
            yield from _mappings(item, (*path, key))
