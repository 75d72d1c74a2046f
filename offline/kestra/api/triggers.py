"""Triggers that are evaluated by time: `/triggers`."""

from __future__ import annotations

from typing import Any

from offline.kestra.api.routing import JSON, Call, Resource, paged

route = Resource()
_KEY = ("namespace", "flowId", "triggerId")


def _page(call: Call, found: list[Any]) -> Any:
    page, size = call.number("page", 1, least=1) or 1, call.number("size", 10, least=1) or 10
    return paged(found[(page - 1) * size : page * size], len(found))


@route("GET", "/triggers/search")
def search(call: Call) -> Any:
    namespace, flow_id = call.query.get("namespace"), call.query.get("flowId")
    query = call.query.get("q", "")
    found = []
    for state in call.server.store.triggers():
        own = state["namespace"]
        if namespace and own != namespace and not own.startswith(f"{namespace}."):
            continue
        if flow_id and state["flowId"] != flow_id:
            continue
        if not any(query in state[name] for name in ("namespace", "flowId", "triggerId")):
            continue
        found.append(
            {
                "abstractTrigger": call.server.scheduler.declaration(state),
                "triggerContext": call.server.scheduler.shown(state),
            }
        )
    return _page(call, found)


@route("GET", "/triggers/{namespace}/{id}")
def of_flow(call: Call) -> Any:
    return _page(
        call,
        [
            call.server.scheduler.shown(state)
            for state in call.server.store.triggers()
            if (state["namespace"], state["flowId"]) == (call.path["namespace"], call.path["id"])
        ],
    )


@route("PUT", "/triggers", (JSON,))
def update(call: Call) -> Any:
    return call.server.scheduler.shown(call.server.scheduler.update(call.object(*_KEY)))


def _backfill(call: Call, action: str) -> Any:
    return call.server.scheduler.shown(
        call.server.scheduler.change_backfill(call.object(*_KEY), action)
    )


@route("PUT", "/triggers/backfill/pause", (JSON,))
def pause_backfill(call: Call) -> Any:
    return _backfill(call, "pause")


@route("PUT", "/triggers/backfill/unpause", (JSON,))
def unpause_backfill(call: Call) -> Any:
    return _backfill(call, "unpause")


@route("POST", "/triggers/backfill/delete", (JSON,))
def delete_backfill(call: Call) -> Any:
    return _backfill(call, "delete")


@route("POST", "/triggers/{namespace}/{id}/{trigger}/unlock")
def unlock(call: Call) -> Any:
    return call.server.scheduler.shown(
        call.server.scheduler.unlock(call.path["namespace"], call.path["id"], call.path["trigger"])
    )
