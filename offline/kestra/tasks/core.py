"""Tasks of the core plugin that neither route nor speak HTTP.

Sources of the properties and outputs: the classes of the same names below io.kestra.plugin.core.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from offline.kestra.keyvalues import parse, typed
from offline.kestra.pebble import parse_json, stringify
from offline.kestra.schema import LEVELS, Json, Property, parsed_duration
from offline.kestra.states import iso_duration
from offline.kestra.tasks.base import Runnable, TaskError


class Log(Runnable):
    """Write one or several messages to the log."""

    type = "io.kestra.plugin.core.log.Log"
    aliases = ("io.kestra.core.tasks.log.Log", "io.kestra.core.tasks.debugs.Echo")
    properties = {
        "message": Property("any", required=True),
        "level": Property("enum", values=LEVELS, default="INFO"),
    }

    def run(self) -> Json:
        level = self.choice("level", LEVELS) or "INFO"
        message = self.given("message")
        for each in message if isinstance(message, list) else [message]:
            self.context.log(level, self.context.text(each))
        return {}


class Return(Runnable):
    """Give back a rendered text."""

    type = "io.kestra.plugin.core.debug.Return"
    aliases = ("io.kestra.core.tasks.debugs.Return",)
    properties = {"format": Property()}

    def run(self) -> Json:
        value = self.text("format")
        if value is None:
            return {}
        self.context.log("DEBUG", value)
        return {"value": value}


class Fail(Runnable):
    """Fail, always or on a condition."""

    type = "io.kestra.plugin.core.execution.Fail"
    aliases = ("io.kestra.core.tasks.executions.Fail",)
    properties = {"condition": Property(), "errorMessage": Property(default="Task failure")}

    def run(self) -> Json:
        condition = self.given("condition")
        message = self.text("errorMessage") or ""
        if condition is None:
            raise TaskError(message)
        if self.context.is_true(condition):
            self.context.log("ERROR", message)
            raise TaskError("Fail on a condition")
        return {}


class Labels(Runnable):
    """Give the execution labels."""

    type = "io.kestra.plugin.core.execution.Labels"
    aliases = ("io.kestra.core.tasks.executions.Labels",)
    properties = {"labels": Property("any", required=True)}

    def run(self) -> Json:
        labels = self.rendered("labels")
        if isinstance(labels, str):
            labels = parse_json(labels)
        if isinstance(labels, list):
            labels = {each["key"]: each["value"] for each in labels}
        if not isinstance(labels, dict):
            raise TaskError(f"Unknown value type: {type(labels).__name__}")
        for key, value in labels.items():
            if key.startswith("system."):
                raise TaskError(
                    "System labels can only be set by Kestra itself, "
                    f"offending label: {key}={value}"
                )
        self.context.add_labels({key: stringify(value) for key, value in labels.items()})
        return {}


class Sleep(Runnable):
    """Wait for a time."""

    type = "io.kestra.plugin.core.flow.Sleep"
    properties = {"duration": Property("duration", required=True)}

    def run(self) -> Json:
        text = self.text("duration") or ""
        seconds = parsed_duration(text)
        if seconds is None:
            raise TaskError(f"Text '{text}' cannot be parsed to a Duration")
        self.context.log("INFO", f"Waiting for {iso_duration(timedelta(seconds=seconds))}")
        self.context.cancellation.sleep(seconds)
        return {}


class PurgeCurrentExecutionFiles(Runnable):
    """Delete the files that the execution left in the internal storage."""

    type = "io.kestra.plugin.core.storage.PurgeCurrentExecutionFiles"
    aliases = (
        "io.kestra.core.tasks.storages.PurgeExecution",
        "io.kestra.plugin.core.storage.PurgeExecution",
    )

    def run(self) -> Json:
        return {"uris": self.context.delete_execution_files()}


_NAMESPACE = Property(default="{{ flow.namespace }}")


class Get(Runnable):
    """Read a value from the key-value store."""

    type = "io.kestra.plugin.core.kv.Get"
    properties = {
        "key": Property(required=True),
        "namespace": _NAMESPACE,
        "errorOnMissing": Property("flag", default=False),
    }

    def run(self) -> Json:
        namespace, key = self.text("namespace") or "", self.text("key") or ""
        found = self.context.key_values.get(namespace, key)
        if found is None:
            if self.flag("errorOnMissing"):
                raise TaskError(
                    f"No value found for key '{key}' in namespace '{namespace}' "
                    "and `errorOnMissing` is set to true"
                )
            return {}
        return {"value": found["value"]}


class Set(Runnable):
    """Write a value to the key-value store."""

    type = "io.kestra.plugin.core.kv.Set"
    properties = {
        "key": Property(required=True),
        "value": Property("any", required=True),
        "namespace": _NAMESPACE,
        "overwrite": Property("flag", default=True),
        "ttl": Property("duration"),
        "kvType": Property(
            "enum",
            values=("STRING", "NUMBER", "BOOLEAN", "DATETIME", "DATE", "DURATION", "JSON"),
        ),
    }

    def run(self) -> Json:
        namespace, key = self.text("namespace") or "", self.text("key") or ""
        kind, value = self._typed(self.rendered("value"))
        if not self.flag("overwrite") and self.context.key_values.get(namespace, key) is not None:
            raise TaskError(
                f"Cannot set value for key '{key}'. "
                "Key already exists and `overwrite` is set to `false`."
            )
        ttl = self.text("ttl")
        seconds = parsed_duration(ttl) if ttl else None
        self.context.key_values.put(namespace, key, kind, value, seconds)
        return {}

    def _typed(self, value: Any) -> tuple[str, Any]:
        wanted = self.text("kvType")
        if wanted is None or not isinstance(value, str):
            return typed(value)
        match wanted:
            case "BOOLEAN":
                return wanted, value.lower() == "true"
            case "JSON":
                return wanted, parse_json(value)
            case "NUMBER" | "DATETIME" | "DATE":
                kind, parsed = parse(value)
                if kind != wanted:
                    raise TaskError(f"`{value}` is not a {wanted}")
                return kind, parsed
            case "DURATION":
                if parsed_duration(value) is None:
                    raise TaskError(f"Text '{value}' cannot be parsed to a Duration")
        return wanted, stringify(value)


TASKS = (Log, Return, Fail, Labels, Sleep, PurgeCurrentExecutionFiles, Get, Set)
