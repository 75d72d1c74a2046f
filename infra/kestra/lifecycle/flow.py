"""The lifecycle of `infra.kestra.resources.Flow`, and how any flow is validated and written."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pulumi.dynamic import CheckFailure, DiffResult
from pulumi.output import Unknown

from ..content import digest
from ..errors import Conflict, InvalidContent
from ..source import FlowSource, is_same_document, is_same_text
from .base import CHANGED, EXISTS, Lifecycle, Props, constraints
from .connection import report

if TYPE_CHECKING:
    from ..client import KestraClient


class FlowLifecycle(Lifecycle):
    """The lifecycle of one flow, whose text names it."""

    kind = "flow"
    keys = ("source",)
    shown = "source"

    def identity(self, news: Props) -> str:
        """Returns namespace and id, such as zoomcamp/taxi_load."""
        return FlowSource.parse(news["source"]).key

    def record(self, news: Props) -> Props:
        """Returns the digest of the text."""
        return {"digest": digest(news["source"])}

    def find(self, client: KestraClient, id_: str) -> Props | None:
        """Returns text and revision of the flow on the server."""
        found = client.get_flow(*id_.split("/"))
        return {key: found[key] for key in ("source", "revision")} if found else None

    def is_same(self, found: Props, recorded: Props) -> bool:
        """Compares revisions: every edit makes a new one, so an equal one has the same text."""
        return bool(found["revision"] == recorded["revision"])

    def conflicts(self, client: KestraClient, news: Props) -> bool:
        """Leaves conflicts to `write_flow`."""
        return False

    def validate(self, news: Props) -> Iterator[CheckFailure]:
        """Yields what is wrong with the text."""
        if not isinstance(news["source"], Unknown):
            for error in FlowSource.errors(news["source"]):
                yield CheckFailure("source", error)

    def review(self, client: KestraClient, olds: Props, news: Props) -> list[str]:
        """Returns why the server would refuse the text."""
        flow = FlowSource.parse(news["source"])
        return validate_flow(
            client, flow, olds.get("source"), place=self.place(news), adopt=news["adopt"]
        )

    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        """Compares the texts; an unknown one may be of the same flow."""
        if isinstance(news["source"], Unknown):
            return DiffResult(changes=True)
        # The first states kept the text instead of its digest.
        before = {"digest": digest(olds["source"]), **olds} if "source" in olds else olds
        return super().diff(id_, before, news)

    def write(self, client: KestraClient, news: Props, olds: Props | None) -> Props:
        """Writes the flow and returns its revision."""
        revision = write_flow(
            client,
            FlowSource.parse(news["source"]),
            int(olds["revision"]) if olds else None,
            adopt=news["adopt"],
            overwrite=news["overwrite"],
        )
        return {"revision": revision}

    def remove(self, client: KestraClient, id_: str) -> None:
        """Deletes the flow."""
        client.delete_flow(*id_.split("/"))


lifecycle = FlowLifecycle()


def write_flow(
    client: KestraClient,
    flow: FlowSource,
    known_revision: int | None,
    *,
    adopt: bool,
    overwrite: bool,
    may_exist: bool = True,
) -> int:
    """Writes a flow and returns its revision.

    A flow that has the text already is left as it is, whoever wrote it: so an interrupted `up` can
    be repeated.

    Args:
        client: the server.
        flow: the flow.
        known_revision: the revision in the state, or None for a flow that is new to the stack.
        adopt: whether a flow that is new to the stack may exist on the server already.
        overwrite: whether a revision that is not the known one may be replaced.
        may_exist: whether the server may have the flow; if not, it is not asked.

    Raises:
        Conflict: the server has a flow that may not be replaced.
        InvalidContent: the server would refuse the changed text.
        RequestFailed: the server refused the flow, or failed.
    """
    current = client.get_flow(flow.namespace, flow.flow_id) if may_exist else None
    if current is None:
        current = client.create_flow(flow.namespace, flow.flow_id, flow.text)
    elif not is_same_text(current["source"], flow.text):
        revision = current["revision"]
        if known_revision is None and not adopt:
            raise Conflict(f"revision {revision} {EXISTS}")
        if known_revision not in (None, revision) and not overwrite:
            raise Conflict(
                f"has revision {revision} on the server, but {known_revision} in the state: "
                f"it {CHANGED}"
            )
        # Since 1.0 an update ignores unknown keys, which a validation finds.
        if errors := constraints(client.validate_flow(flow.text)):
            raise InvalidContent(f"is refused: {errors[0]}")
        current = client.update_flow(flow.namespace, flow.flow_id, flow.text)
    return int(current["revision"])


def validate_flow(
    client: KestraClient, flow: FlowSource, before: str | None, *, place: str, adopt: bool
) -> list[str]:
    """Asks the server about a flow before anything is changed, and reports what is no error.

    Args:
        client: the server.
        flow: the flow.
        before: the text in the state, or None if the flow is new to the stack.
        place: what messages call the flow, such as the path of its file.
        adopt: whether a flow that is new to the stack may exist on the server.

    Returns:
        Why it would be refused.
    """
    validation = client.validate_flow(flow.text)
    for kind, remark in _remarks(validation):
        report(f"{place}: {kind}: {remark}")
    errors = constraints(validation)
    if before is not None and is_same_document(before, flow.text):
        report(f"{place}: only comments or layout change\n{_difference(before, flow.text)}")
    current = client.get_flow(flow.namespace, flow.flow_id) if before is None else None
    if current and not is_same_text(current["source"], flow.text):
        if adopt:
            report(
                f"{place}: adopts revision {current['revision']}\n"
                f"{_difference(current['source'], flow.text)}"
            )
        else:
            errors.append(f"revision {current['revision']} {EXISTS}")
    return errors


def _remarks(validation: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, kind in (
        ("warnings", "warning"),
        ("deprecationPaths", "deprecated"),
        ("infos", "info"),
    ):
        for remark in validation.get(key) or ():
            yield kind, str(remark)


def _difference(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
    return "\n".join(list(lines)[2:])
