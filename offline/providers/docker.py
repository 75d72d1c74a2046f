"""The `docker` package: networks, volumes, images and containers of a Docker daemon.

Follows pulumi-docker 5.2 (terraform-provider-docker 4.5, internal/provider/resource_docker_*.go).
"""

from __future__ import annotations

import base64
import io
import re
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.utils import parse_repository_tag
from typing_extensions import override

from offline.providers.schema import (
    Boolean,
    Integer,
    List,
    Map,
    Object,
    Set,
    String,
    Table,
    Values,
    is_computed_list,
)
from offline.providers.server import (
    InitializationError,
    Provider,
    ProviderError,
    Resource,
    serve,
)

_REQUEST_SECONDS = 600
_IN_USE_SECONDS = 30
_MIB = 1024 * 1024
_NANO = 10**9

_CONFIG: Table = {"host": String(env="DOCKER_HOST", default="unix:///var/run/docker.sock")}

_LABELS = Set(
    Object(
        {
            "label": String(required=True, replaces=True),
            "value": String(required=True, replaces=True),
        }
    ),
    replaces=True,
)


class _DockerResource(Resource):
    """A resource type of the Docker daemon."""

    @contextmanager
    def client(self, action: str) -> Iterator[Any]:
        """Open a connection to the daemon and word the errors.

        Args:
            action: what is attempted, e.g. `create network x`.

        Raises:
            ProviderError: the daemon is not reachable or refused.
        """
        host = self.config["host"]
        try:
            client = docker.APIClient(host, version="auto", timeout=_REQUEST_SECONDS)
        except (DockerException, requests.RequestException) as error:
            raise ProviderError(
                f"Unable to {action}: Docker is not reachable at {host}: {error}"
            ) from error
        try:
            yield client
        except APIError as error:
            raise ProviderError(f"Unable to {action}: {error.explanation}") from error
        except requests.RequestException as error:
            raise ProviderError(f"Unable to {action}: {error}") from error
        finally:
            client.close()

    def retry_while_in_use(self, action: str, message: str, attempt: Callable[[], object]) -> None:
        """Repeat a removal for up to 30 seconds while something still uses what is removed.

        Args:
            action: what is attempted, for the error.
            message: how the daemon words that it is in use.
            attempt: the call.
        """
        deadline = time.monotonic() + _IN_USE_SECONDS
        while True:
            try:
                attempt()
                return
            except NotFound:
                return
            except APIError as error:
                if message not in str(error.explanation):
                    raise
                if time.monotonic() > deadline:
                    raise ProviderError(
                        f"Unable to {action}: still in use after {_IN_USE_SECONDS} seconds: "
                        f"{error.explanation}"
                    ) from error
                time.sleep(1)


class Network(_DockerResource):
    """A network."""

    token = "docker:index/network:Network"
    table: ClassVar[Table] = {
        "name": String(autonamed=True, replaces=True),
        "driver": String(computed=True, replaces=True),
        "labels": _LABELS,
        "options": Map(computed=True, replaces=True),
        "internal": Boolean(computed=True, replaces=True),
        "attachable": Boolean(replaces=True),
        "ingress": Boolean(replaces=True),
        "ipv6": Boolean(replaces=True),
        "ipamDriver": String(default="default", replaces=True),
        "ipamOptions": Map(replaces=True),
        "ipamConfigs": Set(
            Object(
                {
                    "subnet": String(replaces=True),
                    "ipRange": String(replaces=True),
                    "gateway": String(replaces=True),
                    "auxAddress": Map(replaces=True),
                }
            ),
            computed=True,
            replaces=True,
        ),
        "scope": String(computed=True, output_only=True),
    }

    @override
    def create(self, planned: Values) -> tuple[str, Values]:
        name = planned["name"]
        with self.client(f"create network {name}") as client:
            network = client.create_network(
                name,
                driver=planned.get("driver"),
                options=planned.get("options"),
                ipam={
                    "Driver": planned["ipamDriver"],
                    "Options": planned.get("ipamOptions"),
                    "Config": [
                        {
                            "Subnet": config.get("subnet", ""),
                            "IPRange": config.get("ipRange", ""),
                            "Gateway": config.get("gateway", ""),
                            "AuxiliaryAddresses": config.get("auxAddress"),
                        }
                        for config in planned.get("ipamConfigs", [])
                    ],
                },
                check_duplicate=True,
                internal=planned.get("internal", False),
                labels=_from_labels(planned.get("labels", [])),
                enable_ipv6=planned.get("ipv6", False),
                attachable=planned.get("attachable"),
                ingress=planned.get("ingress"),
            )
            return network["Id"], planned | self._inspect(client, network["Id"])

    @override
    def read(self, resource_id: str, state: Values) -> tuple[str, Values] | None:
        with self.client(f"read network {state['name']}") as client:
            try:
                return resource_id, state | self._inspect(client, resource_id)
            except NotFound:
                return None

    @override
    def delete(self, resource_id: str, state: Values) -> None:
        action = f"remove network {state['name']}"
        with self.client(action) as client:
            self.retry_while_in_use(
                action, "has active endpoints", lambda: client.remove_network(resource_id)
            )

    @staticmethod
    def _inspect(client: Any, resource_id: str) -> Values:
        network = client.inspect_network(resource_id)
        return {
            "name": network["Name"],
            "driver": network["Driver"],
            "labels": _to_labels(network["Labels"]),
            "options": network["Options"] or {},
            "internal": network["Internal"],
            "attachable": network["Attachable"],
            "ingress": network["Ingress"],
            "ipv6": network["EnableIPv6"],
            "ipamDriver": network["IPAM"]["Driver"],
            "ipamOptions": network["IPAM"]["Options"] or {},
            "ipamConfigs": [
                _present(
                    {
                        "subnet": config.get("Subnet"),
                        "ipRange": config.get("IPRange"),
                        "gateway": config.get("Gateway"),
                        "auxAddress": config.get("AuxiliaryAddresses"),
                    }
                )
                for config in network["IPAM"]["Config"] or []
            ],
            "scope": network["Scope"],
        }


class Volume(_DockerResource):
    """A named volume."""

    token = "docker:index/volume:Volume"
    table: ClassVar[Table] = {
        "name": String(autonamed=True, computed=True, replaces=True),
        "driver": String(computed=True, replaces=True),
        "driverOpts": Map(replaces=True),
        "labels": _LABELS,
        "mountpoint": String(computed=True, output_only=True),
    }

    @override
    def create(self, planned: Values) -> tuple[str, Values]:
        with self.client(f"create volume {planned['name']}") as client:
            volume = client.create_volume(
                planned["name"],
                driver=planned.get("driver"),
                driver_opts=planned.get("driverOpts"),
                labels=_from_labels(planned.get("labels", [])),
            )
        return volume["Name"], planned | self._attributes(volume)

    @override
    def read(self, resource_id: str, state: Values) -> tuple[str, Values] | None:
        with self.client(f"read volume {resource_id}") as client:
            try:
                return resource_id, state | self._attributes(client.inspect_volume(resource_id))
            except NotFound:
                return None

    @override
    def delete(self, resource_id: str, state: Values) -> None:
        action = f"remove volume {resource_id}"
        with self.client(action) as client:
            self.retry_while_in_use(
                action, "volume is in use", lambda: client.remove_volume(resource_id, force=True)
            )

    @staticmethod
    def _attributes(volume: Values) -> Values:
        return {
            "name": volume["Name"],
            "driver": volume["Driver"],
            "driverOpts": volume["Options"] or {},
            "labels": _to_labels(volume["Labels"]),
            "mountpoint": volume["Mountpoint"],
        }


class RemoteImage(_DockerResource):
    """An image on the Docker host, pulled where it is not there yet."""

    token = "docker:index/remoteImage:RemoteImage"
    table: ClassVar[Table] = {
        "name": String(required=True, replaces=True),
        "keepLocally": Boolean(),
        "forceRemove": Boolean(),
        "platform": String(replaces=True),
        "pullTriggers": Set(String(), replaces=True),
        "triggers": Map(replaces=True),
        "imageId": String(computed=True, output_only=True),
        "repoDigest": String(computed=True, output_only=True),
    }

    @override
    def create(self, planned: Values) -> tuple[str, Values]:
        with self.client(f"read image {planned['name']}") as client:
            image = _find_image(client, planned["name"], planned.get("platform"))
        return self._found(planned, image)

    @override
    def read(self, resource_id: str, state: Values) -> tuple[str, Values] | None:
        with self.client(f"read image {state['name']}") as client:
            try:
                return self._found(state, client.inspect_image(state["name"]))
            except ImageNotFound:
                return None

    @override
    def update(self, resource_id: str, old: Values, planned: Values) -> Values:
        return self.create(planned)[1]

    @override
    def delete(self, resource_id: str, state: Values) -> None:
        if state.get("keepLocally"):
            return
        name = state["name"]
        with self.client(f"remove image {name}") as client, suppress(ImageNotFound):
            client.remove_image(name, force=state.get("forceRemove", False))

    @staticmethod
    def _found(state: Values, image: Values) -> tuple[str, Values]:
        digests = image["RepoDigests"] or [""]
        repository = state["name"].split(":")[0]
        digest = next((d for d in digests if d.startswith(repository)), digests[0])
        found = {"imageId": image["Id"], "repoDigest": digest}
        return image["Id"] + state["name"], state | found


_DURATION = r"0|([0-9]+(\.[0-9]*)?(ns|us|ms|s|m|h))+"

# Where the scalar properties of a container stand in the daemon's API.
_CONFIG_FIELDS = {
    "hostname": "Hostname",
    "domainname": "Domainname",
    "user": "User",
    "workingDir": "WorkingDir",
    "command": "Cmd",
    "entrypoints": "Entrypoint",
    "stopSignal": "StopSignal",
    "stopTimeout": "StopTimeout",
    "tty": "Tty",
    "stdinOpen": "OpenStdin",
}
_HOST_CONFIG_FIELDS = {
    "rm": "AutoRemove",
    "readOnly": "ReadonlyRootfs",
    "privileged": "Privileged",
    "init": "Init",
    "networkMode": "NetworkMode",
    "ipcMode": "IpcMode",
    "runtime": "Runtime",
    "securityOpts": "SecurityOpt",
    "groupAdds": "GroupAdd",
    "cpuShares": "CpuShares",
    "sysctls": "Sysctls",
    "tmpfs": "Tmpfs",
}
_MEBIBYTE_FIELDS = {
    "memory": "Memory",
    "memoryReservation": "MemoryReservation",
    "memorySwap": "MemorySwap",
    "shmSize": "ShmSize",
}
_UPDATABLE = (
    "restart",
    "maxRetryCount",
    "cpuShares",
    "memory",
    "memoryReservation",
    "memorySwap",
)


class Container(_DockerResource):
    """A container."""

    token = "docker:index/container:Container"
    delete_before_replace = True
    table: ClassVar[Table] = {
        "name": String(autonamed=True, replaces=True),
        "image": String(required=True, replaces=True),
        "command": List(String(), computed=True, replaces=True),
        "entrypoints": List(String(), computed=True, replaces=True),
        "envs": Set(String(), computed=True, replaces=True),
        "user": String(computed=True, replaces=True),
        "workingDir": String(computed=True, replaces=True),
        "hostname": String(computed=True, replaces=True),
        "domainname": String(replaces=True),
        "labels": replace(_LABELS, computed=True),
        "ports": List(
            Object(
                {
                    "internal": Integer(required=True, replaces=True),
                    "external": Integer(computed=True, replaces=True),
                    "ip": String(default="0.0.0.0", replaces=True),
                    "protocol": String(default="tcp", replaces=True),
                }
            ),
            replaces=True,
            key=("internal", "protocol"),
        ),
        "networkMode": String(default="bridge", replaces=True),
        "networksAdvanced": Set(
            Object(
                {
                    "name": String(required=True, replaces=True),
                    "aliases": Set(String(), replaces=True),
                    "ipv4Address": String(replaces=True),
                    "ipv6Address": String(replaces=True),
                }
            ),
            replaces=True,
        ),
        "hosts": Set(
            Object(
                {
                    "host": String(required=True, replaces=True),
                    "ip": String(required=True, replaces=True),
                }
            ),
            replaces=True,
        ),
        "volumes": Set(
            Object(
                {
                    "containerPath": String(replaces=True),
                    "volumeName": String(replaces=True),
                    "hostPath": String(replaces=True),
                    "fromContainer": String(replaces=True),
                    "readOnly": Boolean(replaces=True),
                }
            ),
            replaces=True,
        ),
        # As in the official plugin's table, a change inside a mount does not replace the container.
        "mounts": Set(
            Object(
                {
                    "target": String(required=True),
                    "type": String(required=True, choices=("bind", "volume", "tmpfs")),
                    "source": String(),
                    "readOnly": Boolean(),
                }
            ),
            replaces=True,
        ),
        "uploads": Set(
            Object(
                {
                    "file": String(required=True, replaces=True),
                    "content": String(replaces=True),
                    "contentBase64": String(replaces=True),
                    "source": String(replaces=True),
                    "sourceHash": String(replaces=True),
                    "executable": Boolean(default=False, replaces=True),
                    "permissions": String(replaces=True, pattern="0[0-7]{3}"),
                }
            ),
            replaces=True,
        ),
        "healthcheck": Object(
            {
                "tests": List(String()),
                "interval": String(default="0s", pattern=_DURATION),
                "timeout": String(default="0s", pattern=_DURATION),
                "startPeriod": String(default="0s", pattern=_DURATION),
                "startInterval": String(default="0s", pattern=_DURATION),
                "retries": Integer(default=0, minimum=0),
            },
            computed=True,
        ),
        "restart": String(default="no", choices=("no", "on-failure", "always", "unless-stopped")),
        "maxRetryCount": Integer(),
        "memory": Integer(minimum=0),
        "memoryReservation": Integer(default=0, minimum=0),
        "memorySwap": Integer(minimum=-1),
        "shmSize": Integer(computed=True, replaces=True, minimum=0),
        "cpuShares": Integer(minimum=0),
        "cpus": String(replaces=True, pattern=r"[0-9]+(\.[0-9]+)?"),
        "privileged": Boolean(replaces=True),
        "readOnly": Boolean(default=False, replaces=True),
        "init": Boolean(computed=True),
        "tty": Boolean(default=False, replaces=True),
        "stdinOpen": Boolean(default=False, replaces=True),
        "tmpfs": Map(),
        "groupAdds": Set(String(), replaces=True),
        "capabilities": Object(
            {
                "adds": Set(String(), replaces=True),
                "drops": Set(String(), replaces=True),
            },
            replaces=True,
        ),
        "securityOpts": Set(String(), computed=True, replaces=True),
        "ipcMode": String(computed=True, replaces=True),
        "runtime": String(computed=True, replaces=True),
        "platform": String(computed=True, replaces=True),
        "logDriver": String(computed=True, replaces=True),
        "logOpts": Map(replaces=True),
        "sysctls": Map(replaces=True),
        "stopSignal": String(computed=True, replaces=True),
        "stopTimeout": Integer(computed=True, replaces=True),
        "destroyGraceSeconds": Integer(),
        "removeVolumes": Boolean(default=True),
        "rm": Boolean(default=False),
        "start": Boolean(default=True),
        "mustRun": Boolean(default=True),
        "wait": Boolean(default=False),
        "waitTimeout": Integer(default=60),
        "attach": Boolean(default=False),
        "logs": Boolean(default=False),
        "containerReadRefreshTimeoutMilliseconds": Integer(default=15000),
        "bridge": String(computed=True, output_only=True),
        "exitCode": Integer(computed=True, output_only=True),
        "containerLogs": String(computed=True, output_only=True),
        "networkDatas": List(
            Object(
                {
                    "networkName": String(),
                    "ipAddress": String(),
                    "ipPrefixLength": Integer(),
                    "gateway": String(),
                    "globalIpv6Address": String(),
                    "globalIpv6PrefixLength": Integer(),
                    "ipv6Gateway": String(),
                    "macAddress": String(),
                }
            ),
            computed=True,
            output_only=True,
        ),
    }

    @override
    def create(self, planned: Values) -> tuple[str, Values]:
        name = planned["name"]
        with self.client(f"create container {name}") as client:
            _find_image(client, planned["image"], planned.get("platform"))
            container_id = client.create_container_from_config(
                _container_config(planned), name, planned.get("platform")
            )["Id"]
        try:
            with self.client(f"start container {name}") as client:
                _connect(client, container_id, planned.get("networksAdvanced", []))
                for upload in planned.get("uploads", []):
                    client.put_archive(container_id, "/", _archive(upload))
                if planned["start"]:
                    client.start(container_id)
                    if planned["wait"]:
                        self._wait_until_healthy(client, container_id, planned)
                if planned["attach"]:
                    client.wait(container_id)
                    if planned["logs"]:
                        planned["containerLogs"] = client.logs(container_id).decode()
                return container_id, planned | _inspect(client, container_id, planned)
        except ProviderError as error:
            # The official plugin keeps the container too: the state must not lose it.
            raise InitializationError(str(error), container_id, planned) from error

    @override
    def read(self, resource_id: str, state: Values) -> tuple[str, Values] | None:
        with self.client(f"read container {state['name']}") as client:
            try:
                return resource_id, state | _inspect(client, resource_id, state)
            except NotFound:
                return None

    @override
    def update(self, resource_id: str, old: Values, planned: Values) -> Values:
        with self.client(f"update container {planned['name']}") as client:
            if planned["mustRun"] and not old.get("mustRun") and planned["start"]:
                client.start(resource_id)
            if any(old.get(name) != planned.get(name) for name in _UPDATABLE):
                client.update_container(
                    resource_id,
                    cpu_shares=planned.get("cpuShares"),
                    mem_limit=_mebibytes(planned.get("memory")),
                    mem_reservation=_mebibytes(planned.get("memoryReservation")),
                    memswap_limit=_mebibytes(planned.get("memorySwap")),
                    restart_policy=_restart_policy(planned),
                )
        return planned

    @override
    def delete(self, resource_id: str, state: Values) -> None:
        with self.client(f"remove container {state['name']}") as client, suppress(NotFound):
            if not state.get("attach"):
                client.stop(resource_id, timeout=state.get("destroyGraceSeconds", 0))
            with _ignoring("is already in progress"):
                client.remove_container(resource_id, v=state.get("removeVolumes", True), force=True)
            client.wait(resource_id, condition="removed")

    def _wait_until_healthy(self, client: Any, container_id: str, planned: Values) -> None:
        """Wait for the first successful health check, for up to `waitTimeout` seconds."""
        deadline = time.monotonic() + planned["waitTimeout"]
        while True:
            health = client.inspect_container(container_id)["State"].get("Health")
            if health is None:
                raise ProviderError(
                    f"container {planned['name']} has `wait` but no health check: "
                    "remove `wait` or add `healthcheck`"
                )
            if health["Status"] == "healthy":
                return
            if time.monotonic() > deadline:
                last = "none ran"
                for check in health["Log"] or []:
                    last = " ".join(check["Output"].split()) or f"exit code {check['ExitCode']}"
                raise ProviderError(
                    f"container {planned['name']} failed to be in healthy state within "
                    f"{planned['waitTimeout']} seconds (last health check: {last}); "
                    f"see docker logs {planned['name']}"
                )
            time.sleep(1)


def _find_image(client: Any, name: str, platform: str | None) -> Values:
    """The local image of that name, pulled first where there is none."""
    with suppress(ImageNotFound):
        return client.inspect_image(name)  # type: ignore[no-any-return]
    repository, tag = parse_repository_tag(name)
    try:
        for line in client.pull(
            repository, tag or "latest", stream=True, decode=True, platform=platform
        ):
            if "error" in line:
                raise ProviderError(f"unable to pull image {name}: {line['error']}")
        return client.inspect_image(name)  # type: ignore[no-any-return]
    except APIError as error:
        raise ProviderError(f"unable to pull image {name}: {error.explanation}") from error


def _container_config(planned: Values) -> Values:
    """The body of the request that creates a container."""
    mounts = [
        {
            "Type": mount["type"],
            "Source": mount.get("source", ""),
            "Target": mount["target"],
            "ReadOnly": mount.get("readOnly", False),
        }
        for mount in planned.get("mounts", [])
    ]
    host_config = _api_fields(planned, _HOST_CONFIG_FIELDS) | {
        "RestartPolicy": _restart_policy(planned),
        "LogConfig": {"Type": planned.get("logDriver", ""), "Config": planned.get("logOpts", {})},
        "PortBindings": _port_bindings(planned.get("ports", [])),
        "ExtraHosts": [f"{host['host']}:{host['ip']}" for host in planned.get("hosts", [])],
        "Mounts": mounts,
    }
    for name, field in _MEBIBYTE_FIELDS.items():
        host_config[field] = _mebibytes(planned.get(name)) or 0
    capabilities = planned.get("capabilities", {})
    host_config["CapAdd"], host_config["CapDrop"] = map(capabilities.get, ("adds", "drops"))
    host_config["NanoCpus"] = round(float(planned.get("cpus", 0)) * _NANO)
    volumes, host_config["Binds"], host_config["VolumesFrom"] = _volumes(planned.get("volumes", []))
    config = _api_fields(planned, _CONFIG_FIELDS) | {
        "Image": planned["image"],
        "Env": planned.get("envs", []),
        "Labels": _from_labels(planned.get("labels", [])),
        "ExposedPorts": {port: {} for port in host_config["PortBindings"]},
        "Volumes": volumes,
        "HostConfig": host_config,
    }
    if "healthcheck" in planned:
        health = planned["healthcheck"]
        config["Healthcheck"] = {
            "Test": health.get("tests", []),
            "Interval": _nanoseconds(health["interval"]),
            "Timeout": _nanoseconds(health["timeout"]),
            "StartPeriod": _nanoseconds(health["startPeriod"]),
            "StartInterval": _nanoseconds(health["startInterval"]),
            "Retries": health["retries"],
        }
    return config


def _inspect(client: Any, container_id: str, state: Values) -> Values:
    """The properties of a container that the daemon reports.

    Environment variables, labels, volumes and uploads stay as they were given: the daemon mixes
    them with those of the image or does not report them.
    """
    container = client.inspect_container(container_id)
    config, host_config = container["Config"], container["HostConfig"]
    network = container["NetworkSettings"]
    running = container["State"]["Running"]
    by_id = state["image"].startswith("sha256:")
    found = {
        "name": container["Name"].lstrip("/"),
        "image": container["Image"] if by_id else config["Image"],
        "platform": container["Platform"],
        "restart": host_config["RestartPolicy"]["Name"],
        "maxRetryCount": host_config["RestartPolicy"]["MaximumRetryCount"],
        "logDriver": host_config["LogConfig"]["Type"],
        "hosts": [
            dict(zip(("host", "ip"), entry.split(":", 1), strict=True))
            for entry in host_config["ExtraHosts"] or []
        ],
        "mounts": [
            {
                "type": mount["Type"],
                "source": mount.get("Source", ""),
                "target": mount["Target"],
                "readOnly": mount.get("ReadOnly", False),
            }
            for mount in host_config.get("Mounts") or []
        ],
        "bridge": network["Bridge"],
        "networkDatas": [
            {
                "networkName": name,
                "ipAddress": data["IPAddress"],
                "ipPrefixLength": data["IPPrefixLen"],
                "gateway": data["Gateway"],
                "globalIpv6Address": data["GlobalIPv6Address"],
                "globalIpv6PrefixLength": data["GlobalIPv6PrefixLen"],
                "ipv6Gateway": data["IPv6Gateway"],
                "macAddress": data["MacAddress"],
            }
            for name, data in sorted(network["Networks"].items())
        ],
    }
    found |= {name: config.get(field) for name, field in _CONFIG_FIELDS.items()}
    found |= {name: host_config.get(field) for name, field in _HOST_CONFIG_FIELDS.items()}
    for name, field in _MEBIBYTE_FIELDS.items():
        size = host_config[field]
        found[name] = size // _MIB if size > 0 else size
    if host_config["CapAdd"] or host_config["CapDrop"]:
        found["capabilities"] = {
            "adds": host_config["CapAdd"] or [],
            "drops": host_config["CapDrop"] or [],
        }
    if host_config["NanoCpus"]:
        found["cpus"] = f"{host_config['NanoCpus'] / _NANO:g}"
    if state.get("logOpts"):
        found["logOpts"] = host_config["LogConfig"]["Config"]
    if health := config.get("Healthcheck"):
        found["healthcheck"] = {
            "tests": health.get("Test", []),
            "interval": _duration(health.get("Interval", 0)),
            "timeout": _duration(health.get("Timeout", 0)),
            "startPeriod": _duration(health.get("StartPeriod", 0)),
            "startInterval": _duration(health.get("StartInterval", 0)),
            "retries": health.get("Retries", 0),
        }
    if state.get("ports") and (running or state["mustRun"]):
        found["ports"] = _bound_ports(network["Ports"])
    if not running:
        # A plan then shows that the container does not run though it must.
        found |= {"exitCode": container["State"]["ExitCode"], "mustRun": False}
    lists = [name for name, prop in Container.table.items() if is_computed_list(prop)]
    return found | {name: found.get(name) or state.get(name) or [] for name in lists}


def _connect(client: Any, container_id: str, networks: list[Values]) -> None:
    """Connect a container to the given networks instead of the default one."""
    if networks:
        with _ignoring("is not connected to the network bridge"):
            client.disconnect_container_from_network(container_id, "bridge")
    for network in networks:
        client.connect_container_to_network(
            container_id,
            network["name"],
            aliases=network.get("aliases"),
            ipv4_address=network.get("ipv4Address"),
            ipv6_address=network.get("ipv6Address"),
        )


def _archive(upload: Values) -> bytes:
    """The tar archive that puts an uploaded file into a container."""
    given = [name for name in ("content", "contentBase64", "source") if upload.get(name)]
    if len(given) != 1:
        raise ProviderError(
            f"upload {upload['file']}: exactly one of content, contentBase64 and source must be "
            f"set, got {', '.join(given) or 'none'}"
        )
    value = upload[given[0]]
    try:
        match given[0]:
            case "content":
                data = value.encode()
            case "contentBase64":
                data = base64.b64decode(value, validate=True)
            case _:
                data = Path(value).read_bytes()
    except (ValueError, OSError) as error:
        raise ProviderError(f"upload {upload['file']}: {error}") from error
    entry = tarfile.TarInfo(upload["file"])
    entry.size = len(data)
    entry.mtime = int(time.time())
    entry.mode = int(upload.get("permissions") or ("744" if upload["executable"] else "644"), 8)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _port_bindings(ports: list[Values]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        bindings.setdefault(f"{port['internal']}/{port['protocol']}", []).append(
            {"HostIp": port["ip"], "HostPort": str(port.get("external", 0))}
        )
    return bindings


def _bound_ports(ports: Mapping[str, list[dict[str, str]] | None]) -> list[Values]:
    return [
        {
            "internal": int(internal),
            "external": int(binding["HostPort"]),
            "ip": binding["HostIp"],
            "protocol": protocol,
        }
        for (internal, protocol), bindings in sorted(
            ((port.split("/"), bindings) for port, bindings in ports.items()),
            key=lambda item: int(item[0][0]),
        )
        for binding in bindings or []
    ]


def _volumes(volumes: list[Values]) -> tuple[dict[str, Values], list[str], list[str]]:
    """Anonymous and named volumes, binds, and containers whose volumes are taken over."""
    paths: dict[str, Values] = {}
    binds, containers = [], []
    for volume in volumes:
        path, container = volume.get("containerPath"), volume.get("fromContainer")
        if bool(path) == bool(container):
            raise ProviderError(
                "a volume needs either containerPath or fromContainer, "
                f"got {'both' if path else 'neither'}"
            )
        if container:
            containers.append(container)
            continue
        paths[str(path)] = {}
        if source := volume.get("hostPath") or volume.get("volumeName"):
            binds.append(f"{source}:{path}:{'ro' if volume.get('readOnly') else 'rw'}")
    return paths, binds, containers


def _api_fields(planned: Values, fields: Mapping[str, str]) -> Values:
    return {field: planned[name] for name, field in fields.items() if name in planned}


def _restart_policy(planned: Values) -> Values:
    return {"Name": planned["restart"], "MaximumRetryCount": planned.get("maxRetryCount", 0)}


def _mebibytes(size: int | None) -> int | None:
    """A size in MiB as bytes; -1, Docker's word for unlimited, stays."""
    return size * _MIB if size and size > 0 else size


_UNITS = {"h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000}


def _nanoseconds(duration: str) -> int:
    """A duration in Go's spelling, e.g. `1m30s`, as nanoseconds."""
    units = _UNITS | {"us": 1000, "ns": 1}
    parts = re.findall(r"([0-9.]+)(ns|us|ms|s|m|h)", duration)
    return sum(int(float(number) * units[unit]) for number, unit in parts)


def _duration(nanoseconds: int) -> str:
    """Nanoseconds in Go's spelling: `90 s` are `1m30s`, half a second is `500ms`."""
    if 0 < nanoseconds < _UNITS["s"]:
        return f"{nanoseconds / _UNITS['ms']:g}ms"
    minutes, seconds = divmod(nanoseconds / _UNITS["s"], 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{seconds:g}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


@contextmanager
def _ignoring(message: str) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        if message not in str(error.explanation):
            raise


def _present(values: Values) -> Values:
    return {name: value for name, value in values.items() if value}


def _from_labels(labels: list[Values]) -> dict[str, str]:
    return {label["label"]: label["value"] for label in labels}


def _to_labels(labels: Mapping[str, str] | None) -> list[Values]:
    return [{"label": k, "value": v} for k, v in sorted((labels or {}).items())]


PROVIDER = Provider("docker", "5.2.0", _CONFIG, [Network, Volume, RemoteImage, Container])

if __name__ == "__main__":
    serve(PROVIDER)
