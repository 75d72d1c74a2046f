"""Flows: `/flows`."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from jpype import JClass
from starlette.datastructures import UploadFile
from starlette.responses import Response

from offline.kestra.api.routing import (
    JSON,
    LARGEST,
    MULTIPART,
    NO_CONTENT,
    YAML,
    Call,
    MissingBody,
    Refused,
    Resource,
    archive,
    illegal,
    invalid,
)
from offline.kestra.engine.machine import TENANT, Kestra

route = Resource()


def repository(kestra: Kestra) -> Any:
    """Returns Kestra's repository of flows."""
    return kestra.bean("core.repositories.FlowRepositoryInterface")


def service(kestra: Kestra) -> Any:
    """Returns Kestra's service of flows."""
    return kestra.bean("core.services.FlowService")


def generic(text: str) -> Any:
    """Returns a text as a flow whose tasks are not known yet."""
    return JClass("io.kestra.core.models.flows.GenericFlow").fromYaml(TENANT, text)


def of_path(call: Call) -> Any:
    """Returns the flow of the path, in the revision that is asked for, or None."""
    return (
        repository(call.kestra)
        .findById(TENANT, call.path["namespace"], call.path["id"], call.optional("revision"))
        .orElse(None)
    )


def _source(call: Call, namespace: str, flow_id: str) -> Any:
    return repository(call.kestra).findByIdWithSource(TENANT, namespace, flow_id).orElse(None)


def _without_source(call: Call, flow: Any) -> Any:
    shown = call.kestra.json(flow)
    shown.pop("source", None)
    return shown


@route("POST", "/flows", (YAML,))
def create(call: Call) -> Any:
    return service(call.kestra).create(generic(call.required("flow")))


@route("PUT", "/flows/{namespace}/{id}", (YAML,))
def update(call: Call) -> Any:
    found = _source(call, call.path["namespace"], call.path["id"])
    return found and service(call.kestra).update(generic(call.required("flow")), found)


@route("GET", "/flows/{namespace}/{id}")
def get(call: Call) -> Any:
    flow = (
        repository(call.kestra)
        .findByIdWithSource(
            TENANT,
            call.path["namespace"],
            call.path["id"],
            call.optional("revision"),
            call.flag("allowDeleted", False),
        )
        .orElse(None)
    )
    return flow if flow is None or call.flag("source", False) else _without_source(call, flow)


@route("DELETE", "/flows/{namespace}/{id}")
def delete(call: Call) -> Any:
    if (flow := _source(call, call.path["namespace"], call.path["id"])) is None:
        return None
    service(call.kestra).delete(flow)
    return NO_CONTENT


@route("GET", "/flows/{namespace}/{id}/revisions")
def revisions(call: Call) -> Any:
    return repository(call.kestra).findRevisions(
        TENANT, call.path["namespace"], call.path["id"], call.flag("allowDelete", False)
    )


@route("DELETE", "/flows/{namespace}/{id}/revisions")
def delete_revisions(call: Call) -> Any:
    numbers = [int(each) for given in call.query.getlist("revisions") for each in given.split(",")]
    repository(call.kestra).deleteRevisions(
        TENANT, call.path["namespace"], call.path["id"], call.kestra.java(numbers, "java.util.List")
    )
    return NO_CONTENT


@route("GET", "/flows/{namespace}/{id}/tasks/{task}")
def task(call: Call) -> Any:
    if (flow := of_path(call)) is None:
        return None
    return next(
        (each for each in flow.allTasksWithChilds() if each.getId() == call.path["task"]), None
    )


@route("GET", "/flows/{namespace}/{id}/graph")
def graph(call: Call) -> Any:
    if (flow := _source(call, call.path["namespace"], call.path["id"])) is None:
        return None
    return call.kestra.bean("core.services.GraphService").flowGraph(flow, None)


@route("POST", "/flows/graph", (YAML,))
def graph_of_source(call: Call) -> Any:
    parser = call.kestra.bean("core.services.FlowParsingService")
    flow = parser.parseForValidation(generic(call.required("flow")))
    return call.kestra.bean("core.services.GraphService").flowGraph(flow, None)


@route("GET", "/flows/{namespace}/{id}/dependencies")
def dependencies(call: Call) -> Any:
    found = service(call.kestra).findDependencies(
        TENANT,
        call.path["namespace"],
        call.path["id"],
        call.flag("destinationOnly", False),
        call.flag("expandAll", False),
    )
    topology = call.kestra.bean("core.topologies.FlowTopologyService")
    return topology.graph(found, lambda node: node)


@route("GET", "/flows/search")
def search(call: Call) -> Any:
    flows = repository(call.kestra)
    return call.page(flows.find(call.pageable("searchFlows", flows), TENANT, call.filters("FLOW")))


@route("GET", "/flows/source")
def source_search(call: Call) -> Any:
    flows = repository(call.kestra)
    scope = JClass("io.kestra.core.models.flows.SourceSearchScope")
    return call.page(
        flows.findSourceCode(
            call.pageable("searchFlowsBySourceCode", flows),
            call.query.get("q"),
            False,
            False,
            False,
            scope.values()[0],
            TENANT,
            call.query.get("namespace"),
        )
    )


@route("GET", "/flows/distinct-namespaces")
def distinct_namespaces(call: Call) -> Any:
    flows = repository(call.kestra)
    query = call.query.get("q")
    return flows.findDistinctNamespace(TENANT, *([query] if query else []))


@route("GET", "/flows/{namespace}")
def by_namespace(call: Call) -> Any:
    return repository(call.kestra).findByNamespace(TENANT, call.path["namespace"])


@route("POST", "/flows/validate", (YAML, MULTIPART))
def validate(call: Call) -> Any:
    kind = JClass("io.kestra.core.models.flows.FlowSource")
    upload = call.form.get("flows")
    if isinstance(upload, UploadFile):
        name, text = upload.filename, upload.file.read().decode()
    else:
        name, text = None, call.required("flows")
    sources = [kind(name, each) for each in re.split(r"\n+---\n*?", text)]
    return service(call.kestra).validate(TENANT, JClass("java.util.ArrayList")(sources))


@route("POST", "/flows/validate/task", (YAML, JSON))
def validate_task(call: Call) -> Any:
    if call.query.get("section") == "TRIGGERS":
        return validate_trigger(call)
    return call.constraints("task", "io.kestra.core.models.tasks.Task")


@route("POST", "/flows/validate/trigger", (JSON,))
def validate_trigger(call: Call) -> Any:
    return call.constraints("trigger", "io.kestra.core.models.triggers.AbstractTrigger")


@route("POST", "/flows/bulk", (YAML,))
def bulk(call: Call) -> Any:
    return _replace(call, call.query.get("namespace"))


@route("POST", "/flows/{namespace}", (YAML,))
def bulk_of_namespace(call: Call) -> Any:
    return _replace(call, call.path["namespace"])


def _replace(call: Call, namespace: str | None) -> list[Any]:
    """Creates, updates and, where asked, deletes flows until a namespace has just these."""
    flows = [generic(text) for text in call.text.split("---")] if call.text else []
    names = [(str(flow.getNamespace()), str(flow.getId())) for flow in flows]
    ids = [flow_id for _, flow_id in names]
    children = call.flag("allowNamespaceChild", False)
    if namespace is not None:
        if wrong := [
            f"{flow.uid()} - flow namespace is invalid"
            for flow in flows
            if flow.getNamespace() != namespace
            and not (children and str(flow.getNamespace()).startswith(f"{namespace}."))
        ]:
            text = ", ".join(f"flow.namespace: {each}" for each in wrong)
            errors = [(each, "flow.namespace") for each in wrong]
            raise Refused(422, f"Invalid entity: {text}", errors)
        if len(set(ids)) < len(ids):
            raise invalid("flow.id", "Duplicate flow id")
    parser = call.kestra.bean("core.services.FlowParsingService")
    for flow in flows:
        parser.parseForValidation(flow)
    kept = []
    for flow, name in zip(flows, names, strict=True):
        found = _source(call, *name)
        change = service(call.kestra)
        kept.append(change.update(flow, found) if found else change.create(flow))
    deleted = []
    if call.flag("delete", True) and namespace is not None:
        for flow in repository(call.kestra).findByNamespaceWithSource(TENANT, namespace):
            if (str(flow.getNamespace()), str(flow.getId())) not in names:
                deleted.append(service(call.kestra).delete(flow))
    return [call.kestra.json(flow) for flow in [*kept, *deleted]]


def _named(call: Call, name: str) -> list[Any]:
    """Returns the flows that a body lists."""
    flows = []
    for each in call.json(name, list):
        if (flow := _source(call, each["namespace"], each["id"])) is None:
            raise Refused(404, "Not Found: No value present")
        flows.append(flow)
    return flows


def _matching(call: Call) -> list[Any]:
    unpaged = JClass("io.micronaut.data.model.Pageable").UNPAGED
    return list(repository(call.kestra).findWithSource(unpaged, TENANT, call.filters("FLOW")))


def _delete(call: Call, flows: list[Any]) -> dict[str, int]:
    for flow in flows:
        service(call.kestra).delete(flow)
    return {"count": len(flows)}


@route("DELETE", "/flows/delete/by-ids", (JSON,))
def delete_by_ids(call: Call) -> Any:
    return _delete(call, _named(call, "ids"))


@route("DELETE", "/flows/delete/by-query")
def delete_by_query(call: Call) -> Any:
    return _delete(call, _matching(call))


def _set_disabled(call: Call, given: list[Any], disabled: bool) -> dict[str, int]:
    flows = [flow for flow in given if flow.isDisabled() != disabled]
    for flow in flows:
        text = service(call.kestra).injectDisabled(flow.getSource(), disabled)
        service(call.kestra).update(generic(text), flow)
    return {"count": len(flows)}


@route("POST", "/flows/disable/by-ids", (JSON,))
def disable_by_ids(call: Call) -> Any:
    return _set_disabled(call, _named(call, "ids"), True)


@route("POST", "/flows/disable/by-query")
def disable_by_query(call: Call) -> Any:
    return _set_disabled(call, _matching(call), True)


@route("POST", "/flows/enable/by-ids", (JSON,))
def enable_by_ids(call: Call) -> Any:
    return _set_disabled(call, _named(call, "ids"), False)


@route("POST", "/flows/enable/by-query")
def enable_by_query(call: Call) -> Any:
    return _set_disabled(call, _matching(call), False)


def _sources(name: str, file: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Yields the flows of a file that is imported, by what they are called in errors."""
    suffix = Path(name.lower()).suffix
    if suffix in (".yaml", ".yml"):
        for index, text in enumerate(file.read(LARGEST).decode().split("---")):
            yield f"{name}(flow number: {index})", text.strip()
    elif suffix == ".zip":
        with zipfile.ZipFile(file) as opened:
            for entry in opened.infolist():
                if entry.filename.endswith((".yaml", ".yml")):
                    with opened.open(entry) as content:
                        yield entry.filename, content.read(LARGEST).decode()
    else:
        raise illegal(f"Cannot import file of type {name.lower()[name.rfind('.') :]}")


@route("POST", "/flows/import", (MULTIPART,))
def import_flows(call: Call) -> Any:
    upload = call.form.get("fileUpload")
    if not isinstance(upload, UploadFile):
        raise MissingBody("argument [fileUpload]")
    name = upload.filename or ""
    try:
        sources = dict(_sources(name, upload.file))
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise illegal(f"{name}: {error}") from error
    wrong = []
    for name, text in sources.items():
        try:
            service(call.kestra).importFlow(TENANT, text)
        except JClass("jakarta.validation.ConstraintViolationException"):
            wrong.append(name)
    if wrong and call.flag("failOnError", False):
        raise illegal(f"Following invalid flows were not imported: {', '.join(wrong)}")
    return wrong


def _export(flows: list[Any]) -> Response:
    names = [f"{flow.getNamespace()}.{flow.getId()}.yml" for flow in flows]
    texts = [str(flow.getSource()) for flow in flows]
    return archive("flows.zip", zip(names, texts, strict=True))


@route("GET", "/flows/export/by-query")
def export_by_query(call: Call) -> Any:
    return _export(_matching(call))


@route("POST", "/flows/export/by-ids", (JSON,))
def export_by_ids(call: Call) -> Any:
    return _export(_named(call, "ids"))
