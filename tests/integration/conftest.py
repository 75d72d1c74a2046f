"""Real servers for the integration tests: one PostgreSQL container."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import docker
import psycopg
import pytest
from docker.errors import DockerException, ImageNotFound
from docker.models.containers import Container
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

IMAGES = ("podium-offline/postgres:15", "postgres:17")


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
        """Open a connection that commits each statement.

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
        """Wait up to 60 seconds until the server answers a login."""
        self.connect().close()


@pytest.fixture(scope="session")
def postgres_image(docker_client: docker.DockerClient) -> str:
    """The image to test on: PODIUM_TEST_POSTGRES_IMAGE, or the first of IMAGES that can be had."""
    named = os.environ.get("PODIUM_TEST_POSTGRES_IMAGE")
    candidates = (named,) if named else IMAGES
    for image in candidates:
        try:
            docker_client.images.get(image)
        except ImageNotFound:
            continue
        return image
    image = candidates[-1]
    try:
        docker_client.images.pull(image)
    except DockerException as error:
        reason = f"no PostgreSQL image ({', '.join(candidates)}): {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
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
