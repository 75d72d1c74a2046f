"""Property tables, and what the Terraform bridge makes of them: check, plan, diff and refresh.

A provider describes each of its resource types by one table of properties. The rules that work on
the tables are those of the official plugins, which wrap Terraform providers: a value that is absent
equals the zero value of its type, an absent `computed` property keeps its value, and sets ignore
order. A change inside a list of objects replaces the resource only if the changed field says so,
inside a set if any field of the changed object does. A `computed` list that the state lacks is a
change too.
Source: pulumi-terraform-bridge 3.137 (pkg/tfbridge) and terraform-plugin-sdk 2 (helper/schema).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from itertools import zip_longest
from typing import Any

from pulumi.runtime.rpc import UNKNOWN

DEFAULTS = "__defaults"
"""The input in which the bridge notes which inputs it filled in itself."""

Values = dict[str, Any]


class Kind(Enum):
    """The types a property can have; the value is the word for it in error messages."""

    STRING = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    LIST = "list"
    SET = "list without order"
    MAP = "map of strings"
    OBJECT = "object"


_PYTHON_TYPES: Mapping[Kind, type] = {
    Kind.STRING: str,
    Kind.INTEGER: int,
    Kind.BOOLEAN: bool,
    Kind.LIST: list,
    Kind.SET: list,
    Kind.MAP: dict,
    Kind.OBJECT: dict,
}


@dataclass(frozen=True)
class Property:
    """One row of a table.

    Attributes:
        kind: its type.
        element: the type of the elements of a list or set.
        fields: the properties of an object.
        required: whether the user must give it.
        replaces: whether a change replaces the resource (`ForceNew`).
        computed: whether the server provides it where the user does not.
        default: the value where the user gives none; of a computed property it is planned, else it
            becomes an input.
        autonamed: whether a name is made up where the user gives none.
        output_only: whether the user cannot give it.
        secret: whether it is always a secret.
        choices: the only values that are allowed.
        pattern: a regular expression that the whole value must match.
        minimum: the least integer that is allowed.
        env: the environment variable to read where the provider configuration does not have it.
        key: the fields by which the elements of a list find their counterparts.
    """

    kind: Kind
    element: Property | None = None
    fields: Mapping[str, Property] = field(default_factory=dict)
    required: bool = False
    replaces: bool = False
    computed: bool = False
    default: str | int | bool | None = None
    autonamed: bool = False
    output_only: bool = False
    secret: bool = False
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    minimum: int | None = None
    env: str | None = None
    key: tuple[str, ...] = ()


Table = Mapping[str, Property]

String = partial(Property, Kind.STRING)
Integer = partial(Property, Kind.INTEGER)
Boolean = partial(Property, Kind.BOOLEAN)
List = partial(Property, Kind.LIST)
Set = partial(Property, Kind.SET)
Map = partial(Property, Kind.MAP)


def Object(fields: Table, **options: Any) -> Property:  # noqa: N802 - reads like its siblings
    """A property that holds one object.

    Args:
        fields: the object's properties.
        options: the other attributes of `Property`.
    """
    return Property(Kind.OBJECT, fields=fields, **options)


@dataclass(frozen=True)
class Failure:
    """A property the user has to correct, and why."""

    property: str
    reason: str


class ChangeKind(Enum):
    """What happens to a property."""

    ADD = "add"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True)
class Change:
    """A difference between the state and the plan."""

    kind: ChangeKind
    replaces: bool


def check(
    table: Table, inputs: Values, old_inputs: Values, autoname: str
) -> tuple[Values, list[Failure]]:
    """Validate inputs and fill in defaults.

    Args:
        table: the properties of the resource type.
        inputs: what the user gave.
        old_inputs: the checked inputs of the last deployment, empty for a new resource.
        autoname: the name for an autonamed resource that has none yet.

    Returns:
        The inputs with defaults and `__defaults`, and what is wrong with them.
    """
    failures: list[Failure] = []
    return _check_object(table, inputs, old_inputs, autoname, "", failures), failures


def _check_object(
    table: Table,
    inputs: Values,
    old_inputs: Values,
    autoname: str,
    path: str,
    failures: list[Failure],
) -> Values:
    checked: Values = {}
    for name, value in inputs.items():
        prop = table.get(name)
        if name == DEFAULTS or value is None:
            continue
        if prop is None or prop.output_only:
            reason = f"property {path + name!r} is not supported offline"
            failures.append(Failure(path + name, reason))
        else:
            checked[name] = _check_value(
                prop, value, old_inputs.get(name), autoname, path + name, failures
            )
    defaults = []
    for name, prop in table.items():
        if name in checked:
            continue
        if prop.required:
            failures.append(Failure(path + name, f"Missing required property {path + name!r}"))
        default = autoname if prop.autonamed else None if prop.computed else prop.default
        # The bridge leaves defaults that equal the zero value to the plan.
        if default:
            was_default = name in old_inputs.get(DEFAULTS, old_inputs)
            checked[name] = old_inputs.get(name, default) if was_default else default
            defaults.append(name)
    checked[DEFAULTS] = sorted(defaults)
    return checked


def _check_value(
    prop: Property, value: Any, old: Any, autoname: str, path: str, failures: list[Failure]
) -> Any:
    if value == UNKNOWN:
        return value
    expected: Any = _PYTHON_TYPES[prop.kind]
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        reason = f"{path!r} must be of type {prop.kind.value}, got {type(value).__name__}"
        failures.append(Failure(path, reason))
        return value
    if prop.kind is Kind.OBJECT:
        old_object = old if isinstance(old, dict) else {}
        return _check_object(prop.fields, value, old_object, autoname, f"{path}.", failures)
    if prop.kind in (Kind.LIST, Kind.SET) and prop.element:
        return [
            _check_value(prop.element, item, None, autoname, f"{path}[{index}]", failures)
            for index, item in enumerate(value)
        ]
    if prop.kind is Kind.MAP:
        for key, item in value.items():
            _check_value(String(), item, None, autoname, f"{path}.{key}", failures)
    problem = None
    if prop.choices and value not in prop.choices:
        problem = f"must be one of {', '.join(prop.choices)}"
    elif prop.pattern and not re.fullmatch(prop.pattern, value):
        problem = f"must match {prop.pattern}"
    elif prop.minimum is not None and value < prop.minimum:
        problem = f"must be at least {prop.minimum}"
    if problem:
        failures.append(Failure(path, f"{path!r} {problem}, got {value!r}"))
    return value


def plan(table: Table, old: Values | None, inputs: Values) -> Values:
    """Foretell the outputs that an operation will have.

    Args:
        table: the properties of the resource type.
        old: the outputs of the last operation, None for a new resource.
        inputs: the checked inputs.

    Returns:
        The outputs; what only the server knows is UNKNOWN in those of a new resource.
    """
    planned: Values = {}
    for name, prop in table.items():
        value = inputs.get(name)
        if value is not None:
            value = _plan_value(prop, None if old is None else old.get(name), value)
        elif prop.default is not None:
            value = prop.default
        elif prop.computed:
            value = UNKNOWN if old is None else old.get(name)
        if value is not None:
            planned[name] = value
    return planned


def _plan_value(prop: Property, old: Any, value: Any) -> Any:
    if value == UNKNOWN:
        return value
    if prop.kind is Kind.OBJECT:
        return plan(prop.fields, old, value)
    if prop.kind is Kind.LIST and prop.element and prop.element.kind is Kind.OBJECT:
        return [
            _plan_value(prop.element, _counterpart(prop, old or [], index, item), item)
            for index, item in enumerate(value)
        ]
    if prop.kind is Kind.SET and prop.element and prop.element.kind is Kind.OBJECT:
        return [_plan_value(prop.element, {}, item) for item in value]
    return value


def _counterpart(prop: Property, old: Sequence[Any], index: int, item: Any) -> Any:
    """The element of the old list that an element of the new one replaces, None where none is."""
    if prop.key and item != UNKNOWN:
        return next((o for o in old if all(o.get(k) == item.get(k) for k in prop.key)), None)
    return old[index] if index < len(old) else None


def known(values: Values) -> Values:
    """The values without those that are not known yet, at any depth."""
    return {name: _known(value) for name, value in values.items() if value != UNKNOWN}


def _known(value: Any) -> Any:
    if isinstance(value, dict):
        return known(value)
    if isinstance(value, list):
        return [_known(item) for item in value]
    return value


def diff(table: Table, old: Values, planned: Values) -> dict[str, Change]:
    """Compare the state with the plan.

    Args:
        table: the properties of the resource type.
        old: the outputs of the last operation.
        planned: what `plan` made of them and the new inputs.

    Returns:
        The changes by property path, e.g. `ports[0].external`.
    """
    return dict(_diff_object(table, old, planned, ""))


def _diff_object(table: Table, old: Values, new: Values, path: str) -> Iterator[tuple[str, Change]]:
    for name, prop in table.items():
        yield from _diff_value(prop, old.get(name), new.get(name), path + name)


def _diff_value(prop: Property, old: Any, new: Any, path: str) -> Iterator[tuple[str, Change]]:
    if prop.kind is Kind.OBJECT and old and new and UNKNOWN not in (old, new):
        yield from _diff_object(prop.fields, old, new, f"{path}.")
    elif is_computed_list(prop) and old is None and new is None:
        # Only a creation that failed leaves it so: the rest of it is lost too.
        yield path, Change(ChangeKind.ADD, prop.replaces)
    elif prop.kind in (Kind.LIST, Kind.SET) and UNKNOWN not in (old, new):
        yield from _diff_elements(prop, old or [], new or [], path)
    elif prop.kind is Kind.MAP and UNKNOWN not in (old, new):
        old, new = old or {}, new or {}
        for key in sorted(old.keys() | new.keys()):
            changed = _changed(old.get(key), new.get(key), prop.replaces)
            yield from ((f"{path}.{key}", change) for change in changed)
    else:
        yield from ((path, change) for change in _changed(old, new, prop.replaces))


def is_computed_list(prop: Property) -> bool:
    """Whether it is a list or set that the server provides where the user does not."""
    return prop.computed and prop.kind in (Kind.LIST, Kind.SET)


def _diff_elements(
    prop: Property, old: list[Any], new: list[Any], path: str
) -> Iterator[tuple[str, Change]]:
    assert prop.element is not None
    element = replace(prop.element, replaces=prop.replaces)
    is_set = prop.kind is Kind.SET
    if is_set:
        old_items, new_items = _without(old, new), _without(new, old)
    else:
        old_items, new_items = _by_key(old, prop.key), _by_key(new, prop.key)
    none = (None, None)
    pairs = zip_longest(old_items.items(), new_items.items(), fillvalue=none)
    for (old_index, old_item), (new_index, new_item) in pairs:
        index = old_index if new_index is None else new_index
        # A set knows no changed elements: one goes with all its fields, another one comes.
        replaces = is_set and (_replaces(element, old_item) or _replaces(element, new_item))
        for changed, change in _diff_value(element, old_item, new_item, f"{path}[{index}]"):
            yield changed, replace(change, replaces=change.replaces or replaces)


def _replaces(element: Property, item: Any) -> bool:
    """Whether an object has a field that replaces the resource."""
    fields = item if isinstance(item, dict) else {}
    return any(change.replaces for _, change in _diff_object(element.fields, {}, fields, ""))


def _without(items: list[Any], others: list[Any]) -> dict[int, Any]:
    """The elements of a set, by index, that another one does not have."""
    rest = [_canonical(other) for other in others]
    return {index: item for index, item in enumerate(items) if _canonical(item) not in rest}


def _canonical(value: Any) -> str:
    """A text that is the same for values that Terraform takes as equal."""
    return json.dumps(_nonzero(value), sort_keys=True)


def _nonzero(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _nonzero(item) for name, item in value.items() if item}
    if isinstance(value, list):
        return sorted((_nonzero(item) for item in value), key=_canonical)
    return value


def _by_key(items: list[Any], key: tuple[str, ...]) -> dict[int, Any]:
    """The elements of a list by index, in the order of their keys."""

    def rank(entry: tuple[int, Any]) -> list[str]:
        return [str(entry[1].get(name)) for name in key] if isinstance(entry[1], dict) else []

    return dict(sorted(enumerate(items), key=rank))


def _changed(old: Any, new: Any, replaces: bool) -> Iterator[Change]:
    """The change of a scalar: none where both are equal or zero."""
    if old == new or (not old and not new):
        return
    kind = ChangeKind.ADD if not old else ChangeKind.DELETE if not new else ChangeKind.UPDATE
    yield Change(kind, replaces)


def refresh(old_inputs: Values, outputs: Values) -> Values:
    """Take over into the inputs what a refresh found.

    Args:
        old_inputs: the inputs of the last deployment, with `__defaults`.
        outputs: what the server reports.

    Returns:
        The same inputs with the reported values; those that are no longer reported are dropped.
    """
    inputs = {
        name: _refresh_value(value, outputs[name])
        for name, value in old_inputs.items()
        if name != DEFAULTS and name in outputs
    }
    if DEFAULTS in old_inputs:
        inputs[DEFAULTS] = [
            name for name in old_inputs[DEFAULTS] if inputs.get(name) == old_inputs.get(name)
        ]
    return inputs


def _refresh_value(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return refresh(old, new)
    if isinstance(old, list) and isinstance(new, list):
        return [_refresh_value(*pair) for pair in zip(old, new, strict=False)]
    return new


def unique_name(name: str, seed: bytes) -> str:
    """A name nobody else has: the logical name, a dash and 7 hexadecimal digits.

    Args:
        name: the logical name.
        seed: the engine's random seed for the resource.
    """
    return f"{name}-{hashlib.sha256(seed).hexdigest()[:7]}"
