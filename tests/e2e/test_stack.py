"""The life of one stack, in the order in which a user lives it: up, use, change, down."""

import base64
import contextlib
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import httpx
import psycopg
import pytest

from cli import offline
from cli.output import cache_folder
from infra.kestra.folder import read_folder
from tests.e2e.conftest import Project
from tests.e2e.warehouse import as_reader
from tests.pgadmin import connect_servers

# What is in flows/, each in its first revision.
FLOWS = {
    flow.key: 1
    for namespace in read_folder(Path(__file__).parents[2] / "flows").values()
    for flow in namespace.flows.values()
}
# The first `up` may have to build or pull every image.
pytestmark = [pytest.mark.timeout(1200)]


def loaded(outputs: dict[str, Any], taxi: str, month: str) -> tuple[Any, ...]:
    """Returns how many trips of a month are there, and the sum of their total_amount."""
    query = "SELECT count(*), sum(total_amount) FROM trips.{} WHERE month = %s"
    with as_reader(outputs) as connection:
        table = psycopg.sql.SQL(query).format(psycopg.sql.Identifier(taxi))
        row = connection.execute(table, [f"{month}-01"]).fetchone()
    assert row
    return row


def changes(result: subprocess.CompletedProcess[str]) -> str:
    """Returns what `up` says it did to the resources."""
    assert result.returncode == 0, result.stdout + result.stderr
    match = re.search(r"Resources:\n((?:    .*\n)+)", result.stdout)
    assert match, result.stdout
    return match[1]


def test_up_brings_services_that_answer(outputs: dict[str, Any]) -> None:
    login = (outputs["kestraUser"], outputs["kestraPassword"])
    assert httpx.get(f"{outputs['kestraUrl']}/api/v1/main/flows/search", auth=login).is_success
    assert httpx.get(f"{outputs['kestraUrl']}/api/v1/main/flows/search").status_code == 401
    assert httpx.get(f"{outputs['kestraManagementUrl']}/health").json()["status"] == "UP"
    assert httpx.get(f"{outputs['pgadminUrl']}/misc/ping").text == "PING"
    assert outputs["flows"] == FLOWS
    assert outputs["dashboards"] == {"taxi_loads": True}
    dashboard = httpx.get(f"{outputs['kestraUrl']}/api/v1/main/dashboards/taxi_loads", auth=login)
    assert dashboard.json()["title"] == "Taxi loads"


def test_ports_are_published_on_loopback_only(
    docker_client: docker.DockerClient, outputs: dict[str, Any]
) -> None:
    containers = docker_client.containers.list(filters={"label": "podium.stack=e2e"})
    published = [
        binding["HostIp"]
        for container in containers
        for bindings in container.ports.values()
        for binding in bindings or ()
    ]
    assert published == ["127.0.0.1"] * 4


def test_management_port_serves_health_and_metrics_and_nothing_else(
    outputs: dict[str, Any],
) -> None:
    url = outputs["kestraManagementUrl"]
    assert "jvm_memory_used_bytes" in httpx.get(f"{url}/prometheus").text
    for path in (
        *("beans", "caches", "env", "info", "loggers", "metrics"),
        *("refresh", "routes", "stop", "threaddump"),
    ):
        assert httpx.get(f"{url}/{path}").status_code == 404
        assert httpx.post(f"{url}/{path}").status_code == 404


def test_sessions_of_pages_are_those_of_one_stack(outputs: dict[str, Any]) -> None:
    for page in ("kestra", "pgadmin"):
        host, port = (urlsplit(outputs[f"{page}{kind}"]).netloc for kind in ("Page", "Url"))
        assert host == f"e2e.{port}"
    login_page = httpx.get(f"{outputs['pgadminUrl']}/login", follow_redirects=True)
    assert {name for name in login_page.cookies if "session" in name} == {"pga4_podium-e2e-session"}
    # The page answers under the name that browsers resolve themselves.
    headers = {"Host": urlsplit(outputs["kestraPage"]).netloc}
    login = (outputs["kestraUser"], outputs["kestraPassword"])
    answer = httpx.get(outputs["kestraUrl"], auth=login, headers=headers)
    assert answer.status_code < 400


def test_containers_have_what_they_need_and_no_more(
    docker_client: docker.DockerClient, outputs: dict[str, Any]
) -> None:
    containers = docker_client.containers.list(filters={"label": "podium.stack=e2e"})
    assert len(containers) == 4
    for container in containers:
        host = container.attrs["HostConfig"]
        assert (host["CapDrop"], host["Privileged"]) == (["ALL"], False)
        assert host["SecurityOpt"] == ["no-new-privileges"]
        assert host["Memory"] > 0
        assert not container.attrs["State"]["OOMKilled"]


def test_up_says_which_parts_are_offline(
    first_up: subprocess.CompletedProcess[str], outputs: dict[str, Any]
) -> None:
    if not outputs["images"]["kestra"].startswith("podium-offline/"):
        pytest.skip("this stack is made of the official parts")
    assert re.search(r"The image \S+ is unavailable: podium-offline/\S+ is used.", first_up.stdout)
    assert first_up.stdout.rstrip().endswith(offline.load_stack().notice)
    assert "from $PATH" not in first_up.stdout + first_up.stderr
    login = (outputs["kestraUser"], outputs["kestraPassword"])
    page = httpx.get(outputs["kestraUrl"], auth=login, follow_redirects=True).text
    assert "The engine is Kestra's own" in page


def test_up_leaves_the_checkout_clean(project: Project, outputs: dict[str, Any]) -> None:
    assert project.changed_files() == ""


def test_second_up_changes_nothing(project: Project, outputs: dict[str, Any]) -> None:
    assert re.fullmatch(r"    \d+ unchanged\n", changes(project.make("up")))
    project.pulumi("preview", "--refresh", "--expect-no-changes")


def test_pgadmin_connects_both_databases_without_asking(outputs: dict[str, Any]) -> None:
    # The group that a new login has is number 1, the one of servers.json comes after it.
    servers = connect_servers(
        outputs["pgadminUrl"], outputs["pgadminUser"], outputs["pgadminPassword"], group=2
    )
    assert servers == {"ny_taxi": "Server connected.", "kestra": "Server connected."}


def test_flow_loads_each_month_and_a_second_run_changes_nothing(
    project: Project, outputs: dict[str, Any]
) -> None:
    for month in project.months:
        for message in (f"{month.rows} trips loaded", "the file has not changed"):
            result = run_flow(project, month.taxi, month.month)
            assert result.returncode == 0, result.stdout + result.stderr
            assert message in " ".join(result.stdout.split())
            assert loaded(outputs, month.taxi, month.month) == (month.rows, month.total_amount)
    with as_reader(outputs) as connection:
        leftovers = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'staging'"
        ).fetchall()
    assert leftovers == []


def run_flow(project: Project, taxi: str, month: str) -> subprocess.CompletedProcess[str]:
    return project.make("run-flow", "FLOW=zoomcamp/taxi_load", f"INPUTS=taxi={taxi} month={month}")


def test_status_shows_what_runs(project: Project, outputs: dict[str, Any]) -> None:
    result = project.podium("status")
    assert result.returncode == 0, result.stderr
    for service in ("postgres", "kestra", "pgadmin", "files"):
        assert re.search(rf"{service} +running +healthy .* \d+ MiB +\S+:\S+\n", result.stdout)
    assert f"127.0.0.1:{outputs['postgresPort']}->5432" in result.stdout
    for data in ("Database ny_taxi", "Kestra's internal storage", "pgAdmin's volume"):
        assert re.search(rf"{data} +[\d.]+ [kMG]B\n", result.stdout)
    assert re.search(r"zoomcamp/taxi_load +1 +SUCCESS ", result.stdout)
    assert re.search(r"zoomcamp/hello_etl +1 +(never|SUCCESS)", result.stdout)


def test_urls_logs_and_psql_reach_the_services(project: Project, outputs: dict[str, Any]) -> None:
    assert outputs["kestraPage"] in project.podium("urls").stdout
    assert outputs["readerPassword"] in project.podium("urls", "--show-passwords").stdout
    logs = project.podium("logs", "postgres", "--tail", "5")
    assert logs.returncode == 0
    assert logs.stdout + logs.stderr
    for role in ("reader", "etl"):
        result = project.podium("psql", role, "-Atc", "SELECT current_user")
        assert (result.stdout, result.returncode) == (f"{role}\n", 0), result.stderr
    assert "e2e  " in project.podium("stacks").stdout


def test_help_of_a_flow_lists_its_inputs(project: Project, outputs: dict[str, Any]) -> None:
    result = project.podium("run", "zoomcamp/taxi_load", "--help")
    assert re.search(r"taxi +yellow \| green +yellow", result.stdout), result.stderr


def test_failing_flow_shows_its_log_and_fails(project: Project, outputs: dict[str, Any]) -> None:
    result = run_flow(project, "green", "2001-01")
    assert result.returncode != 0
    assert re.search(r"extract .*ERROR .*404", result.stdout), result.stdout
    assert re.search(r"extract +FAILED \(\d+\.\d s\)", result.stdout), result.stdout
    assert "zoomcamp/taxi_load: FAILED" in result.stdout


def test_wrong_input_is_refused_in_one_line(project: Project, outputs: dict[str, Any]) -> None:
    result = run_flow(project, "blue", "2019-01")
    assert result.returncode != 0
    assert "it must match the values `[yellow, green]`" in result.stderr
    assert "Traceback" not in result.stderr


def test_no_password_stands_in_plain_text(
    project: Project,
    docker_client: docker.DockerClient,
    first_up: subprocess.CompletedProcess[str],
    outputs: dict[str, Any],
    role_passwords: dict[str, str],
) -> None:
    keys = [
        json.loads(item["outputs"]["result"]["plaintext"])
        for item in project.resources()
        if item["type"] == "random:index/randomPassword:RandomPassword"
    ]
    passwords = {
        *keys,
        *role_passwords.values(),
        *(value for key, value in outputs.items() if key.endswith("Password")),
    }
    assert len(passwords) == 8
    passwords |= {base64.b64encode(password.encode()).decode() for password in passwords}
    texts = {"output of up": first_up.stdout + first_up.stderr}
    folders = (project.folder, project.backend, Path.home() / ".pulumi/logs")
    for path in (
        *cache_folder().glob("*.log"),
        *(path for each in folders for path in each.rglob("*")),
    ):
        if path.is_file():
            texts[str(path)] = path.read_text(errors="replace")
    for container in docker_client.containers.list(filters={"label": "podium.stack=e2e"}):
        texts[f"log of {container.name}"] = container.logs().decode()
        # Open-source Kestra takes the secrets of flows from its environment only.
        shown = re.sub(r"SECRET_WAREHOUSE_PASSWORD=[^\"]*", "", json.dumps(container.attrs))
        texts[f"what Docker shows of {container.name}"] = shown
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            texts[str(path)] = path.read_text(errors="replace")
    dump = project.run(
        "docker", "exec", "podium-e2e-postgres", "pg_dump", "-U", "postgres", "kestra"
    )
    texts["what Kestra keeps"] = dump.stdout
    # Executions that have failed are in there too.
    assert "FAILED" in dump.stdout
    assert len(texts) > 50
    for where, text in texts.items():
        assert not [password for password in passwords if password in text], where


def test_invalid_settings_are_reported_at_once_and_change_nothing(
    project: Project, outputs: dict[str, Any]
) -> None:
    settings = {"pgadminPort": "80", "etlRole": "pg_etl"}
    state = project.resources()
    for key, value in settings.items():
        project.pulumi("config", "set", key, value)
    try:
        result = project.make("up")
    finally:
        for key in settings:
            project.pulumi("config", "rm", key)
    text = result.stdout + result.stderr
    assert result.returncode != 0
    assert "2 settings are invalid; nothing was changed." in text
    assert 'podium:pgadminPort = "80" must be a port from 1024 to 65535' in text
    assert 'podium:etlRole = "pg_etl" must not be a role name' in text
    assert "Traceback" not in text
    assert project.resources() == state


def test_changed_flow_gets_a_new_revision(project: Project, outputs: dict[str, Any]) -> None:
    path = project.folder / "flows/zoomcamp/taxi_load.yaml"
    path.write_text(path.read_text() + "# A comment is part of the author's text.\n")
    assert re.fullmatch(r"    ~ 1 updated\n    \d+ unchanged\n", changes(project.make("up")))
    assert project.outputs()["flows"] == FLOWS | {"zoomcamp/taxi_load": 2}


def test_refused_flow_keeps_the_old_one(project: Project, outputs: dict[str, Any]) -> None:
    path = project.folder / "flows/zoomcamp/taxi_load.yaml"
    text = path.read_text()
    path.write_text(text.replace("io.kestra.plugin.core.log.Log", "io.kestra.plugin.no.Such"))
    try:
        result = project.make("up")
    finally:
        path.write_text(text)
    assert result.returncode != 0
    text = result.stdout + result.stderr
    assert "zoomcamp/taxi_load" in text
    assert "Invalid type: io.kestra.plugin.no.Such" in text
    assert "Traceback" not in text
    assert "~ 1 updated" in changes(project.make("up"))
    assert project.outputs()["flows"] == FLOWS | {"zoomcamp/taxi_load": 2}


def test_new_and_removed_flow_file(
    project: Project, outputs: dict[str, Any], role_passwords: dict[str, str]
) -> None:
    path = project.folder / "flows/zoomcamp/hello.yaml"
    path.write_text(
        "id: hello\nnamespace: zoomcamp\ntasks:\n"
        "  - id: hello\n    type: io.kestra.plugin.scripts.shell.Commands\n"
        "    taskRunner:\n      type: io.kestra.plugin.core.runner.Process\n"
        "    commands: [env]\n"
    )
    assert "~ 1 updated" in changes(project.make("up"))
    assert project.outputs()["flows"] == FLOWS | {"zoomcamp/hello": 1, "zoomcamp/taxi_load": 2}
    result = project.make("run-flow", "FLOW=zoomcamp/hello")
    assert result.returncode == 0, result.stdout + result.stderr
    # A script inherits the server's environment: Kestra's own passwords are not in it.
    assert "MICRONAUT_CONFIG_FILES=" in result.stdout
    for password in (outputs["kestraPassword"], role_passwords["kestra"]):
        assert password not in result.stdout
    path.unlink()
    assert "~ 1 updated" in changes(project.make("up"))
    login = (outputs["kestraUser"], outputs["kestraPassword"])
    answer = httpx.get(f"{outputs['kestraUrl']}/api/v1/main/flows/zoomcamp/hello", auth=login)
    assert answer.status_code == 404


def test_edit_in_the_browser_is_put_back(project: Project, outputs: dict[str, Any]) -> None:
    login = (outputs["kestraUser"], outputs["kestraPassword"])
    url = f"{outputs['kestraUrl']}/api/v1/main/flows/zoomcamp/taxi_load"
    source = httpx.get(url, params={"source": True}, auth=login).json()["source"]
    edited = source.replace("description: |", "description: |\n  Edited.", 1)
    headers = {"Content-Type": "application/x-yaml"}
    assert httpx.put(url, content=edited, headers=headers, auth=login).json()["revision"] == 3
    project.pulumi("refresh", "--yes", "--skip-preview")
    assert "~ 1 updated" in changes(project.make("up"))
    assert httpx.get(url, params={"source": True}, auth=login).json()["source"] == source


def test_changed_port_replaces_one_container_and_keeps_the_data(
    project: Project, outputs: dict[str, Any]
) -> None:
    port = outputs["postgresPort"] + 1000
    project.pulumi("config", "set", "postgresPort", str(port))
    steps = json.loads(project.pulumi("preview", "--json"))["steps"]
    replaced = {step["urn"].split("::")[-1] for step in steps if "replace" in step["op"]}
    assert replaced == {"postgres"}
    changes(project.make("up"))
    moved = project.outputs()
    assert moved["postgresPort"] == port
    month = project.months[0]
    assert loaded(moved, month.taxi, month.month) == (month.rows, month.total_amount)
    # Kestra has restarted with its database, and its flows and files are still there.
    deadline = time.monotonic() + 180
    while (result := run_flow(project, month.taxi, month.month)).returncode:
        assert time.monotonic() < deadline, result.stderr
        time.sleep(2)
    project.pulumi("preview", "--expect-no-changes")


def test_protected_volumes_keep_the_whole_stack(project: Project, outputs: dict[str, Any]) -> None:
    project.pulumi("config", "set", "protectVolumes", "true")
    try:
        assert project.make("up").returncode == 0
        state = project.resources()
        result = project.make("down")
        assert result.returncode != 0
        refused = re.findall(
            r"docker:index/volume:Volume::([\w-]+)\S* cannot be deleted", result.stderr
        )
        assert set(refused) == {"postgres-data", "kestra-data", "pgadmin-data"}
        assert project.resources() == state
    finally:
        project.pulumi("config", "set", "protectVolumes", "false")
        project.make("up")


def test_down_leaves_nothing(
    project: Project, docker_client: docker.DockerClient, outputs: dict[str, Any]
) -> None:
    label: dict[str, Any] = {"label": "podium.stack=e2e"}
    containers = docker_client.containers.list(filters=label)
    mounted = {mount.get("Name") for item in containers for mount in item.attrs["Mounts"]} - {None}
    assert len(containers) == 4
    assert len(mounted) >= 3
    result = project.make("down")
    assert result.returncode == 0, result.stdout + result.stderr
    assert docker_client.containers.list(all=True, filters=label) == []
    assert docker_client.networks.list(filters=label) == []
    assert docker_client.volumes.list(filters=label) == []
    # Nor is any left without a label, such as one that an image asks for.
    assert mounted.isdisjoint(volume.name for volume in docker_client.volumes.list())
    # Images that were built or pulled stay for the next stack; none carries the stack's name.
    assert not [tag for image in docker_client.images.list() for tag in image.tags if "e2e" in tag]
    assert project.resources() == []
    assert project.make("down").returncode == 0
