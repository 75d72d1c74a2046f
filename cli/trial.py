"""What another release of Kestra would refuse: a throw-away server of it validates everything."""

import io
import secrets
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import yaml
from docker.models.containers import Container

from cli.flows.contents import Item, read_files, read_server
from cli.output import step
from cli.services import connect, connect_kestra, labels_of, list_containers, of_stack
from cli.stack import Stack
from infra.kestra.client import KestraClient
from infra.kestra_server import CONFIGURATION_FILE
from infra.settings import Settings

_DATABASE = "trial-postgres"
_SERVER = "trial-kestra"
_NETWORK = "trial"
_USER = "trial@example.com"
_PASSWORD_FILE = "/run/secrets/postgres-password"
_MIB = 1 << 20
_WAIT_SECONDS = 180.0
_STACK_SECONDS = 60.0


def refused_content(stack: Stack, settings: Settings) -> dict[Item, str]:
    """Returns the flows and dashboards that a release of Kestra refuses, each with its reason.

    Args:
        stack: the stack, which is up; beside the files of the project, what else it has counts.
        settings: its settings, with the image of that release.
    """
    registered = {}
    with connect_kestra(stack, _STACK_SECONDS) as client:
        for namespace in client.list_namespaces():
            for flow_id in client.list_revisions(namespace):
                item = Item("flow", namespace, flow_id)
                registered[item] = read_server(client, item) or ""
    with _server(stack, settings) as trial, step(f"Validating with {settings.kestra_image}"):
        texts = registered | read_files(stack, is_kestra_1=trial.is_kestra_1)
        validations = {"flow": trial.validate_flow, "dashboard": trial.validate_dashboard}
        results = {
            item: validations[item.kind](text).get("constraints")
            for item, text in texts.items()
            if item.kind in validations and text
        }
    return {item: str(reason).strip() for item, reason in results.items() if reason}


@contextmanager
def _server(stack: Stack, settings: Settings) -> Iterator[KestraClient]:
    """Runs a Kestra with an empty database on a network without a way out."""
    client = connect()
    _remove(stack)
    password = f"Aa1{secrets.token_urlsafe(24)}"
    with ExitStack() as ends:
        ends.callback(_remove, stack)
        labels = labels_of(stack)
        network = client.networks.create(
            stack.container_name(_NETWORK), internal=True, labels=labels
        )

        def run(
            name: str, image: str, memory: int, file: tuple[str, str], **options: Any
        ) -> Container:
            container = client.containers.create(
                image,
                name=stack.container_name(name),
                labels=labels,
                network=network.name,
                mem_limit=memory * _MIB,
                security_opt=["no-new-privileges"],
                **options,
            )
            container.put_archive("/", _archive(*file))
            container.start()
            return container

        with step(f"Starting {settings.kestra_image} beside the stack"):
            run(
                _DATABASE,
                settings.postgres_image,
                settings.postgres_memory,
                (_PASSWORD_FILE, password),
                environment={"POSTGRES_PASSWORD_FILE": _PASSWORD_FILE},
            )
            server = run(
                _SERVER,
                settings.kestra_image,
                settings.kestra_memory,
                (CONFIGURATION_FILE, yaml.safe_dump(_configuration(stack, password))),
                environment={
                    "MICRONAUT_CONFIG_FILES": CONFIGURATION_FILE,
                    "JAVA_OPTS": "-XX:MaxRAMPercentage=50",
                },
                command=["server", "standalone"],
                user="root",
                # Without its database, which is starting too, it ends.
                restart_policy={"Name": "on-failure"},
            )
            server.reload()
            address = server.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"]
            trial = ends.enter_context(
                KestraClient(f"http://{address}:8080", _USER, password, wait=_WAIT_SECONDS)
            )
            trial.connect()
        yield trial


def _configuration(stack: Stack, password: str) -> dict[str, Any]:
    return {
        "datasources": {
            "postgres": {
                "url": f"jdbc:postgresql://{stack.container_name(_DATABASE)}:5432/postgres",
                "driver-class-name": "org.postgresql.Driver",
                "username": "postgres",
                "password": password,
            }
        },
        "kestra": {
            "server": {"basic-auth": {"username": _USER, "password": password}},
            "repository": {"type": "postgres"},
            "queue": {"type": "postgres"},
            "storage": {"type": "local", "local": {"base-path": "/tmp/storage"}},
        },
    }


def _archive(path: str, text: str) -> bytes:
    """Returns a tar archive with one file that belongs to root and that nobody else reads."""
    buffer, content = io.BytesIO(), text.encode()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.size, entry.mode = len(content), 0o600
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _remove(stack: Stack) -> None:
    """Removes the throw-away server, also one that a killed command left."""
    client, containers = connect(), list_containers(stack)
    for name in (_SERVER, _DATABASE):
        if name in containers:
            containers[name].remove(v=True, force=True)
    for network in client.networks.list(filters=of_stack(stack)):
        if network.name == stack.container_name(_NETWORK):
            network.remove()
