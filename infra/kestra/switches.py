"""What can be switched in a flow without touching its author's file."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from .source import LOADER, dicts, yaml_error

_Edit = tuple[int, int, str]


@dataclass(frozen=True)
class Switches:
    """What is switched; all else in the text stays as its author wrote it.

    Attributes:
        disabled: whether the flow is disabled; as written if None.
        triggers_disabled: whether all its triggers are disabled; as written if False.
        labels: labels that are added or replaced.
    """

    disabled: bool | None = None
    triggers_disabled: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    def apply_to(self, text: str) -> str:
        """Returns the text with the switches set.

        Raises:
            ValueError: the text is not a YAML mapping, or written in a way that does not allow it.
        """
        if self == AS_WRITTEN:
            return text
        try:
            root = yaml.compose(text, Loader=LOADER)
        except yaml.YAMLError as error:
            raise ValueError(yaml_error(error, text)) from error
        if not isinstance(root, yaml.MappingNode):
            raise ValueError("is not a YAML mapping with id, namespace and tasks")
        # The parser does not count a byte order mark.
        mark = text.startswith("\ufeff")
        switched = text
        # From the end to the start, so that earlier positions stay valid.
        edits = sorted(set(self._edits(root)), reverse=True)
        for start, end, replacement in edits:
            switched = switched[: start + mark] + replacement + switched[end + mark :]
        if edits and not self._is_switched(text, switched):
            raise ValueError("cannot be switched: write its labels and triggers without anchors")
        return switched

    def _edits(self, root: yaml.MappingNode) -> Iterator[_Edit]:
        if self.disabled is not None:
            yield _set(root, "disabled", _bool(self.disabled))
        if self.triggers_disabled:
            for trigger in _mappings(_value(root, "triggers")):
                yield _set(trigger, "disabled", _bool(True))
        if not self.labels:
            return
        labels = _value(root, "labels")
        if isinstance(labels, yaml.MappingNode):
            for key, value in self.labels.items():
                yield _set(labels, key, _quoted(value), _quoted(key))
        elif isinstance(labels, yaml.SequenceNode):
            for key, value in self.labels.items():
                yield from _set_item(labels, key, _quoted(value))
        else:
            yield _set(root, "labels", _quoted(dict(self.labels)))

    def _is_switched(self, text: str, switched: str) -> bool:
        """Returns whether the texts mean the same, except for the switches."""
        try:
            return _document(switched) == self._switch(_document(text))
        except (yaml.YAMLError, RecursionError):
            return False

    def _switch(self, document: dict[str, Any]) -> dict[str, Any]:
        """Returns the document that the switched text must mean."""
        if self.disabled is not None:
            document["disabled"] = _bool(self.disabled)
        if self.triggers_disabled:
            for trigger in dicts(document.get("triggers")):
                trigger["disabled"] = _bool(True)
        if self.labels:
            labels = document.get("labels")
            document["labels"] = {**(labels if isinstance(labels, dict) else {}), **self.labels}
        return document


AS_WRITTEN = Switches()


def _document(text: str) -> dict[str, Any]:
    """Returns what a text means, with its labels as a mapping."""
    document: dict[str, Any] = yaml.load(text, Loader=LOADER)
    labels = dicts(document.get("labels"))
    if labels and all(isinstance(label.get("key"), str) for label in labels):
        document["labels"] = {label["key"]: label.get("value") for label in labels}
    return document


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _bool(value: bool) -> str:
    return str(value).lower()


def _value(mapping: yaml.MappingNode, key: str) -> yaml.Node | None:
    return next((value for name, value in mapping.value if name.value == key), None)


def _mappings(sequence: yaml.Node | None) -> list[yaml.MappingNode]:
    """Returns the mappings in a sequence."""
    items = sequence.value if isinstance(sequence, yaml.SequenceNode) else ()
    return [item for item in items if isinstance(item, yaml.MappingNode)]


def _set(mapping: yaml.MappingNode, key: str, value: str, written: str | None = None) -> _Edit:
    """Returns the edit that gives a key in a mapping a value; a new key is `written` so."""
    current = _value(mapping, key)
    if current is not None:
        # An empty value follows its colon directly.
        is_empty = current.start_mark.index == current.end_mark.index
        # A block scalar ends after its last line.
        is_block = getattr(current, "style", None) in ("|", ">")
        replacement = " " * is_empty + value + "\n" * is_block
        return current.start_mark.index, current.end_mark.index, replacement
    return _insert(mapping, f"{written or key}: {value}")


def _set_item(sequence: yaml.SequenceNode, key: str, value: str) -> Iterator[_Edit]:
    """Yields the edits that give a key in a list of `key` and `value` pairs a value."""
    items = [
        item
        for item in _mappings(sequence)
        if (name := _value(item, "key")) is not None and name.value == key
    ]
    for item in items:
        yield _set(item, "value", value)
    if not items:
        pair = f"{{key: {_quoted(key)}, value: {value}}}"
        yield _insert(sequence, pair if sequence.flow_style else f"- {pair}")


def _insert(collection: yaml.CollectionNode, item: str) -> _Edit:
    """Returns the edit that puts an item first in a mapping or sequence."""
    start = collection.start_mark
    if collection.flow_style:
        return start.index + 1, start.index + 1, f"{item}, "
    return start.index, start.index, f"{item}\n{' ' * start.column}"
