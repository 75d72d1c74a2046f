"""Flows: `/flows`."""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any

from starlette.datastructures import UploadFile
from starlette.responses import Response

from offline.kestra import flows as flow_service
from offline.kestra.api.routing import (
    JSON,
    MULTIPART,
    NO_CONTENT,
    OCTETS,
    YAML,
    Call,
    Resource,
    paged,
)
from offline.kestra.errors import ConstraintViolations, IllegalArgument, MissingBody, NotFound
from offline.kestra.schema import Json
from offline.kestra.store import Conditions, Page
from offline.kestra.tasks import TYPES
from offline.kestra.tasks.subflow import Subflow

route = Resource()


def _body(call: Call) -> tuple[Json, str]:
    """The flow in a body, and its source.

    Raises:
        MissingBody: the body is empty, or of a type that no flow comes in.
        ConstraintViolations: it is no flow.
    """
    if call.content_type == "":
        return {}, ""  # without a type the server binds no body and sees an empty flow
    if call.content_type not in (YAML, JSON) or not call.text.strip():
        raise MissingBody("Required Body [flow] not specified")
    flow = call.server.flows.parse(call.text)
    return flow, call.text if call.content_type == YAML else flow_service.generated_source(flow)


def _without_source(call: Call, flow: Json) -> Json:
    """What comes as JSON goes back without a source."""
    if call.content_type == JSON:
        return {name: value for name, value in flow.items() if name != "source"}
    return flow


@route("POST", "/flows")
def create(call: Call) -> Any:
    flow, text = _body(call)
    return _without_source(call, call.server.flows.create(flow, text))


@route("PUT", "/flows/{namespace}/{id}")
def update(call: Call) -> Any:
    if call.server.store.flow(call.path["namespace"], call.path["id"]) is None:
        return None
    flow, text = _body(call)
    updated = call.server.flows.update(call.path["namespace"], call.path["id"], flow, text)
    return updated and _without_source(call, updated)


@route("GET", "/flows/{namespace}/{id}")
def get(call: Call) -> Any:
    row = call.server.store.flow(
        call.path["namespace"],
        call.path["id"],
        call.number("revision"),
        deleted=call.flag("allowDeleted", False),
    )
    return row and call.server.flows.shown(row, with_source=call.flag("source", False))


@route("DELETE", "/flows/{namespace}/{id}")
def delete(call: Call) -> Any:
    deleted = call.server.flows.delete(call.path["namespace"], call.path["id"])
    return NO_CONTENT if deleted else None


@route("GET", "/flows/{namespace}/{id}/revisions")
def revisions(call: Call) -> Any:
    rows = call.server.store.revisions(call.path["namespace"], call.path["id"])
    every = call.flag("allowDelete", False)
    return [
        call.server.flows.shown(row, with_source=True)
        for row in rows
        if every or not row["deleted"]
    ]


@route("GET", "/flows/{namespace}/{id}/tasks/{task}")
def task(call: Call) -> Any:
    row = call.server.store.flow(call.path["namespace"], call.path["id"], call.number("revision"))
    found = row and flow_service.find_task(row["value"], call.path["task"])
    return found and call.server.flows.shown_task(found)


@route("GET", "/flows/{namespace}/{id}/dependencies")
def dependencies(call: Call) -> Any:
    """The flows that run this one as a subflow, and those that it runs."""
    flow = (call.path["namespace"], call.path["id"])
    known = {
        (row["namespace"], row["id"]): row["value"] for row in call.server.store.flows_of(None)
    }
    links = [
        (source, (str(task.get("namespace")), str(task.get("flowId"))))
        for source, value in known.items()
        for task in flow_service.flow_tasks(value)
        if issubclass(TYPES[task["type"]], Subflow)
    ]
    ends = (1,) if call.flag("destinationOnly", False) else (0, 1)
    shown = [
        link
        for link in dict.fromkeys(links)
        if link[1] in known and link[0] != link[1] and any(link[end] == flow for end in ends)
    ]
    tenant = call.server.config.release.tenant

    def uid(which: tuple[str, str]) -> str:
        return "_".join([tenant, *which] if tenant else which)

    return {
        "nodes": [
            {"uid": uid(which), "namespace": which[0], "id": which[1]}
            for which in dict.fromkeys(end for link in shown for end in link)
        ],
        "edges": [
            {"source": uid(source), "target": uid(target), "relation": "FLOW_TASK"}
            for source, target in shown
        ],
    }


def _filter(call: Call) -> Conditions:
    conditions = Conditions()
    conditions.add_namespace(call.query.get("namespace"))
    if query := call.query.get("q"):
        conditions.add("(strpos(lower(id), %s) > 0 OR strpos(lower(namespace), %s) > 0)",
                       query.lower(), query.lower())  # fmt: skip
    for label in call.query.getlist("labels"):
        key, _, value = label.partition(":")
        conditions.add("value -> 'labels' @> %s", json.dumps([{"key": key, "value": value}]))
    return conditions


@route("GET", "/flows/search")
def search(call: Call) -> Any:
    rows, total = call.server.store.flows(_filter(call), call.page("flows", "namespace, id"))
    return paged([call.server.flows.shown(row) for row in rows], total)


@route("GET", "/flows/source")
def source_search(call: Call) -> Any:
    query = call.query.get("q")
    rows, total = call.server.store.source_search(
        query, call.query.get("namespace"), call.page("flows", "namespace, id")
    )
    return paged(
        [
            {"model": call.server.flows.shown(row), "fragments": _fragments(row["source"], query)}
            for row in rows
        ],
        total,
    )


def _fragments(text: str, query: str | None) -> list[str]:
    """The lines around the first line that holds the query, the query marked."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if query and query in line:
            start = max(number - 1, 0)
            fragment = "\n".join(lines[start : start + 4])
            return [fragment.replace(query, f"[mark]{query}[/mark]")]
    return []


@route("GET", "/flows/distinct-namespaces")
def distinct_namespaces(call: Call) -> Any:
    query = call.query.get("q", "")
    return [namespace for namespace in call.server.store.namespaces() if query in namespace]


@route("GET", "/flows/{namespace}")
def by_namespace(call: Call) -> Any:
    rows = call.server.store.flows_of(call.path["namespace"])
    return [call.server.flows.shown(row) for row in rows]


@route("POST", "/flows/validate", (YAML, JSON))
def validate(call: Call) -> Any:
    if not call.text.strip():
        raise MissingBody("Required Body [flows] not specified")
    texts = re.split(r"\n+---\n*?", call.text)
    return [call.server.flows.report(index, text) for index, text in enumerate(texts)]


def _validate_one(call: Call, what: str, *, trigger: bool) -> Json:
    result: Json = {"index": 0, "outdated": False}
    if not call.text.strip():
        raise MissingBody(f"Required Body [{what}] not specified")
    try:
        call.server.flows.parse_task(call.text, trigger=trigger)
    except ConstraintViolations as error:
        result["constraints"] = str(error)
    return result


@route("POST", "/flows/validate/task", (YAML, JSON))
def validate_task(call: Call) -> Any:
    return _validate_one(call, "task", trigger=call.query.get("section") == "TRIGGERS")


@route("POST", "/flows/validate/trigger", (JSON,))
def validate_trigger(call: Call) -> Any:
    return _validate_one(call, "trigger", trigger=True)


@route("POST", "/flows/bulk", (YAML,))
def bulk(call: Call) -> Any:
    namespace = call.query.get("namespace") if call.server.config.release.tenant else None
    return _replace(call, namespace)


@route("POST", "/flows/{namespace}", (YAML,))
def bulk_of_namespace(call: Call) -> Any:
    return _replace(call, call.path["namespace"])


def _replace(call: Call, namespace: str | None) -> list[Json]:
    texts = call.text.split("---") if call.text else []
    return call.server.flows.replace_all(namespace, texts, delete=call.flag("delete", True))


def _ids(call: Call) -> list[tuple[str, str]]:
    return [(each["namespace"], each["id"]) for each in call.objects("namespace", "id")]


@route("DELETE", "/flows/delete/by-ids", (JSON,))
def delete_by_ids(call: Call) -> Any:
    ids = _ids(call)
    for namespace, flow_id in ids:
        if not call.server.flows.delete(namespace, flow_id):
            raise NotFound("No value present")
    return {"count": len(ids)}


@route("DELETE", "/flows/delete/by-query")
def delete_by_query(call: Call) -> Any:
    rows, total = call.server.store.flows(_filter(call), Page("flows", 1, 2**31, [], "id"))
    for row in rows:
        call.server.flows.delete(row["namespace"], row["id"])
    return {"count": total}


def _set_disabled(call: Call, disabled: bool) -> Json:
    changed = [
        call.server.flows.set_disabled(namespace, flow_id, disabled)
        for namespace, flow_id in _ids(call)
    ]
    return {"count": sum(changed)}


@route("POST", "/flows/disable/by-ids", (JSON,))
def disable_by_ids(call: Call) -> Any:
    return _set_disabled(call, True)


@route("POST", "/flows/enable/by-ids", (JSON,))
def enable_by_ids(call: Call) -> Any:
    return _set_disabled(call, False)


@route("POST", "/flows/import", (MULTIPART,))
def import_flows(call: Call) -> Any:
    upload = call.form.get("fileUpload")
    if not isinstance(upload, UploadFile):
        raise MissingBody("Required argument [fileUpload] not specified")
    name, content = (upload.filename or "").lower(), upload.file.read()
    if name.endswith((".yaml", ".yml")):
        sources = {
            str(index): text.strip() for index, text in enumerate(content.decode().split("---"))
        }
    elif name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            sources = {
                entry: archive.read(entry).decode()
                for entry in archive.namelist()
                if entry.endswith((".yaml", ".yml"))
            }
    else:
        raise IllegalArgument(f"Cannot import file of type {name[name.rfind('.') :]}")
    wrong = []
    for name, text in sources.items():
        try:
            call.server.flows.import_source(text)
        except ConstraintViolations:
            wrong.append(name)
    return wrong


def _archive(rows: list[Any]) -> Response:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for row in rows:
            archive.writestr(f"{row['namespace']}.{row['id']}.yml", row["source"])
    disposition = 'attachment; filename="flows.zip"'
    return Response(buffer.getvalue(), 200, {"Content-Disposition": disposition}, OCTETS)


@route("GET", "/flows/export/by-query")
def export_by_query(call: Call) -> Any:
    return _archive(call.server.store.flows(_filter(call), Page("flows", 1, 2**31, [], "id"))[0])


@route("POST", "/flows/export/by-ids", (JSON,))
def export_by_ids(call: Call) -> Any:
    rows = [call.server.store.flow(*each) for each in _ids(call)]
    if None in rows:
        raise NotFound("No value present")
    return _archive(rows)
