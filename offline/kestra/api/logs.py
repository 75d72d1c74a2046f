"""Logs and metrics: `/logs`, `/metrics`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from jpype import JClass
from starlette.responses import Response, StreamingResponse

from offline.kestra.api.routing import EMPTY, TEXT, Call, Resource, event
from offline.kestra.engine.machine import TENANT, Kestra

route = Resource()


def _logs(kestra: Kestra) -> Any:
    return kestra.bean("core.repositories.LogDataStoreInterface")


def _of_execution(call: Call) -> Any:
    """Returns the filters of a request, and one for the execution of its path."""
    kind, filters = JClass("io.kestra.core.models.QueryFilter"), call.filters("LOG")
    filters.add(
        kind.builder()
        .field(JClass("io.kestra.core.models.QueryFilter$Field").EXECUTION_ID)
        .operation(JClass("io.kestra.core.models.QueryFilter$Op").EQUALS)
        .value(call.path["execution"])
        .build()
    )
    return filters


@route("GET", "/logs/{execution}")
def of_execution(call: Call) -> Any:
    return _logs(call.kestra).findAsync(TENANT, _of_execution(call)).collectList().block()


@route("GET", "/logs/{execution}/download")
def download(call: Call) -> Any:
    entry = JClass("io.kestra.core.models.executions.LogEntry")
    lines = [str(entry.toPrettyString(each)) for each in of_execution(call)]
    name = f'attachment; filename="{call.path["execution"]}.log"'
    return Response("\n".join(lines), 200, {"Content-Disposition": name}, TEXT)


@route("GET", "/logs/{execution}/follow")
def follow(call: Call) -> Any:
    """Server-sent events: the lines so far, then each new one; they do not end."""
    streams, filters = call.kestra.bean("core.services.LogStreamingService"), _of_execution(call)
    execution, subscriber = call.path["execution"], str(uuid4())

    def events() -> Iterator[str]:
        yield event("start", {"attemptNumber": None})
        for line in of_execution(call):
            yield event("progress", call.kestra.json(line))
        new = JClass("reactor.core.publisher.Flux").create(
            lambda sink: streams.registerSubscriber(execution, subscriber, sink, filters)
        )
        try:
            for each in new.toIterable():
                yield event(str(each.getId()), call.kestra.json(each.getData()))
        finally:
            streams.unregisterSubscriber(execution, subscriber)

    return StreamingResponse(events(), media_type="text/event-stream")


@route("DELETE", "/logs/{execution}")
def delete(call: Call) -> Any:
    level = call.query.get("minLevel")
    attempt = call.optional("attempt").orElse(None)
    _logs(call.kestra).deleteByQuery(
        TENANT,
        call.path["execution"],
        call.query.get("taskId"),
        call.query.get("taskRunId"),
        level and JClass("org.slf4j.event.Level").valueOf(level),
        attempt,
    )
    return EMPTY


@route("GET", "/logs/search")
def search(call: Call) -> Any:
    return call.page(
        _logs(call.kestra).find(call.pageable("searchLogs"), TENANT, call.filters("LOG"))
    )


@route("GET", "/metrics/{execution}")
def metrics(call: Call) -> Any:
    found = call.kestra.bean("core.repositories.MetricRepositoryInterface")
    pageable = call.pageable("searchByExecution", found)
    given = (TENANT, call.path["execution"])
    if run := call.query.get("taskRunId"):
        return call.page(found.findByExecutionIdAndTaskRunId(*given, run, pageable))
    if task := call.query.get("taskId"):
        return call.page(found.findByExecutionIdAndTaskId(*given, task, pageable))
    return call.page(found.findByExecutionId(*given, pageable))
