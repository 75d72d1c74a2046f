"""What integration and e2e tests share."""

import os
from collections.abc import Iterator

import docker
import pytest
import requests
from docker.errors import DockerException


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.DockerClient]:
    """A client of the Docker daemon; in CI a missing daemon fails the test, elsewhere it skips."""
    try:
        client = docker.from_env(timeout=120)
        client.ping()
    except (DockerException, requests.RequestException) as error:
        reason = f"Docker is not reachable: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    yield client
    client.close()
