"""podium up refuses images that cannot read what the servers wrote, before it changes anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.cli.command_line import CommandLine
from tests.unit.cli.fake_docker import Thing

TYPES = {
    "postgres": "docker:index/remoteImage:RemoteImage",
    "kestra": "docker:index/remoteImage:RemoteImage",
    "kestra-database": "postgresql:index/database:Database",
}


def wrote(command: CommandLine, major: str, kestra: str, migrations: str = "") -> None:
    """Makes the stack one whose servers wrote their data."""
    images = {"postgres": f"postgres:{major}", "kestra": kestra, "kestra-database": "orchestra"}
    resources = [
        {
            "type": TYPES[name],
            "urn": f"urn:{TYPES[name]}::{name}",
            "outputs": {"name": value, "imageId": "i1"},
        }
        for name, value in images.items()
    ]
    command.set_state(resources)
    postgres = command.docker.containers.add(Thing("p1", "podium-dev-postgres"))
    postgres.files["/data/PG_VERSION"] = f"{major}\n".encode()
    postgres.answers["-d orchestra -Atc SELECT script_id"] = migrations


def up(command: CommandLine, **config: str) -> str:
    """Returns why `up` refuses the settings, or nothing."""
    command.set(defaults=command.defaults | config)
    command.docker.images.add(Thing("i1"))
    result = command.run("up")
    if result.code == 0:
        assert any(call.startswith("pulumi up") for call in command.calls)
        return ""
    assert not any(call.startswith(("pulumi up", "setup")) for call in command.calls)
    return result.stderr.removeprefix("Error: ")


def test_data_of_another_postgresql_is_refused(command: CommandLine) -> None:
    wrote(command, "17", "kestra/kestra:v2.0.0")
    assert up(command, postgresImage="postgres:18") == (
        "postgresImage is postgres:18, which cannot read what PostgreSQL 17 wrote; nothing was "
        "changed. Set it back:\n  ./podium pulumi config set postgresImage postgres:17\n"
        "Then upgrade it:\n  ./podium upgrade postgres postgres:18\n"
    )


@pytest.mark.parametrize(
    ("before", "migrations", "image", "release"),
    [
        ("kestra/kestra:v1.3.25", "", "kestra/kestra:v1.2.9", "1.3"),
        # What the database says is true, whatever image came after.
        ("kestra/kestra:v1.3.25", "0-podium\n2.0.03-triggers\n", "kestra/kestra:v1.3.25", "2.0"),
        ("kestra/kestra:v2.1.0", "2.0.03-x\n2.1.01-y\n2.0.04-z\n", "kestra/kestra:v2.0.3", "2.1"),
        ("mirror:5000/kestra:latest", "2.0.03-triggers\n", "kestra/kestra:v1.3.25", "2.0"),
    ],
)
def test_database_of_a_newer_kestra_is_refused(
    command: CommandLine, before: str, migrations: str, image: str, release: str
) -> None:
    wrote(command, "17", before, migrations)
    assert up(command, kestraImage=image) == (
        f"kestraImage is {image}, which cannot read what Kestra {release} wrote; nothing was "
        f"changed. Set it back:\n  ./podium pulumi config set kestraImage {before}\n"
    )


@pytest.mark.parametrize(
    ("before", "migrations", "image"),
    [
        ("kestra/kestra:v1.3.25", "", "kestra/kestra:v1.3.20"),
        ("kestra/kestra:v1.3.25", "", "kestra/kestra:v1.3.25"),
        # A release that failed before it changed the database may be undone.
        ("kestra/kestra:v2.1.0", "2.0.03-triggers\n", "kestra/kestra:v2.0.1"),
        # A release without migrations of its own needs no backup at each `up`.
        ("kestra/kestra:v2.1.0", "2.0.03-triggers\n", "kestra/kestra:v2.1.1"),
        ("kestra/kestra:v2.0.0", "2.0.03-triggers\n", "mirror:5000/kestra:latest"),
    ],
)
def test_data_that_the_images_read_is_accepted(
    command: CommandLine, before: str, migrations: str, image: str
) -> None:
    wrote(command, "17", before, migrations)
    assert up(command, kestraImage=image) == ""


@pytest.mark.parametrize(
    ("age", "refused"), [(None, True), (timedelta(hours=25), True), (timedelta(hours=23), False)]
)
def test_newer_kestra_needs_a_recent_backup(
    command: CommandLine, age: timedelta | None, refused: bool
) -> None:
    wrote(command, "17", "kestra/kestra:v1.3.25")
    if age:
        last = f"{datetime.now(UTC) - age:%Y-%m-%dT%H:%M:%SZ} /backups/a.tar"
        tags = command.stack["tags"] | {"podium:backup": last}
        command.set(stacks={"dev": command.stack | {"tags": tags}})
    error = up(command, kestraImage="kestra/kestra:v2.0.0")
    assert bool(error) is refused
    if error:
        assert error == (
            "kestraImage is kestra/kestra:v2.0.0, which migrates the database of Kestra 1.3 for "
            "good; nothing was changed. Check the flows, back the stack up and upgrade it:\n"
            "  ./podium upgrade kestra kestra/kestra:v2.0.0\n"
        )
