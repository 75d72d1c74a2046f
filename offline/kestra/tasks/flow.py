"""Flowable tasks of the core plugin: they decide which tasks run, how often and at once or not.

Sources: the classes of the same names in io.kestra.plugin.core.flow.
"""

from __future__ import annotations

from typing import Any

from offline.kestra.pebble import parse_json, stringify, to_json
from offline.kestra.schema import Json, Property
from offline.kestra.tasks.base import Branch, Flowable, TaskError

_TASKS = Property("tasks", not_empty=True)
_ERRORS = Property("tasks")


class Sequential(Flowable):
    """One after the other."""

    type = "io.kestra.plugin.core.flow.Sequential"
    aliases = ("io.kestra.core.tasks.flows.Sequential",)
    properties = {"errors": _ERRORS, "tasks": _TASKS}

    def branches(self, outputs: Json) -> list[Branch]:
        return [Branch(self.data["tasks"])]


class AllowFailure(Sequential):
    """One after the other; a failure inside is only a warning outside."""

    type = "io.kestra.plugin.core.flow.AllowFailure"
    aliases = ("io.kestra.core.tasks.flows.AllowFailure",)
    tolerates_failure = True


class Parallel(Flowable):
    """All at once, or as many as `concurrent` says."""

    type = "io.kestra.plugin.core.flow.Parallel"
    aliases = ("io.kestra.core.tasks.flows.Parallel",)
    properties = {
        "concurrent": Property("whole", default=0),
        "tasks": _TASKS,
        "errors": _ERRORS,
    }

    def branches(self, outputs: Json) -> list[Branch]:
        return [Branch([task]) for task in self.data["tasks"]]

    def concurrency(self) -> int:
        return int(self.given("concurrent"))


class If(Flowable):
    """One list of tasks or the other."""

    type = "io.kestra.plugin.core.flow.If"
    aliases = ("io.kestra.core.tasks.flows.If",)
    properties = {
        "condition": Property(),
        "then": _TASKS,
        "else": Property("tasks"),
        "errors": _ERRORS,
    }

    def outputs(self) -> Json:
        condition = self.given("condition")
        return {"evaluationResult": condition is not None and self.context.is_true(condition)}

    def branches(self, outputs: Json) -> list[Branch]:
        chosen = self.data["then"] if outputs["evaluationResult"] else self.data.get("else")
        return [Branch(chosen or [])]


class Switch(Flowable):
    """The list of tasks that a value names."""

    type = "io.kestra.plugin.core.flow.Switch"
    aliases = ("io.kestra.core.tasks.flows.Switch",)
    properties = {
        "value": Property(required=True, not_blank=True),
        "cases": Property("cases"),
        "defaults": Property("tasks"),
        "errors": _ERRORS,
    }

    def outputs(self) -> Json:
        value = self.text("value")
        return {"value": value, "defaults": value not in (self.data.get("cases") or {})}

    def branches(self, outputs: Json) -> list[Branch]:
        cases = self.data.get("cases") or {}
        return [Branch(cases.get(outputs["value"]) or self.data.get("defaults") or [])]


def _text(value: Any) -> str:
    return stringify(value) if isinstance(value, str) else to_json(value)


class ForEach(Flowable):
    """The same tasks for every value of a list."""

    type = "io.kestra.plugin.core.flow.ForEach"
    properties = {
        "values": Property("any", required=True),
        "concurrencyLimit": Property("whole", default=1, minimum=0),
        "errors": _ERRORS,
        "tasks": _TASKS,
    }

    def branches(self, outputs: Json) -> list[Branch]:
        values = self.rendered("values")
        if isinstance(values, str):
            values = parse_json(values)
        if not isinstance(values, list):
            raise TaskError(f"Unknown value type: {type(values).__name__}")
        if nulls := values.count(None):
            listed = ", ".join(map(_text, values))
            raise TaskError(f"Found '{nulls}' null values on Each, with values=[{listed}]")
        different = dict.fromkeys(map(_text, values))
        return [Branch(self.data["tasks"], value, number) for number, value in enumerate(different)]

    def concurrency(self) -> int:
        return int(self.given("concurrencyLimit"))


TASKS = (Sequential, AllowFailure, Parallel, If, Switch, ForEach)
