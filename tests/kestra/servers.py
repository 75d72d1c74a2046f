"""A pytest plugin: the servers that tests run against. Docker, PostgreSQL and Kestra."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import docker
import httpx
import psycopg
import pytest
import requests
import yaml
from docker.errors import DockerException, ImageNotFound
from docker.models.containers import Container
from psycopg import sql
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class PostgresServer:
    """Where a test reaches PostgreSQL, as its superuser."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)

    def connect(
        self, dbname: str = "postgres", user: str | None = None, password: str | None = None
    ) -> psycopg.Connection:
        """Opens a connection that commits each statement.

        Args:
            dbname: the database to connect to.
            user: the role to log in as; the superuser if not given.
            password: that role's password; the superuser's if not given.
        """
        return psycopg.connect(
            host=self.host,
            port=self.port,
            dbname=dbname,
            user=user or self.user,
            password=password or self.password,
            connect_timeout=5,
            autocommit=True,
        )

    @retry(
        retry=retry_if_exception_type(psycopg.OperationalError),
        stop=stop_after_delay(60),
        wait=wait_fixed(0.2),
        reraise=True,
    )
    def wait_until_ready(self) -> None:
        """Waits up to 60 seconds until the server answers a login."""
        self.connect().close()


USERNAME, PASSWORD = "admin@kestra.dev", "Kestra1234"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Database:
    """A database of its own on the test's PostgreSQL server."""

    server: PostgresServer
    name: str

    @property
    def url(self) -> str:
        return f"jdbc:postgresql://{self.server.host}:{self.server.port}/{self.name}"

    def connect(self):
        return self.server.connect(self.name)


@dataclass
class KestraServer:
    """A Kestra server on a loopback port: started, stopped and started again on the same data."""

    database: Database
    folder: Path
    globals: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    management_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self) -> str:
        return f"{self.base}/api/v1/main"

    def configuration(self) -> dict:
        return {
            "datasources": {
                "postgres": {
                    "url": self.database.url,
                    "driverClassName": "org.postgresql.Driver",
                    "username": self.database.server.user,
                    "password": self.database.server.password,
                }
            },
            "micronaut": {"server": {"host": "127.0.0.1", "port": self.port}},
            "endpoints": {"all": {"port": self.management_port}},
            "kestra": {
                "server": {
                    "basic-auth": {"username": USERNAME, "password": PASSWORD},
                    "terminationGracePeriod": "10s",
                    # How soon the tasks of a killed server are given out again.
                    "liveness": {
                        "interval": "2s",
                        "timeout": "15s",
                        "initialDelay": "15s",
                        "heartbeatInterval": "2s",
                    },
                },
                "repository": {"type": "postgres"},
                "queue": {"type": "postgres"},
                # Twenty connections ask forty times a second for a minute otherwise.
                "jdbc": {"queues": {"poll-switch-interval": "1s", "max-poll-interval": "250ms"}},
                "storage": {"type": "local", "local": {"base-path": str(self.folder / "storage")}},
                "tasks": {"tmp-dir": {"path": str(self.folder / "wd")}},
                "url": f"{self.base}/",
                "variables": {"globals": self.globals},
            },
        }

    def start(self) -> None:
        environment = {
            **os.environ,
            # As in the official image: scripts find a Python with the package `kestra`.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "KESTRA_CONFIGURATION": yaml.safe_dump(self.configuration()),
        }
        for name, value in self.secrets.items():
            environment[f"SECRET_{name}"] = base64.b64encode(value.encode()).decode()
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [kestra_command(), "server", "standalone"],
                env=environment,
                stdout=log,
                stderr=log,
            )
        self._wait()

    @retry(
        retry=retry_if_exception_type(httpx.TransportError),
        stop=stop_after_delay(180),
        wait=wait_fixed(0.2),
        reraise=True,
    )
    def _wait(self) -> None:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        httpx.get(f"{self.base}/ping").raise_for_status()

    def stop(self, timeout: float = 30) -> int:
        """SIGTERM, as `docker stop` sends; the exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.api,
            auth=(USERNAME, PASSWORD),
            timeout=60,
            verify=False,  # there are no certificates to spend time on
        )


Start = Callable[..., KestraServer]


def unavailable(reason: str) -> NoReturn:
    """Skips the test; in CI, where nothing may be skipped, fails it."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def kestra_command() -> str:
    """Returns the command line of Kestra."""
    return shutil.which("kestra") or unavailable(
        "no command `kestra` on PATH: put the folder of Kestra's own or of the offline one there"
    )


@contextmanager
def new_database(postgres: PostgresServer) -> Iterator[Database]:
    """A database that is gone afterwards."""
    name = f"kestra_{secrets.token_hex(4)}"
    with postgres.connect() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield Database(postgres, name)
    finally:
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        with postgres.connect() as connection:
            connection.execute(drop)


@contextmanager
def starting(database: Database, folder: Path) -> Iterator[Callable[..., KestraServer]]:
    """Starts servers on a database; those that still run are stopped at the end."""
    started: list[KestraServer] = []

    def start(**settings) -> KestraServer:
        server = KestraServer(database, folder, **settings)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        if server.process and server.process.poll() is None:
            server.kill()


@contextmanager
def running_kestra(postgres: PostgresServer, folder: Path, **settings) -> Iterator[KestraServer]:
    """A server on a database of its own, for tests that share one."""
    with new_database(postgres) as database, starting(database, folder) as start:
        yield start(**settings)


class Client:
    """Calls of the API, checked for success."""

    def __init__(self, server: KestraServer) -> None:
        self.server = server
        self.http = server.client()

    def create(self, source: str) -> dict[str, Any]:
        response = self.http.post(
            "/flows", content=source, headers={"Content-Type": "application/x-yaml"}
        )
        assert response.status_code == 200, response.text
        return response.json()

    def start(self, flow: str, *, wait: bool = False, **inputs: str) -> dict[str, Any]:
        response = self.http.post(
            f"/executions/{flow}",
            params={"wait": wait},
            files={name: (None, value) for name, value in inputs.items()} or None,
        )
        assert response.status_code == 200, response.text
        return response.json()

    def run(self, source: str, **inputs: str) -> dict[str, Any]:
        """Creates a flow in the namespace `t` and runs it to its end."""
        flow = self.create(f"namespace: t\n{source}")
        return self.start(f"t/{flow['id']}", wait=True, **inputs)

    def execution(self, execution_id: str) -> dict[str, Any]:
        return self.http.get(f"/executions/{execution_id}").raise_for_status().json()

    def wait(self, execution_id: str, *states: str, seconds: float = 20) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            execution = self.execution(execution_id)
            if execution["state"]["current"] in states:
                return execution
            time.sleep(0.05)
        raise AssertionError(f"{execution_id} is {execution['state']}, not {states}")

    def wait_for_task(self, execution_id: str, task: str) -> None:
        """Waits until the task is running."""
        for _ in range(400):
            found = self.execution(execution_id).get("taskRunList", [])
            if any(run["taskId"] == task and "attempts" in run for run in found):
                return
            time.sleep(0.05)
        raise AssertionError(f"{task} did not begin")

    def logs(self, execution: dict[str, Any], level: str = "INFO") -> list[str]:
        """Returns the log of an execution that has ended; its last lines are stored later."""

        def read() -> list[str]:
            found = self.http.get(f"/logs/{execution['id']}", params={"minLevel": level})
            return [entry["message"] for entry in found.raise_for_status().json()]

        deadline, lines = time.monotonic() + 3, read()
        while time.monotonic() < deadline:
            time.sleep(0.3)  # longer than the server waits between two looks at its queue
            before, lines = lines, read()
            if lines and lines == before:
                break
        return lines


def state(execution: dict[str, Any]) -> str:
    return execution["state"]["current"]


def states(holder: dict[str, Any]) -> list[str]:
    return [history["state"] for history in holder["state"]["histories"]]


def runs(execution: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {run["taskId"]: run for run in execution["taskRunList"]}


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    with new_database(postgres) as made:
        yield made


@pytest.fixture
def start_kestra(database: Database, tmp_path: Path) -> Iterator[Callable[..., KestraServer]]:
    """Starts servers of the test's own."""
    with starting(database, tmp_path) as start:
        yield start


@pytest.fixture(scope="session")
def shared_kestra(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KestraServer]:
    """A server for the tests that neither stop it nor need it empty."""
    with running_kestra(postgres, tmp_path_factory.mktemp("kestra")) as server:
        yield server


@pytest.fixture
def server(start_kestra: Start) -> KestraServer:
    """A server of the test's own."""
    return start_kestra()


@pytest.fixture
def client(shared_kestra: KestraServer) -> Client:
    return Client(shared_kestra)


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.DockerClient]:
    """A client of the Docker daemon."""
    try:
        client = docker.from_env(timeout=120)
        client.ping()
    except (DockerException, requests.RequestException) as error:
        unavailable(f"Docker is not reachable: {error}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def postgres_image(docker_client: docker.DockerClient) -> str:
    """The image to test on: PODIUM_TEST_POSTGRES_IMAGE, or the official one; pulled if missing."""
    image = os.environ.get("PODIUM_TEST_POSTGRES_IMAGE", "postgres:17")
    try:
        docker_client.images.get(image)
    except ImageNotFound:
        try:
            docker_client.images.pull(image)
        except DockerException as error:
            unavailable(f"no PostgreSQL image {image}: {error}")
    return image


@contextmanager
def running_postgres(
    docker_client: docker.DockerClient, image: str, port: int = 0
) -> Iterator[tuple[PostgresServer, Container]]:
    """A PostgreSQL server in a container, gone at the end of the block.

    Args:
        docker_client: where the container runs.
        image: the server's image.
        port: its loopback port, which it keeps when it is restarted; a free one that it does not
            keep if not given.
    """
    password = secrets.token_urlsafe(16)
    container = docker_client.containers.run(
        image,
        detach=True,
        environment={"POSTGRES_USER": "postgres", "POSTGRES_PASSWORD": password},
        ports={"5432/tcp": ("127.0.0.1", port)},
    )
    try:
        bound = int(docker_client.api.port(str(container.id), 5432)[0]["HostPort"])
        server = PostgresServer("127.0.0.1", bound, "postgres", password)
        server.wait_until_ready()
        yield server, container
    finally:
        container.remove(force=True, v=True)


@pytest.fixture(scope="session")
def postgres(docker_client: docker.DockerClient, postgres_image: str) -> Iterator[PostgresServer]:
    """A PostgreSQL server of the test session's own, on a free loopback port."""
    with running_postgres(docker_client, postgres_image) as (server, _):
        yield server
