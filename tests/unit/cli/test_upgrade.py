"""podium upgrade: another release is tried before the stack gets it."""

from __future__ import annotations

from pathlib import Path

import click
import httpx
import pytest

from cli import trial
from cli.commands import upgrade
from cli.stack import Stack
from infra.kestra.client import KestraClient
from infra.kestra_server import CONFIGURATION_FILE
from tests.kestra.unit.fake_kestra import FakeKestra
from tests.unit.cli.command_line import CommandLine
from tests.unit.cli.content_stack import ContentStack, flow
from tests.unit.cli.fake_docker import Thing

IMAGE = "kestra/kestra:v2.1.0"


@pytest.fixture
def newer(stack: ContentStack, monkeypatch: pytest.MonkeyPatch) -> FakeKestra:
    """The throw-away server; its image is on this machine."""
    server = FakeKestra()
    server.version = "2.1.0"

    def connect(*login: str, wait: float) -> KestraClient:
        assert login[0] == "http://10.0.0.2:8080"
        return KestraClient(*login, wait=0, transport=httpx.MockTransport(server))

    monkeypatch.setattr(trial, "KestraClient", connect)
    command = stack.command
    command.set(
        images=[IMAGE, *(value for key, value in command.defaults.items() if "Image" in key)]
    )
    return server


@pytest.fixture
def backups(stack: ContentStack, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Kestra image in the settings at the time of each backup."""
    made: list[str] = []

    def create(_stack: object, path: None) -> Path:
        made.append(stack.command.stack["config"].get("kestraImage", "default"))
        return Path("/backups/a.tar")

    monkeypatch.setattr(upgrade, "create", create)
    return made


def assert_nothing_is_left(stack: ContentStack) -> None:
    """Fails if the throw-away server is still there, or nothing was there to be removed."""
    engine = stack.command.docker
    assert len(engine.containers.created) == 2
    assert engine.containers.list() == engine.networks.list() == []


def test_check_reports_what_the_release_refuses(
    stack: ContentStack, newer: FakeKestra, backups: list[str]
) -> None:
    newer.refused = {"id: kept": "tasks[0].type: Invalid type: x", "id: own": "no such property"}
    # Of the user's own, in no file.
    stack.kestra.store("mine/own", flow("own"))
    result = stack.command.run("upgrade", "kestra", "v2.1.0", "--check")
    assert result.code == 1
    assert result.stderr == (
        "flow demo/kept: tasks[0].type: Invalid type: x\n"
        "flow mine/own: no such property\n"
        f"Error: {IMAGE} refuses 2 of the flows and dashboards; nothing was changed.\n"
    )
    assert_nothing_is_left(stack)
    assert backups == []
    assert newer.asked["POST /api/v1/main/dashboards/validate"] == 1
    assert newer.writes == []


def test_check_changes_nothing(stack: ContentStack, newer: FakeKestra, backups: list[str]) -> None:
    result = stack.command.run("upgrade", "kestra", IMAGE, "--check")
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout.endswith(f"{IMAGE} accepts all flows and dashboards.\n")
    assert_nothing_is_left(stack)
    assert backups == []
    assert not any(call.startswith("pulumi up") for call in stack.command.calls)
    assert "kestraImage" not in stack.command.stack["config"]


def test_upgrade_backs_up_before_the_image_changes(
    stack: ContentStack, newer: FakeKestra, backups: list[str]
) -> None:
    stack.command.add_stack(tag="official", resources=1)
    result = stack.command.run("upgrade", "kestra", "v2.1.0")
    assert "Backup: /backups/a.tar\n" in result.stdout
    assert (result.code, result.stderr) == (0, "")
    assert backups == ["default"]
    assert stack.command.stack["config"]["kestraImage"] == IMAGE
    assert any(call.startswith("pulumi up") for call in stack.command.calls)


def test_release_that_refuses_a_flow_is_not_started(
    stack: ContentStack, newer: FakeKestra, backups: list[str]
) -> None:
    newer.refused = {"id: kept": "Invalid type: x"}
    assert stack.command.run("upgrade", "kestra", "v2.1.0").code == 1
    assert backups == []
    assert "kestraImage" not in stack.command.stack["config"]


def test_throw_away_server_has_no_way_out_and_no_secret_in_its_environment(
    stack: ContentStack, newer: FakeKestra
) -> None:
    stack.command.run("upgrade", "kestra", "v2.1.0", "--check")
    engine = stack.command.docker
    (network,) = engine.networks.created
    assert network.attrs["Created"]["internal"] is True
    database, server = engine.containers.created
    password = database.files["/run/secrets/postgres-password"].decode()
    assert password in server.files[CONFIGURATION_FILE].decode()
    for container in (database, server):
        assert container.attrs["Created"]["network"] == network.name
        assert "ports" not in container.attrs["Created"]
        assert password not in str(container.attrs)


def test_what_a_killed_check_left_is_removed(stack: ContentStack, newer: FakeKestra) -> None:
    engine = stack.command.docker
    for name in ("trial-kestra", "trial-postgres"):
        engine.containers.add(Thing(f"podium-dev-{name}"))
    engine.networks.add(Thing("podium-dev-trial"))
    assert stack.command.run("upgrade", "kestra", "v2.1.0", "--check").code == 0
    assert_nothing_is_left(stack)


def test_networks_of_the_stack_and_of_others_stay(stack: ContentStack, newer: FakeKestra) -> None:
    networks = stack.command.docker.networks
    own = networks.add(Thing("podium-dev-network"))
    other = networks.add(Thing("podium-dev-trial-network", labels=("podium.stack=dev-trial",)))
    assert stack.command.run("upgrade", "kestra", "v2.1.0", "--check").code == 0
    assert networks.list() == [own, other]


def test_server_that_does_not_start_is_removed(stack: ContentStack, newer: FakeKestra) -> None:
    newer.is_lost = True
    assert stack.command.run("upgrade", "kestra", "v2.1.0", "--check").code == 1
    assert_nothing_is_left(stack)


def test_stack_whose_kestra_is_down_is_an_error_before_anything_starts(
    stack: ContentStack, newer: FakeKestra, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_STACK_SECONDS", 0)
    stack.kestra.is_lost = True
    assert stack.command.run("upgrade", "kestra", "v2.1.0", "--check").code == 1
    assert stack.command.docker.containers.created == []


def test_image_that_is_unavailable_is_an_error(stack: ContentStack, newer: FakeKestra) -> None:
    stack.command.set(failing={"docker pull": "manifest unknown"})
    result = stack.command.run("upgrade", "kestra", "v9.9.9")
    assert result.code == 1
    assert result.stderr == (
        "Error: The image kestra/kestra:v9.9.9 is neither on this machine nor can it be pulled; "
        "nothing was changed.\n"
    )


def test_invalid_release_is_an_error(stack: ContentStack, newer: FakeKestra) -> None:
    result = stack.command.run("upgrade", "kestra", "v1.0.0")
    assert result.code == 1
    assert "must be Kestra 1.2 or later" in result.stderr


def test_stack_that_is_not_up_is_an_error(stack: ContentStack) -> None:
    stack.command.set_state([])
    result = stack.command.run("upgrade", "kestra", "v2.1.0")
    assert result.stderr == "Error: Stack dev is not up: ./podium up\n"


class Replacement:
    """What `upgrade postgres` asks of backup and restore, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.done: list[str] = []
        self.fails = ""
        self._folder = folder
        for name in ("create", "verify", "restore", "check_target"):
            monkeypatch.setattr(upgrade, name, getattr(self, name))

    def create(self, _stack: object, path: None, *, stop_kestra: bool = False) -> Path:
        file = self._folder / f"{len(self.done)}.tar"
        file.touch()
        self._do(f"backup{' without Kestra' * stop_kestra} {file.name}")
        return file

    def verify(self, path: Path, stack: Stack, images: dict[str, str]) -> None:
        self._do(f"try {path.name} as {stack.name} with {images['postgresImage']}")

    def restore(
        self, _stack: object, path: Path, *, replace: bool, images: dict[str, str] | None = None
    ) -> None:
        assert replace
        self._do(f"restore {path.name} with {images['postgresImage'] if images else 'its image'}")

    def check_target(self, _stack: object, *, replace: bool) -> None:
        assert replace
        self._do("check")

    def _do(self, step: str) -> None:
        self.done.append(step)
        if self.fails and step.startswith(self.fails):
            raise click.ClickException("it did not work")


@pytest.fixture
def replacement(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Replacement:
    command.add_stack(tag="official", resources=1)
    return Replacement(monkeypatch, tmp_path)


TRIED = ["check", "backup 1.tar", "try 1.tar as dev-upgrade with postgres:18"]


def test_newer_postgres_is_tried_before_it_replaces_the_older(
    command: CommandLine, replacement: Replacement, tmp_path: Path
) -> None:
    result = command.run("upgrade", "postgres", "18")
    assert (result.code, result.stderr) == (0, "")
    assert replacement.done == [
        *TRIED,
        "backup without Kestra 3.tar",
        "restore 3.tar with postgres:18",
    ]
    assert [path.name for path in tmp_path.glob("*.tar")] == ["3.tar"]


def test_check_of_a_newer_postgres_ends_after_the_trial(
    command: CommandLine, replacement: Replacement
) -> None:
    result = command.run("upgrade", "postgres", "postgres:18", "--check")
    assert (result.code, result.stderr) == (0, "")
    assert replacement.done == TRIED
    assert "postgres:18 takes all data; nothing was changed." in result.stdout


@pytest.mark.parametrize("step", ["check", "backup", "try", "backup without Kestra"])
def test_upgrade_of_postgres_that_cannot_work_replaces_nothing(
    command: CommandLine, replacement: Replacement, step: str
) -> None:
    replacement.fails = step
    result = command.run("upgrade", "postgres", "18")
    assert (result.code, result.stderr) == (1, "Error: it did not work\n")
    assert not [done for done in replacement.done if done.startswith("restore")]


def test_upgrade_of_postgres_that_fails_brings_the_older_back(
    command: CommandLine, replacement: Replacement
) -> None:
    replacement.fails = "restore 3.tar with postgres:18"
    result = command.run("upgrade", "postgres", "18")
    assert (result.code, result.stderr) == (1, "Error: it did not work\n")
    assert replacement.done[-1] == "restore 3.tar with its image"
    assert "The upgrade failed: the old release is restored." in result.stdout


@pytest.mark.parametrize("release", ["17", "16", "postgres:17.9"])
def test_postgres_of_no_newer_major_version_is_refused(
    command: CommandLine, replacement: Replacement, release: str
) -> None:
    result = command.run("upgrade", "postgres", release)
    assert result.code == 1
    assert "has no newer major version than PostgreSQL 17; nothing was changed" in result.stderr
    assert replacement.done == []
