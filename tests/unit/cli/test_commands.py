"""The short commands: logs, open, psql, pulumi, stacks, status and urls."""

from __future__ import annotations

import os
import re
import webbrowser
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import docker
import httpx
import pytest
from docker.errors import APIError

from cli import services
from cli.commands import status
from infra.kestra.client import KestraClient
from tests.unit.cli.command_line import OFFLINE_STACK, CommandLine, Ended

OUTPUTS = {
    "kestraUrl": "http://localhost:8080",
    "kestraPage": "http://dev.localhost:8080",
    "kestraUser": "me@example.com",
    "kestraPassword": "kestra-secret",
    "pgadminUrl": "http://localhost:8085",
    "pgadminPage": "http://dev.localhost:8085",
    "pgadminUser": "me@example.com",
    "pgadminPassword": "pgadmin-secret",
    "postgresHost": "localhost",
    "postgresPort": 5432,
    "postgresUser": "postgres",
    "postgresPassword": "postgres-secret",
    "warehouseDatabase": "ny_taxi",
    "etlUser": "etl",
    "etlPassword": "etl-secret",
    "readerUser": "reader",
    "readerPassword": "reader-secret",
    "flows": {"zoomcamp/load": 3, "zoomcamp/new": 1},
}
SHOW = "./podium urls --show-passwords"


class Container:
    """A container as the Docker SDK has it."""

    def __init__(self, service: str, *, running: bool = True) -> None:
        self.name = f"podium-dev-{service}"
        # Whether it stops after it was listed.
        self.stops = False
        self.image = SimpleNamespace(tags=[f"{service}:1"])
        self.status = "running" if running else "exited"
        self.attrs = {
            "State": {"Running": running, "Status": self.status, "Health": {"Status": "healthy"}},
            "HostConfig": {
                "PortBindings": {"5432/tcp": [{"HostIp": "127.0.0.1", "HostPort": "5433"}]}
            },
        }

    def stats(self, **_: object) -> dict[str, Any]:
        stats = {"total_inactive_file": 2**20}
        return {"memory_stats": {"usage": 11 * 2**20, "stats": stats}}

    def exec_run(self, command: list[str], *, stderr: bool) -> SimpleNamespace:
        if self.stops:
            raise APIError("container is not running")
        if command[0] == "psql":
            return SimpleNamespace(exit_code=0, output=b"kestra|8000000\nny_taxi|1000000000\n")
        assert command[2] == "du -sk /var/lib/pgadmin; true"
        return SimpleNamespace(exit_code=0, output=b"500\t/var/lib/pgadmin\n")


@pytest.fixture
def containers(monkeypatch: pytest.MonkeyPatch) -> list[Container]:
    """The containers that Docker has for the stack."""
    found: list[Container] = []
    client = SimpleNamespace(containers=SimpleNamespace(list=lambda **_: found))
    monkeypatch.setattr(docker, "from_env", lambda **_: client)
    return found


@pytest.fixture
def command(command: CommandLine) -> CommandLine:
    """A stack that is up."""
    command.add_stack(tag="official", resources=3)
    command.set(outputs=OUTPUTS)
    return command


@pytest.fixture
def kestra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Kestra where one flow has run."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/main/executions":
            state = {"current": "FAILED", "startDate": "2026-01-01T12:00:00Z"}
            ran = request.url.params["flowId"] == "load"
            return httpx.Response(200, json={"results": [{"state": state}] if ran else []})
        return httpx.Response(200, json={"version": "1.3.0"})

    def client(*login: str, wait: float) -> KestraClient:
        return KestraClient(*login, wait=wait, transport=httpx.MockTransport(answer))

    monkeypatch.setattr(services, "KestraClient", client)
    monkeypatch.setenv("TZ", "UTC")


def test_status_shows_services_databases_and_flows(
    command: CommandLine, containers: list[Container], kestra: None
) -> None:
    containers += [Container("postgres"), Container("kestra", running=False), Container("pgadmin")]
    folder = command.folder / "backups"
    folder.mkdir()
    for stack in ("dev", "dev", "dev-verify"):
        moment = f"20260101T12000{len(list(folder.iterdir()))}Z"
        (folder / f"podium-{stack}-{moment}.tar").write_bytes(bytes(10_000))
    assert command.run("status") == Ended(
        0,
        """\
Stack dev: official plugins

Service   State    Health   Ports                 Memory  Image
kestra    exited   healthy  127.0.0.1:5433->5432          kestra:1
pgadmin   running  healthy  127.0.0.1:5433->5432  10 MiB  pgadmin:1
postgres  running  healthy  127.0.0.1:5433->5432  10 MiB  postgres:1

Data                       Size
Database kestra            8.0 MB
Database ny_taxi           1.0 GB
Kestra's internal storage  unknown: kestra does not answer
pgAdmin's volume           512.0 kB
Backups in backups (2)     20.0 kB

Flow           Revision  Last execution
zoomcamp/load  3         FAILED 2026-01-01 12:00:00
zoomcamp/new   1         never

Last backup: never; ./podium backup
""",
        "",
    )


@pytest.mark.parametrize(("days", "warned"), [(29, True), (31, False)])
def test_status_warns_of_certificates_that_expire_soon(
    command: CommandLine, containers: list[Container], kestra: None, days: int, *, warned: bool
) -> None:
    containers.append(Container("postgres"))
    expiry = f"{datetime.now() + timedelta(days=days):%Y-%m-%d}"
    command.set(outputs=OUTPUTS | {"certificatesExpire": expiry})
    warning = f"The certificates expire on {expiry}; to renew them: ./podium up\n"
    assert (warning in command.run("status").stdout) is warned


def test_status_of_an_offline_stack_that_is_down_says_so(
    command: CommandLine, containers: list[Container]
) -> None:
    command.add_stack(tag="offline")
    assert command.run("status") == Ended(
        0,
        f"Stack dev: offline plugins\n{OFFLINE_STACK['notice']}\n\nIt is not up: ./podium up\n",
        "",
    )


def test_status_of_an_official_stack_with_an_offline_image_says_so(
    command: CommandLine, containers: list[Container]
) -> None:
    command.add_stack(tag="official", kestraImage=OFFLINE_STACK["config"]["kestraImage"])
    head = f"Stack dev: official plugins\n{OFFLINE_STACK['notice']}\n"
    assert command.run("status").stdout.startswith(head)


def test_status_names_services_that_do_not_answer(
    command: CommandLine, containers: list[Container], monkeypatch: pytest.MonkeyPatch
) -> None:
    containers.append(Container("postgres", running=False))
    monkeypatch.setattr(status, "_WAIT_SECONDS", 0)
    command.set(outputs=OUTPUTS | {"kestraUrl": "http://127.0.0.1:9"})
    printed = command.run("status").stdout
    assert "zoomcamp/load  3         unknown: Kestra does not answer" in printed
    assert "Databases                  unknown: postgres does not answer" in printed


def test_status_survives_a_container_that_stops_meanwhile(
    command: CommandLine, containers: list[Container], kestra: None
) -> None:
    containers.append(Container("postgres"))
    containers[0].stops = True
    ended = command.run("status")
    assert ended.code == 0
    assert "Databases                  unknown: postgres does not answer" in ended.stdout


def test_logs_are_those_of_the_container(command: CommandLine, containers: list[Container]) -> None:
    containers.append(Container("kestra"))
    assert command.run("logs", "kestra").code == 0
    assert command.run("logs", "kestra", "--follow", "--tail", "5").code == 0
    assert command.calls[-1] == "docker logs --follow --tail 5 podium-dev-kestra"
    assert command.run("logs", "mysql") == Ended(
        1, "", 'Error: Stack dev has no service "mysql"; it has: kestra\n'
    )


def test_psql_gets_the_password_by_its_environment(command: CommandLine) -> None:
    command.replace_tool("psql", "import os, sys; print(sys.argv[1:], os.environ['PGPASSWORD'])")
    words = ["-h", "localhost", "-p", "5432", "-U", "etl", "-d", "ny_taxi", "-c", "SELECT 1"]
    result = command.run("psql", "etl", "-c", "SELECT 1")
    assert result == Ended(0, f"{words} etl-secret\n", "")


def test_psql_is_the_readers_without_a_role(command: CommandLine) -> None:
    command.replace_tool("psql", "import os; print(os.environ['PGPASSWORD'])")
    assert command.run("psql", "-c", "SELECT 1").stdout == "reader-secret\n"


def test_psql_of_the_container_is_used_where_the_machine_has_none(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert command.run("psql", "postgres").code == 0
    call = command.calls[-1]
    assert call.startswith("docker exec -i -e PGPASSWORD podium-dev-postgres psql -h 127.0.0.1")
    assert "secret" not in call


def test_unknown_role_is_named_with_those_there_are(command: CommandLine) -> None:
    result = command.run("psql", "root")
    assert result.code == 2
    assert 'there is no role "root"; there are: reader, etl, postgres' in result.stderr


@pytest.mark.parametrize(
    ("words", "url"),
    [([], "http://dev.localhost:8080"), (["pgadmin"], "http://dev.localhost:8085")],
)
@pytest.mark.parametrize("is_old", [False, True])
def test_open_prints_the_url_and_opens_it(
    command: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    url: str,
    is_old: bool,
) -> None:
    if is_old:  # It has no outputs for browsers.
        url = url.replace("dev.", "")
        command.set(outputs={key: OUTPUTS[key] for key in OUTPUTS if not key.endswith("Page")})
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert command.run("open", *words) == Ended(0, f"{url}\n", "")
    assert opened == [url]


def test_schema_is_that_of_the_server(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"/api/v1/plugins/schemas/flow": httpx.Response(200, json={"definitions": {}})}

    def client(*login: str, wait: float) -> KestraClient:
        transport = httpx.MockTransport(
            lambda request: answers.pop(
                request.url.path, httpx.Response(501, json={"message": "not supported offline"})
            )
        )
        return KestraClient(*login, wait=wait, transport=transport)

    monkeypatch.setattr(services, "KestraClient", client)
    assert command.run("schema") == Ended(0, '{"definitions": {}}\n', "")
    assert command.run("schema") == Ended(
        1,
        "",
        "Error: GET /api/v1/plugins/schemas/flow: status 501: not supported offline\n",
    )


def test_urls_hide_passwords_unless_asked(command: CommandLine) -> None:
    hidden, shown = command.run("urls").stdout, command.run("urls", "--show-passwords").stdout
    assert "secret" not in hidden
    assert hidden.endswith(f"Passwords: {SHOW}\n")
    for name in ("kestra", "pgadmin", "postgres", "etl", "reader"):
        assert f"{name}-secret" in shown
    assert re.search(r"localhost:5432/ny_taxi +reader ", shown)
    assert "metrics" not in shown
    command.set(outputs=OUTPUTS | {"kestraManagementUrl": "http://localhost:8081"})
    assert "health and metrics  http://localhost:8081" in command.run("urls").stdout


def test_stacks_are_listed_with_their_parts(command: CommandLine) -> None:
    printed = command.run("stacks").stdout.splitlines()
    assert printed[1].split() == ["dev", "official", "0", "never"]


def test_no_stack_is_no_error(command: CommandLine) -> None:
    command.set(stacks={})
    assert command.run("stacks").stdout == "There is no stack yet: ./podium up\n"


@pytest.mark.parametrize("tag", ["official", "offline"])
def test_pulumi_runs_with_the_parts_and_settings_of_the_stack(
    command: CommandLine, tag: str
) -> None:
    command.add_stack(tag=tag, resources=3)
    command.set(failing={"pulumi preview": "seen"})
    assert command.run("pulumi", "preview", "--diff", "--help").code == 1
    assert command.calls[-1] == "pulumi preview --diff --help"
    assert ("/offline/bin" in command.path_of("pulumi preview")) is (tag == "offline")
    environment = command.environment_of("pulumi preview")
    assert environment["PULUMI_STACK"] == "dev"
    settings = command.folder / ".podium/Pulumi.dev.yaml"
    assert environment["PULUMI_OPTION_CONFIG_FILE"] == str(settings)


def test_official_stack_does_not_get_offline_providers_that_are_on_path(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/offline/bin", prepend=os.pathsep)
    command.set(failing={"pulumi preview": "seen"})
    command.run("pulumi", "preview")
    assert "/offline/bin" not in command.path_of("pulumi preview")


@pytest.mark.parametrize(
    "words", [["--stack", "alice"], ["-s", "alice"], ["-salice"], ["--stack=alice"]]
)
def test_stack_in_the_arguments_of_pulumi_is_the_one(
    command: CommandLine, words: list[str]
) -> None:
    command.set(failing={"pulumi preview": "seen"})
    command.run("pulumi", "preview", *words)
    environment = command.environment_of("pulumi preview")
    assert environment["PULUMI_OPTION_CONFIG_FILE"].endswith("/.podium/Pulumi.alice.yaml")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["init"], "The stack dev already exists."),
        (["init", "dev"], "The stack dev already exists."),
        (["init", "--secrets-provider", "passphrase", "new"], "takes the name of the stack only."),
        (["rename", "new"], "a renamed stack would replace them, data and all."),
    ],
)
def test_local_settings_outlive_a_refused_command(
    command: CommandLine, words: list[str], message: str
) -> None:
    local = command.folder / ".podium/Pulumi.dev.yaml"
    command.add_stack(tag="official", resources=3)
    local.parent.mkdir(exist_ok=True)
    local.write_text("config: {podium:kestraPort: '9999'}\n")
    result = command.run("pulumi", "stack", *words)
    assert result.code == 1
    assert message in result.stderr
    assert local.read_text() == "config: {podium:kestraPort: '9999'}\n"


def test_pulumi_without_arguments_shows_its_help(command: CommandLine) -> None:
    command.run("pulumi")
    assert command.calls[-1] == "pulumi"


def test_settings_of_a_new_stack_create_it(command: CommandLine) -> None:
    command.set(stacks={}, failing={"pulumi config set": "seen"})
    assert command.run("pulumi", "config", "set", "pgadminPort", "9085").code == 1
    assert command.stack["resources"] == []


def test_stack_that_pulumi_inits_or_removes_leaves_the_shared_file_alone(
    command: CommandLine,
) -> None:
    shared = command.folder / "Pulumi.dev.yaml"
    shared.write_text("config: {podium:hostName: here}\n")
    command.set(stacks={})
    assert command.run("pulumi", "stack", "init") == Ended(0, "Created the stack dev.\n", "")
    assert command.stack["resources"] == []
    local = command.folder / ".podium/Pulumi.dev.yaml"
    assert local.exists()
    assert command.run("pulumi", "stack", "rm", "dev", "--yes").code == 0
    assert not local.exists()
    assert shared.read_text() == "config: {podium:hostName: here}\n"
