"""The life of one flow: `infra.kestra.resources.Flow`."""

from typing import Any

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)
from pulumi.output import Unknown

from ..source import FlowSource
from . import reconcile
from .connection import PROPERTIES, connect, connect_in_preview, connection


def check(olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
    """Finds what is wrong with a changed text, with the server's help where it answers."""
    client = connect_in_preview(news)
    text = news["source"]
    if isinstance(text, Unknown) or text == olds.get("source"):
        return CheckResult(news, [])
    faults = FlowSource.faults(text)
    if client and not faults:
        flow = FlowSource.parse(text)
        called = f"flow {flow.key}"
        faults = reconcile.judge(
            client, flow, olds.get("source"), called=called, adopt=news["adopt"]
        )
    return CheckResult(news, [CheckFailure("source", fault) for fault in faults])


def create(props: dict[str, Any]) -> CreateResult:
    """Creates the flow, or takes one over."""
    flow = FlowSource.parse(props["source"])
    return CreateResult(flow.key, _write(flow, props, None))


def diff(id_: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
    """Compares two states; another namespace or id is another flow, created before this goes."""
    if isinstance(news["source"], Unknown):
        return DiffResult(changes=True)
    is_changed = _digest(olds) != reconcile.digest(news["source"])
    is_other = is_changed and FlowSource.parse(news["source"]).key != id_
    is_moved = any(olds[key] != news[key] for key in PROPERTIES)
    return DiffResult(
        changes=is_changed or is_moved,
        replaces=["source"] if is_other else [],
        delete_before_replace=False,
    )


def update(_id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
    """Writes a new revision; an unchanged text keeps the revision it has."""
    flow = FlowSource.parse(news["source"])
    return UpdateResult(_write(flow, news, int(olds["revision"])))


def delete(id_: str, props: dict[str, Any]) -> None:
    """Deletes the flow; one that is gone already is no error."""
    namespace, flow_id = id_.split("/")
    connect(props).delete_flow(namespace, flow_id)


def read(id_: str, props: dict[str, Any]) -> ReadResult:
    """Reads the flow from the server; a deleted one has no id.

    Every edit makes a new revision there, so the same revision is the same text.
    """
    namespace, flow_id = id_.split("/")
    found = connect(props).get_flow(namespace, flow_id)
    if found is None:
        return ReadResult("", {})
    if found["revision"] == props["revision"]:
        return ReadResult(id_, props)
    outputs = _outputs(props, found["source"], found["revision"])
    return ReadResult(id_, outputs, {**outputs, "source": found["source"]})


def _write(flow: FlowSource, props: dict[str, Any], known_revision: int | None) -> dict[str, Any]:
    revision = reconcile.write(
        connect(props),
        flow,
        known_revision,
        adopt=props["adopt"],
        overwrite=props["overwrite"],
    )
    return _outputs(props, flow.text, revision)


def _outputs(props: dict[str, Any], text: str, revision: int) -> dict[str, Any]:
    return {**connection(props), "digest": reconcile.digest(text), "revision": revision}


def _digest(olds: dict[str, Any]) -> str:
    # States before the digest came kept the text itself in the outputs.
    return str(olds["digest"]) if "digest" in olds else reconcile.digest(olds["source"])
