"""Executions and their flows: new ones with labels and inputs, and the outputs at their end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offline.kestra import inputs as execution_inputs
from offline.kestra import states
from offline.kestra.context import RunContext, Services
from offline.kestra.states import Json

_CORRELATION = "system.correlationId"


def new_execution(
    flow: Json, labels: list[Json] | None = None, *, correlated: bool = True, **more: Any
) -> Json:
    """A new execution of a flow, not yet saved.

    Args:
        labels: on top of the flow's own.
        correlated: whether it gets the label that ties together executions of subflows.
        more: further properties, such as `inputs` or `trigger`.
    """
    execution_id = states.create_id()
    state = states.created()
    every = [
        *(each for each in flow.get("labels") or () if not each["key"].startswith("system.")),
        *(labels or ()),
    ]
    if correlated and all(each["key"] != _CORRELATION for each in every):
        every.append({"key": _CORRELATION, "value": execution_id})
    execution = {
        "id": execution_id,
        "namespace": flow["namespace"],
        "flowId": flow["id"],
        "flowRevision": flow["revision"],
        "state": state,
        "originalId": execution_id,
        "deleted": False,
        "metadata": {
            "attemptNumber": 1,
            "originalCreatedDate": state["histories"][0]["date"],
        },
        **more,
    }
    return execution | {"labels": every} if every else execution


def resolve_inputs(
    services: Services, flow: Json, execution: Json, given: Mapping[str, Any]
) -> list[execution_inputs.Resolved]:
    """The inputs of an execution that is about to be made."""

    def render(expression: str, values: Mapping[str, Any]) -> Any:
        return RunContext(services, flow, {**execution, "inputs": values}).render(expression)

    return execution_inputs.resolve(flow.get("inputs") or [], given, render)


def flow_of(services: Services, execution: Json) -> Json:
    """The flow of an execution, at the revision that it runs."""
    row = services.store.flow(
        execution["namespace"], execution["flowId"], execution["flowRevision"], deleted=True
    )
    assert row is not None, "an execution's flow revision is never removed"
    return {**row["value"], "revision": row["revision"]}


def flow_outputs(services: Services, flow: Json, execution: Json) -> Json | None:
    """The outputs that a flow declares, for an execution that ends; None if it declares none.

    Raises:
        RenderError: an expression cannot be evaluated.
        ValueError: a value is not of the declared type.
    """
    declared = flow.get("outputs")
    if not declared:
        return None
    context = RunContext(services, flow, execution)
    outputs = {}
    for each in declared:
        value = context.render(each["value"])
        try:
            outputs[each["id"]] = (
                None if value is None else execution_inputs.parsed(each["type"], value)
            )
        except ValueError as error:
            raise ValueError(
                f"Invalid output for `{each['id']}`, {error}, "
                f"but received `{context.text(each['value'])}`"
            ) from error
    return outputs
