"""A backup that is made during a load comes up again as a second stack, beside the first."""

import base64
import gzip
import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from playwright.sync_api import Browser

from bench.months import write_month
from cli.backup import manifest as parts
from cli.backup.archive import Archive
from tests.e2e.conftest import Project, assert_stays_logged_in
from tests.e2e.warehouse import as_reader
from tests.pgadmin import connect_servers

_RESTORED = "e2e-restored"
_SECRET = "a secret input"
_FLOW = """\
id: keep
namespace: backup
inputs:
  - id: token
    type: SECRET
tasks:
  - id: write
    type: io.kestra.plugin.core.storage.Write
    content: what an execution has left
"""
# The first `up` may have to build or pull every image.
pytestmark = [pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def keeping_flow(outputs: dict[str, Any]) -> Iterator[None]:
    """A flow that has run, with a secret input and a file among its outputs."""
    client = httpx.Client(
        base_url=f"{outputs['kestraUrl']}/api/v1/main",
        auth=(outputs["kestraUser"], outputs["kestraPassword"]),
    )
    headers = {"Content-Type": "application/x-yaml"}
    client.post("/flows", content=_FLOW, headers=headers).raise_for_status()
    form = {"token": (None, _SECRET)}
    execution = client.post("/executions/backup/keep", files=form).raise_for_status().json()["id"]
    deadline = time.monotonic() + 60
    while client.get(f"/executions/{execution}").json()["state"]["current"] != "SUCCESS":
        assert time.monotonic() < deadline
        time.sleep(0.5)
    yield
    client.delete("/flows/backup/keep")


@pytest.fixture(scope="module")
def restored(project: Project, docker_client: docker.DockerClient) -> Iterator[str]:
    """The name of a second stack, which is deleted at the end whatever happens."""
    yield _RESTORED
    project.run("./podium", "--stack", _RESTORED, "down")
    project.run("./podium", "--stack", _RESTORED, "pulumi", "stack", "rm", "--yes")
    label = {"label": f"podium.stack={_RESTORED}"}
    assert docker_client.volumes.list(filters=label) == []


def plain_parts(archive: Archive) -> Iterator[tuple[str, bytes]]:
    """Yields each part of an archive as it was before its compression."""
    restore = ["docker", "exec", "-i", "podium-e2e-postgres", "pg_restore", "--file=-"]
    for name in parts.PARTS:
        content = archive.read(name)
        if name.endswith(".gz"):
            content = gzip.decompress(content)
        elif name.endswith(".dump"):
            content = subprocess.run(restore, input=content, stdout=-1, check=True).stdout
        yield name, content


def test_backup_during_a_load_comes_up_as_a_second_stack(
    project: Project, outputs: dict[str, Any], keeping_flow: None, restored: str, tmp_path: Path
) -> None:
    path = tmp_path / "backup.tar"
    first, second = (
        write_month(project.taxi_folder, "yellow", month, 20_000)
        for month in ("2022-01", "2022-02")
    )

    def load(month: str) -> list[str]:
        return ["./podium", "--stack", "e2e", "run", "zoomcamp/taxi_load", "taxi=yellow", month]

    assert project.run(*load("month=2022-01")).returncode == 0
    with subprocess.Popen(
        load("month=2022-02"),
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.DEVNULL,
    ) as running:
        time.sleep(2)
        made = project.podium("backup", "--to", str(path))
        assert made.returncode == 0, made.stdout + made.stderr
        assert running.wait() == 0
    assert f"{path}: " in made.stdout
    assert f"{path}" in project.podium("status").stdout
    assert_without_secrets(project, Archive(path))

    restore = ("--stack", restored, "restore", str(path))
    wrong = {**project.environment, "PULUMI_CONFIG_PASSPHRASE": secrets.token_hex()}
    refused = subprocess.run(
        ["./podium", *restore], cwd=project.folder, env=wrong, capture_output=True, text=True
    )
    assert refused.returncode == 1
    assert "The passphrase is not the one that encrypted" in refused.stderr
    assert restored not in project.podium("stacks").stdout

    result = project.run("./podium", *restore)
    assert result.returncode == 0, result.stdout + result.stderr
    for check in (
        r"pg_amcheck              clean",
        r"Secrets in executions   decrypted",
        r"Output of an execution  26 bytes, as in the backup",
        f"Stack {restored} is restored and verified.",
    ):
        assert check in result.stdout
    others = outputs_of(project, restored)
    assert others["kestraUrl"] != outputs["kestraUrl"]
    assert {key: others[key] for key in others if key.endswith("Password")} == {
        key: outputs[key] for key in outputs if key.endswith("Password")
    }
    query = "SELECT count(*), sum(total_amount) FROM trips.yellow WHERE month = %s"
    with as_reader(others) as connection:
        assert connection.execute(query, ["2022-01-01"]).fetchone() == (
            first.rows,
            first.total_amount,
        )
        # The load that was running is there as a whole, or not at all.
        assert connection.execute(query, ["2022-02-01"]).fetchone() in (
            (second.rows, second.total_amount),
            (0, None),
        )
    login = (others["pgadminUrl"], others["pgadminUser"], others["pgadminPassword"])
    assert set(connect_servers(*login, group=2).values()) == {"Server connected."}
    preview = ("pulumi", "preview", "--expect-no-changes")
    assert project.run("./podium", "--stack", restored, *preview).returncode == 0


def test_two_stacks_in_one_browser_keep_their_logins(
    project: Project, outputs: dict[str, Any], restored: str, browser: Browser
) -> None:
    assert_stays_logged_in(browser, [outputs, outputs_of(project, restored)])


def test_newer_postgres_takes_over_all_data(project: Project, restored: str) -> None:
    query = (
        "SELECT count(*), sum(total_amount), current_setting('server_version') FROM trips.yellow"
    )
    with as_reader(outputs_of(project, restored)) as connection:
        *data, version = connection.execute(query).fetchone() or ()
    assert version.startswith("17")
    result = project.run("./podium", "--stack", restored, "upgrade", "postgres", "18")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("as in the backup") == 4  # rows and a file, of the trial too
    with as_reader(outputs_of(project, restored)) as connection:
        *data_after, version = connection.execute(query).fetchone() or ()
    assert (data_after, version[:2]) == (data, "18")
    preview = ("pulumi", "preview", "--expect-no-changes")
    assert project.run("./podium", "--stack", restored, *preview).returncode == 0


def outputs_of(project: Project, stack: str) -> dict[str, Any]:
    """Returns the outputs of a stack with its secrets."""
    command = ("pulumi", "stack", "output", "--json", "--show-secrets")
    outputs: dict[str, Any] = json.loads(project.run("./podium", "--stack", stack, *command).stdout)
    return outputs


def assert_without_secrets(project: Project, archive: Archive) -> None:
    """Fails if a part has a generated secret as plain text, or as Kestra encodes it."""
    generated = [
        json.loads(item["outputs"]["result"]["plaintext"]).encode()
        for item in project.resources()
        if item["type"] == "random:index/randomPassword:RandomPassword"
    ]
    assert len(generated) == 8
    words = [*generated, *map(base64.b64encode, generated), _SECRET.encode()]
    for name, content in plain_parts(archive):
        assert content
        assert not [word for word in words if word in content], name
