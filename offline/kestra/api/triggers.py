"""Triggers that are evaluated by time: `/triggers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jpype import JClass
from starlette.responses import Response

from offline.kestra.api import flows
from offline.kestra.api.routing import JSON, NO_CONTENT, Call, Refused, Resource, begun
from offline.kestra.engine.machine import TENANT, Kestra

route = Resource()
_SHOWN = (
    "namespace", "flowId", "triggerId", "updatedAt", "evaluatedAt", "lastTriggeredDate",
    "nextEvaluationDate", "backfill", "stopAfter", "disabled", "locked", "workerId", "executionId",
)  # fmt: skip
_EVENTS = "io.kestra.core.scheduler.events"


def _repository(kestra: Kestra) -> Any:
    return kestra.bean("core.repositories.TriggerRepositoryInterface")


def _shown(kestra: Kestra, state: Any) -> dict[str, Any]:
    """Returns a trigger's state as the API shows it."""
    given = kestra.json(state)
    return {name: given[name] for name in _SHOWN if name in given} | {"kind": given["type"]}


@route("GET", "/triggers/search")
def search(call: Call) -> Any:
    found = _repository(call.kestra)
    page = found.find(call.pageable("searchTriggers", found), TENANT, call.filters("TRIGGER"))
    results = []
    for state in page:
        flow = flows.repository(call.kestra).findById(
            TENANT, state.getNamespace(), state.getFlowId()
        )
        declared = flow.get().getTriggers() or () if flow.isPresent() else ()
        trigger = next((each for each in declared if each.getId() == state.getTriggerId()), None)
        results.append(
            {
                **({"trigger": call.kestra.json(trigger)} if trigger else {}),
                "state": _shown(call.kestra, state),
            }
        )
    return {"results": results, "total": int(page.getTotal())}


@route("GET", "/triggers/{namespace}/{id}")
def of_flow(call: Call) -> Any:
    found = _repository(call.kestra)
    page = found.find(
        call.pageable("searchTriggersForFlow", found),
        call.query.get("q"),
        TENANT,
        call.path["namespace"],
        call.path["id"],
        None,
    )
    results = [_shown(call.kestra, state) for state in page]
    return {"results": results, "total": int(page.getTotal())}


def _id(given: dict[str, Any]) -> Any:
    try:
        parts = [given[name] for name in ("namespace", "flowId", "triggerId")]
    except KeyError as error:
        raise Refused(400, f"Bad Request: {error} is missing") from error
    return JClass("io.kestra.core.models.triggers.TriggerId").of(TENANT, *parts)


def _of_path(call: Call) -> Any:
    return _id({"namespace": call.path["namespace"], "flowId": call.path["id"],
                "triggerId": call.path["trigger"]})  # fmt: skip


def _state(call: Call, trigger: Any) -> Any:
    state = _repository(call.kestra).findById(trigger).orElse(None)
    if state is None:
        raise Refused(404, f"Not Found: Trigger {trigger} not found")
    return state


def _changed(call: Call, trigger: Any, action: str, event: Any) -> dict[str, Any]:
    """Has the scheduler act on an event; returns the trigger's state afterwards."""
    _state(call, trigger)
    _await(call, trigger, action, event)
    return _shown(call.kestra, _state(call, trigger))


def _await(call: Call, trigger: Any, action: str, event: Any) -> None:
    queue = _queue(call)
    call.wait(trigger.uid(), action, lambda operation: queue.send(event.withOperationId(operation)))


def _queue(call: Call) -> Any:
    return call.kestra.bean("core.scheduler.queue.TriggerEventQueue")


def _event(name: str, trigger: Any, *given: Any) -> Any:
    return JClass(f"{_EVENTS}.{name}")(trigger, *given)


@route("PUT", "/triggers/backfill/create", (JSON,))
def create_backfill(call: Call) -> Any:
    given = call.json("trigger", dict)
    trigger = _id(given)
    kind = f"{_EVENTS}.CreateBackfillTrigger$Backfill"
    backfill = call.kestra.java(given.get("backfill") or {}, kind)
    event = _event("CreateBackfillTrigger", trigger, backfill)
    return _changed(call, trigger, "Create backfill", event)


def _pause(call: Call, paused: bool, action: str) -> Any:
    trigger = _id(call.json("trigger", dict))
    event = _event("SetPauseBackfillTrigger", trigger, paused)
    return _changed(call, trigger, action, event)


@route("PUT", "/triggers/backfill/pause", (JSON,))
def pause_backfill(call: Call) -> Any:
    return _pause(call, True, "Pause backfill")


@route("PUT", "/triggers/backfill/unpause", (JSON,))
def unpause_backfill(call: Call) -> Any:
    return _pause(call, False, "Unpause backfill")


@route("POST", "/triggers/backfill/delete", (JSON,))
def delete_backfill(call: Call) -> Any:
    trigger = _id(call.json("trigger", dict))
    return _changed(call, trigger, "Delete backfill", _event("DeleteBackfillTrigger", trigger))


@route("POST", "/triggers/{namespace}/{id}/{trigger}/unlock")
def unlock(call: Call) -> Any:
    trigger = _of_path(call)
    if not _state(call, trigger).isLocked():
        raise Refused(409, f"Conflict: trigger {trigger} is already unlocked")
    return _changed(call, trigger, "Unlock", _event("ResetTrigger", trigger))


@route("POST", "/triggers/{namespace}/{id}/{trigger}/restart")
def restart(call: Call) -> Any:
    trigger = _of_path(call)
    return _changed(call, trigger, "Restart", _event("ResetTrigger", trigger))


@route("DELETE", "/triggers/{namespace}/{id}/{trigger}")
def delete(call: Call) -> Any:
    trigger = _of_path(call)
    _state(call, trigger)
    _await(call, trigger, "Delete", _event("TriggerDeleted", trigger))
    return NO_CONTENT


def _each(call: Call, given: list[Any], event: Callable[[Any], Any]) -> Response:
    """Has the scheduler act on those of some triggers that exist."""
    triggers = [trigger for each in given if _exists(call, trigger := _id(each))]
    queue = _queue(call)
    return begun(
        triggers, lambda each, operation: queue.send(event(each).withOperationId(operation))
    )


def _exists(call: Call, trigger: Any) -> bool:
    return bool(_repository(call.kestra).findById(trigger).isPresent())


def _pause_each(call: Call, paused: bool) -> Response:
    triggers = call.json("triggers", list)
    return _each(call, triggers, lambda each: _event("SetPauseBackfillTrigger", each, paused))


@route("POST", "/triggers/backfill/pause/by-triggers", (JSON,))
def pause_each(call: Call) -> Any:
    return _pause_each(call, True)


@route("POST", "/triggers/backfill/unpause/by-triggers", (JSON,))
def unpause_each(call: Call) -> Any:
    return _pause_each(call, False)


@route("POST", "/triggers/unlock/by-triggers", (JSON,))
def unlock_each(call: Call) -> Any:
    given = [
        each
        for each in call.json("triggers", list)
        if _exists(call, trigger := _id(each)) and _state(call, trigger).isLocked()
    ]
    return _each(call, given, lambda each: _event("ResetTrigger", each))


@route("POST", "/triggers/set-disabled/by-triggers", (JSON,))
def set_disabled_each(call: Call) -> Any:
    given = call.json("request", dict)
    disabled = bool(given.get("disabled"))
    return _each(
        call, given.get("triggers") or [], lambda each: _event("SetDisableTrigger", each, disabled)
    )
