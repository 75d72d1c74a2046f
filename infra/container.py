"""What the containers of the stack have in common: names, labels, volumes, ports, health checks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import pulumi
import pulumi_docker as docker

_HTTPS_PORT = 443


def physical_name(part: str) -> str:
    """Returns the name on the Docker host of a part of this stack, such as podium-dev-postgres."""
    return f"{pulumi.get_project()}-{pulumi.get_stack()}-{part}"


def stack_labels() -> dict[str, str]:
    """Returns the Docker labels that say which project and stack an object belongs to."""
    return {"podium.project": pulumi.get_project(), "podium.stack": pulumi.get_stack()}


@dataclass(frozen=True)
class Placement:
    """Where the services of the stack run, and how they are reached there.

    Attributes:
        network_name: The network on which each service gets its alias.
        host_name: The host name under which users reach the Docker host.
        bind_address: The IP address of the Docker host that published ports bind to.
        protect_volumes: Whether not even `destroy` may delete the data volumes.
        gateway: Host and port of the gateway, below whose host each page has a name, or None.
    """

    network_name: pulumi.Input[str]
    host_name: str
    bind_address: str
    protect_volumes: bool
    gateway: str | None = None

    @property
    def page_host(self) -> str:
        """The host name of the pages for a browser.

        Cookies ignore ports: on one host name the pages of two stacks would overwrite each other's
        sessions. Browsers resolve every name below localhost to loopback (RFC 6761, section 6.3);
        other clients may not.
        """
        is_local = self.host_name == "localhost"
        return f"{pulumi.get_stack()}.localhost" if is_local else self.host_name

    def behind_gateway(self, port: int) -> Self:
        """Returns where services run whose ports only the Docker host itself reaches.

        Args:
            port: The published port of the gateway, in front of their pages.
        """
        gateway = self.page_host if port == _HTTPS_PORT else f"{self.page_host}:{port}"
        return replace(self, host_name="localhost", bind_address="127.0.0.1", gateway=gateway)

    def page_url(self, service: str, port: int) -> str:
        """Returns the URL of the page of a service for a browser.

        Args:
            service: The service's alias.
            port: Its published port.
        """
        if self.gateway:
            return f"https://{service}.{self.gateway}"
        return f"http://{self.page_host}:{port}"


@dataclass(frozen=True)
class ServiceArgs:
    """What every service needs.

    Attributes:
        placement: Where it runs.
        image: The reference of the image, with tag or digest.
        memory: The limit in MiB.
        cpus: The limit in CPUs, such as 1.5, or None.
    """

    placement: Placement
    image: str
    memory: int
    cpus: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class HealthCheck:
    """How Docker finds out whether a service answers.

    Attributes:
        tests: the command, in Docker's form (`["CMD", ...]`).
        start_period: seconds during which failures do not count.
        wait_timeout: seconds for which `up` waits for the first success.
        retries: failures in a row, one each 5 seconds, that make the service unhealthy.
    """

    tests: Sequence[str]
    start_period: int
    wait_timeout: int
    retries: int = 10


def data_volume(name: str, placement: Placement, parent: pulumi.Resource) -> docker.Volume:
    """Declares a named volume, which only `destroy` deletes.

    Args:
        name: The logical name, also the last part of the name on the Docker host.
        placement: Says whether not even `destroy` may delete it.
        parent: The component it belongs to.
    """
    return docker.Volume(
        name,
        name=physical_name(name),
        driver="local",
        labels=[
            docker.VolumeLabelArgs(label=label, value=value)
            for label, value in stack_labels().items()
        ],
        # Docker cannot change the labels of a volume: the provider would replace it, data and all.
        opts=pulumi.ResourceOptions(
            parent=parent, protect=placement.protect_volumes, ignore_changes=["labels"]
        ),
    )


def secret_file(path: str, content: pulumi.Input[str], mode: str) -> docker.ContainerUploadArgs:
    """Declares a file with a secret: in no environment, nor in what Docker reports of a container.

    Args:
        path: Where the file is in the container.
        content: The secret.
        mode: The permissions, such as 0600; the file belongs to root.
    """
    return docker.ContainerUploadArgs(
        file=path, content=pulumi.Output.secret(content), permissions=mode
    )


def service_container(
    alias: str,
    args: ServiceArgs,
    *,
    parent: pulumi.Resource,
    health: HealthCheck,
    capabilities: Sequence[str],
    ports: Mapping[int, int] | None = None,
    envs: Mapping[str, pulumi.Input[str]] | None = None,
    volumes: Sequence[docker.ContainerVolumeArgs] = (),
    uploads: Sequence[docker.ContainerUploadArgs] = (),
    entrypoints: Sequence[str] | None = None,
    command: Sequence[str] | None = None,
    user: str | None = None,
    labels: Mapping[str, pulumi.Input[str]] | None = None,
    sysctls: Mapping[str, str] | None = None,
    tmpfs: Sequence[str] = (),
    shm_size: int | None = None,
    stop_timeout: int = 30,
    depends_on: Sequence[pulumi.Resource] = (),
) -> docker.Container:
    """Declares a container of the stack; `up` waits until it is healthy.

    Args:
        alias: the name by which other services reach it, also its logical name.
        args: what every service needs.
        parent: the component it belongs to.
        health: the health check.
        capabilities: the capabilities that are not dropped, such as CAP_CHOWN.
        ports: published ports, from the port in the container to the one on the Docker host.
        envs: environment variables.
        volumes: what is mounted.
        uploads: files written into the container before it starts.
        entrypoints: replaces the image's entrypoint.
        command: replaces the image's command.
        user: the user inside the container; the image's own where None.
        labels: labels beyond those of the stack.
        sysctls: kernel parameters of the container.
        tmpfs: folders in memory; with any, the rest of the root file system is read-only, so that
            there can be no uploads.
        shm_size: the size of /dev/shm in MiB.
        stop_timeout: seconds between SIGTERM and SIGKILL.
        depends_on: what must be there before the container starts.
    """
    image = docker.RemoteImage(
        alias,
        name=args.image,
        keep_locally=True,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return docker.Container(
        alias,
        name=physical_name(alias),
        # The image's name would replace the container at every `up`.
        image=image.image_id,
        entrypoints=entrypoints,
        command=command,
        user=user,
        envs=[pulumi.Output.concat(key, "=", value) for key, value in sorted((envs or {}).items())],
        networks_advanced=[
            docker.ContainerNetworksAdvancedArgs(name=args.placement.network_name, aliases=[alias])
        ],
        ports=[
            docker.ContainerPortArgs(
                internal=internal, external=external, ip=args.placement.bind_address
            )
            for internal, external in sorted((ports or {}).items())
        ],
        volumes=volumes,
        uploads=uploads,
        labels=[
            docker.ContainerLabelArgs(label=label, value=value)
            for label, value in {**stack_labels(), **(labels or {})}.items()
        ],
        sysctls=sysctls,
        memory=args.memory,
        # Docker's own default, spelled out: it is read back and would show as a change.
        memory_swap=2 * args.memory,
        cpus=args.cpus,
        # Without the prefix a capability would be read back with it, and show as a change.
        capabilities=docker.ContainerCapabilitiesArgs(adds=capabilities, drops=["ALL"]),
        security_opts=["no-new-privileges"],
        read_only=bool(tmpfs),
        tmpfs=dict.fromkeys(tmpfs, "rw") or None,
        shm_size=shm_size,
        restart="unless-stopped",
        log_driver="json-file",
        log_opts={"max-size": "10m", "max-file": "3"},
        healthcheck=docker.ContainerHealthcheckArgs(
            tests=health.tests,
            interval="5s",
            timeout="5s",
            retries=health.retries,
            start_period=_duration(health.start_period),
        ),
        wait=True,
        wait_timeout=health.wait_timeout,
        stop_timeout=stop_timeout,
        destroy_grace_seconds=stop_timeout,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(depends_on)),
    )


def _duration(seconds: int) -> str:
    """Returns a duration as Docker reports it; in any other form it would show as a change."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
