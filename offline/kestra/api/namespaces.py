"""Namespaces, their files and their key-value pairs: `/namespaces`, `/kv`."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from typing import Any, BinaryIO

from jpype import JClass, JObject
from starlette.datastructures import UploadFile
from starlette.responses import StreamingResponse

from offline.kestra.api import flows
from offline.kestra.api.routing import (
    EMPTY,
    JSON,
    MULTIPART,
    OCTETS,
    TEXT,
    Call,
    MissingBody,
    Refused,
    Resource,
    archive,
    chunks,
    illegal,
)
from offline.kestra.engine.machine import TENANT

route = Resource()
_FLOWS = "/_flows"


# --- namespaces ---------------------------------------------------------------------------------


@route("GET", "/namespaces/{namespace}")
def get(call: Call) -> Any:
    return {"id": call.path["namespace"]}


@route("GET", "/namespaces/search")
def search(call: Call) -> Any:
    query = call.query.get("filters[q][EQUALS]", "")
    names = {"system"} | _names(call)
    return call.part([{"id": name} for name in sorted(names) if query in name], "searchNamespaces")


@route("POST", "/namespaces/autocomplete", (JSON,))
def autocomplete(call: Call) -> Any:
    query = call.json("autocomplete", dict).get("q") or ""
    return [name for name in sorted(_names(call)) if query in name]


def _names(call: Call) -> set[str]:
    """Returns the namespaces that have flows, and those above them."""
    found = [
        str(each).split(".") for each in flows.repository(call.kestra).findDistinctNamespace(TENANT)
    ]
    return {".".join(parts[: end + 1]) for parts in found for end in range(len(parts))}


@route("GET", "/namespaces/{namespace}/dependencies")
def dependencies(call: Call) -> Any:
    topology = call.kestra.bean("core.topologies.FlowTopologyService")
    return topology.namespaceGraph(TENANT, call.path["namespace"])


# --- files --------------------------------------------------------------------------------------


def _files(call: Call) -> Any:
    storage = call.kestra.bean("core.storages.StorageInterface")
    namespaces = call.kestra.bean("core.storages.NamespaceFactory")
    return namespaces.of(TENANT, call.path["namespace"], storage)


def _path(given: str) -> Any:
    """Returns a path that is Kestra's to read and write."""
    if given.startswith(_FLOWS):
        raise illegal(f"Forbidden path: {given}")
    if ".." in given.split("/"):
        raise illegal(
            "File should be accessed with their full path and not using relative '..' path."
        )
    return JClass("java.nio.file.Path").of(f"/{given.lstrip('/')}")


@route("GET", "/namespaces/{namespace}/files")
def get_file(call: Call) -> Any:
    path, revision = _path(call.parameter("path")), call.optional("revision").orElse(None)
    stream = _files(call).getFileContent(path, revision)
    return StreamingResponse(chunks(stream), media_type=OCTETS)


@route("POST", "/namespaces/{namespace}/files", (MULTIPART,))
def create_file(call: Call) -> Any:
    upload = call.form.get("fileContent")
    if not isinstance(upload, UploadFile):
        raise MissingBody("argument [fileContent]")
    files: dict[str, BinaryIO] = {call.parameter("path"): upload.file}
    if (upload.filename or "").lower().endswith(".zip"):
        files = {}  # as on the server, if it is no archive
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(upload.file) as opened:
            files = {
                f"/{entry}": io.BytesIO(opened.read(entry))
                for entry in opened.namelist()
                if not entry.endswith("/")
            }
    namespace = _files(call)
    overwrite = JClass("io.kestra.core.storages.Namespace$Conflicts").OVERWRITE
    for path, content in files.items():
        if path.startswith(f"{_FLOWS}/"):
            flows.service(call.kestra).importFlow(TENANT, content.read().decode())
        else:
            data = JClass("java.io.ByteArrayInputStream")(content.read())
            namespace.putFile(_path(path), data, overwrite)
    return EMPTY


@route("PUT", "/namespaces/{namespace}/files")
def move_file(call: Call) -> Any:
    _files(call).move(_path(call.parameter("from")), _path(call.parameter("to")))
    return EMPTY


@route("DELETE", "/namespaces/{namespace}/files")
def delete_file(call: Call) -> Any:
    _files(call).delete(_path(call.parameter("path")))
    return EMPTY


@route("GET", "/namespaces/{namespace}/files/stats")
def stats(call: Call) -> Any:
    return _files(call).getFileMetadata(_path(call.query.get("path", "")))


@route("GET", "/namespaces/{namespace}/files/directory")
def list_directory(call: Call) -> Any:
    path = str(_path(call.query.get("path", "")).toString())
    folder = path if path.endswith("/") else f"{path}/"
    namespace = _files(call)
    if folder != "/" and not namespace.exists(_path(path)):
        raise Refused(404, f"Not Found: {path}")
    return [
        call.kestra.json(namespace.getFileMetadata(_path(str(each.getPath()))))
        for each in namespace.children(folder, False)
    ]


@route("POST", "/namespaces/{namespace}/files/directory")
def create_directory(call: Call) -> Any:
    _files(call).createDirectory(_path(call.query.get("path", "")))
    return EMPTY


def _paths(call: Call) -> list[str]:
    return [f"/{str(each.path()).lstrip('/')}" for each in _files(call).all()]


@route("GET", "/namespaces/{namespace}/files/search")
def search_files(call: Call) -> Any:
    query = call.parameter("q")
    return [path for path in _paths(call) if query and query in path]


@route("GET", "/namespaces/{namespace}/files/export")
def export(call: Call) -> Any:
    namespace = call.path["namespace"]
    entries: list[tuple[str, str | bytes]] = [
        (path.lstrip("/"), b"".join(chunks(_files(call).getFileContent(_path(path)))))
        for path in _paths(call)
    ]
    entries += [
        (f"_flows/{flow.getId()}.yml", str(flow.getSource()))
        for flow in flows.repository(call.kestra).findByNamespaceWithSource(TENANT, namespace)
    ]
    return archive(f"{namespace}_files.zip", entries)


# --- key-value pairs ----------------------------------------------------------------------------


def _keys(call: Call) -> Any:
    return call.kestra.bean("core.services.KVStoreService").get(TENANT, call.path["namespace"])


@route("GET", "/kv")
def list_keys(call: Call) -> Any:
    found = call.kestra.bean("core.repositories.KvMetadataRepositoryInterface")
    service = call.kestra.bean("core.services.KVStoreService")
    pageable = call.pageable("listAllKeys", found)
    return call.page(service.list(pageable, TENANT, None, call.filters("KV_METADATA")))


@route("GET", "/namespaces/{namespace}/kv/inheritance")
def inherited_keys(call: Call) -> Any:
    names = call.path["namespace"].split(".")
    service = call.kestra.bean("core.services.KVStoreService")
    return [
        call.kestra.json(each)
        for depth in range(1, len(names))
        for each in service.get(TENANT, ".".join(names[:depth]), None).list()
    ]


@route("GET", "/namespaces/{namespace}/kv/{key}")
def get_key(call: Call) -> Any:
    namespace, key = call.path["namespace"], call.path["key"]
    store = _keys(call)
    value, entry = store.getValue(key).orElse(None), store.get(key).orElse(None)
    if value is None or entry is None:
        raise Refused(404, f"Not Found: No value found for key '{key}' in namespace '{namespace}'")
    kind = JClass("io.kestra.core.models.kv.KVType").from_(value.value())
    return {
        "type": str(kind),
        "value": call.kestra.json(value.value()),
        "revision": int(entry.revision()),
        "updated": call.kestra.json(entry.updateDate()),
    }


@route("PUT", "/namespaces/{namespace}/kv/{key}", (TEXT,))
def put_key(call: Call) -> Any:
    ion = JClass("io.kestra.core.serializers.JacksonMapper").ofIon()
    ttl, description = (call.request.headers.get(name) for name in ("ttl", "description"))
    duration = JClass("java.time.Duration")
    store = _keys(call)
    try:
        lifetime = duration.parse(ttl) if ttl else None
    except JClass("java.time.format.DateTimeParseException") as error:
        raise Refused(500, f"Internal server error: {error.getMessage()}") from error
    try:
        value = ion.readValue(call.text, JClass("java.lang.Object").class_)
    except JClass("com.fasterxml.jackson.core.JacksonException") as error:
        raise illegal(f"Invalid JSON value for: {call.text}") from error
    metadata = JClass("io.kestra.core.storages.kv.KVMetadata")(
        description, JObject(lifetime, duration)
    )
    store.put(
        call.path["key"], JClass("io.kestra.core.storages.kv.KVValueAndMetadata")(metadata, value)
    )
    return EMPTY


@route("DELETE", "/namespaces/{namespace}/kv/{key}")
def delete_key(call: Call) -> Any:
    return bool(_keys(call).delete(call.path["key"]))


@route("DELETE", "/namespaces/{namespace}/kv", (JSON,))
def delete_keys(call: Call) -> Any:
    keys, store = call.json("request", dict).get("keys") or [], _keys(call)
    return {"keys": [key for key in keys if store.delete(key)]}
