"""The life of what a `FlowDirectory` keeps in one namespace: many flows and files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)

from ..content import decode, encode
from ..errors import KestraError, Unavailable
from ..source import FlowSource
from . import reconcile
from .connection import PROPERTIES, connect, connect_in_preview, connection

if TYPE_CHECKING:
    from ..client import KestraClient

_THREADS = 10
# For more flows than this, one request for the whole namespace is cheaper than one for each.
_FEW = 20

_Result = TypeVar("_Result")


def check(olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
    """Finds what is wrong with changed flows, with the server's help where it answers."""
    client = connect_in_preview(news)
    before = olds.get("flows", {})
    changed = {id_: text for id_, text in news["flows"].items() if before.get(id_) != text}

    def faults_of(flow_id: str) -> list[str]:
        path = _path(news, flow_id)
        faults = FlowSource.faults(changed[flow_id])
        if client and not faults:
            flow = FlowSource.parse(changed[flow_id])
            text_before = before.get(flow_id)
            faults = reconcile.judge(client, flow, text_before, called=path, adopt=news["adopt"])
        return [f"{path}: {fault}" for fault in faults]

    failures = [
        CheckFailure(f'flows["{flow_id}"]', fault)
        for flow_id, faults in _for_each(faults_of, changed).items()
        for fault in _raise_error(faults)
    ]
    return CheckResult(news, failures)


def create(props: dict[str, Any]) -> CreateResult:
    """Writes everything; what fails stands in the outputs, and the rest is kept."""
    return CreateResult(props["namespace"], _write(props, {}))


def diff(_id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
    """Compares two states by the digests of their texts."""
    is_changed = (
        bool(olds["failures"])
        or any(olds[key] != news[key] for key in PROPERTIES)
        or olds["writtenFiles"]
        != {path: reconcile.digest(text) for path, text in news["files"].items()}
        or {flow_id: flow["digest"] for flow_id, flow in olds["written"].items()}
        != {flow_id: reconcile.digest(text) for flow_id, text in news["flows"].items()}
    )
    is_other = olds["namespace"] != news["namespace"]
    return DiffResult(
        changes=is_changed or is_other,
        replaces=["namespace"] if is_other else [],
        delete_before_replace=False,
    )


def update(_id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
    """Writes what changed and deletes what is gone from the folder."""
    return UpdateResult(_write(news, olds))


def delete(_id: str, props: dict[str, Any]) -> None:
    """Deletes the flows and files that were written."""
    client = connect(props)
    _delete(client, props["namespace"], props["written"], props["writtenFiles"])


def read(id_: str, props: dict[str, Any]) -> ReadResult:
    """Reads what was written; where anything differs, the server's texts become the inputs."""
    client = connect(props)
    namespace = props["namespace"]
    revisions = client.list_revisions(namespace)
    files = {
        path: encode(content)
        for path, content in _each_content(client, namespace, props["writtenFiles"]).items()
        if content is not None
    }
    digests = {path: reconcile.digest(text) for path, text in files.items()}
    before = {flow_id: flow["revision"] for flow_id, flow in props["written"].items()}
    now = {flow_id: revisions[flow_id] for flow_id in before if flow_id in revisions}
    if before == now and digests == props["writtenFiles"]:
        return ReadResult(id_, props)

    def source_of(flow_id: str) -> str:
        flow = client.get_flow(namespace, flow_id)
        return str(flow["source"]) if flow else ""

    sources = {
        flow_id: _raise_error(source) for flow_id, source in _for_each(source_of, now).items()
    }
    outputs = {**props, "writtenFiles": digests, "written": _recorded(sources, now)}
    return ReadResult(
        id_,
        outputs,
        {**connection(props), "namespace": namespace, "flows": sources, "files": files},
    )


def _write(news: dict[str, Any], olds: dict[str, Any]) -> dict[str, Any]:
    """Brings the namespace from the old outputs to the new inputs and returns the new outputs."""
    client = connect(news)
    namespace, texts, files = news["namespace"], news["flows"], news["files"]
    recorded = dict(olds.get("written", {}))
    recorded_files = dict(olds.get("writtenFiles", {}))
    failures = {}
    # At another address nothing needs to be there.
    is_moved = olds.get("url") != news["url"]
    changed = [
        flow_id
        for flow_id, text in texts.items()
        if is_moved or recorded.get(flow_id, {}).get("digest") != reconcile.digest(text)
    ]
    changed_files = [
        path
        for path, text in files.items()
        if is_moved or recorded_files.get(path) != reconcile.digest(text)
    ]
    client.connect()
    listed = client.list_revisions(namespace) if len(changed) > _FEW else None

    def write_file(path: str) -> str:
        client.put_file(namespace, path, decode(files[path]))
        return reconcile.digest(files[path])

    # Flows may read the files, so these come first.
    for path, digest in _for_each(write_file, changed_files).items():
        if isinstance(digest, KestraError):
            failures[path] = f"file {path}: {digest}"
        else:
            recorded_files[path] = digest

    def write_flow(flow_id: str) -> int:
        known = recorded.get(flow_id)
        return reconcile.write(
            client,
            FlowSource.parse(texts[flow_id]),
            # A number of a resource's outputs comes back as a float.
            int(known["revision"]) if known else None,
            adopt=news["adopt"],
            overwrite=news["overwrite"],
            may_exist=listed is None or flow_id in listed,
        )

    for flow_id, revision in _for_each(write_flow, changed).items():
        if isinstance(revision, KestraError):
            failures[flow_id] = f"{_path(news, flow_id)}: {revision}"
        else:
            recorded[flow_id] = {"digest": reconcile.digest(texts[flow_id]), "revision": revision}

    gone, gone_files = recorded.keys() - texts.keys(), recorded_files.keys() - files.keys()
    try:
        _delete(client, namespace, gone, gone_files)
    except KestraError as error:
        failures["deletion"] = str(error)
    else:
        recorded = {key: value for key, value in recorded.items() if key not in gone}
        recorded_files = {
            key: value for key, value in recorded_files.items() if key not in gone_files
        }
    return {
        **connection(news),
        "namespace": namespace,
        "written": recorded,
        "writtenFiles": recorded_files,
        "failures": failures,
    }


def _path(news: dict[str, Any], flow_id: str) -> str:
    return str(news["paths"].get(flow_id, f"{news['folder']}/{flow_id}.yaml"))


def _delete(
    client: KestraClient, namespace: str, flow_ids: Iterable[str], paths: Iterable[str]
) -> None:
    if flow_ids := sorted(flow_ids):
        client.delete_flows(namespace, flow_ids)
    for result in _for_each(lambda path: client.delete_file(namespace, path), paths).values():
        _raise_error(result)


def _each_content(
    client: KestraClient, namespace: str, paths: Iterable[str]
) -> dict[str, bytes | None]:
    contents = _for_each(lambda path: client.get_file(namespace, path), paths)
    return {path: _raise_error(content) for path, content in contents.items()}


def _recorded(sources: dict[str, str], revisions: dict[str, int]) -> dict[str, dict[str, Any]]:
    return {
        flow_id: {"digest": reconcile.digest(source), "revision": revisions[flow_id]}
        for flow_id, source in sources.items()
    }


def _raise_error(result: _Result | KestraError) -> _Result:
    if isinstance(result, KestraError):
        raise result
    return result


def _for_each(
    function: Callable[[str], _Result], keys: Iterable[str]
) -> dict[str, _Result | KestraError]:
    """Calls a function for each key, on several connections at once; errors are results.

    Once the server does not answer any more, the rest is not tried: each would wait in vain.
    """
    lost = threading.Event()

    def attempt(key: str) -> _Result | KestraError:
        if lost.is_set():
            return KestraError("not tried, since the server stopped answering")
        try:
            return function(key)
        except KestraError as error:
            if isinstance(error, Unavailable):
                lost.set()
            return error

    keys = list(keys)
    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(keys, pool.map(attempt, keys), strict=True))
