"""podium up: which parts a stack gets, what is set, what is printed."""

from __future__ import annotations

import fcntl
import random
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from cli.commands import up as up_command
from cli.update import Outcome
from tests.unit.cli.command_line import OFFLINE_STACK, CommandLine, Ended
from tests.unit.cli.fake_docker import Thing
from tests.unit.harness import PROJECT

PORT_KEYS = ("postgresPort", "kestraPort", "kestraManagementPort", "pgadminPort")
OFFICIAL_IMAGES = [
    PROJECT["config"][f"{service}Image"]["default"] for service in ("postgres", "kestra", "pgadmin")
]
UP = "pulumi up --stack dev --yes --skip-preview --json"
NO_PLUGIN = {"pulumi plugin install": "warning: will retry\nerror: failed to download plugin"}
OFFLINE_IMAGES = [
    OFFLINE_STACK["config"][f"{service}Image"] for service in ("postgres", "kestra", "pgadmin")
]
# Of a stack without a gateway.
OFFLINE_CONFIG = {
    key: value for key, value in OFFLINE_STACK["config"].items() if value and key != "gatewayImage"
}
BUILD = "setup images postgres:17 kestra:1 pgadmin4:9"
NO_IMAGE = {"docker pull": "no route to host"}
DOCKER_DOWN = {"docker": "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."}


@pytest.fixture
def ports() -> list[int]:
    """Four ports in a row with room behind them, all free."""
    # Tests that run beside this one look for theirs elsewhere.
    for first in random.sample(range(10_000, 32_000, 20), 1_100):
        with ExitStack() as probes:
            try:
                for port in range(first, first + 20):
                    probes.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
        return list(range(first, first + 4))
    pytest.fail("no free ports on this machine")


@pytest.fixture
def command(command: CommandLine, ports: list[int]) -> CommandLine:
    """The default ports of the settings are free."""
    defaults = command.defaults | dict(zip(PORT_KEYS, map(str, ports), strict=True))
    command.set(defaults=defaults)
    return command


def up(command: CommandLine) -> Ended:
    return command.run("up")


def acting(command: CommandLine) -> list[str]:
    """The calls that change something or take long."""
    words = ("plugin install", "docker pull", "setup images", "pulumi up", "init")
    return [call for call in command.calls if any(word in call for word in words)]


def test_new_stack_is_official_where_all_is_available(command: CommandLine) -> None:
    result = up(command)
    assert result.code == 0, result.stderr
    assert acting(command) == [
        "pulumi stack init dev",
        *(
            f"pulumi plugin install resource {name} {version(f'pulumi-{name}')}"
            for name in ("docker", "postgresql", "random")
        ),
        *(f"docker pull {image}" for image in OFFICIAL_IMAGES),
        UP,
    ]
    assert command.stack["tags"] == {"podium:parts": "official"}
    assert command.stack["config"] == {}
    assert "offline" not in command.path_of("pulumi up")
    assert result.stdout.splitlines()[-3:] == [
        "Kestra:    http://localhost:8080 as admin@example.com",
        "pgAdmin:   http://localhost:8085 as admin@example.com",
        "Passwords: ./podium urls --show-passwords",
    ]


def test_images_that_are_there_are_not_pulled(command: CommandLine) -> None:
    command.set(images=OFFICIAL_IMAGES[:2])
    assert up(command).code == 0
    assert [call for call in command.calls if call.startswith("docker pull")] == [
        f"docker pull {OFFICIAL_IMAGES[2]}"
    ]


def test_image_of_the_file_server_is_pulled_where_the_files_are_in_a_folder(
    command: CommandLine,
) -> None:
    command.add_stack(taxiSource=str(command.folder))
    command.set(images=OFFICIAL_IMAGES, failing={"docker pull nginx": "no route to host"})
    assert up(command).code == 0
    assert command.stack["tags"] == {"podium:parts": "official"}
    assert command.stack["config"] == {
        "taxiSource": str(command.folder),
        "filesImage": OFFLINE_STACK["config"]["filesImage"],
    }


def test_unavailable_plugins_make_no_image_offline(command: CommandLine) -> None:
    command.set(failing=NO_PLUGIN)
    result = up(command)
    assert result.code == 0, result.stderr
    reason = "error: failed to download plugin"
    assert f"Pulumi's plugins are unavailable ({reason}): offline providers" in result.stdout
    assert command.stack["tags"] == {"podium:parts": "offline"}
    assert command.stack["config"] == {"taxiSource": "sample"}
    assert acting(command)[-1] == UP
    assert "setup images" not in acting(command)
    assert command.path_of("pulumi up").split(":")[0] == "/offline/bin"
    assert result.stdout.splitlines()[-1] == OFFLINE_STACK["notice"]


def test_each_unavailable_image_is_an_offline_one(command: CommandLine) -> None:
    command.set(failing={"docker pull kestra/": "no route to host"})
    result = up(command)
    assert result.code == 0, result.stderr
    assert (
        f"The image {OFFICIAL_IMAGES[1]} is unavailable: {OFFLINE_IMAGES[1]} is used."
        in result.stdout
    )
    assert command.stack["tags"] == {"podium:parts": "official"}
    assert command.stack["config"] == {
        "kestraImage": OFFLINE_IMAGES[1],
        "taxiSource": "sample",
    }
    assert acting(command)[-2:] == ["setup images kestra:1", UP]
    assert "offline" not in command.path_of("pulumi up")
    assert result.stdout.splitlines()[-1] == OFFLINE_STACK["notice"]


def test_stack_without_any_download_is_offline(command: CommandLine) -> None:
    command.set(failing=NO_PLUGIN | NO_IMAGE)
    result = up(command)
    assert command.stack["config"] == OFFLINE_CONFIG | {"taxiSource": "sample"}
    assert acting(command)[-2:] == [f"{BUILD} nginx:1", UP]
    assert "Made-up taxi files are used" in result.stdout


def test_folder_of_the_user_stays_where_the_stack_goes_offline(command: CommandLine) -> None:
    command.add_stack(taxiSource=str(command.folder))
    command.set(failing=NO_PLUGIN)
    assert "Made-up taxi files" not in up(command).stdout
    assert command.stack["config"]["taxiSource"] == str(command.folder)


def test_another_admin_email_is_refused_as_long_as_pgadmin_has_the_old_one(
    command: CommandLine,
) -> None:
    command.add_stack(tag="official", resources=3, adminEmail="o'brien@example.com")
    result = up(command)
    assert result.code == 1
    assert result.stderr == (
        "Error: adminEmail is o'brien@example.com, but pgAdmin was set up with the login "
        "admin@example.com and keeps it; nothing was changed. Set it back:\n"
        "  ./podium pulumi config set adminEmail admin@example.com\n"
        "Or set up pgAdmin anew, without what was saved in it:\n"
        "  docker rm -f podium-dev-pgadmin && docker volume rm podium-dev-pgadmin-data && "
        "./podium pulumi up --refresh --yes\n"
    )
    assert acting(command) == []
    command.set(outputs=command.outputs | {"pgadminUser": "o'brien@example.com"})
    assert up(command).code == 0


OWN_IMAGE = "registry.example.com/kestra:v1.3.25"


def test_image_of_the_user_stays_where_the_stack_goes_offline(command: CommandLine) -> None:
    command.add_stack(kestraImage=OWN_IMAGE)
    command.set(images=[OWN_IMAGE], failing=NO_PLUGIN | NO_IMAGE)
    assert up(command).code == 0
    assert command.stack["config"]["kestraImage"] == OWN_IMAGE
    assert acting(command)[-2:] == ["setup images postgres:17 pgadmin4:9 nginx:1", UP]


def test_unavailable_image_of_the_user_is_an_error(command: CommandLine) -> None:
    command.add_stack(kestraImage=OWN_IMAGE)
    command.set(failing=NO_PLUGIN | NO_IMAGE)
    assert up(command) == Ended(
        1,
        ANY,
        f"Error: podium:kestraImage = {OWN_IMAGE} is neither on this machine nor can it be pulled. "
        "Pull or load it, or use the default: ./podium pulumi config rm kestraImage\n",
    )
    assert command.stack["config"] == {"kestraImage": OWN_IMAGE}


def test_offline_image_of_the_user_is_built(command: CommandLine) -> None:
    command.add_stack(kestraImage=OFFLINE_IMAGES[1])
    command.set(failing={f"docker pull {OFFLINE_IMAGES[1]}": "no such image"})
    assert up(command).code == 0
    assert acting(command)[-2:] == ["setup images kestra:1", UP]


def test_mirror_is_written_out_where_another_image_is_offline(command: CommandLine) -> None:
    command.add_stack(registryPrefix="mirror.example.com")
    command.set(failing={"docker pull mirror.example.com/kestra": "not found"})
    assert up(command).code == 0
    assert command.stack["config"] == {
        "registryPrefix": "",
        "postgresImage": f"mirror.example.com/{OFFICIAL_IMAGES[0]}",
        "kestraImage": OFFLINE_IMAGES[1],
        "pgadminImage": f"mirror.example.com/{OFFICIAL_IMAGES[2]}",
        "filesImage": f"mirror.example.com/{PROJECT['config']['filesImage']['default']}",
        "taxiSource": "sample",
    }


def test_docker_that_does_not_answer_is_no_reason_to_go_offline(command: CommandLine) -> None:
    command.set(failing=DOCKER_DOWN | NO_PLUGIN)
    result = up(command)
    assert result.code == 1
    assert result.stderr.splitlines() == [
        "Error: docker images --quiet postgres:17: "
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."
    ]
    assert command.stack["tags"] == {}
    command.set(failing={})
    assert up(command).code == 0
    assert command.stack["tags"] == {"podium:parts": "official"}


@pytest.mark.parametrize("resources", [0, 3])
def test_offline_stack_stays_offline_where_all_is_available(
    command: CommandLine, resources: int
) -> None:
    command.add_stack(tag="offline", resources=resources, **OFFLINE_CONFIG)
    assert up(command).code == 0
    assert acting(command) == [f"{BUILD} nginx:1", UP]
    assert command.stack["tags"] == {"podium:parts": "offline"}
    assert command.stack["config"] == OFFLINE_CONFIG


OLD_TAG = "genuine"  # language: ok


@pytest.mark.parametrize(("tag", "resources"), [("official", 0), (OLD_TAG, 3), (None, 3)])
def test_official_stack_stays_official_where_nothing_is_available(
    command: CommandLine, tag: str | None, resources: int
) -> None:
    command.add_stack(tag=tag, resources=resources)
    command.set(failing=NO_PLUGIN | DOCKER_DOWN)
    result = up(command)
    assert result.code == 0, result.stderr
    assert acting(command) == [UP]
    assert command.stack["config"] == {}


def test_stack_without_resources_and_tag_gets_parts(command: CommandLine) -> None:
    command.add_stack()
    command.set(failing=NO_PLUGIN)
    assert up(command).code == 0
    assert "pulumi stack init dev" not in command.calls
    assert command.stack["tags"] == {"podium:parts": "offline"}


def test_up_that_failed_before_the_tag_succeeds_the_second_time(
    command: CommandLine,
) -> None:
    command.set(failing=NO_PLUGIN | {"pulumi stack tag set": "error: disk full"})
    result = up(command)
    assert (result.code, result.stderr) == (1, "Error: disk full\n")
    first = command.stack["config"]
    command.set(failing=NO_PLUGIN)
    assert up(command).code == 0
    assert command.stack["tags"] == {"podium:parts": "offline"}
    assert command.stack["config"] == first


def test_wrong_settings_are_reported_before_anything_is_looked_for(command: CommandLine) -> None:
    command.add_stack(pgadminPort="80", adminEmail="nobody")
    result = up(command)
    assert result.code == 1
    assert result.stderr.startswith("Error: 2 settings are invalid; nothing was changed.\n")
    assert ':pgadminPort = "80" must be a port' in result.stderr
    assert acting(command) == []


def test_taken_ports_are_replaced_by_the_next_free_ones(
    command: CommandLine, ports: list[int]
) -> None:
    first = ports[0]
    with (
        socket.create_server(("127.0.0.1", ports[0])),
        socket.create_server(("", ports[1])),
        socket.create_server(("127.0.0.1", first + 4)),
    ):
        result = up(command)
    assert command.stack["config"] == {
        "postgresPort": str(first + 5),
        "kestraPort": str(first + 6),
    }
    assert [line for line in result.stdout.splitlines() if "is taken" in line] == [
        f"Port {port} is taken on this machine: {key} is {free}."
        for port, key, free in (
            (ports[0], "postgresPort", first + 5),
            (ports[1], "kestraPort", first + 6),
        )
    ]


def test_ports_on_the_address_of_another_host_are_not_looked_at(command: CommandLine) -> None:
    address = "192.0.2.1"  # RFC 5737: no machine has it
    command.add_stack(bindAddress=address, allowPlainText="true")
    result = up(command)
    assert result.code == 0, result.stderr
    assert "is taken" not in result.stdout
    assert command.stack["config"] == {"bindAddress": address, "allowPlainText": "true"}


def test_ports_on_another_docker_host_are_not_looked_at(
    command: CommandLine, ports: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://docker.example.com")
    command.add_stack(hostName="docker.example.com")
    with socket.create_server(("127.0.0.1", ports[0])):
        result = up(command)
    assert result.code == 0, result.stderr
    assert "is taken" not in result.stdout


@pytest.mark.parametrize(
    ("tls", "message"),
    [
        (
            "off",
            "hostName is localhost, but the Docker host is ssh://docker.example.com. Set the name "
            "by which you reach it: ./podium pulumi config set hostName <name>",
        ),
        (
            "internal",
            "tls is internal, with which only the Docker host itself reaches Kestra's port, but "
            "that is ssh://docker.example.com. Run Podium there; or ./podium pulumi config set tls "
            "off",
        ),
    ],
)
def test_another_docker_host_that_cannot_be_reached_is_refused_before_anything_is_done(
    command: CommandLine, tls: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://docker.example.com")
    command.add_stack(tls=tls)
    result = up(command)
    assert (result.code, result.stderr) == (1, f"Error: {message}\n")
    assert acting(command) == []


@pytest.mark.parametrize("is_new", [True, False])
def test_the_image_of_the_gateway_is_pulled_or_built_where_tls_is_on(
    command: CommandLine, *, is_new: bool
) -> None:
    if is_new:
        command.add_stack(tls="internal")
    else:
        command.add_stack(tag="official", resources=3, tls="internal")
    command.set(images=OFFICIAL_IMAGES, failing={"docker pull caddy": "no route to host"})
    result = up(command)
    assert result.code == 0, result.stderr
    image = OFFLINE_STACK["config"]["gatewayImage"]
    assert command.stack["config"]["gatewayImage"] == image
    assert acting(command)[-2:] == ["setup images caddy:2", UP]


def test_ports_of_other_stacks_are_taken_although_these_are_down(
    command: CommandLine, ports: list[int]
) -> None:
    command.set(defaults=command.defaults | {"postgresPort": "5432"})
    command.write_settings("other", kestraPort=str(ports[1]))
    # Another project's, whose container is stopped.
    command.docker.containers.add(Thing("x", labels=(), status="exited", port=str(ports[3])))
    assert up(command).code == 0
    assert int(command.stack["config"]["postgresPort"]) > 5432
    assert command.stack["config"]["kestraPort"] == str(ports[3] + 1)
    assert command.stack["config"]["pgadminPort"] == str(ports[3] + 2)


def test_other_ports_are_chosen_while_nobody_else_chooses(
    command: CommandLine, tmp_path: Path
) -> None:
    lock = tmp_path / "cache/podium/ports.lock"
    lock.parent.mkdir(parents=True)

    def choose() -> None:
        time.sleep(0.5)
        command.write_settings("other", kestraPort=command.defaults["kestraPort"])
        fcntl.flock(file, fcntl.LOCK_UN)

    with lock.open("w") as file, ThreadPoolExecutor() as pool:
        fcntl.flock(file, fcntl.LOCK_EX)
        pool.submit(choose)
        assert up(command).code == 0
    assert command.stack["config"].keys() == {"kestraPort"}


CLASH = {
    "diagnosticEvent": {
        "severity": "error",
        "message": "driver failed: port is already allocated",
        "urn": "urn:pulumi:dev::podium::docker:index/container:Container::kestra",
    }
}


def test_new_stack_whose_port_was_taken_meanwhile_gets_another_one(
    command: CommandLine, ports: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as others:

        def lose_port(*arguments: Any) -> Outcome:
            context.undo()
            # The stack's own PostgreSQL has its port by now.
            for port in ports[:2]:
                others.enter_context(socket.create_server(("127.0.0.1", port)))
            return Outcome(255, {"kestra"})

        with monkeypatch.context() as context:
            context.setattr(up_command, "run_update", lose_port)
            result = up(command)
    assert result.code == 0, result.stderr
    assert command.stack["config"] == {"kestraPort": str(ports[3] + 1)}
    assert UP in command.calls


def test_port_of_an_existing_stack_that_is_taken_is_an_error(command: CommandLine) -> None:
    command.add_stack(tag="official", resources=3)
    command.set(first_events=[CLASH])
    result = up(command)
    assert (result.code, command.calls.count(UP)) == (255, 1)
    assert result.stderr.splitlines() == [
        "Another program is using a port of kestra: free it, or choose another one:",
        "./podium pulumi config set kestraPort <port>; then ./podium up",
    ]


def test_ports_of_an_existing_stack_stay(command: CommandLine, ports: list[int]) -> None:
    command.add_stack(tag="official", resources=3)
    with socket.create_server(("127.0.0.1", ports[0])):
        assert up(command).code == 0
    assert command.stack["config"] == {}


def test_images_that_fail_to_build_end_the_command(command: CommandLine) -> None:
    command.add_stack(tag="offline", kestraImage=OFFLINE_IMAGES[1])
    command.set(failing={"setup images": "The image x could not be built"})
    result = up(command)
    assert (result.code, result.stderr) == (1, "The image x could not be built\n")
    assert UP not in command.calls


def test_failed_up_ends_with_its_error_and_exit_code(command: CommandLine) -> None:
    command.set(failing={"pulumi up": "error: update failed"})
    result = up(command)
    assert (result.code, result.stderr) == (1, "error: update failed\n")
    assert "Kestra:" not in result.stdout
    assert command.stack["tags"] == {"podium:parts": "official"}


def test_interrupted_up_lets_pulumi_end_in_order(command: CommandLine) -> None:
    command.add_stack(tag="official")
    result = command.interrupt("pulumi up", "up")
    assert (result.code, result.stderr) == (130, "")
    assert command.calls[-1] == "pulumi has ended in order"


def test_terminated_up_lets_pulumi_end_in_order(command: CommandLine) -> None:
    command.add_stack(tag="official")
    result = command.interrupt("pulumi up", "up", number=signal.SIGTERM)
    assert (result.code, result.stderr) == (143, "")
    assert command.calls[-1] == "pulumi has ended in order"


def test_terminated_pull_ends_docker(command: CommandLine) -> None:
    command.add_stack()
    result = command.interrupt("docker pull", "up", number=signal.SIGTERM)
    assert (result.code, result.stderr) == (143, "")
    assert command.stack["tags"] == {}


def test_interrupted_pull_turns_no_stack_offline(command: CommandLine) -> None:
    command.add_stack()
    result = command.interrupt("docker pull", "up")
    assert (result.code, result.stderr) == (130, "")
    assert command.calls[-1] == "docker has ended in order"
    assert command.stack["tags"] == {}


REFUSED = 'connection failed: FATAL:  password authentication failed for user "etl"'


def test_password_that_the_server_refuses_is_set_again(command: CommandLine) -> None:
    command.refusals = {"etl": REFUSED}
    result = up(command)
    assert result.code == 0, result.stderr
    assert "PostgreSQL had another password of etl: it is set again.\n" in result.stdout
    (call,) = [call for call in command.calls if call.startswith("docker exec")]
    assert call == (
        "docker exec -i podium-dev-postgres psql -qU postgres -h /var/run/postgresql "
        """< ALTER ROLE "etl" PASSWORD 'Secret-1'"""
    )


def test_login_that_fails_otherwise_is_an_error(command: CommandLine) -> None:
    command.refusals = {"reader": "connection timeout expired"}
    result = up(command)
    assert (result.code, result.stderr) == (
        1,
        "Error: reader cannot log in to PostgreSQL: connection timeout expired\n",
    )


def test_limit_of_connections_is_no_failed_login(command: CommandLine) -> None:
    command.refusals = {"etl": 'FATAL:  too many connections for role "etl"'}
    assert up(command).code == 0


@pytest.mark.parametrize(
    ("config", "password"), [({"postgresPassword": "Changed-1"}, "Changed-1"), ({}, "Secret-1")]
)
def test_password_that_the_superuser_lacks_is_set_before_the_update(
    command: CommandLine, config: dict[str, str], password: str
) -> None:
    command.add_stack(tag="official", resources=3, **config)
    command.refusals = {"postgres": REFUSED}
    command.docker.containers.add(Thing("id-postgres", "podium-dev-postgres"))
    result = up(command)
    assert result.code == 0, result.stderr
    assert [call for call in command.calls if "exec" in call or call == UP] == [
        "docker exec -i podium-dev-postgres psql -qU postgres -h /var/run/postgresql "
        f"""< ALTER ROLE "postgres" PASSWORD '{password}'""",
        UP,
    ]


def test_changed_password_of_pgadmin_reaches_its_volume(command: CommandLine) -> None:
    command.pgadmin_password = "Before-1"
    result = up(command)
    assert result.code == 0, result.stderr
    assert "pgAdmin had another password: it is set again.\n" in result.stdout
    (call,) = [call for call in command.calls if call.startswith("docker exec")]
    words, _, script = call.partition(" < ")
    assert words == "docker exec -i podium-dev-pgadmin /venv/bin/python3 -"
    arguments = '["update-user", "admin@example.com", "--admin", "--password", "Secret-1"]'
    assert arguments in script


@pytest.mark.parametrize("password", ["Secret-1", None])
def test_password_of_pgadmin_stays_where_it_is_right_or_unknown(
    command: CommandLine, password: str | None
) -> None:
    command.pgadmin_password = password
    assert up(command).code == 0
    assert not [call for call in command.calls if call.startswith("docker exec")]


def test_password_that_pgadmin_refuses_is_an_error(command: CommandLine) -> None:
    command.pgadmin_password = "Before-1"
    command.set(failing={"docker exec": "Traceback\nsqlite3.OperationalError: locked"})
    result = up(command)
    assert (result.code, result.stderr) == (
        1,
        "Error: pgAdmin keeps its old password: sqlite3.OperationalError: locked\n",
    )
