"""Flows: reading and validating their source, revisions, plugin defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml
from croniter import croniter

from offline.kestra import schema, source, states
from offline.kestra.config import Release
from offline.kestra.errors import ConstraintViolations, IllegalState, NotFound, Violation, violation
from offline.kestra.schema import Class, Json, Reader
from offline.kestra.store import Store
from offline.kestra.tasks import TYPES, classes
from offline.kestra.tasks.base import child_tasks

# Source: FlowValidator of Kestra 1.x; release 0.20 has no reserved words.
RESERVED_IDS = (
    "pause", "resume", "force-run", "change-status", "kill", "executions", "search", "source",
    "disable", "enable",
)  # fmt: skip
_SERVERS_OWN = ("revision", "updated", "deleted")  # what the source says of them does not count
_SYSTEM_LABEL = "system."
_READ_ONLY_LABEL = "system.readOnly"


def all_tasks(tasks: list[Json] | None) -> Iterator[Json]:
    """The tasks and all tasks inside of them."""
    for task in tasks or ():
        yield task
        yield from all_tasks(list(child_tasks(task, TYPES[task["type"]].properties)))


def flow_tasks(flow: Json) -> Iterator[Json]:
    """All tasks of a flow, on whatever branch."""
    for name in ("tasks", "errors", "finally"):
        yield from all_tasks(flow.get(name))


def find_task(flow: Json, task_id: str) -> Json | None:
    """The task of a flow by its id."""
    return next((task for task in flow_tasks(flow) if task["id"] == task_id), None)


def with_defaults(flow: Json) -> Json:
    """The flow with its plugin defaults put into the tasks and triggers that they are for."""
    defaults = flow.get("pluginDefaults") or []

    def injected(value: Any) -> Any:
        if isinstance(value, list):
            return [injected(each) for each in value]
        if not isinstance(value, dict):
            return value
        value = {name: injected(each) for name, each in value.items()}
        if isinstance(named := value.get("type"), str):
            for default in defaults:
                if named == default["type"] or named.startswith(default["type"]):
                    given = default.get("values") or {}
                    value = {**value, **given} if default.get("forced") else {**given, **value}
        return value

    rest = {name: value for name, value in flow.items() if name != "pluginDefaults"}
    return {**injected(rest), "pluginDefaults": defaults} if defaults else flow


class Flows:
    """The flows of the server.

    Args:
        store: the database.
        release: the release whose rules hold.
        changed: called with each flow after it was saved, and with whether it was deleted.
    """

    def __init__(
        self, store: Store, release: Release, changed: Callable[[Json, bool], None]
    ) -> None:
        self._store = store
        self._release = release
        self._changed = changed
        self._tasks: Mapping[str, Class] = classes(release)
        self._class = schema.flow_class(release)

    # --- reading and validating ----------------------------------------------------------------

    def parse(self, text: str) -> Json:
        """Read the source of a flow.

        Raises:
            ConstraintViolations: it is not one.
        """
        return Reader(self._tasks).read(source.compose(text, "flow"), self._class)

    def parse_task(self, text: str, *, trigger: bool = False) -> Json:
        """Read the source of one task or trigger.

        Raises:
            ConstraintViolations: it is not one, or a constraint is broken.
        """
        resource = "abstracttrigger" if trigger else "task"
        reader = Reader(self._tasks, resource)
        node = source.compose(text, resource)
        data = reader.trigger(node) if trigger else reader.task(node)
        cls = schema.TRIGGERS[data["type"]] if trigger else self._tasks[data["type"]]
        schema.refuse(schema.violations(data, cls, self._tasks))
        return data

    def validate(self, flow: Json) -> None:
        """Check the constraints of a flow, plugin defaults included.

        Raises:
            ConstraintViolations: all that are broken.
        """
        complete = with_defaults(flow)
        found = schema.violations(complete, self._class, self._tasks)
        found += [
            (f"{path}: {message}", Violation(path, message))
            for path, message in self._rules(complete)
        ]
        schema.refuse(found)

    def _rules(self, flow: Json) -> Iterator[tuple[str, str]]:
        """The constraints that are more than one property's."""
        for index, trigger in enumerate(flow.get("triggers") or ()):
            cron = trigger.get("cron")
            if cron is not None and not is_cron(cron, bool(trigger.get("withSeconds"))):
                yield f"triggers[{index}]", f"invalid cron expression '{cron}'"
        for index, each in enumerate(flow.get("inputs") or ()):
            pattern = each.get("validator")
            if pattern is not None and not _is_pattern(pattern):
                yield f"inputs[{index}].validator", f"invalid pattern [{pattern}]"
        for task in flow_tasks(flow):
            for fault in TYPES[task["type"]].faults(task):
                yield task["id"], fault
        problems = list(self._problems(flow))
        if problems:
            yield "", f"Invalid Flow: {', '.join(problems)}"

    def _problems(self, flow: Json) -> Iterator[str]:
        if self._release.tenant and flow.get("id") in RESERVED_IDS:
            yield (
                f"Flow id is a reserved keyword: {flow['id']}. "
                f"List of reserved keywords: {', '.join(RESERVED_IDS)}"
            )
        for what, members in (
            ("task id with", flow_tasks(flow)),
            ("trigger id with", flow.get("triggers") or ()),
            ("input with", flow.get("inputs") or ()),
            ("output with", flow.get("outputs") or ()),
        ):
            ids = [member.get("id") for member in members]
            twice = [str(each) for each in dict.fromkeys(ids) if ids.count(each) > 1]
            if twice:
                yield f"Duplicate {what} name [{', '.join(twice)}]"
        known = {each.get("id") for each in flow.get("inputs") or ()}
        for each in flow.get("inputs") or ():
            for needed in (each.get("dependsOn") or {}).get("inputs") or ():
                if needed not in known:
                    yield (
                        f"Input with id '{each['id']}' depends on a non-existent input '{needed}'."
                    )
        for label in flow.get("labels") or ():
            if label["key"].startswith(_SYSTEM_LABEL) and label["key"] != _READ_ONLY_LABEL:
                yield (
                    "System labels can only be set by Kestra itself, offending label: "
                    f"{label['key']}={label['value']}"
                )

    def report(self, index: int, text: str) -> Json:
        """What `POST flows/validate` says of one source."""
        result: Json = {"index": index, "outdated": False}
        try:
            flow = self.parse(text)
        except ConstraintViolations as error:
            return result | {"constraints": str(error)}
        last = self._store.last_revision(str(flow.get("namespace")), str(flow.get("id")))
        if flow.get("revision") is not None:
            result["outdated"] = flow["revision"] != last + 1
        result |= {
            "deprecationPaths": [],
            "warnings": [],
            "infos": [
                f"{task['type']} is replaced by {TYPES[task['type']].type}"
                for task in flow_tasks(flow)
                if task["type"] != TYPES[task["type"]].type
            ],
        }
        result |= {
            shown: flow[name]
            for name, shown in (("id", "flow"), ("namespace", "namespace"))
            if flow.get(name) is not None
        }
        try:
            self.validate(flow)
        except ConstraintViolations as error:
            result["constraints"] = str(error)
        return result

    # --- showing ---------------------------------------------------------------------------------

    def shown(self, row: Mapping[str, Any], *, with_source: bool = False) -> Json:
        """A row of the store as the API shows the flow."""
        data = {**row["value"], "revision": row["revision"], "deleted": row["deleted"]}
        if self._release.tenant:
            data["updated"] = states.instant(row["updated"])
        result = schema.shown(data, self._class, self._tasks)
        return result | {"source": row["source"]} if with_source else result

    def shown_task(self, task: Json) -> Json:
        """A task as the API shows it."""
        return schema.shown(task, self._tasks[task["type"]], self._tasks)

    def shown_input(self, given: Json) -> Json:
        """An input as the API shows it."""
        return schema.shown(given, schema.INPUTS[given["type"]], self._tasks)

    # --- changing --------------------------------------------------------------------------------

    def create(self, flow: Json, text: str) -> Json:
        """Store a new flow.

        Raises:
            ConstraintViolations: it breaks a constraint, or is there already.
        """
        if self._store.flow(str(flow.get("namespace")), str(flow.get("id"))):
            raise violation("flow.id", "Flow id already exists")
        self.validate(flow)
        return self._save(flow, text)

    def update(self, namespace: str, flow_id: str, flow: Json, text: str) -> Json | None:
        """Store a flow as the next revision, unless its source is that of the last.

        Returns:
            The flow; None if there is none to update.

        Raises:
            ConstraintViolations: it breaks a constraint, or is another flow.
        """
        previous = self._store.flow(namespace, flow_id)
        if previous is None:
            return None
        self.validate(flow)
        broken = []
        if flow["id"] != flow_id:
            broken.append(Violation("flow.id", "Illegal flow id update"))
        if flow["namespace"] != namespace:
            broken.append(Violation("flow.namespace", "Illegal namespace update"))
        if broken:
            message = ", ".join(f"{each.path}: {each.message}" for each in broken)
            raise ConstraintViolations(message, broken)
        if previous["source"] == text:
            return self.shown(previous, with_source=True)
        return self._save(flow, text)

    def import_source(self, text: str) -> Json:
        """Create or update the flow of a source, a deleted one too."""
        flow = self.parse(text)
        updated = self.update(str(flow.get("namespace")), str(flow.get("id")), flow, text)
        return updated or self.create(flow, text)

    def replace_all(self, namespace: str | None, texts: list[str], *, delete: bool) -> list[Json]:
        """Make these the flows of a namespace, or of the server.

        Args:
            delete: whether the flows that are not among them go.

        Returns:
            The deleted flows, then the others.

        Raises:
            ConstraintViolations: one of them is no flow; nothing is changed then.
        """
        flows = [(self.parse(text), text.strip()) for text in texts]
        for flow, _ in flows:
            if namespace is not None and flow.get("namespace") != namespace:
                raise violation("flow.namespace", "Flow namespace is invalid")
        ids = [flow.get("id") for flow, _ in flows]
        if len(set(ids)) < len(ids):
            raise violation("flow.id", "Duplicate flow id")
        for flow, _ in flows:
            self.validate(flow)
        gone = []
        if delete:
            gone = [row for row in self._store.flows_of(namespace) if row["id"] not in ids]
            for row in gone:
                self.delete(row["namespace"], row["id"])
        kept = [
            self.update(flow["namespace"], flow["id"], flow, text) or self.create(flow, text)
            for flow, text in flows
        ]
        return [self.shown(row, with_source=True) for row in gone] + kept

    def delete(self, namespace: str, flow_id: str) -> bool:
        """Delete a flow, by a revision that says so.

        Returns:
            Whether there was one.
        """
        row = self._store.flow(namespace, flow_id)
        if row is None:
            return False
        self._store.add_revision(row["value"], row["source"], deleted=True)
        self._changed(row["value"], True)
        return True

    def set_disabled(self, namespace: str, flow_id: str, disabled: bool) -> bool:
        """Disable or enable a flow, in its source too.

        Returns:
            Whether anything changed.

        Raises:
            NotFound: there is no such flow.
        """
        row = self._store.flow(namespace, flow_id)
        if row is None:
            raise NotFound("No value present")
        if bool(row["value"].get("disabled")) == disabled:
            return False
        wanted, other = str(disabled).lower(), str(not disabled).lower()
        text, replaced = re.subn(
            rf"^disabled\s*:\s*{other}\s*", f"disabled: {wanted}\n", row["source"], flags=re.M
        )
        if not replaced:
            text = f"{row['source']}\ndisabled: {wanted}"
        self._save({**row["value"], "disabled": disabled}, text)
        return True

    def _save(self, flow: Json, text: str) -> Json:
        flow = {name: value for name, value in flow.items() if name not in _SERVERS_OWN}
        self._store.add_revision(flow, text)
        self._changed(flow, False)
        row = self._store.flow(flow["namespace"], flow["id"])
        assert row is not None
        return self.shown(row, with_source=True)

    # --- running ---------------------------------------------------------------------------------

    def executable(self, namespace: str, flow_id: str, revision: int | None = None) -> Json:
        """A flow to run, with its revision and without plugin defaults.

        Raises:
            NotFound: there is none.
            IllegalState: it is disabled.
        """
        row = self._store.flow(namespace, flow_id, revision)
        if row is None:
            raise NotFound("Requested Flow is not found.")
        if row["value"].get("disabled"):
            raise IllegalState("Requested Flow is disabled.")
        return {**row["value"], "revision": row["revision"]}


def generated_source(flow: Json) -> str:
    """YAML for a flow that came as JSON."""
    return yaml.safe_dump(flow, sort_keys=False, allow_unicode=True)


def is_cron(expression: str, with_seconds: bool) -> bool:
    """Whether a text is a cron expression of five fields, or of six with seconds first."""
    fields = 6 if with_seconds else 5
    if expression.startswith("@"):
        return croniter.is_valid(expression) and expression != "@reboot"
    return len(expression.split()) == fields and croniter.is_valid(
        expression, second_at_beginning=with_seconds
    )


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True
