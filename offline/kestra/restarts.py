"""Executions that failed and run again from the tasks that did.

Source: io.kestra.core.services.ExecutionService, `restart`.
"""

from __future__ import annotations

from offline.kestra import states
from offline.kestra.errors import IllegalArgument
from offline.kestra.flows import all_tasks, flow_tasks
from offline.kestra.states import Json

_RESTARTED = {"key": "system.restarted", "value": "true"}


def restarted(flow: Json, execution: Json, *, labelled: bool) -> Json:
    """The execution as it is to go on.

    Args:
        flow: its flow, at the revision to go on with.
        execution: the execution; it is changed.
        labelled: whether it is labelled as restarted, as since 1.0.

    Raises:
        IllegalArgument: no task has failed.
    """
    runs = {run["id"]: run for run in execution.get("taskRunList", ())}
    again = {run["id"] for run in runs.values() if run["state"]["current"] == "FAILED"}
    if not again:
        raise IllegalArgument("No task found to restart execution from!")
    for run_id in list(again):
        while run_id := runs[run_id].get("parentTaskRunId"):
            again.add(run_id)
    handlers = {
        task["id"]
        for around in (flow, *flow_tasks(flow))
        for name in ("errors", "finally")
        for task in all_tasks(around.get(name))
    }
    for run in runs.values():
        if run["id"] in again:
            run["state"] = states.moved(run["state"], "RESTARTED")
    execution["taskRunList"] = [run for run in runs.values() if run["taskId"] not in handlers]
    execution["state"] = states.moved(execution["state"], "RESTARTED")
    execution["metadata"]["attemptNumber"] += 1
    execution["flowRevision"] = flow["revision"]
    if labelled and _RESTARTED not in execution.get("labels", ()):
        execution["labels"] = [*execution.get("labels", ()), _RESTARTED]
    return execution
