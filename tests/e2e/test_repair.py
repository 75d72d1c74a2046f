"""What `up` repairs by itself: changes by hand, killed updates, and updates that failed."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import docker
import psycopg
import pytest

from tests.e2e.conftest import Project
from tests.e2e.warehouse import connect

pytestmark = [pytest.mark.timeout(1200)]

KESTRA = "podium-e2e-kestra"


def changes(result: subprocess.CompletedProcess[str]) -> str:
    """Returns what `up` says it did to the resources."""
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.partition("Resources:\n")[2].partition("\n\n")[0]


def assert_complete(project: Project, docker_client: docker.DockerClient) -> None:
    """Checks that all services get healthy, and that nothing is left to be done."""
    deadline = time.monotonic() + 180
    health: list[str] = []
    # Kestra restarts when PostgreSQL was replaced.
    while health != 4 * ["healthy"]:
        assert time.monotonic() < deadline, health
        time.sleep(1)
        containers = docker_client.containers.list(
            ignore_removed=True, filters={"label": "podium.stack=e2e"}
        )
        health = [item.attrs["State"]["Health"]["Status"] for item in containers]
    result = project.make("up")
    assert re.fullmatch(r"    \d+ unchanged", changes(result))
    assert "pending" not in result.stdout + result.stderr


def test_up_starts_what_was_stopped(
    project: Project, docker_client: docker.DockerClient, outputs: dict[str, Any]
) -> None:
    for service in ("kestra", "postgres"):
        docker_client.containers.get(f"podium-e2e-{service}").stop()
    assert re.fullmatch(r"    \d+ unchanged", changes(project.make("up")))
    assert_complete(project, docker_client)


def test_up_creates_again_what_was_removed(
    project: Project, docker_client: docker.DockerClient, outputs: dict[str, Any]
) -> None:
    for container in docker_client.containers.list(
        ignore_removed=True, filters={"label": "podium.stack=e2e"}
    ):
        container.stop()
    docker_client.networks.get("podium-e2e-network").remove()
    docker_client.containers.get("podium-e2e-pgadmin").remove()
    docker_client.volumes.get("podium-e2e-pgadmin-data").remove()
    assert changes(project.make("up")).startswith("    + 6 created\n")
    assert_complete(project, docker_client)


def engine_of(process: "subprocess.Popen[bytes]") -> int:
    """Returns the number of the process of the Pulumi CLI that `up` runs."""
    command = ["pgrep", "--parent", str(process.pid), "--exact", "pulumi"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize(
    ("number", "victim", "code"),
    [
        (signal.SIGKILL, engine_of, None),
        (signal.SIGKILL, lambda process: process.pid, -signal.SIGKILL),
        (signal.SIGTERM, lambda process: process.pid, 128 + signal.SIGTERM),
        (signal.SIGINT, lambda process: process.pid, 128 + signal.SIGINT),
    ],
    ids=["Pulumi killed", "command killed", "command terminated", "Ctrl-C"],
)
def test_up_that_ended_while_a_container_was_created_is_completed_by_the_next(
    project: Project,
    docker_client: docker.DockerClient,
    outputs: dict[str, Any],
    number: int,
    victim: Callable[["subprocess.Popen[bytes]"], int],
    code: int | None,
) -> None:
    docker_client.containers.get(KESTRA).remove(force=True)
    with subprocess.Popen(
        ["./podium", "--stack", "e2e", "up"], cwd=project.folder, env=project.environment
    ) as process:
        while not docker_client.containers.list(
            all=True, ignore_removed=True, filters={"name": KESTRA}
        ):
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(victim(process), number)
    assert process.returncode == code if code is not None else process.returncode
    assert changes(project.make("up"))
    assert_complete(project, docker_client)


def test_password_whose_change_failed_is_changed_by_the_next_up(
    project: Project, docker_client: docker.DockerClient, outputs: dict[str, Any]
) -> None:
    def set_read_only(read_only: str) -> None:
        with connect(outputs, superuser, outputs["postgresPassword"], "postgres") as connection:
            connection.execute("SET default_transaction_read_only = off")
            role = psycopg.sql.Identifier(superuser)
            statement = "ALTER ROLE {} SET default_transaction_read_only = {}"
            connection.execute(psycopg.sql.SQL(statement).format(role, read_only))

    superuser, changed = outputs["postgresUser"], "Changed-password-1"
    set_read_only("on")
    try:
        project.pulumi("config", "set", "--secret", "readerPassword", changed)
        assert project.make("up").returncode != 0
    finally:
        set_read_only("off")
    assert "~ 1 updated" in changes(project.make("up"))
    connect(outputs, "reader", changed, outputs["warehouseDatabase"]).close()
    project.pulumi("config", "rm", "readerPassword")
    project.make("up")
    outputs.update(project.outputs())  # for the tests after this one: it is a new password
    assert_complete(project, docker_client)


def test_password_of_the_superuser_can_be_changed(
    project: Project, docker_client: docker.DockerClient, outputs: dict[str, Any]
) -> None:
    for command in (
        ["set", "--secret", "postgresPassword", "Changed-1"],
        ["rm", "postgresPassword"],
    ):
        project.pulumi("config", *command)
        assert project.make("up").returncode == 0
        outputs.update(project.outputs())
        connect(outputs, "postgres", outputs["postgresPassword"], "postgres").close()
    assert_complete(project, docker_client)
