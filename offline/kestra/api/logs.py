"""Logs: `/logs`."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from offline.kestra.api.executions import period
from offline.kestra.api.routing import EMPTY, TEXT, Call, Resource, paged
from offline.kestra.errors import BadRequest
from offline.kestra.store import LEVELS, Conditions

route = Resource()


def _level(call: Call, conditions: Conditions) -> None:
    if (level := call.query.get("minLevel")) is None:
        return
    if level not in LEVELS:
        raise BadRequest(
            f"Failed to convert argument [minLevel] for value [{level}] due to: "
            f"No enum constant org.slf4j.event.Level.{level}"
        )
    conditions.add("level >= %s", LEVELS[level])


def _of_execution(call: Call) -> Conditions:
    conditions = Conditions()
    conditions.add("execution_id = %s", call.path["execution"])
    _level(call, conditions)
    for name, column in (("taskRunId", "task_run_id"), ("taskId", "task_id")):
        if name in call.query:
            conditions.add(f"{column} = %s", call.query[name])
    if (attempt := call.number("attempt")) is not None:
        conditions.add("attempt = %s", attempt)
    return conditions


@route("GET", "/logs/{execution}")
def of_execution(call: Call) -> Any:
    return call.server.store.execution_logs(_of_execution(call))


@route("GET", "/logs/{execution}/download")
def download(call: Call) -> Any:
    lines = [
        f"{entry['timestamp']} {entry['level']:<5} {entry.get('taskId', '')} {entry['message']}"
        for entry in call.server.store.execution_logs(_of_execution(call))
    ]
    name = f'attachment; filename="{call.path["execution"]}.log"'
    return Response("\n".join(lines), 200, {"Content-Disposition": name}, TEXT)


@route("DELETE", "/logs/{execution}")
def delete(call: Call) -> Any:
    call.server.store.delete_logs(_of_execution(call))
    return EMPTY


@route("GET", "/logs/search")
def search(call: Call) -> Any:
    query, conditions = call.query, Conditions()
    conditions.add_namespace(query.get("namespace"))
    _level(call, conditions)
    if "flowId" in query:
        conditions.add("flow_id = %s", query["flowId"])
    if "triggerId" in query:
        conditions.add("value ->> 'triggerId' = %s", query["triggerId"])
    if "q" in query:
        conditions.add("strpos(lower(value ->> 'message'), %s) > 0", query["q"].lower())
    start, end = period(query)
    if start:
        conditions.add("timestamp >= %s", start)
    if end:
        conditions.add("timestamp <= %s", end)
    return paged(*call.server.store.logs(conditions, call.page("logs", "timestamp, id")))
