"""What the provider of flows does: create, compare, update, delete and read.

`props` are the inputs of `infra.kestra.resources.Flow`: url, username, password and source.
"""

from functools import lru_cache
from typing import Any

from pulumi.dynamic import CreateResult, DiffResult, ReadResult, UpdateResult

from infra.kestra.api import KestraClient, KestraError
from infra.kestra.source import FlowSource

_INPUTS = ("url", "username", "password", "source")


def create(props: dict[str, Any]) -> CreateResult:
    """Creates the flow, or takes over one with the same text, left by an interrupted `up`.

    Raises:
        KestraError: the server refused it, or has another flow of that name.
    """
    flow = FlowSource.parse(props["source"])
    client = _client(props)
    _validate(client, flow)
    existing = client.get_flow(flow.namespace, flow.flow_id)
    if existing is None:
        existing = client.create_flow(flow.text)
    elif existing["source"] != flow.text:
        raise KestraError(
            f"flow {flow.key} exists already on {props['url']}, with another text. Delete it "
            f"there, or give flows/{flow.key}.yaml another id."
        )
    return CreateResult(flow.key, _outputs(props, existing))


def diff(olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
    """Compares two states; another namespace or id is another flow."""
    changed = [key for key in _INPUTS if olds.get(key) != news.get(key)]
    is_other = "source" in changed and _key(olds["source"]) != _key(news["source"])
    return DiffResult(
        changes=bool(changed),
        replaces=["source"] if is_other else [],
        stables=[],
        delete_before_replace=False,
    )


def update(news: dict[str, Any]) -> UpdateResult:
    """Writes a new revision; an unchanged text keeps the revision it has.

    Raises:
        KestraError: the server refused it; the old revision stays.
    """
    flow = FlowSource.parse(news["source"])
    client = _client(news)
    _validate(client, flow)
    return UpdateResult(_outputs(news, client.update_flow(flow.namespace, flow.flow_id, flow.text)))


def delete(props: dict[str, Any]) -> None:
    """Deletes the flow; one that is gone already is no error.

    Raises:
        KestraError: the server did not answer or refused.
    """
    flow = FlowSource.parse(props["source"])
    _client(props).delete_flow(flow.namespace, flow.flow_id)


def read(id_: str, props: dict[str, Any]) -> ReadResult:
    """Reads the flow's text and revision from the server; a deleted flow has no id."""
    namespace, flow_id = id_.split("/")
    found = _client(props).get_flow(namespace, flow_id)
    if found is None:
        return ReadResult("", {})
    return ReadResult(id_, _outputs({**props, "source": found["source"]}, found))


def _outputs(props: dict[str, Any], flow: dict[str, Any]) -> dict[str, Any]:
    return {**{key: props[key] for key in _INPUTS}, "revision": flow["revision"]}


def _key(source: str) -> str:
    return FlowSource.parse(source).key


def _validate(client: KestraClient, flow: FlowSource) -> None:
    if constraints := client.validate_flow(flow.text):
        raise KestraError(f"flow {flow.key} (flows/{flow.key}.yaml) is refused: {constraints}")


def _client(props: dict[str, Any]) -> KestraClient:
    return _cached_client(props["url"], props["username"], props["password"])


@lru_cache(maxsize=4)
def _cached_client(url: str, username: str, password: str) -> KestraClient:
    """Returns one client per server, so that flows share connections."""
    return KestraClient(url, username, password)
