"""Namespaces, their files and their key-value pairs: `/namespaces`."""

from __future__ import annotations

import io
import zipfile
from email.utils import formatdate
from typing import Any

from starlette.datastructures import UploadFile
from starlette.responses import FileResponse, Response

from offline.kestra.api.routing import EMPTY, JSON, MULTIPART, OCTETS, TEXT, Call, Resource, paged
from offline.kestra.errors import BadRequest, IllegalArgument, MissingBody, NotFound
from offline.kestra.keyvalues import parse
from offline.kestra.schema import parsed_duration

route = Resource()
_FLOWS = "/_flows"
_DAY = 86_400  # seconds


# --- namespaces ---------------------------------------------------------------------------------


@route("GET", "/namespaces/{namespace}")
def get(call: Call) -> Any:
    return {"id": call.path["namespace"], "deleted": False}


@route("GET", "/namespaces/search")
def search(call: Call) -> Any:
    query = call.query.get("q", "")
    names: set[str] = set()
    for namespace in call.server.store.namespaces():
        parts = namespace.split(".")
        names.update(".".join(parts[: length + 1]) for length in range(len(parts)))
    found = sorted(name for name in names if query in name)
    page, size = call.number("page", 1, least=1) or 1, call.number("size", 10, least=1) or 10
    shown = [{"disabled": True, "id": name, "deleted": False} for name in found]
    return paged(shown[(page - 1) * size : page * size], len(found))


# --- files --------------------------------------------------------------------------------------


def _path(call: Call, name: str = "path") -> str:
    if name not in call.query:
        raise BadRequest(f"Required QueryValue [{name}] not specified")
    return _allowed(call.query[name])


def _allowed(path: str) -> str:
    if path.startswith(_FLOWS):
        raise IllegalArgument(f"Forbidden path: {path}")
    return path


@route("GET", "/namespaces/{namespace}/files")
def get_file(call: Call) -> Any:
    file = call.server.services.storage.namespace_file(call.path["namespace"], _path(call))
    if not file.is_file():
        raise NotFound(f"{file} (No such file or directory)")
    return FileResponse(
        file,
        media_type=OCTETS,
        headers={
            "cache-control": f"public, max-age={_DAY}",
            "expires": formatdate(file.stat().st_mtime + _DAY, usegmt=True),
        },
    )


@route("POST", "/namespaces/{namespace}/files", (MULTIPART,))
def create_file(call: Call) -> Any:
    upload = call.form.get("fileContent")
    if not isinstance(upload, UploadFile):
        raise MissingBody("Required argument [fileContent] not specified")
    if "path" not in call.query:
        raise BadRequest("Required QueryValue [path] not specified")
    files: dict[str, Any] = {call.query["path"]: upload.file}
    if (upload.filename or "").lower().endswith(".zip"):
        archive = zipfile.ZipFile(upload.file)
        files = {
            f"/{entry}": io.BytesIO(archive.read(entry))
            for entry in archive.namelist()
            if not entry.endswith("/")
        }
    for path, content in files.items():
        if path.startswith(f"{_FLOWS}/"):
            call.server.flows.import_source(content.read().decode())
        else:
            call.server.services.storage.write_namespace_file(call.path["namespace"], path, content)
    return EMPTY


@route("PUT", "/namespaces/{namespace}/files")
def move_file(call: Call) -> Any:
    storage, namespace = call.server.services.storage, call.path["namespace"]
    source, target = (
        storage.namespace_file(namespace, _path(call, name)) for name in ("from", "to")
    )
    if not source.exists():
        raise NotFound(f"{source} -> {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    return EMPTY


@route("DELETE", "/namespaces/{namespace}/files")
def delete_file(call: Call) -> Any:
    call.server.services.storage.delete_namespace_file(call.path["namespace"], _path(call))
    return EMPTY


@route("GET", "/namespaces/{namespace}/files/stats")
def stats(call: Call) -> Any:
    storage, path = call.server.services.storage, _allowed(call.query.get("path", ""))
    file = storage.namespace_file(call.path["namespace"], path)
    if not path:
        file.mkdir(parents=True, exist_ok=True)
    return storage.attributes(file)


@route("GET", "/namespaces/{namespace}/files/directory")
def list_directory(call: Call) -> Any:
    path = _allowed(call.query.get("path", ""))
    return call.server.services.storage.listing(call.path["namespace"], path)


@route("POST", "/namespaces/{namespace}/files/directory")
def create_directory(call: Call) -> Any:
    path = _allowed(call.query.get("path", ""))
    folder = call.server.services.storage.namespace_file(call.path["namespace"], path)
    folder.mkdir(parents=True, exist_ok=True)
    return EMPTY


@route("GET", "/namespaces/{namespace}/files/search")
def search_files(call: Call) -> Any:
    if "q" not in call.query:
        raise BadRequest("Required QueryValue [q] not specified")
    paths = call.server.services.storage.namespace_paths(call.path["namespace"])
    return [path for path in paths if call.query["q"] in path]


@route("GET", "/namespaces/{namespace}/files/export")
def export(call: Call) -> Any:
    namespace, storage = call.path["namespace"], call.server.services.storage
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in storage.namespace_paths(namespace):
            archive.write(storage.namespace_file(namespace, path), path.lstrip("/"))
        for row in call.server.store.flows_of(namespace):
            archive.writestr(f"_flows/{row['id']}.yml", row["source"])
    disposition = f'attachment; filename="{namespace}_files.zip"'
    return Response(buffer.getvalue(), 200, {"Content-Disposition": disposition}, OCTETS)


# --- key-value pairs ----------------------------------------------------------------------------


@route("GET", "/namespaces/{namespace}/kv")
def list_keys(call: Call) -> Any:
    return call.server.services.key_values.list(call.path["namespace"])


@route("GET", "/namespaces/{namespace}/kv/{key}")
def get_key(call: Call) -> Any:
    namespace, key = call.path["namespace"], call.path["key"]
    found = call.server.services.key_values.get(namespace, key)
    if found is None:
        raise NotFound(f"No value found for key '{key}' in namespace '{namespace}'")
    return found


@route("PUT", "/namespaces/{namespace}/kv/{key}", (JSON, TEXT))
def put_key(call: Call) -> Any:
    ttl = call.request.headers.get("ttl")
    seconds = parsed_duration(ttl) if ttl else None
    if ttl and seconds is None:
        raise IllegalArgument(f"Text '{ttl}' cannot be parsed to a Duration")
    kind, value = parse(call.text)
    call.server.services.key_values.put(
        call.path["namespace"], call.path["key"], kind, value, seconds,
        call.request.headers.get("description"),
    )  # fmt: skip
    return EMPTY


@route("DELETE", "/namespaces/{namespace}/kv/{key}")
def delete_key(call: Call) -> Any:
    return call.server.services.key_values.delete(call.path["namespace"], call.path["key"])


@route("DELETE", "/namespaces/{namespace}/kv", (JSON,))
def delete_keys(call: Call) -> Any:
    namespace, keys = call.path["namespace"], call.texts("keys")
    delete = call.server.services.key_values.delete
    return {"keys": [key for key in keys if delete(namespace, key)]}
