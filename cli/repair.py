"""Before an update: removes what a killed one left behind, and repairs what was changed by hand.

`up` compares with Pulumi's state only. A look at Docker, which takes milliseconds, shows where the
two differ: what is gone is dropped from the state, so that the update creates it again, and what is
stopped is started. Only what failed or was interrupted while it was changed is refreshed.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from docker import DockerClient
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from cli import offline
from cli.environment import backend_url
from cli.output import console, step
from cli.processes import run_logged
from cli.services import connect, health_of, of_stack
from cli.stack import Parts, Stack
from cli.update import label

_Resource = dict[str, Any]

_CONTAINER = "docker:index/container:Container"
_NETWORK = "docker:index/network:Network"
_VOLUME = "docker:index/volume:Volume"
_IMAGE = "docker:index/remoteImage:RemoteImage"
_ROLE = "postgresql:index/role:Role"
_DATABASE = "postgresql:index/database:Database"
# What the servers keep in their volumes, by the beginnings of the types.
_CONTENT = ("postgresql:", "pulumi-python:dynamic")
# Docker's own default.
_STOP_SECONDS = 10
_POLL_SECONDS = 0.5


def remove_leftovers(stack: Stack) -> None:
    """Removes what a killed update left: its lock, its pending operations, and what they created.

    An update that still runs is waited for. Where it is unknown what the server has, the state gets
    an error, as after an update that failed.

    Raises:
        docker.errors.DockerException: the Docker Engine does not answer.
    """
    _wait_for_locks(stack)
    pending = stack.deployment.pop("pending_operations", ())
    created: set[str] = set()
    for operation in pending:
        resource, kind = operation["resource"], operation["type"]
        error = {"initErrors": [f"interrupted while {kind}"]}
        name = resource.get("inputs", {}).get("name")
        known = [item for item in stack.resources if item["urn"] == resource["urn"]]
        if resource["type"] in (_CONTAINER, _NETWORK) and kind == "creating":
            created.add(name)
        elif resource["type"] in (_ROLE, _DATABASE) and not known:
            # Created once more, they would be refused; all else is created where it is missing.
            stack.resources.append(resource | error | {"id": name, "outputs": {"name": name}})
        elif not resource["type"].startswith("docker:"):
            for item in known:
                item |= error
    if created:
        _remove_created(stack, created)
    if pending:
        stack.save_deployment()


def repair(stack: Stack, parts: Parts) -> None:
    """Removes leftovers, and brings the state in line with what is on Docker.

    What cannot be refreshed, because its server is one of the things that are missing, keeps its
    error in the state and is refreshed the next time.

    Raises:
        click.ClickException: nothing is there, as on another Docker host.
        docker.errors.DockerException: the Docker Engine does not answer.
    """
    remove_leftovers(stack)
    if not stack.resources:
        return
    client = connect()
    lost = _lost(client, stack.resources)
    places = [item for item in stack.resources if item["type"] in (_NETWORK, _VOLUME)]
    if places and all(item in lost for item in places):
        raise click.ClickException(
            f"Nothing of stack {stack.name} is on this Docker host. Is DOCKER_HOST right? If all "
            f"of it was removed: {stack.podium} down, then {stack.podium} up"
        )
    if lost:
        names = [label(item["urn"]) for item in lost if item["type"].startswith("docker:")]
        also = "" if len(names) == len(lost) else ", with what was in them"
        console.print(f"Missing, created again{also}: {', '.join(names)}")
    lost += _rebuilt(client, stack.resources)
    if lost:
        kept = [item for item in stack.resources if item not in lost]
        urns = {item["urn"] for item in kept}
        stack.deployment["resources"] = [_with_references_to(urns, item) for item in kept]
    doubtful = [item["urn"] for item in stack.resources if _is_doubtful(item)]
    for item in stack.resources:
        # Nothing shows which password a role has; one that differs makes the update set it.
        if item["urn"] in doubtful and item["type"] == _ROLE:
            item["outputs"]["password"] = ""
    if lost or doubtful:
        stack.save_deployment()
    for item in stack.resources:
        if item["type"] == _CONTAINER and not item.get("delete"):
            _start(client.containers.get(item["id"]), item["outputs"])
    if doubtful:
        targets = [word for urn in doubtful for word in ("--target", urn)]
        command = ["pulumi", "refresh", "--stack", stack.name, "--yes", "--skip-preview", *targets]
        try:
            with step("Reading what the last update left unfinished"):
                run_logged("pulumi-refresh", command, stack.environment(parts))
        except click.ClickException as error:
            console.print(f"{error.message}\nThe update goes on without it.")


def stop_cut_off(stack: Stack) -> None:
    """Stops at once what cannot end in order: a service that is unhealthy or without its network.

    Kestra would wait for its database for the minutes that it leaves to running tasks.

    Raises:
        docker.errors.DockerException: the Docker Engine does not answer.
    """
    client = connect()
    for item in stack.resources:
        if item["type"] == _CONTAINER:
            try:
                container = client.containers.get(item["id"])
            except NotFound:
                continue
            if container.status == "running" and (
                health_of(container) == "unhealthy" or not _is_attached(container, item["outputs"])
            ):
                with step(f"Stopping {container.name}, which is cut off"):
                    container.stop(timeout=_STOP_SECONDS)


def _wait_for_locks(stack: Stack) -> None:
    """Waits for updates on this machine that still run, and removes the locks of the others."""
    url = urlsplit(backend_url())
    if url.scheme != "file":
        return
    # https://www.pulumi.com/docs/iac/concepts/state-and-backends/#using-a-self-managed-backend
    folder = Path(url.netloc + url.path).expanduser() / ".pulumi/locks/organization"
    for path in (folder / stack.project / stack.short_name).glob("*.json"):
        lock = json.loads(path.read_text())
        if lock["hostname"] != socket.gethostname():
            continue
        if _runs(lock["pid"]):
            console.print(f"Waiting for another update of the stack, process {lock['pid']}.")
        while _runs(lock["pid"]):
            time.sleep(_POLL_SECONDS)
        path.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    """Returns whether a process exists that may be Pulumi."""
    try:
        os.kill(pid, 0)
        # The number may meanwhile be another process's; of a dead one nothing is left here.
        program = Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0]
        return Path(program).name == "pulumi"
    except ProcessLookupError:
        return False
    except OSError:
        return True


def _remove_created(stack: Stack, names: set[str]) -> None:
    """Removes the containers and networks of these names that the state does not know."""
    client, filters = connect(), of_stack(stack)
    known = {item.get("id") for item in stack.resources}
    for container in client.containers.list(all=True, ignore_removed=True, filters=filters):
        if container.name in names and container.id not in known:
            container.remove(v=True, force=True)
            console.print(f"Removed {container.name}, which a killed update had created.")
    for network in client.networks.list(filters=filters):
        if network.name in names and network.id not in known:
            network.remove()
            console.print(f"Removed {network.name}, which a killed update had created.")


def _lost(client: DockerClient, resources: Sequence[_Resource]) -> list[_Resource]:
    """Returns what is not on Docker any more, and what was in a volume that is not."""
    get: dict[str, Callable[[str], Any]] = {
        _NETWORK: client.networks.get,
        _VOLUME: client.volumes.get,
        _IMAGE: client.images.get,
        _CONTAINER: client.containers.get,
    }
    lost: list[_Resource] = []
    networks: set[str] = set()
    # What depends on a lost volume, in the order in which it was created.
    without_volume: set[str] = set()
    for resource in resources:
        kind, outputs = resource["type"], resource.get("outputs", {})
        emptied = not without_volume.isdisjoint(resource.get("dependencies") or ())
        if kind in get:
            try:
                found = get[kind](outputs["imageId"] if kind == _IMAGE else resource["id"])
            except NotFound:
                lost.append(resource)
                networks |= {outputs["name"]} if kind == _NETWORK else set()
                emptied |= kind == _VOLUME
            else:
                if kind == _CONTAINER and not _is_attached(found, outputs, networks):
                    # Docker keeps the ID of the network: the container cannot start any more.
                    found.stop(timeout=_STOP_SECONDS)
                    found.remove(v=True)
                    lost.append(resource)
        elif emptied and kind.startswith(_CONTENT):
            lost.append(resource)
        if emptied:
            without_volume.add(resource["urn"])
    return lost


def _rebuilt(client: DockerClient, resources: Sequence[_Resource]) -> list[_Resource]:
    """Returns the offline images that were built anew since the stack took them.

    Pulumi compares names, which stay, so that it would go on with the old image.
    """
    names = offline.load_stack().images
    return [
        item
        for item in resources
        if item["type"] == _IMAGE
        and (name := item["outputs"]["name"]) in names
        and client.images.get(name).id != item["outputs"]["imageId"]
    ]


def _is_attached(
    container: Container, outputs: _Resource, lost: set[str] | frozenset[str] = frozenset()
) -> bool:
    """Returns whether a container is on its networks, none of which is lost."""
    networks = {item["name"] for item in outputs.get("networksAdvanced") or ()}
    return networks <= set(container.attrs["NetworkSettings"]["Networks"]) - lost


def _with_references_to(urns: set[str], resource: _Resource) -> _Resource:
    """Returns a resource without its references to resources other than these."""

    def kept(references: Sequence[str] | None) -> list[str]:
        return [urn for urn in references or () if urn in urns]

    properties = resource.get("propertyDependencies") or {}
    changed = resource | {
        "dependencies": kept(resource.get("dependencies")),
        "propertyDependencies": {name: kept(value) for name, value in properties.items()},
    }
    if changed.get("deletedWith") not in urns:
        changed.pop("deletedWith", None)
    return changed


def _is_doubtful(resource: _Resource) -> bool:
    """Returns whether the state may differ from what is there: the last change of it failed.

    Of an update that failed the official plugins keep the new values. Pulumi replaces a container
    whose creation failed.
    """
    outputs = resource.get("outputs", {})
    is_complete = resource["type"] != _CONTAINER or outputs.get("networkDatas") is not None
    return bool(resource.get("initErrors")) and is_complete


def _start(container: Container, outputs: _Resource) -> None:
    """Starts a container that was stopped or paused, and waits until it is healthy."""
    if container.status not in ("exited", "paused"):
        return
    with step(f"Starting {container.name}, which was {container.status}"):
        try:
            container.unpause() if container.status == "paused" else container.start()
        except APIError as error:
            # Another setting may be the fix, which the update is about to apply.
            console.print(f"{container.name} does not start: {error.explanation}")
            return
        seconds = outputs["waitTimeout"]
        deadline = time.monotonic() + seconds
        container.reload()
        while health_of(container) not in ("healthy", ""):
            if time.monotonic() > deadline:
                console.print(f"{container.name} is not healthy after {seconds} s.")
                return
            time.sleep(_POLL_SECONDS)
            container.reload()
