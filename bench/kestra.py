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

import httpx
import yaml
from psycopg.conninfo import conninfo_to_dict
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from bench.postgres import running_postgres
from bench.project import PROJECT_FOLDER

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
        database = conninfo_to_dict(cleanup.enter_context(running_postgres()))
        port, management_port = _free_ports(2)
        kestra = Kestra(f"http://127.0.0.1:{port}", "admin@kestra.dev", f"Aa1{password}")
        configuration = {
            "datasources": {
                "postgres": {
                    "url": f"jdbc:postgresql://127.0.0.1:{database['port']}/postgres",
                    "username": database["user"],
                    "password": database["password"],
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
        _wait_for(f"{kestra.url}/ping")
        yield kestra


@retry(
    retry=retry_if_exception_type(httpx.TransportError),
    stop=stop_after_delay(_START_SECONDS),
    wait=wait_fixed(0.1),
    reraise=True,
)
def _wait_for(url: str) -> None:
    httpx.get(url)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as probes:
        sockets = [
            probes.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [int(probe.getsockname()[1]) for probe in sockets]
