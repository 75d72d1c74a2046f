"""A PostgreSQL server to measure against."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import docker
import psycopg
from psycopg.conninfo import make_conninfo
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from cli import offline

_START_SECONDS = 30
_CHUNK_BYTES = 1 << 20


@contextmanager
def running_postgres(**settings: str) -> Iterator[str]:
    """Starts a server on a loopback port that is free, and removes it at the end.

    Args:
        settings: the server's settings beside its defaults.

    Yields:
        How psycopg connects to it, as its superuser.

    Raises:
        psycopg.OperationalError: it did not answer within 30 seconds.
    """
    password = secrets.token_hex()
    with ExitStack() as cleanup:
        client = docker.from_env()
        cleanup.callback(client.close)
        container = client.containers.run(
            offline.load_stack().config["postgresImage"],
            ["postgres", *(f"--{name}={value}" for name, value in settings.items())],
            detach=True,
            environment={"POSTGRES_PASSWORD": password},
            ports={"5432/tcp": ("127.0.0.1", 0)},
        )
        cleanup.callback(container.remove, force=True, v=True)
        port = client.api.port(str(container.id), 5432)[0]["HostPort"]
        login = make_conninfo(host="127.0.0.1", port=port, user="postgres", password=password)
        _connect(login).close()
        yield login


def copy_file(database: str, statement: str, path: Path) -> None:
    """Sends a file to PostgreSQL over a connection of its own.

    Args:
        database: how psycopg connects.
        statement: COPY ... FROM STDIN.
        path: the file.
    """
    with (
        psycopg.connect(database) as connection,
        connection.cursor().copy(statement.encode()) as stream,
        path.open("rb") as file,
    ):
        while chunk := file.read(_CHUNK_BYTES):
            stream.write(chunk)


@retry(
    retry=retry_if_exception_type(psycopg.OperationalError),
    stop=stop_after_delay(_START_SECONDS),
    wait=wait_fixed(0.1),
    reraise=True,
)
def _connect(login: str) -> psycopg.Connection:
    return psycopg.connect(login)
