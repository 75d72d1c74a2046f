"""Rules for the texts of flows that need no server: references, secrets, schedules, credentials.

A rule speaks only where it is sure: what the author may have meant otherwise is left to Kestra.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from cli.flows.cron import cron_errors
from cli.flows.findings import Finding
from cli.flows.program import Given
from infra.kestra.folder import Namespace, kestra_1_path
from infra.kestra.releases import release_errors
from infra.kestra.source import Path as Keys
from infra.kestra.source import dicts, find_place, flow_errors, flow_tasks, load_document

_EXPRESSION = re.compile(r"\{\{(.*?)\}\}|\{%(.*?)%\}", re.DOTALL)
_OPENED = re.compile(r"\{\{(?!.*?\}\})", re.DOTALL)
# What Pebble does not evaluate.
_RAW = re.compile(r"\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\}|\{#.*?#\}", re.DOTALL)
# YAML writes a quote twice in a single-quoted scalar, and with a backslash in a double-quoted one.
_CALL = re.compile(
    r"(?<![\w.])(secret|read|fileURI)\(\s*(?:'{1,2}([^'{]+)'{1,2}|\\?\"([^\"\\{]+)\\?\")\s*\)"
)
# Strings are matched too, so that what is in them counts for nothing; so does what has a default.
_REFERENCE = re.compile(
    r"(?<![\w.])(inputs|outputs|globals)(?:\.(\w+)|\[\s*'{1,2}([^']+)'{1,2}\s*\])"
    r"(?!\w|[\w.\[\]']*\s*(?:\?\?|\|\s*default))"
    r"""|'[^']*'|\\?"[^"]*\\?\""""
)
_NAMESPACE_FILE = re.compile(r"nsfile:///([\w./-]+)")
# What is below these keys has outputs of other flows.
_FOREIGN = {"triggers", "listeners", "pluginDefaults", "taskDefaults"}
# What Kestra shows and does not evaluate.
PROSE = {"description", "displayName"}
_SCHEDULE = "io.kestra.plugin.core.trigger.Schedule"
_SECRET_KEYS = (
    "password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey",
    "secretkey",
)  # fmt: skip
# Credentials that show by their form: a password in a URL, and keys that their issuers mark.
_CREDENTIAL = re.compile(
    r"//[^/\s:@{}]+:[^/\s@{}]+@|[?&;](?:password|pwd|token)=[^\s&;{}]+"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}|\bxox[abprs]-[\w-]{10,}"
    r"|-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----|\bAIza[\w-]{35}\b|\bsk_live_\w{20,}"
)
_ABSENT = {
    "inputs": "uses the input {}, which it does not have",
    "outputs": "uses the outputs of the task {}, which it does not have",
    "globals": "uses the global {}, which the stack does not have",
    "secret": "uses the secret {}, which the stack does not have",
    "read": "reads the namespace file {}, which does not exist",
    "fileURI": "reads the namespace file {}, which does not exist",
}
_Names = Mapping[str, Collection[str] | None]


def flow_texts(namespaces: Mapping[str, Namespace]) -> dict[Path, str]:
    """Returns the texts of flows by the paths of their files, those for Kestra 1 among them."""
    texts = {}
    for content in namespaces.values():
        for id_, flow in content.flows.items():
            texts[content.paths[id_]] = flow.text
        for id_, flow in content.kestra_1_flows.items():
            texts[kestra_1_path(content.paths[id_])] = flow.text
    return texts


def release_texts(namespaces: Mapping[str, Namespace], major: int) -> dict[Path, str]:
    """Returns the texts of flows for a major version of Kestra by the paths of their files."""
    return {
        path: flow.text
        for content in namespaces.values()
        for path, flow in content.files_for(is_kestra_1=major < 2).items()
    }


def release_findings(path: Path, text: str, major: int) -> list[Finding]:
    """Returns what a flow uses that a major version of Kestra does not have."""
    # What is no YAML is found by `flow_findings`.
    with suppress(ValueError, RecursionError):
        return [Finding.of(path, *error) for error in release_errors(text, major)]
    return []


def flow_findings(
    path: Path, text: str, namespaces: Mapping[str, Namespace], given: Given
) -> list[Finding]:
    """Returns what is wrong with a flow.

    Args:
        path: the path of its file.
        text: its text.
        namespaces: the folder that it is in.
        given: what the stack gives to flows.
    """
    # The parser does not count a byte order mark.
    text = text.removeprefix("\ufeff")
    try:
        root, document = load_document(text)
        nodes = list(walk(root))
        tasks = _task_names(nodes)
        problems = [*flow_errors(document), *_document_errors(document, tasks, namespaces)]
    except (ValueError, RecursionError) as error:
        return [Finding.of_message(path, str(error))]
    findings = [Finding.of(path, find_place(root, keys), message) for keys, message in problems]
    files = namespaces.get(str(document.get("namespace")), Namespace()).files
    names: _Names = {
        "inputs": {str(item.get("id")) for item in dicts(document.get("inputs"))},
        "outputs": tasks,
        "globals": given.variables,
        "secret": given.secrets,
        "read": files,
        "fileURI": files,
    }
    for start, message in _text_errors(nodes, text, names):
        line_start = text.rfind("\n", 0, start) + 1
        place = text.count("\n", 0, start) + 1, start - line_start + 1
        findings.append(Finding.of(path, place, message))
    return findings


def _document_errors(
    document: dict[str, Any], names: Collection[str], namespaces: Mapping[str, Namespace]
) -> Iterator[tuple[Keys, str]]:
    """Yields what is wrong with tasks and triggers, each with its place."""
    for path, task in flow_tasks(document):
        for key in ("id", "type"):
            if not isinstance(task.get(key), str):
                yield path, f"has a task without {key}"
        kind = str(task.get("type"))
        if kind.endswith(".flow.Subflow"):
            content, flow_id = namespaces.get(str(task.get("namespace"))), str(task.get("flowId"))
            if content and "{{" not in flow_id and flow_id not in content.flows:
                flow = f"{task['namespace']}/{flow_id}"
                yield (*path, "flowId"), f"runs the flow {flow}, which does not exist"
        if kind.endswith(".flow.Dag"):
            for index, item in enumerate(dicts(task.get("tasks"))):
                depends_on = item.get("dependsOn")
                for number, name in enumerate(depends_on if isinstance(depends_on, list) else ()):
                    if name not in names:
                        place = (*path, "tasks", index, "dependsOn", number)
                        yield place, f"waits for the task {name}, which it does not have"
    for index, trigger in enumerate(dicts(document.get("triggers"))):
        cron = trigger.get("cron")
        if trigger.get("type") == _SCHEDULE and isinstance(cron, str) and "{{" not in cron:
            for error in cron_errors(cron, with_seconds=trigger.get("withSeconds") == "true"):
                yield ("triggers", index, "cron"), error


def _text_errors(
    nodes: Iterable[tuple[tuple[str, ...], yaml.Node]], text: str, names: _Names
) -> Iterator[tuple[int, str]]:
    """Yields what is wrong in scalars, each with its offset in the text."""
    for keys, node in nodes:
        if not isinstance(node, yaml.ScalarNode):
            continue
        start, value = node.start_mark.index, node.value
        written = text[start : node.end_mark.index]
        if keys and _is_secret(keys[-1], value):
            yield start, f"has {keys[-1]} in plain text: use {{{{ secret('NAME') }}}}"
        elif found := _CREDENTIAL.search(written):
            yield start + found.start(), "has credentials in plain text: use {{ secret('NAME') }}"
        for found in _NAMESPACE_FILE.finditer(written):
            yield from _absence("read", found[1], names, start + found.start())
        if ("{{" in value or "{%" in value) and not PROSE.intersection(keys[-1:]):
            written = _RAW.sub(lambda raw: " " * len(raw[0]), written)
            if opened := _OPENED.search(written):
                yield start + opened.start(), "has an expression that does not end with }}"
            for expression in _EXPRESSION.finditer(written):
                offset = start + expression.start()
                for found in _CALL.finditer(expression[0]):
                    name = found[2] or found[3]
                    if "://" not in name:
                        yield from _absence(found[1], name, names, offset + found.start())
                for found in _REFERENCE.finditer(expression[0]):
                    # Only the flow's own tasks are known here.
                    if found[1] and not (found[1] == "outputs" and keys[0] in _FOREIGN):
                        name = found[2] or found[3]
                        yield from _absence(found[1], name, names, offset + found.start())


def _absence(kind: str, name: str, names: _Names, offset: int) -> Iterator[tuple[int, str]]:
    known = names[kind]
    # A name with a hyphen or a period is more than one word of an expression.
    if known is not None and not any(
        each == name or each.startswith((f"{name}.", f"{name}-")) for each in known
    ):
        yield offset, _ABSENT[kind].format(name)


def _is_secret(key: str, value: str) -> bool:
    if not key.lower().replace("_", "").replace("-", "").endswith(_SECRET_KEYS):
        return False
    return _EXPRESSION.sub("", value).strip() not in ("", "true", "false")


def walk(root: yaml.Node) -> Iterator[tuple[tuple[str, ...], yaml.Node]]:
    """Yields the nodes of a document, once each, with the keys that lead to them."""
    rest: list[tuple[tuple[str, ...], yaml.Node]] = [((), root)]
    seen = set()
    while rest:
        keys, node = rest.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield keys, node
        if isinstance(node, yaml.MappingNode):
            rest += [((*keys, str(key.value)), value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            rest += [(keys, item) for item in node.value]


def _task_names(nodes: Iterable[tuple[tuple[str, ...], yaml.Node]]) -> set[str]:
    """Returns the ids of what has an id and a type, wherever a plugin has its tasks."""
    names = set()
    for keys, node in nodes:
        if isinstance(node, yaml.MappingNode) and keys[:1] != ("inputs",):
            values = {key.value: value.value for key, value in node.value}
            if isinstance(id_ := values.get("id"), str) and "type" in values:
                names.add(id_)
                if str(values["type"]).endswith(".flow.ForEachItem"):
                    names |= {f"{id_}_split", f"{id_}_items", f"{id_}_merge"}
    return names
