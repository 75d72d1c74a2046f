"""How flows are compared and written, one or many."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ..errors import KestraError
from ..source import FlowSource, is_same_document, is_same_text
from .connection import tell

if TYPE_CHECKING:
    from ..client import KestraClient


def digest(text: str) -> str:
    """Returns what the outputs keep of a text, which stands once in the state: in the inputs."""
    return sha256(text.encode()).hexdigest()


def write(
    client: KestraClient,
    flow: FlowSource,
    known_revision: int | None,
    *,
    adopt: bool,
    overwrite: bool,
    may_exist: bool = True,
) -> int:
    """Brings a flow on the server to a text and returns its revision.

    A flow that has the text already is taken as it is, whoever wrote it: that is how an
    interrupted `up` goes on.

    Args:
        client: the server.
        flow: the flow.
        known_revision: the revision in the state, or None for a flow that is new to the stack.
        adopt: whether a flow that is new to the stack may exist on the server already.
        overwrite: whether a revision that is not the known one may be replaced.
        may_exist: whether the server may have the flow; if not, it is not asked.

    Raises:
        KestraError: the server refused it, or holds what may not be replaced; the message names the
            flow.
    """
    try:
        return _write(client, flow, known_revision, adopt, overwrite, may_exist)
    except KestraError as error:
        error.args = (f"flow {flow.key}: {error}",)
        raise


def _write(
    client: KestraClient,
    flow: FlowSource,
    known_revision: int | None,
    adopt: bool,
    overwrite: bool,
    may_exist: bool,
) -> int:
    current = client.get_flow(flow.namespace, flow.flow_id) if may_exist else None
    if current is None:
        current = client.create_flow(flow.namespace, flow.flow_id, flow.text)
    elif not is_same_text(current["source"], flow.text):
        revision = current["revision"]
        if known_revision is None and not adopt:
            raise KestraError(exists_already(revision))
        if known_revision not in (None, revision) and not overwrite:
            raise KestraError(
                f"has revision {revision} on the server, but {known_revision} in "
                "the state: somebody else changed it. Look at it with pulumi refresh, or replace "
                "it with overwrite=True"
            )
        # Since 1.0 an update passes over unknown keys, which a validation finds.
        if faults := constraints(client.validate_flow(flow.text)):
            raise KestraError(f"is refused: {faults[0]}")
        current = client.update_flow(flow.namespace, flow.flow_id, flow.text)
    return int(current["revision"])


def constraints(opinion: dict[str, Any]) -> list[str]:
    """Returns why the server would refuse a flow, from its opinion of the text."""
    # One text up to 1.3, a list of errors after that.
    found = opinion.get("errors") or [opinion.get("constraints")]
    return [str(reason).strip() for reason in found if reason]


def exists_already(revision: int) -> str:
    """Returns the error about a flow that is new to the stack but not to the server."""
    return (
        f"exists already on the server, with another text and revision {revision}. "
        "Take it over with adopt=True, which shows the difference first, or delete it there"
    )


def judge(
    client: KestraClient, flow: FlowSource, before: str | None, *, called: str, adopt: bool
) -> list[str]:
    """Asks the server about a flow before anything is changed; tells what is no error.

    Args:
        client: the server.
        flow: the flow.
        before: the text in the state, or None where the flow is new to the stack.
        called: what the flow is called in messages, such as the path of its file.
        adopt: whether a flow that is new to the stack may exist on the server.

    Returns:
        The reasons why it would be refused.
    """
    opinion = client.validate_flow(flow.text)
    for kind, words in _remarks(opinion):
        tell(f"{called}: {kind}: {words}")
    faults = constraints(opinion)
    if before is not None and is_same_document(before, flow.text):
        tell(f"{called}: only comments or layout change\n{_difference(before, flow.text)}")
    current = client.get_flow(flow.namespace, flow.flow_id) if before is None else None
    if current and not is_same_text(current["source"], flow.text):
        if adopt:
            tell(
                f"{called}: takes over revision {current['revision']}\n"
                f"{_difference(current['source'], flow.text)}"
            )
        else:
            faults.append(exists_already(current["revision"]))
    return faults


def _remarks(opinion: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, kind in (
        ("warnings", "warning"),
        ("deprecationPaths", "deprecated"),
        ("infos", "info"),
    ):
        for words in opinion.get(key) or ():
            yield kind, str(words)


def _difference(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
    return "\n".join(list(lines)[2:])
