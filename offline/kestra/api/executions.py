"""Executions: `/executions`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from jpype import JClass, JException
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse

from offline.kestra.api import flows
from offline.kestra.api.routing import (
    JSON,
    MULTIPART,
    NO_CONTENT,
    OCTETS,
    Call,
    NotFound,
    Refused,
    Resource,
    answer,
    begun,
    chunks,
    event,
    illegal,
)
from offline.kestra.engine.machine import TENANT, Kestra

route = Resource()
_COMMANDS = "io.kestra.core.executor.command"
_LIGHT = (
    "id", "namespace", "flowId", "flowRevision", "inputs", "labels", "state", "parentId",
    "originalId", "trigger", "scheduleDate", "kind", "loopRun",
)  # fmt: skip
_ELSEWHERE = ("executionId", "namespace", "flowId", "outputs")


def repository(kestra: Kestra) -> Any:
    """Returns Kestra's repository of executions."""
    return kestra.bean("core.repositories.ExecutionRepositoryInterface")


def _find(call: Call) -> Any:
    """Returns the execution of the path."""
    return repository(call.kestra).findById(TENANT, call.path["execution"]).orElse(None)


def _found(call: Call) -> Any:
    if (execution := _find(call)) is None:
        raise NotFound
    return execution


def light(call: Call, execution: Any) -> dict[str, Any]:
    """Returns what lists show of an execution."""
    shown = call.kestra.json(execution)
    return {"tenantId": TENANT} | {name: shown[name] for name in _LIGHT if name in shown}


def _light_page(call: Call, found: Any) -> dict[str, Any]:
    return {"results": [light(call, each) for each in found], "total": int(found.getTotal())}


def _state(name: str) -> Any:
    return JClass("io.kestra.core.models.flows.State$Type").valueOf(name)


# --- starting -----------------------------------------------------------------------------------


def _labels(call: Call) -> Any:
    label = JClass("io.kestra.core.models.Label")
    labels = {}
    for each in call.query.getlist("labels"):
        key, separator, value = each.partition(":")
        if not separator:
            raise illegal(f"Invalid queryString parameter: {each}")
        if key.startswith("system.") and key not in ("system.correlationId", "system.from"):
            raise illegal(
                f"System labels can only be set by Kestra itself, offending label: {key}={value}"
            )
        labels[key] = value
    labels.setdefault("system.from", "api")
    return JClass("java.util.ArrayList")([label(*each) for each in labels.items()])


def _given(call: Call, execution: Any) -> Any:
    """Returns the inputs in a form: text, and the URIs of uploaded files."""
    given = JClass("java.util.HashMap")()
    storage = call.kestra.bean("core.storages.StorageInterface")
    for name, value in call.form.multi_items():
        if not isinstance(value, UploadFile):
            given.put(name, value)
            continue
        with tempfile.NamedTemporaryFile() as copy:
            while chunk := value.file.read(1 << 20):
                copy.write(chunk)
            copy.flush()
            file = JClass("java.io.File")(copy.name)
            # The input is named by the part, or by its file if the part is called "files".
            named = value.filename if name == "files" else name
            given.put(named, storage.from_(execution, named, value.filename, file).toString())
    return given


def _executable(call: Call, namespace: str, flow_id: str) -> Any:
    return flows.service(call.kestra).getFlowIfExecutableOrThrow(
        TENANT, namespace, flow_id, call.optional("revision")
    )


@route("POST", "/executions/{namespace}/{id}", (MULTIPART,))
def create(call: Call) -> Any:
    flow = _executable(call, call.path["namespace"], call.path["id"])
    labels = _labels(call)
    optional = JClass("java.util.Optional")
    date = call.query.get("scheduleDate")
    moment = JClass("java.time.ZonedDateTime").parse(date) if date else None
    execution = JClass("io.kestra.core.models.executions.Execution").newExecution(
        flow, None, labels, optional.ofNullable(moment)
    )
    if points := call.query.get("breakpoints"):
        point = JClass("io.kestra.core.debug.Breakpoint")
        parsed = [point.of(each) for each in points.split(",")]
        execution = execution.withBreakpoints(JClass("java.util.ArrayList")(parsed))
    inputs = call.kestra.bean("core.runners.FlowInputOutput").readExecutionInputs(
        flow, execution, _given(call, execution)
    )
    behaviours = JClass("io.kestra.core.models.flows.check.Check")
    failed = flows.service(call.kestra).getFailedChecks(flow, inputs)
    match str(behaviours.resolveBehavior(failed)):
        case "BLOCK_EXECUTION":
            reasons = ", ".join(str(check.getMessage()) for check in failed)
            raise illegal(
                "Flow execution blocked: one or more condition checks evaluated to false.\n"
                f"Failed checks: {reasons}"
            )
        case "FAIL_EXECUTION":
            execution = execution.withState(_state("FAILED"))
    return _started(call, flow, execution.withInputs(inputs), wait=call.flag("wait", False))


def _started(call: Call, flow: Any, execution: Any, *, wait: bool) -> dict[str, Any]:
    """Starts an execution; returns it as it is then, or at its end."""
    kind = JClass(f"{_COMMANDS}.Create")
    identity = JClass("io.kestra.core.models.executions.ExecutionId")(
        flow.toFlowId(), execution.getId()
    )
    command = (
        kind.of(identity)
        .withLabels(execution.getLabels())
        .withInputs(execution.getInputs())
        .withBreakpoints(execution.getBreakpoints())
        .withScheduleDate(execution.getScheduleDate())
    )
    if str(execution.getState().getCurrent()) == "FAILED":
        command = command.withStateType(_state("FAILED"))
    ended = _events(call.kestra, flow, str(execution.getId())) if wait else iter(())
    next(ended, None)  # listens before the execution begins
    call.wait(execution.getId(), "Create", lambda operation: _emit(call, command, operation))
    for _ in ended:
        pass
    last = repository(call.kestra).findById(TENANT, execution.getId()).orElse(execution)
    return {**call.kestra.json(last), **_outputs(call, last), "url": _url(call, last)}


def _outputs(call: Call, execution: Any) -> dict[str, Any]:
    """Returns the outputs of the flow, which Kestra keeps beside the execution."""
    found = call.kestra.bean("core.services.ExecutionOutputService").getOutputs(execution)
    return {"outputs": call.kestra.json(found)} if found else {}


def _url(call: Call, execution: Any) -> str:
    """Returns where Kestra's page shows the execution."""
    place = f"{execution.getNamespace()}/{execution.getFlowId()}/{execution.getId()}"
    return f"{call.settings['url'].rstrip('/')}/ui/{TENANT}/executions/{place}"


def _emit(call: Call, command: Any, operation: Any) -> None:
    queue = call.kestra.queue("Dispatch", "executor.command.ExecutionCommand")
    queue.emit(command.withOperationId(operation))


def _changed(call: Call, execution: Any, name: str, command: Any) -> Any:
    """Has the executor act on a command; returns the execution afterwards."""
    call.wait(execution.getId(), name, lambda operation: _emit(call, command, operation))
    return repository(call.kestra).findById(TENANT, execution.getId()).get()


@route("POST", "/executions/{namespace}/{id}/validate", (MULTIPART,))
def validate_inputs(call: Call) -> Any:
    flow = _executable(call, call.path["namespace"], call.path["id"])
    execution = JClass("io.kestra.core.models.executions.Execution").newExecution(
        flow, _labels(call)
    )
    resolved = call.kestra.bean("core.runners.FlowInputOutput").resolveInputs(
        flow.getInputs(), flow, execution, _given(call, execution)
    )
    values = {str(each.input().getId()): each.value() for each in resolved}
    checks = flows.service(call.kestra).getFailedChecks(flow, JClass("java.util.HashMap")(values))
    shown = []
    for each in call.kestra.json(resolved):
        errors = [
            {"message": text, "renderError": False}
            for text in (str(one["message"]) for one in each.pop("exceptions", None) or ())
        ]
        shown.append(each | {"errors": errors})
    return {
        "id": call.path["id"],
        "namespace": call.path["namespace"],
        "inputs": shown,
        "checks": call.kestra.json(checks),
    }


def _webhook(call: Call) -> Any:
    flow = (
        flows.repository(call.kestra)
        .findById(TENANT, call.path["namespace"], call.path["id"])
        .orElse(None)
    )
    if flow is None:
        raise Refused(404, "Not Found: Flow not found")
    if flow.isDisabled():
        raise Refused(409, "Conflict: Cannot execute flow: flow is disabled.")
    kind = JClass("io.kestra.plugin.core.trigger.AbstractWebhookTrigger").class_
    contexts = call.kestra.bean("core.runners.RunContextFactory")
    for trigger in filter(kind.isInstance, flow.getTriggers() or ()):
        try:
            key = str(contexts.of(flow, trigger).render(trigger.getKey())).strip()
        except JException:
            continue
        if key == call.path["key"]:
            break
    else:
        raise Refused(404, "Not Found: Webhook not found")
    headers: dict[str, list[str]] = {}
    for name, value in call.request.headers.items():
        headers.setdefault(name.title(), []).append(value)
    http = JClass("io.kestra.core.http.HttpRequest")
    body = JClass("io.kestra.core.http.HttpRequest$StringRequestBody").builder()
    request = http.of(
        JClass("java.net.URI").create(str(call.request.url)),
        call.request.method,
        body.content(call.text).build() if call.body else None,
        call.kestra.java(headers, "java.util.Map"),
    )
    context = (
        JClass("io.kestra.plugin.core.trigger.WebhookContext")
        .builder()
        .request(request)
        .path(None)
        .flow(flow)
        .trigger(trigger)
        .webhookService(call.kestra.bean("core.services.WebhookService"))
        .build()
    )
    given = trigger.evaluate(context).block()
    return answer(call.kestra.json(given.getBody()), int(given.getStatus().getCode()))


for _method in ("GET", "POST", "PUT"):
    route(_method, "/executions/webhook/{namespace}/{id}/{key}")(_webhook)


# --- reading ------------------------------------------------------------------------------------


@route("GET", "/executions/{execution}")
def get(call: Call) -> Any:
    if (execution := _find(call)) is None:
        return None
    shown = call.kestra.json(execution)
    shown.pop("deleted")
    for run in shown.get("taskRunList", ()):
        for name in _ELSEWHERE:
            run.pop(name, None)
    return {"tenantId": TENANT} | shown | _outputs(call, execution)


@route("GET", "/executions/search")
def search(call: Call) -> Any:
    found = repository(call.kestra)
    pageable = call.pageable("searchExecutions", found)
    return _light_page(call, found.find(pageable, TENANT, call.filters("EXECUTION")))


@route("GET", "/executions")
def by_flow(call: Call) -> Any:
    namespace, flow_id = (call.parameter(name) for name in ("namespace", "flowId"))
    pageable = call.pageable("searchExecutionsByFlowId", repository(call.kestra))
    unsorted = JClass("io.micronaut.data.model.Pageable").from_(
        pageable.getNumber(), pageable.getSize()
    )
    found = repository(call.kestra).findByFlowId(TENANT, namespace, flow_id, unsorted)
    return _light_page(call, found)


@route("POST", "/executions/latest", (JSON,))
def latest(call: Call) -> Any:
    kind = JClass("io.kestra.core.repositories.ExecutionRepositoryInterface$FlowFilter")
    wanted = [
        call.kestra.java(each, str(kind.class_.getName())) for each in call.json("flows", list)
    ]
    found = repository(call.kestra).lastExecutions(TENANT, JClass("java.util.ArrayList")(wanted))
    return [
        {
            "id": str(each.getId()),
            "flowId": str(each.getFlowId()),
            "namespace": str(each.getNamespace()),
            "startDate": call.kestra.json(each.getState().getStartDate()),
            "status": str(each.getState().getCurrent()),
        }
        for each in found
    ]


@route("GET", "/executions/namespaces/{namespace}/flows")
def flows_of_namespace(call: Call) -> Any:
    found = flows.repository(call.kestra)
    return found.findByNamespaceExecutable(TENANT, call.path["namespace"])


def _for_execution(call: Call, flow: Any) -> Any:
    return JClass("io.kestra.core.models.flows.FlowForExecution").of(flow)


@route("GET", "/executions/flows/{namespace}/{id}")
def flow_for_execution(call: Call) -> Any:
    flow = flows.of_path(call)
    return flow and _for_execution(call, flow)


@route("GET", "/executions/{execution}/flow")
def flow_of_execution(call: Call) -> Any:
    return _for_execution(call, flows.repository(call.kestra).findByExecution(_found(call)))


@route("GET", "/executions/{execution}/graph")
def graph(call: Call) -> Any:
    execution = _found(call)
    flow = flows.repository(call.kestra).findByExecutionWithSource(execution)
    graphs = call.kestra.bean("core.services.GraphService")
    return graphs.flowGraph(flow, None, execution).forExecution()


@route("POST", "/executions/{execution}/eval", (MULTIPART,))
def evaluate(call: Call) -> Any:
    execution = _found(call)
    flow = flows.repository(call.kestra).findByExecution(execution)
    context = call.kestra.bean("core.runners.RunContextFactory").of(flow, execution, False)
    try:
        return {"result": str(context.render(str(call.form.get("expression", ""))))}
    except JException as error:
        return {"error": str(error.getMessage()), "stackTrace": str(error.stacktrace())}


def _events(kestra: Kestra, flow: Any, execution_id: str) -> Iterator[Any]:
    """Yields None once it listens, then Kestra's events about an execution to its end.

    Kestra's queue can skip a message that a slower transaction commits late, so that the last
    event may never come: the repository is asked as well.
    """
    streams = kestra.bean("core.services.ExecutionStreamingService")
    subscriber = str(uuid4())
    flux = JClass("reactor.core.publisher.Flux")
    looks = flux.interval(JClass("java.time.Duration").ofSeconds(2))

    def has_ended(_: Any) -> bool:
        found = repository(kestra).findById(TENANT, execution_id)
        return bool(found.isPresent() and found.get().getState().isTerminated())

    events = (
        flux.create(lambda sink: streams.registerSubscriber(execution_id, subscriber, sink, flow))
        .takeUntilOther(looks.filter(has_ended).skip(1))
        .toIterable()
        .iterator()
    )
    try:
        yield None
        while events.hasNext():
            yield events.next()
    finally:
        streams.unregisterSubscriber(execution_id, subscriber)


@route("GET", "/executions/{execution}/follow")
def follow(call: Call) -> Any:
    """Server-sent events: the execution now, after each step, and at its end."""
    kestra, execution_id = call.kestra, call.path["execution"]

    def events() -> Iterator[str]:
        start = {"id": execution_id, "labels": [], "originalId": execution_id, "deleted": False}
        yield event("start", start)
        if (execution := _find(call)) is None:
            return
        flow = flows.repository(kestra).findByExecutionWithoutAcl(execution)
        for each in _events(kestra, flow, execution_id):
            if each is not None:
                yield event(str(each.getId()), kestra.json(each.getData()))

    return StreamingResponse(events(), media_type="text/event-stream")


def _file(call: Call) -> tuple[Any, Any, Any]:
    """Returns the storage, the execution and the URI of a file of the execution."""
    execution = _find(call)
    if execution is None:
        raise Refused(404, f"Not Found: Unable to find execution id '{call.path['execution']}'")
    uri = JClass("java.net.URI").create(call.parameter("path"))
    context = JClass("io.kestra.core.storages.StorageContext").forExecution(execution)
    if not str(uri.getPath()).startswith(str(context.getExecutionStorageURI().getPath())):
        raise illegal("Invalid prefix path")
    return call.kestra.bean("core.storages.StorageInterface"), execution, uri


@route("GET", "/concurrency-limit/search")
def concurrency_limits(call: Call) -> Any:
    found = call.kestra.bean("core.repositories.ConcurrencyLimitRepositoryInterface").find(TENANT)
    return {"results": call.kestra.json(found), "total": len(found)}


@route("GET", "/executions/{execution}/file")
def file(call: Call) -> Any:
    storage, execution, uri = _file(call)
    name = Path(str(uri.getPath())).name
    return StreamingResponse(
        chunks(storage.get(TENANT, execution.getNamespace(), uri)),
        media_type=OCTETS,
        headers={
            "Content-Disposition": f"attachment; filename=\"{name}\"; filename*=utf-8''{name}"
        },
    )


@route("GET", "/executions/{execution}/file/metas")
def file_metas(call: Call) -> Any:
    storage, execution, uri = _file(call)
    return {"size": int(storage.getAttributes(TENANT, execution.getNamespace(), uri).getSize())}


# --- ending and running again ---------------------------------------------------------------------


def _kill(call: Call, execution: Any, cascade: bool, operation: Any) -> None:
    killed = JClass("io.kestra.core.models.executions.ExecutionKilledExecution")
    requested = JClass("io.kestra.core.models.executions.ExecutionKilled$State").REQUESTED
    call.kestra.queue("Broadcast", "models.executions.ExecutionKilled").emit(
        killed.builder()
        .state(requested)
        .executionId(execution.getId())
        .isOnKillCascade(cascade)
        .tenantId(TENANT)
        .operationId(operation)
        .build()
    )


@route("POST", "/executions/{execution}/kill")
def kill(call: Call) -> Any:
    execution, cascade = _found(call), call.flag("isOnKillCascade", True)
    if execution.getState().isTerminated() and not cascade:
        raise Refused(409, "Conflict: Cannot kill execution: execution is already terminated.")
    call.wait(
        execution.getId(), "Kill", lambda operation: _kill(call, execution, cascade, operation)
    )
    return repository(call.kestra).findById(TENANT, execution.getId()).get()


def _violation(execution_id: str, message: str) -> dict[str, Any]:
    return {
        "message": message,
        "rootBean": execution_id,
        "rootBeanClass": "java.lang.String",
        "leafBean": execution_id,
        "propertyPath": [{"name": "execution", "kind": "PROPERTY", "inIterable": False}],
        "invalidValue": execution_id,
        "messageTemplate": "{messageTemplate}",
        "executableParameters": [],
    }


def _each(
    call: Call,
    ids: list[str],
    action: str,
    refusal: Callable[[Any], str | None],
    act: Callable[[Any, Any], Any],
) -> Response:
    """Does something to executions, or to none if one of them refuses it."""
    executions, invalids = [], []
    for execution_id in ids:
        execution = repository(call.kestra).findById(TENANT, execution_id).orElse(None)
        reason = "execution not found" if execution is None else refusal(execution)
        if reason:
            invalids.append(_violation(execution_id, reason))
        executions.append(execution)
    if invalids:
        return answer({"message": f"invalid bulk {action}", "invalids": invalids}, 400)
    return begun(executions, act)


def _matching(call: Call) -> list[str]:
    found = repository(call.kestra).findAsync(TENANT, call.filters("EXECUTION"))
    return [str(each.getId()) for each in found.toIterable()]


def _ended(execution: Any) -> str | None:
    return "execution already finished" if execution.getState().isTerminated() else None


def _kill_each(call: Call, ids: list[str]) -> Response:
    def act(execution: Any, operation: Any) -> None:
        _kill(call, execution, False, operation)

    return _each(call, ids, "kill", _ended, act)


@route("DELETE", "/executions/kill/by-ids", (JSON,))
def kill_by_ids(call: Call) -> Any:
    return _kill_each(call, call.json("executionsId", list))


@route("DELETE", "/executions/kill/by-query")
def kill_by_query(call: Call) -> Any:
    return _kill_each(call, _matching(call))


def _delete(call: Call, execution: Any) -> None:
    call.kestra.bean("core.services.ExecutionService").delete(
        execution, *(call.flag(f"delete{part}", True) for part in ("Logs", "Metrics", "Storage"))
    )


@route("DELETE", "/executions/{execution}")
def delete(call: Call) -> Any:
    _delete(call, _found(call))
    return NO_CONTENT


def _delete_each(call: Call, ids: list[str]) -> Response:
    def refusal(execution: Any) -> str | None:
        may = execution.getState().isTerminated() or call.flag("includeNonTerminated", False)
        return None if may else "execution not found"

    done = _each(call, ids, "delete", refusal, lambda execution, _: _delete(call, execution))
    return done if done.status_code == 400 else answer({"count": len(ids)})


@route("DELETE", "/executions/by-ids", (JSON,))
def delete_by_ids(call: Call) -> Any:
    return _delete_each(call, call.json("executionsId", list))


@route("DELETE", "/executions/by-query")
def delete_by_query(call: Call) -> Any:
    return _delete_each(call, _matching(call))


def _revision(call: Call, execution: Any) -> Any:
    """Returns the revision that an execution is to run again with, which must exist."""
    number = call.number("revision")
    if number is None:
        return None
    found = flows.repository(call.kestra).findById(
        TENANT, execution.getNamespace(), execution.getFlowId(), call.optional("revision")
    )
    if found.isEmpty():
        flow = f"{execution.getNamespace()}.{execution.getFlowId()}"
        raise Refused(404, f"Not Found: Unable to find revision {number} on flow {flow}")
    return JClass("java.lang.Integer").valueOf(number)


@route("POST", "/executions/{execution}/restart", (MULTIPART,))
def restart(call: Call) -> Any:
    """Runs the failed tasks of an execution again, and what comes after them."""
    execution = _found(call)
    revision = _revision(call, execution)
    if not execution.getState().canBeRestarted():
        raise Refused(
            409,
            "Conflict: Cannot restart execution: current state is "
            f"'{execution.getState().getCurrent()}', expected terminated or paused.",
        )
    command = JClass(f"{_COMMANDS}.Restart").from_(execution, revision)
    return _changed(call, execution, "Restart", command)


@route("POST", "/executions/restart/by-ids", (JSON,))
def restart_by_ids(call: Call) -> Any:
    def refusal(execution: Any) -> str | None:
        if execution.getState().canBeRestarted():
            return None
        return (
            f"Execution '{execution.getId()}' must be terminated or paused to be restarted, "
            f"current state is '{execution.getState().getCurrent()}' !"
        )

    def act(execution: Any, operation: Any) -> None:
        _emit(call, JClass(f"{_COMMANDS}.Restart").from_(execution, None), operation)

    return _each(call, call.json("executionsId", list), "restart", refusal, act)


@route("POST", "/executions/{execution}/replay", (MULTIPART,))
def replay(call: Call) -> Any:
    """Runs an execution once more, from its start or from a task run, as a new one."""
    execution = _found(call)
    revision, task_run = _revision(call, execution), call.query.get("taskRunId")
    flow = _executable(call, execution.getNamespace(), execution.getFlowId())
    runs = execution.getTaskRunList() or ()
    if task_run and not any(str(run.getId()) == task_run for run in runs):
        raise illegal(f"Task run id '{task_run}' not found in execution '{execution.getId()}'")
    again = call.kestra.bean("core.services.ExecutionService").replay(
        execution, flow, task_run, revision, JClass("java.util.Optional").empty(), True
    )
    label = JClass("io.kestra.core.models.Label")
    labels = JClass("java.util.ArrayList")(execution.getLabels() or [])
    if not labels.contains(replayed := label("system.replayed", "true")):
        labels.add(replayed)

    def act(operation: Any) -> None:
        call.kestra.queue("Dispatch", "models.executions.Execution").emit(again)
        _emit(call, JClass(f"{_COMMANDS}.UpdateLabels").from_(execution, labels), operation)

    call.wait(execution.getId(), "Replay", act)
    return again


def _changeable(execution: Any) -> None:
    if not execution.getState().canChangeStatus():
        raise Refused(
            409,
            "Conflict: Cannot change execution state: execution must be terminated and not killed.",
        )


@route("POST", "/executions/{execution}/change-status")
def change_status(call: Call) -> Any:
    execution, status = _found(call), _state(call.parameter("status"))
    if not status.isTerminated():
        raise illegal("You can only change the state of an execution to a terminal state.")
    _changeable(execution)
    command = JClass(f"{_COMMANDS}.UpdateStatus").from_(execution, status)
    return _changed(call, execution, "Change status", command)


@route("POST", "/executions/{execution}/pause")
def pause(call: Call) -> Any:
    execution = _found(call)
    if str(execution.getState().getCurrent()) != "RUNNING":
        raise illegal("The execution is not running.")
    command = JClass(f"{_COMMANDS}.Pause").from_(execution)
    return _changed(call, execution, "Pause", command)


@route("POST", "/executions/{execution}/resume", (MULTIPART,))
def resume(call: Call) -> Any:
    service = call.kestra.bean("core.services.ExecutionService")
    execution = service.getExecutionIfPause(TENANT, call.path["execution"], True)
    command = JClass(f"{_COMMANDS}.Resume").from_(
        execution,
        JClass("io.kestra.plugin.core.flow.Pause$Resumed").now(),
        _given(call, execution),
    )
    return _changed(call, execution, "Resume", command)


@route("POST", "/executions/{execution}/unqueue")
def unqueue(call: Call) -> Any:
    execution = _found(call)
    if str(execution.getState().getCurrent()) != "QUEUED":
        raise illegal("Only QUEUED execution can be unqueued")
    state = _state(call.query.get("state", "RUNNING"))
    command = JClass(f"{_COMMANDS}.Unqueue").from_(execution, state)
    return _changed(call, execution, "Unqueue", command)


@route("POST", "/executions/{execution}/force-run")
def force_run(call: Call) -> Any:
    execution = _found(call)
    if execution.getState().isTerminated():
        raise illegal("Only non terminated executions can be forced run.")
    command = JClass(f"{_COMMANDS}.ForceRun").from_(execution)
    return _changed(call, execution, "Force run", command)
