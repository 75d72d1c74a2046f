"""YAML text in, nodes with positions out, and errors in the words of the server's parser.

The server reads YAML with Jackson on SnakeYAML. PyYAML is the original of SnakeYAML: it finds the
same errors at the same marks, so only their wording around the marks is made here.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

import yaml
from yaml.error import Mark, MarkedYAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from offline.kestra.errors import ConstraintViolations, Violation

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?")
_CONSTANTS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip


def location(mark: Mark) -> str:
    """Where Jackson says that something stands."""
    return f"\n at [Source: (StringReader); line: {mark.line + 1}, column: {mark.column + 1}]"


def illegal(resource: str, message: str, detail: str | None = None) -> ConstraintViolations:
    """The error for text that is not the YAML of a `resource` (`flow`, `task`)."""
    return ConstraintViolations(
        f"Illegal {resource} yaml: {message}", [Violation("yaml", detail or message)]
    )


def _mark(mark: Mark) -> str:
    return f" in 'reader', line {mark.line + 1}, column {mark.column + 1}:\n{mark.get_snippet()}\n"


def _wording(error: MarkedYAMLError) -> str:
    context, problem = error.context_mark, error.problem_mark
    text = f"{error.context}\n" if error.context else ""
    if context and (
        problem is None or (context.line, context.column) != (problem.line, problem.column)
    ):
        text += _mark(context)
    text += f"{error.problem}\n" if error.problem else ""
    return text + (_mark(problem) if problem else "")


def compose(text: str, resource: str) -> Node:
    """The first document of a YAML text.

    Args:
        text: the YAML; documents after the first are not looked at, as the server does.
        resource: what it should be, for the error: `flow` or `task`.

    Raises:
        ConstraintViolations: the text is not YAML, or there is nothing in it.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_node() if loader.check_node() else None
    except MarkedYAMLError as error:
        wording = _wording(error)
        mark = error.problem_mark or error.context_mark
        message = wording + (location(mark) if mark else "")
        raise illegal(resource, message, f"{message}\nCaused by: {wording}") from error
    except yaml.YAMLError as error:
        raise illegal(resource, str(error)) from error
    if node is None:
        raise illegal(
            resource, "No content to map due to end-of-input\n at [Source: (StringReader); line: 1]"
        )
    return node


def value(node: Node) -> Any:
    """The node as plain data: YAML's core types, dates stay text."""
    if isinstance(node, MappingNode):
        return {key: value(child) for key, child in pairs(node)}
    if isinstance(node, SequenceNode):
        return [value(child) for child in node.value]
    assert isinstance(node, ScalarNode)
    return scalar(node)


def scalar(node: ScalarNode) -> Any:
    """A scalar as Jackson resolves it."""
    text = str(node.value)
    if node.style is not None:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    return text


def pairs(node: MappingNode) -> list[tuple[str, Node]]:
    """The entries of a mapping, keys as text.

    Raises:
        ConstraintViolations: a key stands twice.
    """
    entries: dict[str, Node] = {}
    for key, child in node.value:
        name = str(key.value)
        if name in entries:
            _duplicate(name, key.start_mark)
        entries[name] = child
    return list(entries.items())


def _duplicate(name: str, mark: Mark) -> NoReturn:
    raise illegal("flow", f"Duplicate field '{name}'{location(mark)}")
