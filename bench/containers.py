"""The containers of a stack, started and removed by Docker alone, as `docker compose` does it."""

import io
import tarfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import docker
import yaml
from docker.models.containers import Container

_HEALTHY_SECONDS = 300
_POLL_SECONDS = 0.1
# What the program writes into a container before its start: Docker does not list it.
_CONFIGURATION = "/app/confs/application.yml"
_FILES = {
    "postgres": ("/run/secrets/postgres-password",),
    "kestra": (_CONFIGURATION,),
    "pgadmin": ("/pgadmin4/servers.json", "/pgadmin4/pgpass", "/run/secrets/pgadmin-password"),
}
_INIT_SCRIPT = "/docker-entrypoint-initdb.d/kestra.sql"


class Containers:
    """The containers of a running stack, kept as recipes to start the same once more."""

    def __init__(self, client: docker.DockerClient, stack: str) -> None:
        """Looks at what the stack has on the Docker host.

        Args:
            client: the Docker host.
            stack: the stack's name.
        """
        belongs = _filters(stack)
        self._client = client
        (network,) = client.networks.list(filters=belongs)
        self._network, self._labels = str(network.name), network.attrs["Labels"]
        self._volumes = [str(volume.name) for volume in client.volumes.list(filters=belongs)]
        self._containers = {
            str(container.name).rsplit("-", 1)[1]: container
            for container in client.containers.list(ignore_removed=True, filters=belongs)
        }
        self._files = {
            alias: {path: _read(self._containers[alias], path) for path in paths}
            for alias, paths in _FILES.items()
        }
        # What Pulumi's PostgreSQL provider makes: without it Kestra would not get healthy.
        script = _init_script(self._files["kestra"][_CONFIGURATION])
        self._files["postgres"][_INIT_SCRIPT] = script

    def start(self) -> None:
        """Creates network, volumes and containers and waits until all of these are healthy.

        Raises:
            TimeoutError: a container did not get healthy.
        """
        self._client.networks.create(self._network, driver="bridge", labels=self._labels)
        for volume in self._volumes:
            self._client.volumes.create(volume, labels=self._labels)
        with ThreadPoolExecutor() as pool:
            started = {
                alias: pool.submit(self._start, alias)
                for alias in self._containers.keys() - {"kestra"}
            }
            started["postgres"].result()
            self._start("kestra")
            for future in started.values():
                future.result()

    def _start(self, alias: str) -> None:
        attributes = self._containers[alias].attrs
        network = {self._network: {"Aliases": [alias]}}
        config = {
            **attributes["Config"],
            "HostConfig": {**attributes["HostConfig"], "NetworkMode": self._network},
            "NetworkingConfig": {"EndpointsConfig": network},
        }
        name = attributes["Name"].removeprefix("/")
        created = self._client.api.create_container_from_config(config, name)  # type: ignore[no-untyped-call]
        container = self._client.containers.get(created["Id"])
        if files := self._files.get(alias):
            container.put_archive("/", _archive(files))
        container.start()
        deadline = time.monotonic() + _HEALTHY_SECONDS
        while container.attrs["State"].get("Health", {}).get("Status") != "healthy":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} did not get healthy within {_HEALTHY_SECONDS} s")
            time.sleep(_POLL_SECONDS)
            container.reload()


def remove_stack(client: docker.DockerClient, stack: str) -> None:
    """Removes all that a stack has on the Docker host, whoever made it.

    Args:
        client: the Docker host.
        stack: the stack's name.
    """
    belongs = _filters(stack)
    containers = client.containers.list(all=True, ignore_removed=True, filters=belongs)
    # Without its database Kestra takes the whole of its time to end.
    kestra = [item for item in containers if str(item.name).endswith("-kestra")]
    for container in kestra:
        _remove(container)
    with ThreadPoolExecutor() as pool:
        list(pool.map(_remove, [item for item in containers if item not in kestra]))
    for volume in client.volumes.list(filters=belongs):
        volume.remove()
    for network in client.networks.list(filters=belongs):
        network.remove()


def _filters(stack: str) -> dict[str, str | list[str] | bool]:
    return {"label": f"podium.stack={stack}"}


def _remove(container: Container) -> None:
    container.stop(timeout=container.attrs["Config"]["StopTimeout"])
    container.remove()


def _read(container: Container, path: str) -> bytes:
    """Returns the content of a file in a container."""
    data = b"".join(container.get_archive(path)[0])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        file = archive.extractfile(archive.getmembers()[0])
        assert file
        return file.read()


def _archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _init_script(configuration: bytes) -> bytes:
    """Returns a script that makes Kestra's role and database."""
    source = yaml.safe_load(configuration)["datasources"]["postgres"]
    role, database = source["username"], urlsplit(source["url"].removeprefix("jdbc:")).path[1:]
    return (
        f"CREATE ROLE {role} LOGIN PASSWORD '{source['password']}';\n"
        f"CREATE DATABASE {database} OWNER {role};\n"
    ).encode()
