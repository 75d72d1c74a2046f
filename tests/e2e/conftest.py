"""A copy of the project with a stack of its own, driven by the commands that a user types."""

import base64
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from bench.months import Month
from cli import offline
from tests.taxi_files import provide_months

_PROJECT_FOLDER = Path(__file__).parents[2]
_STACK = "e2e"


@dataclass(frozen=True)
class Project:
    """The copy of the project, and the environment in which its commands run."""

    folder: Path
    taxi_folder: Path
    backend: Path
    environment: dict[str, str]
    months: list[Month]

    def make(self, target: str, *variables: str) -> subprocess.CompletedProcess[str]:
        """Runs a target of the Makefile for the test's stack."""
        return self.run("make", "--no-print-directory", target, f"STACK={_STACK}", *variables)

    def podium(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the command line for the test's stack."""
        return self.run("./podium", "--stack", _STACK, *arguments)

    def pulumi(self, *arguments: str) -> str:
        """Runs the Pulumi CLI for the test's stack and returns what it prints."""
        result = self.podium("pulumi", *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def changed_files(self) -> str:
        """Returns what Git reports as changed or new since the project was copied."""
        return self.run("git", "status", "--porcelain").stdout

    def outputs(self) -> dict[str, Any]:
        """Returns the stack's outputs with its secrets."""
        outputs: dict[str, Any] = json.loads(
            self.pulumi("stack", "output", "--json", "--show-secrets")
        )
        return outputs

    def resources(self) -> list[dict[str, Any]]:
        """Returns the resources in the state with their secrets."""
        state = json.loads(self.pulumi("stack", "export", "--show-secrets"))
        resources: list[dict[str, Any]] = state["deployment"].get("resources", [])
        return resources

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the copy of the project."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project as a user has it after cloning, with the months in a folder beside it."""
    folder = tmp_path_factory.mktemp("e2e")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=_PROJECT_FOLDER, capture_output=True, check=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        target = folder / "podium" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_PROJECT_FOLDER / name, target)
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "Copy"]):
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        subprocess.run(["git", *identity, *command], cwd=folder / "podium", check=True)
    (folder / "podium/.venv").symlink_to(_PROJECT_FOLDER / ".venv")
    backend, taxi_folder = folder / "state", folder / "taxi"
    backend.mkdir()
    taxi_folder.mkdir()
    # The web server in the container reads the files as another user.
    for path in (taxi_folder, *list(taxi_folder.parents)[:3]):
        path.chmod(path.stat().st_mode | 0o055)
    # The copy has offline parts of its own.
    search_path = os.environ["PATH"].replace(f"{offline.providers_folder()}{os.pathsep}", "")
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("MAKE", "PULUMI", "PODIUM", "STACK"))
    }
    return Project(
        folder=folder / "podium",
        taxi_folder=taxi_folder,
        backend=backend,
        environment={
            **inherited,
            "PATH": search_path,
            "PULUMI_BACKEND_URL": backend.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": secrets.token_hex(),
        },
        months=provide_months(taxi_folder),
    )


@pytest.fixture(scope="session")
def first_up(
    project: Project, docker_client: docker.DockerClient
) -> Iterator[subprocess.CompletedProcess[str]]:
    """The first `make up` of the stack, which is deleted at the end whatever happens."""
    settings = {
        "podium:taxiSource": str(project.taxi_folder),
        "podium:kestraManagementPort": 8081,
    }
    (project.folder / f"Pulumi.{_STACK}.yaml").write_text(json.dumps({"config": settings}))
    yield project.make("up")
    project.make("down")


@pytest.fixture(scope="session")
def outputs(project: Project, first_up: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The outputs of the stack after its first `up`."""
    assert first_up.returncode == 0, first_up.stdout + first_up.stderr
    return project.outputs()


@pytest.fixture(scope="session")
def role_passwords(project: Project, outputs: dict[str, Any]) -> dict[str, str]:
    """The passwords of all roles: those of Kestra and pgAdmin stand in no output."""
    roles = {
        item["outputs"]["name"]: item["outputs"]["password"]
        for item in project.resources()
        if item["type"] == "postgresql:index/role:Role"
    }
    return {
        role: json.loads(secret["plaintext"]) if isinstance(secret, dict) else secret
        for role, secret in roles.items()
    } | {outputs["postgresUser"]: outputs["postgresPassword"]}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's chromium, without what it does on its own."""
    path = shutil.which("chromium")
    if path is None:
        message = "chromium is not installed: cli/setup/chromium.sh"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield chromium
        chromium.close()


def log_in_to_pgadmin(page: Page, outputs: dict[str, Any]) -> None:
    """Fills in the form on pgAdmin's first page, and waits for the page behind it."""
    page.locator('input[name="email"]').fill(outputs["pgadminUser"])
    page.locator('input[name="password"]').fill(outputs["pgadminPassword"])
    page.locator('input[name="password"]').press("Enter")
    page.wait_for_url("**/browser/")


def assert_stays_logged_in(browser: Browser, stacks: list[dict[str, Any]]) -> None:
    """Logs in to the pages of several stacks in one browser, and fails if one ends another's login.

    Args:
        browser: where to log in.
        stacks: the outputs of each stack.
    """
    context = browser.new_context()
    # Kestra's own page keeps the login in this cookie.
    for outputs in stacks:
        login = f"{outputs['kestraUser']}:{outputs['kestraPassword']}"
        cookie = base64.b64encode(login.encode()).decode()
        context.add_cookies([{"name": "BASIC_AUTH", "value": cookie, "url": outputs["kestraPage"]}])
        page = context.new_page()
        page.goto(outputs["pgadminPage"])
        log_in_to_pgadmin(page, outputs)
    for outputs in stacks:
        page = context.new_page()
        answer = page.goto(outputs["kestraPage"])
        assert answer is not None
        assert answer.status == 200
        page.goto(outputs["pgadminPage"])
        page.wait_for_url("**/browser/")
    context.close()
