"""A server to measure against: the stand-in for Kestra, with a database of its own."""

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import docker
import httpx
import psycopg
import yaml
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from bench.project import PROJECT_FOLDER

_POSTGRES_IMAGE = "podium-offline/postgres:15"
_VERSION = "1.3.34"
_START_SECONDS = 30


@dataclass(frozen=True)
class Kestra:
    """A running server.

    Attributes:
        url: where it answers.
        username: the login.
        password: its password.
    """

    url: str
    username: str
    password: str

    def client(self) -> httpx.Client:
        """Returns a client that keeps one connection open."""
        return httpx.Client(
            base_url=f"{self.url}/api/v1/main",
            auth=(self.username, self.password),
            headers={"Content-Type": "application/x-yaml"},
            timeout=30,
        )


@contextmanager
def running_kestra() -> Iterator[Kestra]:
    """Starts a server on loopback ports that are free, and removes it at the end.

    Raises:
        psycopg.OperationalError: its database did not answer within 30 seconds.
        httpx.TransportError: it did not answer itself within 30 seconds.
    """
    password = secrets.token_hex()
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(TemporaryDirectory(prefix="podium-bench-kestra-")))
        client = docker.from_env()
        cleanup.callback(client.close)
        database = client.containers.run(
            _POSTGRES_IMAGE,
            detach=True,
            environment={"POSTGRES_PASSWORD": password},
            ports={"5432/tcp": ("127.0.0.1", 0)},
        )
        cleanup.callback(database.remove, force=True, v=True)
        database_port = client.api.port(str(database.id), 5432)[0]["HostPort"]
        retrying = Retrying(
            retry=retry_if_exception_type((psycopg.OperationalError, httpx.TransportError)),
            stop=stop_after_delay(_START_SECONDS),
            wait=wait_fixed(0.1),
            reraise=True,
        )
        database_login = f"host=127.0.0.1 port={database_port} user=postgres password={password}"
        retrying(psycopg.connect, database_login).close()
        port, management_port = _free_ports(2)
        kestra = Kestra(f"http://127.0.0.1:{port}", "admin@kestra.dev", f"Aa1{password}")
        configuration = {
            "datasources": {
                "postgres": {
                    "url": f"jdbc:postgresql://127.0.0.1:{database_port}/postgres",
                    "username": "postgres",
                    "password": password,
                }
            },
            "micronaut": {"server": {"host": "127.0.0.1", "port": port}},
            "endpoints": {"all": {"port": management_port}},
            "kestra": {
                "server": {
                    "basic-auth": {"username": kestra.username, "password": kestra.password}
                },
                "repository": {"type": "postgres"},
                "queue": {"type": "postgres"},
                "storage": {"type": "local", "local": {"base-path": str(folder)}},
            },
        }
        server = subprocess.Popen(
            [sys.executable, "-m", "offline.kestra", "server", "standalone"],
            cwd=PROJECT_FOLDER,
            env={
                **os.environ,
                "KESTRA_STAND_IN_VERSION": _VERSION,
                "KESTRA_CONFIGURATION": yaml.safe_dump(configuration),
            },
            stdout=subprocess.DEVNULL,
        )
        cleanup.callback(server.wait)
        cleanup.callback(server.terminate)
        retrying(httpx.get, f"{kestra.url}/ping")
        yield kestra


def _free_ports(count: int) -> list[int]:
    with ExitStack() as probes:
        sockets = [
            probes.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [int(probe.getsockname()[1]) for probe in sockets]
