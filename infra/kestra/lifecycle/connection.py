"""The connection that every resource carries, and whether its server answers."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pulumi.output import Unknown

from ..errors import KestraError

if TYPE_CHECKING:
    from ..client import KestraClient

# The properties that lead to the server; they are in the outputs too, for refresh and delete.
PROPERTIES = ("url", "username", "password")


def connection(props: dict[str, Any]) -> dict[str, Any]:
    """Returns the properties that lead to the server."""
    return {key: props[key] for key in PROPERTIES}


def connect(props: dict[str, Any]) -> KestraClient:
    """Returns a client for the server of a resource; resources of one server share it."""
    return _client(props["url"], props["username"], props["password"])


def connect_in_preview(news: dict[str, Any]) -> KestraClient | None:
    """Returns a client if this is a preview and the server answers; removes the marker of one."""
    return answering_client(news) if news.pop("isPreview", False) else None


def answering_client(news: dict[str, Any]) -> KestraClient | None:
    """Returns a client if all inputs are known and the server answers."""
    if any(isinstance(value, Unknown) for value in news.values()):
        return None
    try:
        return _answering_client(news["url"], news["username"], news["password"])
    except KestraError:
        return None


def report(message: str) -> None:
    """Shows a message to the user: Pulumi prints what a provider writes to its standard error."""
    print(message, file=sys.stderr, flush=True)


@lru_cache(maxsize=4)
def _client(url: str, username: str, password: str) -> KestraClient:
    from ..client import KestraClient

    return KestraClient(url, username, password)


@lru_cache(maxsize=4)
def _answering_client(url: str, username: str, password: str) -> KestraClient:
    from ..client import KestraClient

    with KestraClient(url, username, password, wait=0.0) as client:
        client.connect()
    return _client(url, username, password)
