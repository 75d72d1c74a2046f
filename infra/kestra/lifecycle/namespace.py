"""The lifecycle of what a `FlowDirectory` keeps in one namespace: many flows and files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)

from ..content import decode, digest, encode
from ..errors import InvalidContent, KestraError
from ..folder import kestra_1_path
from ..source import FlowSource
from .base import Props, constraints
from .connection import PROPERTIES, answering_client, connect, connection
from .flow import validate_flow, write_flow
from .parallel import for_each, try_each

if TYPE_CHECKING:
    from ..client import KestraClient

# For more flows than this, one request for the whole namespace is cheaper than one for each.
_FEW = 20


class NamespaceLifecycle:
    """The lifecycle of many flows and files, of which the outputs record what was written."""

    def check(self, olds: Props, news: Props) -> CheckResult:
        """Validates changed flows, in a preview with the help of a server that answers."""
        is_preview = news.pop("isPreview", False)
        # Who does not answer is not asked twice: that can take as long as a timeout.
        answering = answering_client(news) if is_preview or news.get("kestra1Flows") else None
        unused = _choose_texts(answering, olds, news)
        client = answering if is_preview else None
        before = olds.get("flows", {})
        changed = {id_: text for id_, text in news["flows"].items() if before.get(id_) != text}

        def errors_of(flow_id: str) -> list[str]:
            place = _path(news, flow_id)
            errors = FlowSource.errors(changed[flow_id])
            if client and not errors:
                flow = FlowSource.parse(changed[flow_id])
                errors = validate_flow(
                    client, flow, before.get(flow_id), place=place, adopt=news["adopt"]
                )
            return [f"{place}: {error}" for error in errors]

        failures = [
            CheckFailure(f'flows["{flow_id}"]', error)
            for flow_id, errors in for_each(errors_of, changed).items()
            for error in errors
        ]
        failures += [
            CheckFailure("flows", f"{path}: {error}")
            for path, text in unused.items()
            for error in FlowSource.errors(text)
        ]
        return CheckResult(news, failures)

    def create(self, props: Props) -> CreateResult:
        """Writes everything; what fails is recorded in the outputs, and the rest is kept."""
        return CreateResult(props["namespace"], _write(props, {}))

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        """Compares two states by the digests of their texts."""
        is_other = olds["namespace"] != news["namespace"]
        is_changed = (
            is_other
            or bool(olds["failures"])
            or any(olds[key] != news[key] for key in PROPERTIES)
            or _has_new_triggers(news, olds)
            or olds["writtenFiles"] != _digests(news["files"])
            or _recorded_digests(olds) != _digests(news["flows"])
        )
        return DiffResult(
            changes=is_changed,
            replaces=["namespace"] if is_other else [],
            delete_before_replace=False,
        )

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Writes what changed and deletes what is gone from the folder."""
        return UpdateResult(_write(news, olds))

    def delete(self, _id: str, props: Props) -> None:
        """Deletes the flows and files that were written."""
        _delete(connect(props), props["namespace"], props["written"], props["writtenFiles"])

    def read(self, id_: str, props: Props) -> ReadResult:
        """Reads what was written; if anything differs, the server's texts become the inputs."""
        client = connect(props)
        namespace = props["namespace"]
        revisions = client.list_revisions(namespace)
        contents = for_each(lambda path: client.get_file(namespace, path), props["writtenFiles"])
        files = {path: encode(found) for path, found in contents.items() if found is not None}
        before = {flow_id: flow["revision"] for flow_id, flow in props["written"].items()}
        now = {flow_id: revisions[flow_id] for flow_id in before if flow_id in revisions}
        if before == now and _digests(files) == props["writtenFiles"]:
            return ReadResult(id_, props)

        def source_of(flow_id: str) -> str:
            flow = client.get_flow(namespace, flow_id)
            return str(flow["source"]) if flow else ""

        sources = for_each(source_of, now)
        written = {id_: _record(text, now[id_]) for id_, text in sources.items()}
        outputs = {**props, "writtenFiles": _digests(files), "written": written}
        inputs = {**connection(props), "namespace": namespace, "flows": sources, "files": files}
        return ReadResult(id_, outputs, {**outputs, **inputs})


lifecycle = NamespaceLifecycle()


def _choose_texts(client: KestraClient | None, olds: Props, news: Props) -> dict[str, str]:
    """Gives flows that have two texts the one for the server; returns the others by their paths.

    As long as no server answers, such a flow keeps the text that it has in the state, or gets the
    one for Kestra 2.0 and later.
    """
    texts: dict[str, str] = news.pop("kestra1Flows", {})
    paths = {flow_id: str(kestra_1_path(Path(_path(news, flow_id)))) for flow_id in texts}
    if not texts:
        return {}
    if client:
        is_kestra_1 = client.is_kestra_1
    else:
        is_kestra_1 = any(olds.get("flows", {}).get(key) == text for key, text in texts.items())
    if not is_kestra_1:
        return {paths[flow_id]: text for flow_id, text in texts.items()}
    unused = {_path(news, flow_id): news["flows"][flow_id] for flow_id in texts}
    news["flows"] = {**news["flows"], **texts}
    news["paths"] = {**news["paths"], **paths}
    return unused


def _write(news: Props, olds: Props) -> Props:
    """Writes what differs between the old outputs and the new inputs; returns the new outputs."""
    client = connect(news)
    namespace, texts, files = news["namespace"], news["flows"], news["files"]
    written, written_files = dict(olds.get("written", {})), dict(olds.get("writtenFiles", {}))
    # At another address nothing needs to exist, and another release may refuse what exists.
    is_triggered = _has_new_triggers(news, olds)
    is_other = is_triggered or olds.get("url") != news["url"]
    changed = _changed(texts, {} if is_other else _recorded_digests(olds))
    client.connect()
    listed = client.list_revisions(namespace) if len(changed) > _FEW else None

    def write_file(path: str) -> Any:
        client.put_file(namespace, path, decode(files[path]))
        return digest(files[path])

    def write_one_flow(flow_id: str) -> Props:
        known = written.get(flow_id)
        if is_triggered and (errors := constraints(client.validate_flow(texts[flow_id]))):
            raise InvalidContent(f"is refused: {errors[0]}")
        revision = write_flow(
            client,
            FlowSource.parse(texts[flow_id]),
            # A number in outputs comes back as a float.
            int(known["revision"]) if known else None,
            adopt=news["adopt"],
            overwrite=news["overwrite"],
            may_exist=listed is None or flow_id in listed,
        )
        return _record(texts[flow_id], revision)

    # Flows may read the files, so these come first.
    new_files, errors = try_each(write_file, _changed(files, {} if is_other else written_files))
    failures = {path: f"file {path}: {error}" for path, error in errors.items()}
    new_flows, errors = try_each(write_one_flow, changed)
    for flow_id, error in errors.items():
        failures[flow_id] = f"{_path(news, flow_id)}: flow {namespace}/{flow_id}: {error}"
    written |= new_flows
    written_files |= new_files
    gone, gone_files = written.keys() - texts.keys(), written_files.keys() - files.keys()
    try:
        _delete(client, namespace, gone, gone_files)
    except KestraError as error:
        failures["deletion"] = str(error)
    else:
        written = {key: written[key] for key in written if key not in gone}
        written_files = {key: written_files[key] for key in written_files if key not in gone_files}
    return {
        **connection(news),
        "namespace": namespace,
        "written": written,
        "writtenFiles": written_files,
        "failures": failures,
        # What failed is validated again.
        "triggers": _triggers(olds if failures else news),
    }


def _has_new_triggers(news: Props, olds: Props) -> bool:
    return bool(olds) and _triggers(news) != _triggers(olds)


def _triggers(props: Props) -> Any:
    # States of older versions have none.
    return props.get("triggers", [])


def _delete(
    client: KestraClient, namespace: str, flow_ids: Iterable[str], paths: Iterable[str]
) -> None:
    if flow_ids := sorted(flow_ids):
        client.delete_flows(namespace, flow_ids)
    for_each(lambda path: client.delete_file(namespace, path), paths)


def _path(news: Props, flow_id: str) -> str:
    return str(news["paths"].get(flow_id, f"{news['folder']}/{flow_id}.yaml"))


def _record(text: str, revision: int) -> Props:
    return {"digest": digest(text), "revision": revision}


def _recorded_digests(olds: Props) -> Props:
    return {flow_id: flow["digest"] for flow_id, flow in olds.get("written", {}).items()}


def _digests(texts: Mapping[str, str]) -> Props:
    return {key: digest(text) for key, text in texts.items()}


def _changed(texts: Mapping[str, str], digests: Props) -> list[str]:
    return [key for key, text in texts.items() if digests.get(key) != digest(text)]
