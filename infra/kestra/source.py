"""The YAML of flows: found in a folder, checked without a server, with triggers switched off."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pulumi
import yaml


class FlowSourceError(pulumi.RunError):
    """Files of flows are wrong; the message lists every fault with its file."""


@dataclass(frozen=True)
class FlowSource:
    """The text of one flow and what it is called.

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
        """Reads namespace and id from a YAML text.

        Raises:
            ValueError: the text is not YAML, no mapping, or lacks namespace or id.
        """
        try:
            document = yaml.load(text, Loader=_UniqueKeyLoader)
        except yaml.YAMLError as error:
            raise ValueError(_yaml_fault(error)) from error
        if not isinstance(document, dict):
            raise ValueError("is no YAML mapping with id, namespace and tasks")
        for key in ("id", "namespace"):
            if not document.get(key) or not isinstance(document[key], str):
                raise ValueError(f'has no "{key}: <name>" at its top level')
        return cls(document["namespace"], document["id"], text)

    def with_triggers_disabled(self) -> "FlowSource":
        """Returns the flow with `disabled: true` in each trigger; all else stays as written."""
        root = yaml.compose(self.text, Loader=yaml.SafeLoader)
        # From the end to the start, so that earlier positions stay true.
        text = self.text
        for start, end, replacement in sorted(_disabled_edits(root), reverse=True):
            text = text[:start] + replacement + text[end:]
        return FlowSource(self.namespace, self.flow_id, text)


def read_flows(folder: Path) -> list[FlowSource]:
    """Returns the flows of `<folder>/<namespace>/*.yaml`, sorted by namespace and id.

    Raises:
        FlowSourceError: one or more files are wrong; every fault is in the message.
    """
    faults: list[str] = []
    flows: dict[str, FlowSource] = {}
    for path in sorted(folder.glob("[!.]*/[!.]*.yaml")):
        try:
            flow = FlowSource.parse(path.read_text(encoding="utf-8"))
        except ValueError as error:
            faults.append(f"  {path} {error}")
            continue
        expected = f"{path.parent.name}/{path.stem}"
        if flow.key == expected:
            flows[flow.key] = flow
        else:
            faults.append(
                f"  {path} describes {flow.key}: move it to {folder}/{flow.key}.yaml, "
                f"or name its namespace {path.parent.name} and its id {path.stem}"
            )
    if faults:
        head = f"{len(faults)} flow file{'s are' if len(faults) > 1 else ' is'} wrong; "
        raise FlowSourceError("\n".join([f"{head}nothing was changed.", *faults]))
    return list(flows.values())


class _UniqueKeyLoader(yaml.BaseLoader):
    """Leaves every scalar as text, and refuses a key that stands twice, as Kestra does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        """Returns the mapping, or raises where a key stands twice."""
        seen = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f'the key "{key_node.value}" stands twice', key_node.start_mark
                )
            seen.add(key_node.value if isinstance(key_node, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


def _yaml_fault(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        reason = ", ".join(filter(None, (error.context, error.problem)))
        return f"is no valid YAML: line {mark.line + 1}, column {mark.column + 1}: {reason}"
    return f"is no valid YAML: {error}"


def _disabled_edits(root: yaml.Node | None) -> Iterator[tuple[int, int, str]]:
    """Yields what to replace in the text, as start, end and replacement."""
    for trigger in _mapping_value(root, "triggers") or ():
        disabled = _mapping_node(trigger, "disabled")
        if disabled is not None:
            # Where the value is empty, its place is right behind the colon.
            replacement = "true" if disabled.value else " true"
            yield disabled.start_mark.index, disabled.end_mark.index, replacement
            continue
        start = trigger.start_mark
        if trigger.flow_style:
            yield start.index + 1, start.index + 1, "disabled: true, "
        else:
            yield start.index, start.index, "disabled: true\n" + " " * start.column


def _mapping_node(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _mapping_value(node: yaml.Node | None, key: str) -> list[yaml.MappingNode] | None:
    """Returns the mappings in the sequence under a key."""
    sequence = _mapping_node(node, key)
    if not isinstance(sequence, yaml.SequenceNode):
        return None
    return [item for item in sequence.value if isinstance(item, yaml.MappingNode)]
