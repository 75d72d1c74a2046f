"""Executions: `/executions`."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile
from starlette.responses import FileResponse, Response, StreamingResponse

from offline.kestra import inputs as execution_inputs
from offline.kestra import states
from offline.kestra.api.routing import JSON, MULTIPART, NO_CONTENT, Call, Resource, answer, paged
from offline.kestra.context import RunContext
from offline.kestra.errors import BadRequest, IllegalArgument, IllegalState, NotFound, NotSupported
from offline.kestra.executions import new_execution, resolve_inputs
from offline.kestra.flows import RESERVED_IDS
from offline.kestra.pebble import RenderError, moment, to_json
from offline.kestra.restarts import restarted
from offline.kestra.schema import WEBHOOK, Json, parsed_duration
from offline.kestra.storage import execution_prefix, slug
from offline.kestra.store import Conditions

route = Resource()


# --- starting -----------------------------------------------------------------------------------


def _labels(call: Call) -> list[Json]:
    labels = []
    for label in call.query.getlist("labels"):
        key, separator, value = label.partition(":")
        if not separator:
            raise IllegalArgument(f"Invalid queryString parameter: {label}")
        if key.startswith("system.") and key != "system.correlationId":
            raise IllegalArgument(
                f"System labels can only be set by Kestra itself, offending label: {key}={value}"
            )
        labels.append({"key": key, "value": value})
    return labels


def _form_values(call: Call, flow: Json, execution: Json, *, keep: bool) -> Json:
    """The inputs in a form: text, and the URIs of uploaded files.

    Args:
        keep: whether the files go to the internal storage.
    """
    files = {each["id"]: each for each in flow.get("inputs") or () if each["type"] == "FILE"}
    values: Json = {}
    for name, value in call.form.multi_items():
        if not isinstance(value, UploadFile):
            values[name] = value
            continue
        # Up to 0.23 the input is named by the part's file name, later by the part's name.
        given = next((each for each in (name, value.filename) if each in files), value.filename)
        extension = (files.get(given) or {}).get("extension") or ".upl"
        suffix = extension if extension.startswith(".") else f".{extension}"
        context = RunContext(call.server.services, flow, execution)
        folder = f"{execution_prefix(execution)}/inputs/{slug(str(given))}"
        scratch = context.working_file(suffix)
        target = f"{given}_{scratch.name}"
        if not keep:
            scratch.unlink()
            values[str(given)] = f"kestra://{folder}/{target}"
            continue
        with scratch.open("wb") as sink:
            size = 0
            while chunk := value.file.read(1 << 20):
                size += sink.write(chunk)
        if size == 0:
            raise IllegalArgument(f"Can't upload file: {given}")
        values[str(given)] = call.server.services.storage.adopt(scratch, folder, target)
    return values


def _url(call: Call, execution: Json) -> str:
    """Where the genuine server's page shows the execution."""
    release, base = call.server.config.release, call.server.config.url
    place = f"executions/{execution['namespace']}/{execution['flowId']}/{execution['id']}"
    if release.tenant:
        return f"{base.rstrip('/')}/ui/{release.tenant}/{place}"
    return f"{base}/ui/{place}"  # with the doubled slash of that release


@route("POST", "/executions/{namespace}/{id}", (MULTIPART,))
def create(call: Call) -> Any:
    namespace, flow_id = call.path["namespace"], call.path["id"]
    if call.server.config.release.tenant and flow_id in RESERVED_IDS:
        raise NotSupported(f"the stand-in for Kestra has no `executions/{namespace}/{flow_id}`")
    flow = call.server.flows.executable(namespace, flow_id, call.number("revision"))
    if "scheduleDate" in call.query:
        raise IllegalArgument("scheduleDate is not supported by the stand-in for Kestra")
    execution = new_execution(flow, _labels(call))
    given = _form_values(call, flow, execution, keep=True)
    values = execution_inputs.values_of(
        resolve_inputs(call.server.services, flow, execution, given)
    )
    if values:
        execution["inputs"] = values
    url = {"url": _url(call, execution)}
    if not call.flag("wait", False):
        first = states.shown(execution)
        call.server.executor.submit(flow, execution)
        return first | url
    return _finished(call, flow, execution) | url


def _finished(call: Call, flow: Json, execution: Json) -> Json:
    """Run an execution and wait for its end."""
    last: list[Json] = []
    over = threading.Event()

    def listener(told: Json) -> None:
        last[:] = [told]
        if states.is_terminated(told):
            over.set()

    with call.server.executor.listening(execution["id"], listener):
        call.server.executor.submit(flow, execution)
        over.wait()
    return last[0]


@route("POST", "/executions/trigger/{namespace}/{id}", (MULTIPART,))
def trigger(call: Call) -> Any:
    return create(call)


@route("POST", "/executions/{namespace}/{id}/validate", (MULTIPART,))
def validate_inputs(call: Call) -> Any:
    flow = call.server.flows.executable(
        call.path["namespace"], call.path["id"], call.number("revision")
    )
    execution = new_execution(flow, _labels(call))
    given = _form_values(call, flow, execution, keep=False)
    resolved = resolve_inputs(call.server.services, flow, execution, given)
    shown = []
    for one in resolved:
        entry = {
            "input": call.server.flows.shown_input(one.declared),
            "value": one.value,
            "enabled": one.enabled,
            "errors": [{"message": one.error}] if one.error else [],
        }
        shown.append({name: value for name, value in entry.items() if value is not None})
    return {"id": flow["id"], "namespace": flow["namespace"], "inputs": shown}


def _webhook(call: Call) -> Any:
    row = call.server.store.flow(call.path["namespace"], call.path["id"])
    if row is None:
        raise NotFound("Flow not found")
    flow = {**row["value"], "revision": row["revision"]}
    if flow.get("disabled"):
        raise IllegalState("Cannot execute a disabled flow")
    execution = new_execution(flow, correlated=call.server.config.release.tenant is not None)
    context = RunContext(call.server.services, flow, execution)
    for each in flow.get("triggers") or ():
        if each["type"] != WEBHOOK or each.get("disabled"):
            continue
        try:
            key = context.text(each["key"]).strip()
        except RenderError:
            continue
        if key == call.path["key"]:
            break
    else:
        raise NotFound("Webhook not found")
    headers: dict[str, list[str]] = {}
    for name, value in call.request.headers.items():
        headers.setdefault(name.title(), []).append(value)
    execution["trigger"] = {
        "id": each["id"],
        "type": each["type"],
        "variables": {
            "body": _webhook_body(call.text),
            "headers": headers,
            "parameters": {name: call.query.getlist(name) for name in call.query},
        },
    }
    values = execution_inputs.values_of(resolve_inputs(call.server.services, flow, execution, {}))
    if values:
        execution["inputs"] = values
    first = states.shown(execution)
    call.server.executor.submit(flow, execution)
    return first


def _webhook_body(text: str) -> Any:
    """A JSON object or list as such, anything else as text."""
    try:
        parsed = json.loads(text)
    except ValueError:
        return text
    return parsed if isinstance(parsed, (dict, list)) else text


for _method in ("GET", "POST", "PUT"):
    route(_method, "/executions/webhook/{namespace}/{id}/{key}")(_webhook)


# --- reading ------------------------------------------------------------------------------------


@route("GET", "/executions/{execution}")
def get(call: Call) -> Any:
    execution = call.server.store.execution(call.path["execution"])
    return execution and states.shown(execution)


def _filter(call: Call) -> Conditions:
    query, conditions = call.query, Conditions()
    conditions.add_namespace(query.get("namespace"))
    if flow_id := query.get("flowId"):
        conditions.add("flow_id = %s", flow_id)
    if found := query.get("q"):
        conditions.add(
            "(strpos(lower(id), %s) > 0 OR strpos(lower(flow_id), %s) > 0"
            " OR strpos(lower(namespace), %s) > 0)",
            *[found.lower()] * 3,
        )
    wanted = [state for each in query.getlist("state") for state in each.split(",")]
    if wanted:
        conditions.add("state = ANY (%s)", wanted)
    for label in query.getlist("labels"):
        key, _, value = label.partition(":")
        conditions.add("value -> 'labels' @> %s", json.dumps([{"key": key, "value": value}]))
    start, end = period(query)
    if start:
        conditions.add("start_date >= %s", start)
    if end:
        conditions.add("start_date <= %s", end)
    return conditions


def period(query: Mapping[str, str]) -> tuple[datetime | None, datetime | None]:
    """The time that `startDate` and `endDate`, or `timeRange`, ask for.

    Raises:
        IllegalArgument: one of them cannot be read.
    """
    try:
        start, end = (
            moment(query[name]) if name in query else None for name in ("startDate", "endDate")
        )
    except RenderError as error:
        raise IllegalArgument(str(error)) from error
    if text := query.get("timeRange"):
        seconds = parsed_duration(text)
        if seconds is None:
            raise IllegalArgument(f"Text '{text}' cannot be parsed to a Duration")
        start = datetime.now(UTC) - timedelta(seconds=seconds)
    return start, end


@route("GET", "/executions/search")
def search(call: Call) -> Any:
    found, total = call.server.store.executions(
        _filter(call), call.page("executions", "start_date DESC")
    )
    return paged([states.shown(execution) for execution in found], total)


@route("GET", "/executions")
def by_flow(call: Call) -> Any:
    for name in ("namespace", "flowId"):
        if name not in call.query:
            raise BadRequest(f"Required QueryValue [{name}] not specified")
    return search(call)


@route("GET", "/executions/{execution}/follow")
def follow(call: Call) -> Any:
    """Server-sent events: the execution now, after each step, and at its end."""
    execution_id = call.path["execution"]
    if call.server.store.execution(execution_id) is None:
        raise NotFound(f"Unable to find the execution {execution_id}")
    return StreamingResponse(_events(call, execution_id), media_type="text/event-stream")


async def _events(call: Call, execution_id: str) -> AsyncIterator[str]:
    loop, steps = asyncio.get_running_loop(), asyncio.Queue[Json]()

    def listener(told: Json) -> None:
        loop.call_soon_threadsafe(steps.put_nowait, told)

    def event(name: str, execution: Json) -> str:
        return f"id: {name}\ndata: {to_json(execution)}\n\n"

    with ExitStack() as stack:
        listening = call.server.executor.listening(execution_id, listener)
        now = await asyncio.to_thread(stack.enter_context, listening)
        first = True
        while now and not states.is_terminated(now):
            yield event("progress", now)
            now, first = await steps.get(), False
        if now and not first:
            yield event("progress", now)
        if now:
            yield event("end", now)


@route("GET", "/executions/{execution}/file")
def file(call: Call) -> Any:
    path = _file(call)
    return FileResponse(path, media_type="application/octet-stream", filename=path.name)


@route("GET", "/executions/{execution}/file/metas")
def file_metas(call: Call) -> Any:
    return {"size": _file(call).stat().st_size}


def _file(call: Call) -> Path:
    """A file of the execution.

    Raises:
        NotFound: no such execution or file.
        IllegalArgument: the file is not the execution's.
    """
    execution = call.server.store.execution(call.path["execution"])
    if execution is None:
        raise NotFound("Execution not found")
    uri = call.query.get("path", "")
    if not uri.startswith(f"kestra://{execution_prefix(execution)}/"):
        raise IllegalArgument(f"Invalid path '{uri}': it is not of this execution")
    path = call.server.services.storage.path(uri)
    if not path.is_file():
        raise NotFound(f"{path} (No such file or directory)")
    return path


# --- ending and running again ---------------------------------------------------------------------


@route("DELETE", "/executions/{execution}/kill")
def kill(call: Call) -> Any:
    if not call.flag("isOnKillCascade", True):
        raise IllegalArgument("isOnKillCascade=false is not supported by the stand-in for Kestra")
    if call.server.store.execution(call.path["execution"]) is None:
        return None
    call.server.executor.kill(call.path["execution"])
    return Response(status_code=202)


@route("DELETE", "/executions/kill/by-ids", (JSON,))
def kill_by_ids(call: Call) -> Any:
    ids, invalid = call.texts(), []
    for execution_id in ids:
        execution = call.server.store.execution(execution_id)
        if execution is None:
            invalid.append(_invalid(execution_id, "execution not found"))
        elif states.is_terminated(execution):
            invalid.append(_invalid(execution_id, "execution already finished"))
    if invalid:
        return answer({"message": "invalid bulk kill", "invalids": invalid}, 400)
    for execution_id in ids:
        call.server.executor.kill(execution_id)
    return {"count": len(ids)}


def _invalid(execution_id: str, message: str) -> Json:
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


@route("DELETE", "/executions/{execution}")
def delete(call: Call) -> Any:
    execution = call.server.store.execution(call.path["execution"])
    if execution is None:
        return None
    if not states.is_terminated(execution):
        raise IllegalState("Execution is still running")
    call.server.store.delete_execution(execution["id"], logs=call.flag("deleteLogs", True))
    if call.flag("deleteStorage", True):
        call.server.services.storage.delete_prefix(execution_prefix(execution))
    return NO_CONTENT


def _revision(call: Call, execution: Json) -> Json:
    """The flow at the revision that the execution is to run again with."""
    number = call.number("revision") or execution["flowRevision"]
    row = call.server.store.flow(execution["namespace"], execution["flowId"], number)
    if row is None:
        raise NotFound(
            f"Unable to find revision {number} on flow "
            f"{execution['namespace']}.{execution['flowId']}"
        )
    return {**row["value"], "revision": row["revision"]}


@route("POST", "/executions/{execution}/restart")
def restart(call: Call) -> Any:
    """Run the failed tasks of an execution again, and what comes after them."""
    execution = call.server.store.execution(call.path["execution"])
    if execution is None:
        return None
    if not states.is_terminated(execution):
        current = execution["state"]["current"]
        raise IllegalState(
            f"Execution must be terminated to be restarted, current state is '{current}' !"
        )
    flow = _revision(call, execution)
    labelled = call.server.config.release.tenant is not None
    execution = restarted(flow, execution, labelled=labelled)
    first = states.shown(execution)
    call.server.executor.submit(flow, execution)
    return first


@route("POST", "/executions/{execution}/replay")
def replay(call: Call) -> Any:
    """Run an execution once more from the start, as a new one."""
    parent = call.server.store.execution(call.path["execution"])
    if parent is None:
        return None
    if "taskRunId" in call.query:
        raise IllegalArgument("taskRunId is not supported by the stand-in for Kestra")
    flow = _revision(call, parent)
    execution = new_execution(flow, correlated=False)
    for name in ("inputs", "labels", "variables", "trigger"):
        if name in parent:
            execution[name] = parent[name]
    execution |= {
        "parentId": parent["id"],
        "originalId": parent["originalId"],
        "metadata": parent["metadata"] | {"attemptNumber": parent["metadata"]["attemptNumber"] + 1},
    }
    first = states.shown(execution) | {"taskRunList": []}
    call.server.executor.submit(flow, execution)
    return first
