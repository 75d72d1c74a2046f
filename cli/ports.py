"""The ports of a new stack: free on this machine, and not those of another stack."""

import errno
import fcntl
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

from cli import stack_settings
from cli.docker_host import remote_host
from cli.output import cache_folder
from cli.services import connect
from cli.stack import Stack


@contextmanager
def reserving() -> Iterator[None]:
    """Keeps every other `up` of this user from choosing ports until the choice is written down."""
    path = cache_folder() / "ports.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def choose(
    stack: Stack, address: str, wanted: Mapping[str, int], keys: Iterable[str]
) -> dict[str, int]:
    """Returns for each key its port, or the next one that nobody else has or wants.

    Args:
        stack: the stack; a port may be that of another one although that one is down.
        address: the address to which the ports are bound.
        wanted: all ports of the stack by their keys.
        keys: the keys of the ports that are to be free.
    """
    taken = _ports_of_others(stack, wanted) | _ports_of_containers()
    chosen: dict[str, int] = {}
    for key in keys:
        port = wanted[key]
        others = taken | set(wanted.values()) - {port} | set(chosen.values())
        candidates = (item for item in range(port, 65536) if item not in others)
        # What listens on another Docker host cannot be seen from here, but for its containers.
        chosen[key] = next(
            (item for item in candidates if remote_host() or _is_free(address, item)), port
        )
    return chosen


def _ports_of_others(stack: Stack, keys: Collection[str]) -> set[int]:
    """Returns the ports in the settings of the other stacks of this project."""
    return {
        int(settings[key])
        for settings in stack_settings.load_others(stack.name)
        for key in keys
        if str(settings[key]).isdecimal()
    }


def _ports_of_containers() -> set[int]:
    """Returns the ports of all containers on this Docker host, those that are stopped too."""
    return {
        int(place["HostPort"])
        for container in connect().containers.list(all=True, ignore_removed=True)
        for places in (container.attrs["HostConfig"]["PortBindings"] or {}).values()
        for place in places
        if place["HostPort"]
    }


def _is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As Docker does: a port whose last connection is just closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            # Of an address on another Docker host nothing is known here.
            return error.errno != errno.EADDRINUSE
    return True
