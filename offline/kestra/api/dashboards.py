"""Dashboards: `/dashboards`. The data of their charts is not computed."""

from __future__ import annotations

from typing import Any

from offline.kestra.api.routing import NO_CONTENT, YAML, Call, Resource, paged
from offline.kestra.errors import MissingBody
from offline.kestra.store import Conditions

route = Resource()


def _text(call: Call) -> str:
    if not call.text.strip():
        raise MissingBody("Required Body [dashboard] not specified")
    return call.text


@route("GET", "/dashboards")
def search(call: Call) -> Any:
    conditions = Conditions()
    if query := call.query.get("q"):
        conditions.add("strpos(lower(title), %s) > 0", query.lower())
    rows, total = call.server.store.dashboards(conditions, call.page("dashboards", "id"))
    return paged([call.server.dashboards.shown(row) for row in rows], total)


@route("POST", "/dashboards", (YAML,))
def create(call: Call) -> Any:
    return call.server.dashboards.create(_text(call))


@route("POST", "/dashboards/validate", (YAML,))
def validate(call: Call) -> Any:
    return call.server.dashboards.report(_text(call))


@route("GET", "/dashboards/{id}")
def get(call: Call) -> Any:
    return call.server.dashboards.get(call.path["id"])


@route("PUT", "/dashboards/{id}", (YAML,))
def update(call: Call) -> Any:
    return call.server.dashboards.update(call.path["id"], _text(call))


@route("DELETE", "/dashboards/{id}")
def delete(call: Call) -> Any:
    call.server.dashboards.delete(call.path["id"])
    return NO_CONTENT
