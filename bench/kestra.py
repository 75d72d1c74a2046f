"""A Kestra server to measure against: the command `kestra` on PATH, on ports of its own."""

import os
import re
import secrets
import subprocess
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import httpx
import yaml
from psycopg.conninfo import conninfo_to_dict
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from bench.project import free_ports
from infra.kestra.client import KestraClient
from infra.kestra.folder import read_folder

_START_SECONDS = 120
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Kestra:
    """A running server.

    Attributes:
        url: where it answers.
        username: the login.
        password: its password.
        process_id: the process of the server.
    """

    url: str
    username: str
    password: str
    process_id: int

    def client(self) -> httpx.Client:
        """Returns a client that keeps one connection open."""
        return httpx.Client(
            base_url=f"{self.url}/api/v1/main",
            auth=(self.username, self.password),
            timeout=30,
            verify=False,  # there are no certificates to spend time on
        )

    def register(self, namespace: Path) -> None:
        """Creates the flows of a namespace and its files.

        Args:
            namespace: the folder that is named after it.
        """
        with KestraClient(self.url, self.username, self.password) as kestra:
            is_kestra_1 = kestra.is_kestra_1
        content = read_folder(namespace.parent)[namespace.name]
        with self.client() as client:
            for flow in content.flows_for(is_kestra_1=is_kestra_1).values():
                headers = {"Content-Type": "application/x-yaml"}
                client.post("/flows", content=flow.text, headers=headers).raise_for_status()
            for path in namespace.glob("files/*/*"):
                client.post(
                    f"/namespaces/{namespace.name}/files",
                    params={"path": f"/{path.relative_to(namespace / 'files')}"},
                    files={"fileContent": path.read_bytes()},
                ).raise_for_status()

    def run(self, flow: str, **inputs: str) -> Any:
        """Runs a flow to its end and returns the execution.

        Args:
            flow: its namespace and id, with a slash between them.
            inputs: its inputs.

        Raises:
            RuntimeError: it did not succeed.
        """
        fields = {name: (None, value) for name, value in inputs.items()}
        with self.client() as client:
            response = client.post(
                f"/executions/{flow}", params={"wait": True}, files=fields, timeout=None
            )
        execution = response.raise_for_status().json()
        if (state := execution["state"]["current"]) != "SUCCESS":
            raise RuntimeError(f"{flow} with {inputs} ended as {state}")
        return execution

    def reset_peak_memory(self) -> None:
        """Forgets what was the most memory that the server held."""
        # proc(5): 5 resets VmHWM.
        Path(f"/proc/{self.process_id}/clear_refs").write_text("5")

    def peak_memory(self) -> int:
        """Returns the most memory that the server has held, in bytes."""
        status = Path(f"/proc/{self.process_id}/status").read_text()
        (kibibytes,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        return int(kibibytes) * 1024


@contextmanager
def running_kestra(
    database: str,
    variables: Mapping[str, str] = _NONE,
    flow_secrets: Mapping[str, str] = _NONE,
    environment: Mapping[str, str] = _NONE,
) -> Iterator[Kestra]:
    """Starts a server on loopback ports that are free, and stops it at the end.

    Args:
        database: how psycopg connects to the database that the server keeps its data in.
        variables: what flows find as `globals`.
        flow_secrets: what flows find as secrets.
        environment: variables of the server's process beside this one's.

    Raises:
        httpx.TransportError: it did not answer within 120 seconds.
    """
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(TemporaryDirectory(prefix="podium-bench-kestra-")))
        port, management_port = free_ports(2)
        url, username = f"http://127.0.0.1:{port}", "admin@kestra.dev"
        password = f"Aa1{secrets.token_hex()}"
        login = conninfo_to_dict(database)
        configuration = {
            "datasources": {
                "postgres": {
                    "url": jdbc_url(database),
                    "driverClassName": "org.postgresql.Driver",
                    "username": login["user"],
                    "password": login["password"],
                }
            },
            "micronaut": {"server": {"host": "127.0.0.1", "port": port}},
            "endpoints": {"all": {"port": management_port}},
            "kestra": {
                "server": {"basic-auth": {"username": username, "password": password}},
                "repository": {"type": "postgres"},
                "queue": {"type": "postgres"},
                "storage": {"type": "local", "local": {"base-path": str(folder / "storage")}},
                "tasks": {"tmp-dir": {"path": str(folder / "tmp")}},
                "variables": {"globals": dict(variables)},
            },
        }
        secret_variables = {
            f"SECRET_{name}": b64encode(value.encode()).decode()
            for name, value in flow_secrets.items()
        }
        server = subprocess.Popen(
            ["kestra", "server", "standalone"],
            env={
                **os.environ,
                **environment,
                **secret_variables,
                "KESTRA_CONFIGURATION": yaml.safe_dump(configuration),
            },
            stdout=subprocess.DEVNULL,
        )
        cleanup.callback(server.wait)
        cleanup.callback(server.terminate)
        _wait_for(f"{url}/ping")
        yield Kestra(url, username, password, server.pid)


def jdbc_url(database: str) -> str:
    """Returns the JDBC URL of what psycopg connects to, without the login."""
    login = conninfo_to_dict(database)
    return f"jdbc:postgresql://{login['host']}:{login['port']}/{login.get('dbname', 'postgres')}"


@retry(
    retry=retry_if_exception_type(httpx.TransportError),
    stop=stop_after_delay(_START_SECONDS),
    wait=wait_fixed(0.1),
    reraise=True,
)
def _wait_for(url: str) -> None:
    httpx.get(url)
