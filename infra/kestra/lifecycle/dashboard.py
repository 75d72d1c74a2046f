"""The life of one dashboard: `infra.kestra.resources.Dashboard`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)

from ..errors import KestraError
from ..source import dashboard_id
from .connection import (
    PROPERTIES,
    answering_client,
    connect,
    connect_in_preview,
    connection,
    tell,
)
from .reconcile import constraints, digest

if TYPE_CHECKING:
    from ..client import KestraClient


def check(olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
    """Finds what is wrong with a changed text, with the server's help where it answers."""
    client = connect_in_preview(news)
    text = news["source"]
    if text == olds.get("source"):
        return CheckResult(news, [])
    try:
        id_ = dashboard_id(text)
    except ValueError as error:
        faults = [str(error)]
    else:
        faults = _judge(client, id_, olds, news) if client else []
    # Pulumi shows the value beside the fault: the path rather than the whole text.
    return CheckResult(news, [CheckFailure("path", fault) for fault in faults])


def create(props: dict[str, Any]) -> CreateResult:
    """Creates the dashboard, or takes one over; without dashboards on the server, tells so."""
    return CreateResult(dashboard_id(props["source"]), _write(props, None))


def diff(id_: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
    """Compares two states; one that could not be registered is changed once the server can."""
    is_changed = olds["digest"] != digest(news["source"])
    is_moved = any(olds[key] != news[key] for key in PROPERTIES)
    client = None if olds["registered"] else answering_client(news)
    return DiffResult(
        changes=is_changed or is_moved or bool(client and client.has_dashboards),
        replaces=["source"] if is_changed and dashboard_id(news["source"]) != id_ else [],
        delete_before_replace=False,
    )


def update(_id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
    """Writes the new text."""
    return UpdateResult(_write(news, olds["digest"] if olds["registered"] else None))


def delete(id_: str, props: dict[str, Any]) -> None:
    """Deletes the dashboard; one that is gone already is no error."""
    if props["registered"]:
        connect(props).delete_dashboard(id_)


def read(id_: str, props: dict[str, Any]) -> ReadResult:
    """Reads the dashboard from the server; a deleted one has no id."""
    if not props["registered"]:
        return ReadResult(id_, props)
    found = connect(props).get_dashboard(id_)
    if found is None:
        return ReadResult("", {})
    if digest(found) == props["digest"]:
        return ReadResult(id_, props)
    outputs = {**props, "digest": digest(found)}
    return ReadResult(id_, outputs, {**outputs, "source": found})


def _write(props: dict[str, Any], known: str | None) -> dict[str, Any]:
    """Brings the dashboard on the server to the text and returns the outputs.

    Args:
        props: the inputs.
        known: the digest of the text in the state, or None where the server has none of ours.
    """
    client = connect(props)
    try:
        if client.has_dashboards:
            _register(client, props, known)
        else:
            tell(_not_registered(client, props["path"]))
    except KestraError as error:
        error.args = (f"{props['path']}: {error}",)
        raise
    return {
        **connection(props),
        "digest": digest(props["source"]),
        "registered": client.has_dashboards,
    }


def _register(client: KestraClient, props: dict[str, Any], known: str | None) -> None:
    text = props["source"]
    id_ = dashboard_id(text)
    current = client.get_dashboard(id_)
    if current is None:
        client.create_dashboard(id_, text)
    elif current != text:
        if known is None and not props["adopt"]:
            raise KestraError(_exists_already(id_))
        if known not in (None, digest(current)) and not props["overwrite"]:
            raise KestraError(
                f"somebody else changed the dashboard {id_} on the server. Look at it with pulumi "
                "refresh, or replace it with overwrite=True"
            )
        client.update_dashboard(id_, text)


def _judge(client: KestraClient, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> list[str]:
    """Returns why the server would refuse the text; tells where it has no dashboards."""
    if not client.has_dashboards:
        tell(_not_registered(client, news["path"]))
        return []
    faults = constraints(client.validate_dashboard(news["source"]))
    current = None if olds or news["adopt"] else client.get_dashboard(id_)
    if current not in (None, news["source"]):
        faults.append(_exists_already(id_))
    return faults


def _not_registered(client: KestraClient, path: str) -> str:
    return (
        f"{path}: warning: not registered, as Kestra {client.version} has no dashboards with ids "
        "of their own (from 1.0 on); the next up with a server that has them registers it"
    )


def _exists_already(id_: str) -> str:
    return (
        f"the dashboard {id_} exists already on the server, with another text. Take it over with "
        "adopt=True, or delete it there"
    )
