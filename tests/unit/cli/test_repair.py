"""What `up` and `down` repair before they update: killed updates, and changes by hand."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from cli import repair
from tests.unit.cli.command_line import OFFLINE_STACK, CommandLine
from tests.unit.cli.fake_docker import Thing

Resource = dict[str, Any]

CONTAINER = "docker:index/container:Container"
NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"
IMAGE = "docker:index/remoteImage:RemoteImage"
ROLE = "postgresql:index/role:Role"
DATABASE = "postgresql:index/database:Database"
FLOWS = "pulumi-python:dynamic:Resource"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}


def urn_of(kind: str, name: str) -> str:
    return f"urn:pulumi:dev::podium::{kind}::{name}"


def resource(kind: str, name: str, *dependencies: Resource, id_: str = "", **more: Any) -> Resource:
    urns = [item["urn"] for item in dependencies]
    outputs = {"name": f"podium-dev-{name}"} | more.pop("outputs", {})
    return {
        "urn": urn_of(kind, name),
        "custom": True,
        "type": kind,
        "id": id_ or f"id-{name}",
        "inputs": {"name": f"podium-dev-{name}"},
        "outputs": outputs,
        "dependencies": urns,
        "propertyDependencies": {"name": urns},
    } | more


def container(name: str, *dependencies: Resource, **more: Any) -> Resource:
    outputs = {
        "mustRun": False,  # as after a refresh while it was stopped
        "waitTimeout": 0.3,
        "networksAdvanced": [{"name": "podium-dev-network"}],
        "networkDatas": [],
    }
    return resource(CONTAINER, name, *dependencies, outputs=outputs, **more)


def creating(item: Resource) -> Resource:
    begun = {key: value for key, value in item.items() if key not in ("id", "outputs")}
    return {"type": "creating", "resource": begun}


network = resource(NETWORK, "network")
image = resource(
    IMAGE,
    "postgres",
    id_="sha256:1postgres",
    outputs={"imageId": "sha256:1", "name": "postgres:17"},
)
volume = resource(VOLUME, "postgres-data", id_="podium-dev-postgres-data")
postgres = container("postgres", network, image, volume)
provider = resource("pulumi:providers:postgresql", "databases", postgres)
secret = resource("random:index/randomPassword:RandomPassword", "etl-role-password")
role = resource(
    ROLE,
    "etl",
    postgres,
    secret,
    id_="etl",
    outputs={"password": SECRET},
    deletedWith=volume["urn"],
)
pgadmin_volume = resource(VOLUME, "pgadmin-data", id_="podium-dev-pgadmin-data")
pgadmin = container("pgadmin", network, pgadmin_volume)
flows = resource(FLOWS, "flows", postgres, role)
STATE = [network, image, volume, postgres, provider, secret, role, pgadmin_volume, pgadmin, flows]
failed_role = role | {"initErrors": ["connection refused"]}
FAILED = [failed_role if item is role else item for item in STATE]
UPDATE = "pulumi up --stack dev --yes --skip-preview --json"


@pytest.fixture
def command(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A stack that is up, all of it on Docker."""
    monkeypatch.setattr(repair, "_POLL_SECONDS", 0.01)
    command.set_state(STATE)
    fake = command.docker
    fake.networks.add(Thing("id-network", "podium-dev-network"))
    fake.images.add(Thing("sha256:1"))
    for name in ("postgres", "pgadmin"):
        fake.volumes.add(Thing(f"podium-dev-{name}-data"))
        fake.containers.add(Thing(f"id-{name}", f"podium-dev-{name}"))
    return command


def up(command: CommandLine) -> tuple[list[str], list[Resource]]:
    """Returns what `up` did to the state before it updated, and the state that it updated."""
    command.set(failing={"pulumi up": "error: stop here"})
    assert command.run("up").stderr == "error: stop here\n"
    assert command.stack["pending_operations"] == []
    changing = [call for call in command.calls if " import" in call or " refresh" in call]
    resources: list[Resource] = command.stack["resources"]
    return changing, resources


def refresh(*resources: Resource) -> str:
    targets = " ".join(f"--target {item['urn']}" for item in resources)
    return f"pulumi refresh --stack dev --yes --skip-preview {targets}"


IMPORT = "pulumi stack import --stack dev"


def test_stack_as_it_should_be_is_left_alone(command: CommandLine) -> None:
    assert up(command) == ([], STATE)
    assert command.docker.containers.get("id-postgres").done == []


def test_container_of_a_killed_update_is_removed(command: CommandLine) -> None:
    kestra = container("kestra", network)
    command.set_state(STATE, [creating(kestra)])
    left = command.docker.containers.add(Thing("unknown", "podium-dev-kestra"))
    assert up(command) == ([IMPORT], STATE)
    assert left.done == ["remove"]


def test_network_of_a_killed_update_is_removed(command: CommandLine) -> None:
    command.set_state([], [creating(network)])
    assert up(command) == ([IMPORT], [])
    assert command.docker.networks.list(filters={"label": []}) == []


@pytest.mark.parametrize(
    "other",
    [
        Thing("id-postgres", "podium-dev-postgres"),
        Thing("other", "podium-dev-other"),
        Thing("foreign", "podium-dev-postgres", labels=("podium.stack=other",)),
    ],
    ids=["in the state", "of another name", "of another stack"],
)
def test_only_what_the_killed_update_created_is_removed(command: CommandLine, other: Thing) -> None:
    command.set_state(STATE, [creating(postgres)])
    command.docker.containers.add(other)
    up(command)
    assert other.done == []


@pytest.mark.parametrize("kind", [ROLE, DATABASE])
def test_role_or_database_of_a_killed_update_joins_the_state(
    command: CommandLine, kind: str
) -> None:
    new = resource(kind, "new", postgres)
    command.set_state(STATE, [creating(new)])
    changes, state = up(command)
    assert changes[-1] == refresh(new)
    assert (state[-1]["id"], state[-1]["outputs"]["name"]) == (2 * ("podium-dev-new",))


@pytest.mark.parametrize("kind", ["updating", "deleting"])
def test_interrupted_change_is_refreshed(command: CommandLine, kind: str) -> None:
    command.set_state(STATE, [{"type": kind, "resource": role}])
    changes, _ = up(command)
    assert changes[-1] == refresh(role)


def test_failed_update_of_a_role_sets_its_password_again(command: CommandLine) -> None:
    command.set_state(FAILED)
    changes, state = up(command)
    assert changes == [IMPORT, refresh(role)]
    assert state[STATE.index(role)]["outputs"]["password"] == ""


def test_container_whose_creation_failed_is_left_to_pulumi(command: CommandLine) -> None:
    failed = container("postgres", initErrors=["port is already allocated"])
    del failed["outputs"]["networkDatas"]
    command.docker.containers.get("id-postgres").status = "created"
    command.set_state([network, failed])
    assert up(command) == ([], [network, failed])


def test_update_goes_on_where_a_refresh_fails(command: CommandLine) -> None:
    command.set_state(FAILED)
    command.set(failing={"pulumi refresh": "error: connection refused"})
    result = command.run("up")
    assert result.code == 0
    assert "error: connection refused" in result.stdout
    assert UPDATE in command.calls


def test_container_that_was_removed_is_created_again(command: CommandLine) -> None:
    command.docker.containers.get("id-postgres").remove()
    changes, state = up(command)
    assert changes == [IMPORT]
    assert [item["urn"] for item in state] == [
        item["urn"] for item in STATE if item is not postgres
    ]
    (kept,) = (item for item in state if item["urn"] == role["urn"])
    assert kept["dependencies"] == kept["propertyDependencies"]["name"] == [secret["urn"]]
    assert kept["deletedWith"] == volume["urn"]


def test_what_was_in_a_removed_volume_is_created_again(command: CommandLine) -> None:
    command.docker.containers.get("id-postgres").remove()
    command.docker.volumes.get("podium-dev-postgres-data").remove()
    _, state = up(command)
    assert [item["urn"] for item in state] == [
        item["urn"] for item in (network, image, provider, secret, pgadmin_volume, pgadmin)
    ]


def test_docker_host_without_anything_of_the_stack_is_refused(command: CommandLine) -> None:
    for name in ("postgres", "pgadmin"):
        command.docker.containers.get(f"id-{name}").remove()
        command.docker.volumes.get(f"podium-dev-{name}-data").remove()
    command.docker.networks.get("id-network").remove()
    result = command.run("up")
    assert (result.code, result.stderr) == (
        1,
        "Error: Nothing of stack dev is on this Docker host. Is DOCKER_HOST right? If all of it "
        "was removed: ./podium down, then ./podium up\n",
    )
    assert command.stack["resources"] == STATE


def test_offline_image_that_was_built_anew_is_taken(command: CommandLine) -> None:
    name = OFFLINE_STACK["config"]["postgresImage"]
    old = image | {"outputs": {"imageId": "sha256:1", "name": name}}
    command.set_state([old if item is image else item for item in STATE])
    command.docker.images.add(Thing(name))
    changing, resources = up(command)
    assert changing == [IMPORT]
    assert image["urn"] not in {item["urn"] for item in resources}
    assert command.docker.containers.get("id-postgres").done == []


def test_removed_image_is_looked_for_again(command: CommandLine) -> None:
    command.docker.images.get("sha256:1").remove()
    _, state = up(command)
    assert image["urn"] not in [item["urn"] for item in state]


def test_containers_of_a_removed_network_are_created_again(command: CommandLine) -> None:
    command.docker.networks.get("id-network").remove()
    containers = [command.docker.containers.get(f"id-{name}") for name in ("postgres", "pgadmin")]
    _, state = up(command)
    gone = [network["urn"], postgres["urn"], pgadmin["urn"]]
    assert [item["urn"] for item in state] == [
        item["urn"] for item in STATE if item["urn"] not in gone
    ]
    assert [item.done for item in containers] == 2 * [["stop 10", "remove"]]


def test_disconnected_container_is_created_again(command: CommandLine) -> None:
    command.docker.containers.add(Thing("id-pgadmin", "podium-dev-pgadmin", networks=()))
    _, state = up(command)
    assert [item["urn"] for item in state] == [item["urn"] for item in STATE if item is not pgadmin]


@pytest.mark.parametrize(("status", "done"), [("exited", "start"), ("paused", "unpause")])
def test_stopped_container_runs_before_the_update(
    command: CommandLine, status: str, done: str
) -> None:
    stopped = Thing("id-postgres", "podium-dev-postgres", status=status)
    command.docker.containers.add(stopped)
    command.set(failing={"pulumi up": "error: stop here"})
    result = command.run("up")
    assert stopped.done == [done]
    assert stopped.attrs["State"]["Health"]["Status"] == "healthy"
    assert f"Starting podium-dev-postgres, which was {status}: 0 s\n" in result.stdout
    assert "import" not in " ".join(command.calls)


def test_container_that_does_not_start_is_reported_and_the_update_goes_on(
    command: CommandLine,
) -> None:
    refusal = "port is already allocated"
    stopped = Thing("id-postgres", "podium-dev-postgres", status="exited", refusal=refusal)
    command.docker.containers.add(stopped)
    result = command.run("up")
    assert f"podium-dev-postgres does not start: {refusal}\n" in result.stdout
    assert UPDATE in command.calls


def test_container_that_does_not_get_healthy_is_reported(command: CommandLine) -> None:
    stopped = Thing("id-postgres", "podium-dev-postgres", status="exited", health="unhealthy")
    command.docker.containers.add(stopped)
    assert "podium-dev-postgres is not healthy after 0.3 s.\n" in command.run("up").stdout


def locks(command: CommandLine, **content: Any) -> Path:
    folder = command.folder.parent / ".pulumi/locks/organization/podium/dev"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{len([*folder.iterdir()])}.json"
    path.write_text(json.dumps({"hostname": socket.gethostname()} | content))
    return path


@pytest.mark.parametrize("subcommand", ["up", "down"])
def test_lock_of_a_process_that_is_no_more_is_removed(
    command: CommandLine, subcommand: str
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    with subprocess.Popen(["sleep", "60"]) as other:
        dead = [locks(command, pid=ended.pid), locks(command, pid=other.pid)]
        foreign = locks(command, pid=ended.pid, hostname="another-machine")
        command.run(subcommand)
        other.kill()
    assert not any(path.exists() for path in dead)
    assert foreign.exists()


def test_update_that_still_runs_is_waited_for(
    command: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(_: float) -> None:
        pulumi.kill()
        pulumi.wait()

    shutil.copy("/bin/sleep", tmp_path / "pulumi")
    with subprocess.Popen([tmp_path / "pulumi", "60"]) as pulumi:
        lock = locks(command, pid=pulumi.pid)
        monkeypatch.setattr(time, "sleep", end)
        result = command.run("up")
    assert f"Waiting for another update of the stack, process {pulumi.pid}.\n" in result.stdout
    assert not lock.exists()


def test_down_removes_what_a_killed_update_created(command: CommandLine) -> None:
    command.set_state(STATE, [creating(container("kestra"))])
    left = command.docker.containers.add(Thing("unknown", "podium-dev-kestra"))
    assert command.run("down").code == 0
    assert left.done == ["remove"]
    assert command.stack["pending_operations"] == []


@pytest.mark.parametrize(
    ("found", "done"),
    [
        (Thing("id-pgadmin", networks=()), ["stop 10"]),
        (Thing("id-pgadmin", health="unhealthy"), ["stop 10"]),
        (Thing("id-pgadmin", health="unhealthy", status="exited"), []),
        (Thing("id-pgadmin"), []),
    ],
    ids=["without network", "unhealthy", "stopped", "healthy"],
)
def test_down_does_not_wait_for_a_service_that_is_cut_off(
    command: CommandLine, found: Thing, done: list[str]
) -> None:
    command.docker.containers.get("id-postgres").remove()
    command.docker.containers.add(found)
    assert command.run("down").code == 0
    assert found.done == done
