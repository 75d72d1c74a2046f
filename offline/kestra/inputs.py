"""The inputs of an execution: parsed to their types and checked.

Source of the rules and messages: io.kestra.core.runners.FlowInputOutput and the classes in
io.kestra.core.models.flows.input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import yaml

from offline.kestra.errors import ConstraintViolations, Violation
from offline.kestra.pebble import RenderError, stringify
from offline.kestra.schema import Json, parsed_duration

_URI = re.compile(
    r"[a-z]+://(?:www\.)?[-\w@:%.+~#=]{1,256}\.[a-zA-Z0-9()]{1,6}\b[-\w()@:%+.~#?&/=]*"
)
_EMAIL = re.compile(r"|[a-zA-Z0-9_!#$%&\u2019*+/=?`{|}~^.-]+@[a-zA-Z0-9.-]+")


@dataclass
class Resolved:
    """An input with its value.

    Attributes:
        error: what is wrong with the value, if anything is.
    """

    declared: Json
    value: Any = None
    enabled: bool = True
    error: str | None = None


def resolve(
    declared: list[Json],
    given: Mapping[str, Any],
    render: Callable[[str, Mapping[str, Any]], Any],
) -> list[Resolved]:
    """Resolve all inputs of a flow.

    Args:
        declared: the inputs in the flow.
        given: text by input id.
        render: evaluates an expression, given the values of the inputs it depends on.
    """
    done: dict[str, Resolved] = {}
    by_id = {each["id"]: each for each in declared}

    def resolved(each: Json) -> Resolved:
        if each["id"] in done:
            return done[each["id"]]
        depends = each.get("dependsOn") or {}
        needed = [resolved(by_id[name]) for name in depends.get("inputs") or () if name in by_id]
        values = {one.declared["id"]: one.value for one in needed}
        result = Resolved(each, given.get(each["id"], each.get("defaults")))
        done[each["id"]] = result
        try:
            result.enabled = all(one.enabled for one in needed)
            if result.enabled and depends.get("condition"):
                result.enabled = render(depends["condition"], values) is True
            if result.enabled:
                _settle(result, values, render)
        except RenderError as error:
            result.error = _fault(each, str(error), result.value)
        return result

    return [resolved(each) for each in declared]


def _settle(
    result: Resolved,
    values: Mapping[str, Any],
    render: Callable[[str, Mapping[str, Any]], Any],
) -> None:
    each = result.declared
    if each.get("expression"):
        options = render(each["expression"], values)
        if not isinstance(options, list):
            raise RenderError("Invalid expression result. Expected a list of strings")
        each = {**each, "values": [stringify(option) for option in options]}
    if result.value is None:
        if each.get("required", True):
            result.error = _fault(each, "missing required input", None)
        return
    try:
        value = parsed(each["type"], result.value, each.get("itemType"))
        fault = _broken(each, value)
    except ValueError as error:
        fault = str(error)
    else:
        if fault is None:
            result.value = value
            return
    result.error = _fault(each, fault, result.value)


def _fault(each: Json, message: str, value: Any) -> str:
    shown = "null" if value is None else stringify(value)
    return f"Invalid input for `{each['id']}`, {message}, but received `{shown}`"


def values_of(resolved: list[Resolved]) -> Json:
    """The values of the enabled inputs, dots in their ids opened into maps.

    Raises:
        ConstraintViolations: the first input that has an error.
    """
    result: Json = {}
    for one in resolved:
        if not one.enabled:
            continue
        if one.error:
            raise ConstraintViolations(
                f"{one.declared['id']}: {one.error}", [Violation(one.declared["id"], one.error)]
            )
        place = result
        *path, last = one.declared["id"].split(".")
        for step in path:
            place = place.setdefault(step, {})
        place[last] = one.value
    return result


def parsed(kind: str, value: Any, item: str | None = None) -> Any:
    """A value in the form that the type of an input or output has, which is one of JSON.

    Args:
        kind: the type, such as INT.
        value: text, or what an expression gave.
        item: the type of the members, for an ARRAY or a MULTISELECT.

    Raises:
        ValueError: it has another form; the message is the server's.
    """
    text = stringify(value)
    try:
        match kind:
            case "INT":
                return value if isinstance(value, int) else _integer(text)
            case "FLOAT":
                return value if isinstance(value, float) else float(text)
            case "BOOLEAN" | "BOOL":
                return value if isinstance(value, bool) else text.lower() == "true"
            case "DATETIME":
                at = datetime.fromisoformat(text)
                if at.tzinfo is None:
                    raise ValueError(f"Text '{text}' could not be parsed at index {len(text)}")
                return stringify(at.astimezone(UTC))
            case "DATE":
                return date.fromisoformat(text).isoformat()
            case "TIME":
                return time.fromisoformat(text).isoformat()
            case "DURATION":
                if parsed_duration(text) is None:
                    raise ValueError("Text cannot be parsed to a Duration")
                return text
            case "JSON":
                return json.loads(text) if isinstance(value, str) else value
            case "YAML":
                return yaml.safe_load(text) if isinstance(value, str) else value
            case "URI":
                if not _URI.fullmatch(text):
                    raise _Plain(f"Expected `URI` but received `{text}`")
                return text
            case "ARRAY" | "MULTISELECT":
                members = value if isinstance(value, list) else json.loads(text)
                return [parsed(item, member, None) if item else member for member in members]
            case _:
                return text if kind != "FILE" else _file(text)
    except _Plain:
        raise
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise ValueError(
            f"Expected `{kind}` but received `{text}` with errors:\n```\n{error}\n```"
        ) from error


class _Plain(ValueError):
    """A message that is not wrapped into another (the server's IllegalArgumentException)."""


def _integer(text: str) -> int:
    if not re.fullmatch(r"[-+]?\d+", text):
        raise _Plain(f'For input string: "{text}"')
    return int(text)


def _file(text: str) -> str:
    if not text.startswith("kestra://"):
        raise _Plain(f"`{text}` is not a file of the internal storage")
    return text


def _broken(each: Json, value: Any) -> str | None:
    """What the value breaks of the input's own rules."""
    match each["type"]:
        case "STRING":
            pattern = each.get("validator")
            if pattern and not re.fullmatch(pattern, value):
                return f"it must match the pattern `{pattern}`"
        case "SELECT" | "ENUM" | "MULTISELECT" as kind:
            options = each.get("values") or []
            free = each.get("allowCustomValue")
            if kind != "MULTISELECT":
                free = free or not each.get("required", True)
            chosen = value if kind == "MULTISELECT" else [value]
            if not free and any(option not in options for option in chosen):
                return f"it must match the values `[{', '.join(options)}]`"
        case "EMAIL":
            if not _EMAIL.fullmatch(value):
                return "The input must be a valid email"
        case "INT" | "FLOAT":
            return _outside(value, each.get("min"), each.get("max"), each)
        case "DATE" | "DATETIME" | "TIME":
            if each.get("after") and value < each["after"]:
                return f"it must be after `{each['after']}`"
            if each.get("before") and value > each["before"]:
                return f"it must be before `{each['before']}`"
        case "DURATION":
            low, high = (
                parsed_duration(each[name]) if each.get(name) else None for name in ("min", "max")
            )
            return _outside(parsed_duration(value) or 0, low, high, each)
    return None


def _outside(value: float, low: float | None, high: float | None, each: Json) -> str | None:
    if low is not None and value < low:
        return f"it must be more than `{each['min']}`"
    if high is not None and value > high:
        return f"it must be less than `{each['max']}`"
    return None
