"""The task that runs another flow.

Sources: io.kestra.plugin.core.flow.Subflow and io.kestra.core.runners.ExecutableUtils.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from offline.kestra.context import RunContext
from offline.kestra.errors import ConstraintViolations
from offline.kestra.executions import flow_of, flow_outputs, new_execution, resolve_inputs
from offline.kestra.inputs import values_of
from offline.kestra.pebble import RenderError
from offline.kestra.schema import Json, Property
from offline.kestra.tasks.base import Executable, TaskError

_TRANSMITTED = ("FAILED", "PAUSED", "KILLED", "WARNING")


class Subflow(Executable):
    """Start an execution of another flow, and wait for its end unless told otherwise."""

    type = "io.kestra.plugin.core.flow.Subflow"
    aliases = ("io.kestra.core.tasks.flows.Subflow", "io.kestra.core.tasks.flows.Flow")
    properties = {
        "namespace": Property(not_empty=True),
        "flowId": Property(required=True),
        "revision": Property("whole", minimum=1),
        "inputs": Property("any"),
        "labels": Property("labels"),
        "wait": Property("flag", default=True),
        "transmitFailed": Property("flag", default=True),
        "inheritLabels": Property("flag", default=False),
        "outputs": Property("any"),
        "scheduleDate": Property(),
        "restartBehavior": Property(
            "enum", values=("RETRY_FAILED", "NEW_EXECUTION"), default="RETRY_FAILED"
        ),
    }
    unsupported = frozenset({"scheduleDate"})

    @classmethod
    def faults(cls, data: Json) -> Iterator[str]:
        for label in data.get("labels") or ():
            if label["key"].startswith("system."):
                yield (
                    "System labels can only be set by Kestra itself, offending label: "
                    f"{label['key']}={label['value']}"
                )

    def create(self) -> tuple[Json, Json]:
        flow = self._flow()
        parent = self.context.execution
        execution = new_execution(
            flow,
            self._labels(flow),
            trigger={"id": self.data["id"], "type": self.type, "variables": self._variables()},
        )
        given = self.rendered("inputs") or {}
        try:
            values = values_of(resolve_inputs(self.context.services, flow, execution, given))
        except ConstraintViolations as error:
            raise TaskError(str(error)) from error
        for name in given:
            if self._since_1 and name not in values:
                self.context.log(
                    "WARN",
                    f"Input {name} was provided by parent execution {parent['id']} for subflow "
                    f"{flow['namespace']}.{flow['id']} but isn't declared at the subflow inputs",
                )
        return flow, execution | ({"inputs": values} if values else {})

    @property
    def _since_1(self) -> bool:
        return self.context.services.config.release.tenant is not None

    def _flow(self) -> Json:
        namespace, flow_id = self.text("namespace") or "", self.text("flowId") or ""
        revision = self.rendered("revision")
        row = self.context.services.store.flow(namespace, flow_id, revision)
        if row is None:
            raise TaskError(
                f"Unable to find flow '{namespace}'.'{flow_id}' with revision '{revision or 0}'"
            )
        if row["value"].get("disabled"):
            raise TaskError("Cannot execute a flow which is disabled")
        return {**row["value"], "revision": row["revision"]}

    def _labels(self, flow: Json) -> list[Json]:
        labels: list[Json] = self.context.execution.get("labels") or []
        if self.flag("inheritLabels"):
            own = {label["key"] for label in flow.get("labels") or ()} if self._since_1 else set()
            labels = [label for label in labels if label["key"] not in own]
        else:
            labels = [label for label in labels if label["key"].startswith("system.")]
        return labels + [
            {name: self.context.text(part) for name, part in label.items()}
            for label in self.given("labels") or ()
        ]

    def _variables(self) -> Json:
        """What the started execution has as `trigger`."""
        flow, run = self.context.flow, self.context.task_run
        assert run is not None
        variables: dict[str, Any] = {
            "executionId": self.context.execution["id"],
            "namespace": flow["namespace"],
            "flowId": flow["id"],
            "flowRevision": flow["revision"],
        }
        if self._since_1:
            variables |= {"taskRunId": run["id"], "taskId": run["taskId"]}
            for name, source in (("taskRunValue", "value"), ("taskRunIteration", "iteration")):
                if source in run:
                    variables[name] = run[source]
        return variables

    def waits(self) -> bool:
        return self.flag("wait")

    def restarts(self) -> bool:
        return self._since_1 and self.given("restartBehavior") == "RETRY_FAILED"

    def result(self, execution: Json) -> tuple[str, Json]:
        state = execution["state"]["current"]
        outputs = {"executionId": execution["id"], "state": state}
        if self.waits():
            try:
                declared = self._outputs(execution)
            except (RenderError, ValueError) as error:
                self.context.log(
                    "ERROR" if self._since_1 else "WARN",
                    f"Failed to extract outputs with the error: '{error}'",
                )
                return self._tolerated("FAILED"), outputs
            if declared:
                outputs["outputs"] = declared
        if state not in _TRANSMITTED or not self.flag("transmitFailed"):
            return "SUCCESS", outputs
        state = self._tolerated(state)
        if self._since_1 and state in ("FAILED", "WARNING"):
            self.context.log(
                "ERROR" if state == "FAILED" else "WARN",
                f'Subflow execution [[link execution="{execution["id"]}" '
                f'flowId="{execution["flowId"]}" namespace="{execution["namespace"]}"]] '
                f"ends in {state} state",
            )
        return state, outputs

    def _outputs(self, execution: Json) -> Json | None:
        """The outputs of the ended execution: its flow's, or what this task reads out of it."""
        services = self.context.services
        flow = flow_of(services, execution)
        return flow_outputs(services, flow, execution) or RunContext(
            services, flow, execution
        ).render(self.given("outputs"))

    def _tolerated(self, state: str) -> str:
        if state == "FAILED" and self.data.get("allowFailure"):
            state = "WARNING"
        return "SUCCESS" if state == "WARNING" and self.data.get("allowWarning") else state


TASKS = (Subflow,)
