"""What Kestra's own validator says of flows."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from cli import offline
from cli.flows.findings import Finding
from cli.flows.rules import PROSE, walk
from infra.kestra.source import Path as Keys
from infra.kestra.source import load_document

UNKNOWN_TYPE = re.compile(r"Invalid type: (\S+)")
_FIELD = re.compile(r'Unrecognized field "([^"]+)"')
# Such as tasks[load].sql or tasks[load]; Kestra 1 writes load.sql.
_PROPERTY = re.compile(r"([\w-]+)\]?\.(\w+):|\[([\w-]+)\]:")


def engine_findings(texts: Mapping[Path, str], release: str) -> list[Finding]:
    """Returns what the engine of a release says of flows.

    Args:
        texts: the flows of the release by their paths.
        release: the release.
    """
    nodes = {}
    for path, text in texts.items():
        # What is no YAML has been found without the engine.
        with suppress(ValueError):
            nodes[path] = list(walk(load_document(text)[0]))
    paths = list(nodes)
    values = {
        path: [
            node
            for keys, node in found
            if isinstance(node, yaml.ScalarNode)
            and "{" in node.value
            and not PROSE.intersection(keys[-1:])
        ]
        for path, found in nodes.items()
    }
    expressions = list({node.value for found in values.values() for node in found})
    with offline.running_engine(release, {}, {}) as engine:
        validations = engine.validate([texts[path] for path in paths])
        unparsed = dict(zip(expressions, engine.expression_errors(expressions), strict=True))
    findings = []
    for path, each in zip(paths, validations, strict=True):
        errors = (each.errors or "").removeprefix("Validation error:").strip().splitlines()
        for level, messages in (("error", errors), ("warning", each.warnings)):
            for message in map(str.strip, messages):
                mark = _place(nodes[path], message)
                findings.append(_finding(path, mark, message, level))
        findings += [
            _finding(path, node.start_mark, error, "error")
            for node in values[path]
            if (error := unparsed[node.value])
        ]
    return findings


def _finding(path: Path, mark: yaml.Mark, message: str, level: str) -> Finding:
    return Finding.of(path, (mark.line + 1, mark.column + 1), f"Kestra: {message}", level)


def _place(nodes: Sequence[tuple[Keys, yaml.Node]], message: str) -> yaml.Mark:
    """Returns the place that a message of Kestra's is about, as far as it says."""
    keys: dict[tuple[str, ...], yaml.Node] = {}
    for _, node in nodes:
        if isinstance(node, yaml.MappingNode):
            entries = {key.value: (key, value) for key, value in node.value}
            item = str(entries["id"][1].value) if "id" in entries else ""
            for name, (key, value) in entries.items():
                keys.setdefault(("field", name), key)
                keys.setdefault(("value", str(value.value)), value)
                keys.setdefault(("item", item, name), key)
    wanted: list[tuple[str, ...]] = [("value", found) for found in UNKNOWN_TYPE.findall(message)]
    wanted += [("field", found) for found in _FIELD.findall(message)]
    for owner, name, item in _PROPERTY.findall(message):
        wanted += [("item", owner, name), ("item", owner or item, "id")]
    return next((keys[each] for each in wanted if each in keys), nodes[0][1]).start_mark
