"""The services of a stack: their containers, as Docker has them, and Kestra's API."""

import io
import tarfile

import click
import docker
from docker import DockerClient
from docker.models.containers import Container

from cli.output import step
from cli.stack import Stack
from infra.kestra.client import KestraClient

# How PostgreSQL's programs log in inside its container, where the superuser needs no password.
SUPERUSER = ("-U", "postgres", "-h", "/var/run/postgresql")
# What Kestra gets to end; PostgreSQL has all that it needs to go on.
_KESTRA_STOP_SECONDS = 10


def connect() -> DockerClient:
    """Returns a client of the Docker Engine, through this machine's own ssh where that is far away.

    Raises:
        docker.errors.DockerException: the Docker Engine does not answer.
    """
    return docker.from_env(use_ssh_client=True)


def connect_kestra(stack: Stack, wait: float) -> KestraClient:
    """Returns a client of the stack's Kestra.

    Args:
        stack: the stack, which is up.
        wait: seconds to retry while the server is unreachable.
    """
    login = (stack.outputs[key] for key in ("kestraUrl", "kestraUser", "kestraPassword"))
    return KestraClient(*login, wait=wait)


def list_containers(stack: Stack, client: DockerClient | None = None) -> dict[str, Container]:
    """Returns the containers of a stack by service, those that are stopped too.

    Args:
        stack: the stack.
        client: a client for whoever looks often; a new one where None.

    Raises:
        docker.errors.DockerException: the Docker Engine does not answer.
    """
    containers = (client or connect()).containers.list(
        all=True, ignore_removed=True, filters=of_stack(stack)
    )
    prefix = stack.container_name("")
    return {str(item.name).removeprefix(prefix): item for item in containers}


def shut_down_kestra(stack: Stack) -> None:
    """Stops the stack's Kestra, and with it all flows."""
    with step("Stopping Kestra"):
        list_containers(stack)["kestra"].stop(timeout=_KESTRA_STOP_SECONDS)


def health_of(container: Container) -> str:
    """Returns what the health check of a container says, or nothing where it has none."""
    return str(container.attrs["State"].get("Health", {}).get("Status", ""))


def read_file(container: Container, path: str) -> bytes:
    """Returns the content of a file in a container.

    Raises:
        docker.errors.NotFound: there is no such file.
    """
    chunks, _ = container.get_archive(path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        file = archive.extractfile(archive.getmembers()[0])
        return file.read() if file else b""


def of_stack(stack: Stack) -> dict[str, str | list[str] | bool]:
    """Returns the filter by which Docker lists what belongs to a stack."""
    return {"label": [f"{key}={value}" for key, value in labels_of(stack).items()]}


def labels_of(stack: Stack) -> dict[str, str]:
    """Returns the labels of what belongs to a stack."""
    return {"podium.project": stack.project, "podium.stack": stack.short_name}


def container_of(stack: Stack, service: str) -> str:
    """Returns the name of the container of a service.

    Raises:
        click.ClickException: the stack has no such service, or is not up.
    """
    services = list_containers(stack)
    if not services:
        raise stack.not_up()
    if service not in services:
        names = ", ".join(sorted(services))
        raise click.ClickException(
            f'Stack {stack.name} has no service "{service}"; it has: {names}'
        )
    return stack.container_name(service)
