"""The shapes of flows, tasks, inputs and triggers, and the reading of YAML into them.

Two steps, as on the server: `read` turns nodes into data and refuses what the classes do not know
(types, properties, values of the wrong kind) in Jackson's words; `violations` checks the declared
constraints of what was read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import isodate
from yaml.error import Mark
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from offline.kestra import source
from offline.kestra.config import Release
from offline.kestra.errors import ConstraintViolations, Violation

Json = dict[str, Any]
Kind = Literal[
    "text", "flag", "whole", "number", "duration", "any", "texts", "enum", "tasks", "cases",
    "object", "objects", "map", "labels",
]  # fmt: skip
LEVELS = ("ERROR", "WARN", "INFO", "DEBUG", "TRACE")
_TASK_ID = "^[a-zA-Z0-9][a-zA-Z0-9_-]*"


@dataclass(frozen=True)
class Property:
    """One property of a class.

    Attributes:
        kind: how its YAML is read: `text`, `flag`, `whole`, `number`, `duration`, `any` (any data,
            rendered at run time where it holds expressions), `texts`, `enum`, `tasks`, `cases`
            (tasks by name), `object` (a class of its own), `objects`, `map` (objects by name),
            `labels`.
        required: whether null breaks a constraint.
        default: the value it has when not given; not shown by the API where it is the same.
        values: what an `enum` may be.
        of: the class of an `object` or of the members of `objects` or `map`; a mapping from `type`
            to class where the members choose it.
        pattern: what a text must match in full.
        not_blank: whether empty text breaks a constraint.
        not_empty: whether an empty list or text does.
        minimum: the least a `whole` may be.
        maximum: the most it may be.
    """

    kind: Kind = "text"
    required: bool = False
    default: Any = None
    values: tuple[str, ...] = ()
    of: Class | Mapping[str, Class] | None = None
    pattern: str | None = None
    not_blank: bool = False
    not_empty: bool = False
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True)
class Class:
    """A class of the server that YAML is read into.

    Attributes:
        name: its Java name, for the messages.
        properties: by name, in the order of the Java fields.
        shows_defaults: whether the API shows properties that have their default value.
        unsupported: properties the genuine class has and the stand-in refuses by name.
    """

    name: str
    properties: Mapping[str, Property]
    shows_defaults: bool = False
    unsupported: frozenset[str] = frozenset()


def _bean(name: str, **properties: Property) -> Class:
    return Class(name, properties)


_RETRY_BASE = {
    "maxDuration": Property("duration"),
    "maxAttempts": Property("whole"),
    "maxAttempt": Property("whole"),
    "warningOnRetry": Property("flag", default=False),
    "behavior": Property("enum", values=("RETRY_FAILED_TASK",), default="RETRY_FAILED_TASK"),
    "type": Property(),
}
_RETRY_PACKAGE = "io.kestra.core.models.tasks.retrys."
RETRIES = {
    "constant": _bean(
        _RETRY_PACKAGE + "Constant", **_RETRY_BASE, interval=Property("duration", required=True)
    ),
    "exponential": _bean(
        _RETRY_PACKAGE + "Exponential",
        **_RETRY_BASE,
        interval=Property("duration", required=True),
        maxInterval=Property("duration", required=True),
        delayFactor=Property("number"),
    ),
    "random": _bean(
        _RETRY_PACKAGE + "Random",
        **_RETRY_BASE,
        minInterval=Property("duration", required=True),
        maxInterval=Property("duration", required=True),
    ),
}

# Source of the names and their order: the fields of io.kestra.core.models.tasks.Task.
_TASK_BASE = {
    "id": Property(required=True, not_blank=True, pattern=_TASK_ID),
    "type": Property(required=True, not_blank=True),
    "description": Property(),
    "retry": Property("object", of=RETRIES),
    "timeout": Property("duration"),
    "disabled": Property("flag", default=False),
    "workerGroup": Property("any"),
    "logLevel": Property("enum", values=LEVELS),
    "allowFailure": Property("flag", default=False),
    "logToFile": Property("flag", default=False),
    "runIf": Property(default="true"),
    "allowWarning": Property("flag", default=False),
}
_TASK_SINCE_1 = {"version": Property(), "taskCache": Property("any"), "assets": Property("any")}
_TASK_UNSUPPORTED = frozenset({"workerGroup", "logToFile", *_TASK_SINCE_1})


def task_class(
    name: str, properties: Mapping[str, Property], unsupported: frozenset[str], release: Release
) -> Class:
    """The class of a task type: what every task has, and its own properties."""
    since = _TASK_SINCE_1 if release.tenant else {}
    return Class(
        name,
        {**_TASK_BASE, **since, **properties},
        unsupported=_TASK_UNSUPPORTED | unsupported,
    )


_TRIGGER_BASE = {
    "id": Property(required=True, not_blank=True, pattern=_TASK_ID),
    "type": Property(required=True, not_blank=True),
    "description": Property(),
    "conditions": Property("any"),
    "disabled": Property("flag", default=False),
    "workerGroup": Property("any"),
    "logLevel": Property("enum", values=LEVELS),
    "labels": Property("labels"),
    "stopAfter": Property("texts"),
    "logToFile": Property("flag", default=False),
}
SCHEDULE = "io.kestra.plugin.core.trigger.Schedule"
WEBHOOK = "io.kestra.plugin.core.trigger.Webhook"
_TRIGGER_UNSUPPORTED = frozenset(
    {"conditions", "workerGroup", "logToFile", "scheduleConditions", "backfill", "lateMaximumDelay"}
)
TRIGGERS = {
    SCHEDULE: Class(
        SCHEDULE,
        {
            **_TRIGGER_BASE,
            "cron": Property(required=True),
            "withSeconds": Property("flag", default=False),
            "timezone": Property(),
            "scheduleConditions": Property("any"),
            "inputs": Property("any"),
            "lateMaximumDelay": Property("duration"),
            "backfill": Property("any"),
            "recoverMissedSchedules": Property("enum", values=("ALL", "LAST", "NONE")),
        },
        unsupported=_TRIGGER_UNSUPPORTED,
    ),
    WEBHOOK: Class(
        WEBHOOK, {**_TRIGGER_BASE, "key": Property(required=True)}, unsupported=_TRIGGER_UNSUPPORTED
    ),
}

_DEPENDS_ON = _bean(
    "io.kestra.core.models.flows.DependsOn", inputs=Property("texts"), condition=Property()
)
_INPUT_BASE = {
    "id": Property(required=True, not_blank=True, pattern="^[a-zA-Z0-9][.a-zA-Z0-9_-]*"),
    "name": Property(),
    "type": Property(required=True),
    "description": Property(),
    "dependsOn": Property("object", of=_DEPENDS_ON),
    "required": Property("flag", default=True),
    "defaults": Property("any"),
    "prefill": Property("any"),
    "displayName": Property(),
}
_ITEM_TYPES = (
    "STRING", "INT", "FLOAT", "BOOLEAN", "DATETIME", "DATE", "TIME", "DURATION", "URI", "JSON",
)  # fmt: skip
_RANGE = {"min": Property("number"), "max": Property("number")}
_DATES = {"after": Property(), "before": Property()}
_CHOICE = {"values": Property("texts"), "expression": Property(),
           "allowCustomValue": Property("flag", default=False)}  # fmt: skip
_INPUT_OWN: Mapping[str, tuple[str, Mapping[str, Property]]] = {
    "ARRAY": ("Array", {"itemType": Property("enum", required=True, values=_ITEM_TYPES)}),
    "BOOLEAN": ("Boolean", {}),
    "BOOL": ("Bool", {}),
    "DATE": ("Date", _DATES),
    "DATETIME": ("DateTime", _DATES),
    "DURATION": ("Duration", {"min": Property("duration"), "max": Property("duration")}),
    "EMAIL": ("Email", {}),
    "ENUM": ("Enum", {"values": Property("texts", required=True)}),
    "FILE": ("File", {"extension": Property(default=".upl")}),
    "FLOAT": ("Float", _RANGE),
    "INT": ("Int", _RANGE),
    "JSON": ("Json", {}),
    "MULTISELECT": (
        "Multiselect",
        {**_CHOICE, "itemType": Property("enum", values=_ITEM_TYPES, default="STRING")},
    ),
    "SELECT": ("Select", {**_CHOICE, "isRadio": Property("flag", default=False)}),
    "STRING": ("String", {"validator": Property()}),
    "TIME": ("Time", _DATES),
    "URI": ("URI", {}),
    "YAML": ("Yaml", {}),
}
INPUTS = {
    kind: Class(
        f"io.kestra.core.models.flows.input.{name}Input",
        {**_INPUT_BASE, **own},
        shows_defaults=True,
    )
    for kind, (name, own) in _INPUT_OWN.items()
}
_OUTPUT = Class(
    "io.kestra.core.models.flows.Output",
    {
        "id": Property(required=True, not_blank=True, pattern="^[a-zA-Z0-9][.a-zA-Z0-9_-]*"),
        "description": Property(),
        "value": Property("any", required=True),
        "type": Property("enum", required=True, values=tuple(INPUTS)),
        "displayName": Property(),
    },
)
_PLUGIN_DEFAULT = _bean(
    "io.kestra.core.models.flows.PluginDefault",
    type=Property(required=True),
    forced=Property("flag", default=False),
    values=Property("any"),
)
_CONCURRENCY = _bean(
    "io.kestra.core.models.flows.Concurrency",
    behavior=Property("enum", values=("QUEUE", "CANCEL", "FAIL"), default="QUEUE"),
    limit=Property("whole", required=True),
)
_FLOW = {
    "id": Property(required=True, not_blank=True, pattern="^[a-zA-Z0-9][a-zA-Z0-9._-]*"),
    "namespace": Property(required=True, pattern="^[a-z0-9][a-z0-9._-]*"),
    "revision": Property("whole"),
    "updated": Property(),
    "description": Property(),
    "inputs": Property("objects", of=INPUTS),
    "outputs": Property("objects", of=_OUTPUT),
    "disabled": Property("flag", default=False),
    "labels": Property("labels"),
    "variables": Property("any"),
    "workerGroup": Property("any"),
    "deleted": Property("flag", default=False),
    "tenantId": Property(),
    "tasks": Property("tasks", not_empty=True),
    "errors": Property("tasks"),
    "listeners": Property("any"),
    "finally": Property("tasks"),
    "afterExecution": Property("any"),
    "triggers": Property("objects", of=TRIGGERS),
    "pluginDefaults": Property("objects", of=_PLUGIN_DEFAULT),
    "taskDefaults": Property("objects", of=_PLUGIN_DEFAULT),
    "concurrency": Property("object", of=_CONCURRENCY),
    "retry": Property("any"),
    "sla": Property("any"),
    "checks": Property("any"),
}
# The fields of AbstractFlow, then of Flow. Their order decides the order in which the message about
# an unknown property lists the known ones: recorded for 0.20.7; for 1.3.34 the names are those of
# the official client, kestrapy 1.3.1, and the order is not known.
_FLOW_0_20 = (
    "id", "namespace", "revision", "inputs", "disabled", "deleted", "tenantId", "description",
    "labels", "variables", "tasks", "errors", "listeners", "triggers", "pluginDefaults",
    "taskDefaults", "concurrency", "outputs", "retry", "sla",
)  # fmt: skip
_FLOW_UNSUPPORTED = frozenset(
    {"listeners", "taskDefaults", "retry", "sla", "afterExecution", "workerGroup", "checks"}
)


def flow_class(release: Release) -> Class:
    """The class of a flow in a release."""
    names = [name for name in _FLOW if name not in ("listeners", "taskDefaults")]
    return Class(
        "io.kestra.core.models.flows.Flow",
        {name: _FLOW[name] for name in (names if release.tenant else _FLOW_0_20)},
        shows_defaults=True,
        unsupported=_FLOW_UNSUPPORTED,
    )


def known_properties(names: list[str]) -> list[str]:
    """The order in which Jackson lists the properties of a class.

    It walks its own open hash table (com.fasterxml.jackson.databind.deser.impl.BeanPropertyMap):
    a main area indexed by the hash of the name, a half as large one for the first collision, and
    a spill-over behind.
    """
    count = len(names)
    size = 8 if count <= 5 else 16 if count <= 12 else 32
    while size < count + count // 4:
        size *= 2
    table: dict[int, str] = {}
    spilled = 0
    for name in names:
        slot = _java_hash(name) % size
        index = slot
        if index in table:
            index = size + slot // 2
            if index in table:
                index = size + size // 2 + spilled
                spilled += 1
        table[index] = name
    return [table[index] for index in sorted(table)]


def _java_hash(text: str) -> int:
    result = 0
    for character in text:
        result = (31 * result + ord(character)) % 2**32
    return result


_JAVA = {
    "flag": "boolean",
    "whole": "java.lang.Integer",
    "number": "java.lang.Double",
    "duration": "java.time.Duration",
}


@dataclass(frozen=True)
class Reader:
    """Reads nodes into data.

    Attributes:
        tasks: the task classes by type and by the older names of types.
        resource: what is read, for the messages: `flow` or `task`.
    """

    tasks: Mapping[str, Class]
    resource: str = "flow"
    chain: tuple[str, ...] = field(default=(), kw_only=True)

    def _at(self, *references: str) -> Reader:
        return Reader(self.tasks, self.resource, chain=(*self.chain, *references))

    def _through(self) -> str:
        return f" (through reference chain: {'->'.join(self.chain)})" if self.chain else ""

    def _illegal(self, message: str, mark: Mark) -> ConstraintViolations:
        return source.illegal(self.resource, message + source.location(mark) + self._through())

    def read(self, node: Node, cls: Class) -> Json:
        """A mapping into the data of a class.

        Raises:
            ConstraintViolations: a property that the class does not have, or a value of the wrong
                kind.
        """
        if not isinstance(node, MappingNode):
            raise self._not_a_bean(node, cls)
        data: Json = {}
        for name, child in source.pairs(node):
            if name not in cls.properties:
                raise self._unrecognized(name, cls)
            reader = self._at(f'{cls.name}["{name}"]')
            if name in cls.unsupported:
                raise ConstraintViolations(
                    f"{name}: not supported by the stand-in for Kestra (class {cls.name})",
                    [Violation("->".join(reader.chain), "not supported by the stand-in")],
                )
            data[name] = reader._property(child, cls.properties[name])
        return data

    def _not_a_bean(self, node: Node, cls: Class) -> ConstraintViolations:
        if isinstance(node, ScalarNode):
            message = (
                f"Cannot construct instance of `{cls.name}` (although at least one Creator exists):"
                " no String-argument constructor/factory method to deserialize from String value"
                f" ('{node.value}')"
            )
        else:
            message = (
                f"Cannot deserialize value of type `{cls.name}` from Array value "
                "(token `JsonToken.START_ARRAY`)"
            )
        return self._illegal(message, node.start_mark)

    def _unrecognized(self, name: str, cls: Class) -> ConstraintViolations:
        known = known_properties(list(cls.properties))
        listed = ", ".join(f'"{each}"' for each in known)
        message = (
            f'Unrecognized field "{name}" (class {cls.name}), not marked as ignorable '
            f"({len(known)} known properties: {listed}])"
        )
        path = "->".join((*self.chain, f'{cls.name}["{name}"]'))
        return ConstraintViolations(message, [Violation(path, message)])

    def _invalid_type(self, named: Any, base: str, node: Node) -> ConstraintViolations:
        path = "->".join(self.chain)
        detail = (
            f"Could not resolve type id '{named}' as a subtype of `{base}`: "
            f"No plugin registered for the defined type: '{named}'"
            f"{source.location(node.end_mark)}{self._through()}"
        )
        short = f"Invalid type: {'null' if named is None else named}"
        return ConstraintViolations(short, [Violation(path, detail), Violation(path, short)])

    def _chosen(self, node: Node, classes: Mapping[str, Class], base: str) -> Json:
        """An object that names its class in `type`."""
        if not isinstance(node, MappingNode):
            raise self._illegal(
                f"Cannot construct instance of `{base}`: an object with a type is expected",
                node.start_mark,
            )
        named = next((source.value(v) for k, v in source.pairs(node) if k == "type"), None)
        if not isinstance(named, str) or named not in classes:
            raise self._invalid_type(named, base, node)
        return self.read(node, classes[named])

    def task(self, node: Node) -> Json:
        """A task of any known type.

        Raises:
            ConstraintViolations: the type is not known, or the task is not what the type takes.
        """
        return self._chosen(node, self.tasks, "io.kestra.core.models.Plugin")

    def trigger(self, node: Node) -> Json:
        """A trigger of any known type.

        Raises:
            ConstraintViolations: as for a task.
        """
        return self._chosen(node, TRIGGERS, "io.kestra.core.models.Plugin")

    def _property(self, node: Node, declared: Property) -> Any:
        if isinstance(node, ScalarNode) and source.scalar(node) is None:
            return None
        match declared.kind:
            case "any":
                return source.value(node)
            case "tasks":
                return [reader.task(child) for reader, child in self._members(node)]
            case "cases":
                if not isinstance(node, MappingNode):
                    raise self._mismatch(node, "java.util.LinkedHashMap")
                return {
                    name: self._at(f'java.util.LinkedHashMap["{name}"]')._property(
                        child, Property("tasks")
                    )
                    for name, child in source.pairs(node)
                }
            case "object":
                return self._object(node, declared.of)
            case "objects":
                return [reader._object(child, declared.of) for reader, child in self._members(node)]
            case "map":
                if not isinstance(node, MappingNode):
                    raise self._mismatch(node, "java.util.LinkedHashMap")
                return {
                    name: self._at(f'java.util.LinkedHashMap["{name}"]')._object(child, declared.of)
                    for name, child in source.pairs(node)
                }
            case "labels":
                return self._labels(node)
            case "texts":
                return [
                    reader._property(child, Property()) for reader, child in self._members(node)
                ]
            case _:
                return self._scalar(node, declared)

    def _object(self, node: Node, of: Class | Mapping[str, Class] | None) -> Json:
        if isinstance(of, Class):
            return self.read(node, of)
        assert of is not None
        base = {id(RETRIES): "io.kestra.core.models.tasks.retrys.AbstractRetry",
                id(INPUTS): "io.kestra.core.models.flows.Input<?>"}  # fmt: skip
        return self._chosen(node, of, base.get(id(of), "io.kestra.core.models.Plugin"))

    def _members(self, node: Node) -> Iterator[tuple[Reader, Node]]:
        if not isinstance(node, SequenceNode):
            raise self._mismatch(node, "java.util.ArrayList")
        for index, child in enumerate(node.value):
            yield self._at(f"java.util.ArrayList[{index}]"), child

    def _labels(self, node: Node) -> list[Json]:
        given = source.value(node)
        if isinstance(given, Mapping):
            return [{"key": key, "value": _text(value)} for key, value in given.items()]
        if isinstance(given, list) and all(
            isinstance(label, dict) and set(label) == {"key", "value"} for label in given
        ):
            return [{"key": label["key"], "value": _text(label["value"])} for label in given]
        raise self._mismatch(node, "java.util.List<io.kestra.core.models.Label>")

    def _mismatch(self, node: Node, wanted: str) -> ConstraintViolations:
        got, token = f'String "{node.value}"', "VALUE_STRING"
        if isinstance(node, MappingNode):
            got, token = "Object value", "START_OBJECT"
        elif isinstance(node, SequenceNode):
            got, token = "Array value", "START_ARRAY"
        return self._illegal(
            f"Cannot deserialize value of type `{wanted}` from {got} (token `JsonToken.{token}`)",
            node.start_mark,
        )

    def _scalar(self, node: Node, declared: Property) -> Any:
        wanted = _JAVA.get(declared.kind, "java.lang.String")
        if not isinstance(node, ScalarNode):
            raise self._mismatch(node, wanted)
        text = str(node.value)
        if "{{" in text and declared.kind != "text":
            return text  # an expression: rendered, and checked, when the task runs
        fault = ""
        match declared.kind:
            case "flag":
                if text.lower() in ("true", "false"):
                    return text.lower() == "true"
                fault = 'only "true" or "false" recognized'
            case "whole" | "number":
                number = source.scalar(ScalarNode("", text))
                if isinstance(number, int) or (
                    declared.kind == "number" and isinstance(number, float)
                ):
                    return number
                fault = "not a valid `" + wanted + "` value"
            case "duration":
                if parsed_duration(text) is not None:
                    return text
                fault = (
                    "Failed to deserialize java.time.Duration: "
                    "(java.time.format.DateTimeParseException) Text cannot be parsed to a Duration"
                )
            case "enum":
                if text in declared.values:
                    return text
                allowed = ", ".join(declared.values)
                fault = f"not one of the values accepted for Enum class: [{allowed}]"
            case _:
                return text
        raise self._illegal(
            f'Cannot deserialize value of type `{wanted}` from String "{text}": {fault}',
            node.start_mark,
        )


def parsed_duration(text: str) -> float | None:
    """Seconds of an ISO-8601 duration such as `PT5M` or `P1D`; None if it is none."""
    try:
        return float(isodate.parse_duration(text).total_seconds())
    except (isodate.ISO8601Error, AttributeError):  # the latter for months and years
        return None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class _Broken:
    path: str
    message: str
    task: str | None = None

    def shown(self) -> str:
        """The path with a task named by its id, as the message has it."""
        if self.task is None:
            return self.path
        return re.sub(r"(tasks|inputs)\[\d+\]", lambda _: str(self.task), self.path)


def _check(name: str, value: Any, declared: Property) -> Iterator[str]:
    if value is None:
        if declared.required:
            yield "must not be null"
        if declared.not_blank:
            yield "must not be blank"
        if declared.not_empty:
            yield "must not be empty"
    elif declared.not_empty and not value:
        yield "must not be empty"
    elif declared.minimum is not None and isinstance(value, int) and value < declared.minimum:
        yield f"must be greater than or equal to {declared.minimum}"
    elif declared.maximum is not None and isinstance(value, int) and value > declared.maximum:
        yield f"must be less than or equal to {declared.maximum}"
    elif declared.kind == "text":
        if declared.not_blank and not value.strip():
            yield "must not be blank"
        if declared.pattern and not re.fullmatch(declared.pattern, value):
            yield f'must match "{declared.pattern}"'


def _broken(data: Json, cls: Class, tasks: Mapping[str, Class], path: str) -> Iterator[_Broken]:
    owner = data.get("id") if path else None
    prefix = f"{path}." if path else ""
    for name, declared in cls.properties.items():
        value = data.get(name)
        for message in _check(name, value, declared):
            yield _Broken(prefix + name, message, owner)
        for suffix, member in _children(value, declared):
            inner = _class_of(member, declared, tasks)
            if inner is not None:
                yield from _broken(member, inner, tasks, f"{prefix}{name}{suffix}")


def _children(value: Any, declared: Property) -> Iterator[tuple[str, Json]]:
    if declared.kind in ("tasks", "objects"):
        for index, member in enumerate(value or ()):
            yield f"[{index}]", member
    elif declared.kind == "object" and value:
        yield "", value
    elif declared.kind == "map":
        for key, member in (value or {}).items():
            yield f"[{key}]", member
    elif declared.kind == "cases":
        for key, members in (value or {}).items():
            for index, member in enumerate(members):
                yield f"[{key}][{index}]", member


def _class_of(member: Json, declared: Property, tasks: Mapping[str, Class]) -> Class | None:
    if declared.kind in ("tasks", "cases"):
        return tasks[member["type"]]
    if isinstance(declared.of, Class):
        return declared.of
    assert declared.of is not None
    return declared.of[member["type"]]


def violations(data: Json, cls: Class, tasks: Mapping[str, Class]) -> list[tuple[str, Violation]]:
    """The declared constraints that the data breaks.

    Returns:
        Pairs of the line for the message and the violation for the list.
    """
    return [
        (f"{broken.shown()}: {broken.message}", Violation(broken.path, broken.message))
        for broken in _broken(data, cls, tasks, "")
    ]


def refuse(found: list[tuple[str, Violation]]) -> None:
    """Raise what `violations` found, if it found anything.

    Raises:
        ConstraintViolations: all of it.
    """
    if found:
        message = "".join(f"{line}\n" for line, _ in found)
        raise ConstraintViolations(message, [broken for _, broken in found])


def shown(data: Json, cls: Class, tasks: Mapping[str, Class]) -> Json:
    """The data as the API shows it: no nulls, and no defaults unless the class shows them."""
    result: Json = {}
    for name, declared in cls.properties.items():
        value = data.get(name)
        if value is None and cls.shows_defaults:
            value = declared.default
        if value is None or (not cls.shows_defaults and value == declared.default):
            continue
        result[name] = _shown_value(value, declared, tasks)
    return result


def _shown_value(value: Any, declared: Property, tasks: Mapping[str, Class]) -> Any:
    if declared.kind in ("tasks", "objects"):
        return [
            shown(member, inner, tasks) if (inner := _class_of(member, declared, tasks)) else member
            for member in value
        ]
    if declared.kind == "cases":
        return {
            name: _shown_value(members, Property("tasks"), tasks) for name, members in value.items()
        }
    if declared.kind == "map":
        return {
            name: _shown_value(member, Property("object", of=declared.of), tasks)
            for name, member in value.items()
        }
    if declared.kind == "object":
        inner = _class_of(value, declared, tasks)
        return shown(value, inner, tasks) if inner else value
    return value
