"""Each component alone."""

import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pulumi
import pytest
import yaml

from infra.container import Placement
from infra.databases import Databases, DatabasesArgs, Login
from infra.file_server import TaxiSource, TaxiSourceArgs
from infra.kestra_server import KestraServer, KestraServerArgs
from infra.network import Network
from infra.pgadmin import PgAdmin, PgAdminArgs
from infra.postgres import Postgres, PostgresArgs
from tests.kestra.mocks import Deployment
from tests.unit.harness import (
    CONTAINER,
    NETWORK,
    PASSWORD,
    POSTGRESQL,
    ROLE,
    VOLUME,
    environment,
    files,
    run,
)

SERVICE: dict[str, Any] = {
    "placement": Placement("lan", "docker.example.com", "192.0.2.1", protect_volumes=False),
    "image": "image:1",
    "memory": 512,
}

POSTGRES = PostgresArgs(**SERVICE, major_version=17, port=15432, password="superuser's")


def databases() -> Databases:
    args = DatabasesArgs(
        server=Postgres("db", POSTGRES),
        kestra_database="conductor",
        warehouse_database="dwh",
        kestra_role="owner",
        etl_role="writer",
        reader_role="analyst",
        pgadmin_role="browser",
        etl_password="writer's",
        reader_password=None,
    )
    return Databases("databases", args)


def login(database: str, password: str) -> Login:
    return Login("db:5432", database, "browser", pulumi.Output.secret(password))


def kestra(**changes: Any) -> Deployment:
    def declare() -> None:
        args = KestraServerArgs(
            **SERVICE,
            port=18080,
            management_port=18081,
            username="admin@example.com",
            password=None,
            databases=databases(),
            variables={"answer": "42", "yes": "no"},
            secrets={"PLAIN": "one", "SECRET": pulumi.Output.secret("two")},
            environment={},
            docker_socket=False,
        )
        server = KestraServer("kestra", replace(args, **changes))
        pulumi.export("url", server.connection.url)
        pulumi.export("username", server.connection.username)
        pulumi.export("password", server.connection.password)

    return run(declare)


def pgadmin(role_password: str = "browser's", **changes: Any) -> Deployment:
    def declare() -> None:
        args = PgAdminArgs(
            **SERVICE,
            port=18085,
            email="admin@example.com",
            password=None,
            databases=(login("dwh", role_password), login("conductor", role_password)),
            names_id="a name",
        )
        for name, value in PgAdmin("pgadmin", replace(args, **changes)).outputs.items():
            pulumi.export(name, value)

    return run(declare)


def test_network_gives_its_name_on_the_docker_host():
    deployment = run(lambda: pulumi.export("name", Network("lan").network_name))
    assert deployment.one(NETWORK, "lan").parent == "podium:infra:Network::lan"
    assert deployment.outputs == {"name": "podium-test-network"}


@pytest.mark.parametrize(
    ("declare", "variable"),
    [
        (
            lambda password: run(
                lambda: Postgres("postgres", replace(POSTGRES, password=password))
            ),
            "POSTGRES_PASSWORD_FILE",
        ),
        (lambda password: pgadmin(password=password), "PGADMIN_DEFAULT_PASSWORD_FILE"),
    ],
    ids=["postgres", "pgadmin"],
)
@pytest.mark.parametrize("password", [None, "It's = mine"])
def test_a_password_is_generated_unless_it_is_given(
    declare: Callable[[str | None], Deployment], variable: str, password: str | None
):
    deployment = declare(password)
    (container,) = deployment.all(CONTAINER)
    name = f"{container.name}-password"
    assert [item.name for item in deployment.all(PASSWORD)] == ([] if password else [name])
    path = environment(container)[variable]
    assert files(container)[path] == (password or f"generated-{name}-1A")
    assert container.plain["uploads"] == "[secret]"


def test_postgres_publishes_its_port_on_the_bind_address():
    def declare() -> None:
        pulumi.export("password", Postgres("postgres", POSTGRES).password)

    deployment = run(declare)
    container = deployment.one(CONTAINER, "postgres")
    assert container.inputs["ports"] == [{"internal": 5432, "external": 15432, "ip": "192.0.2.1"}]
    assert container.depends_on >= {f"{VOLUME}::postgres-data"}
    assert deployment.plain_outputs == {"password": "[secret]"}


def test_databases_log_in_as_the_superuser_through_the_published_port():
    def declare() -> None:
        component = databases()
        pulumi.export("kestra", component.kestra.password)
        pulumi.export("etl", component.etl.password)
        pulumi.export("reader", component.reader.password)
        pulumi.export("pgadmin", component.pgadmin[0].password)

    deployment = run(declare)
    login = {
        "host": "docker.example.com",
        "port": "15432",
        "username": "postgres",
        "password": "superuser's",
    }
    assert login.items() <= deployment.one(POSTGRESQL, "databases").inputs.items()
    assert {item.inputs["name"]: item.inputs["password"] for item in deployment.all(ROLE)} == {
        "owner": deployment.outputs["kestra"],
        "writer": "writer's",
        "analyst": deployment.outputs["reader"],
        "browser": deployment.outputs["pgadmin"],
    }
    assert set(deployment.plain_outputs.values()) == {"[secret]"}
    assert {item.deleted_with for item in deployment.all(ROLE)} == {f"{VOLUME}::db-data"}


def test_kestra_gets_variables_as_text_and_its_secrets_encoded():
    deployment = kestra(
        password="Given1-password", environment={"JAVA_OPTS": "-Xmx1g", "TOKEN": "mine"}
    )
    container = deployment.one(CONTAINER, "kestra")
    envs = environment(container)
    configuration = yaml.safe_load(files(container)[envs.pop("MICRONAUT_CONFIG_FILES")])
    assert envs == {
        "JAVA_OPTS": "-Xmx1g",
        "TOKEN": "mine",
        "SECRET_PLAIN": "b25l",
        "SECRET_SECRET": "dHdv",
    }
    assert configuration["kestra"]["variables"] == {"globals": {"answer": "42", "yes": "no"}}
    assert configuration["datasources"]["postgres"] == {
        "url": "jdbc:postgresql://db:5432/conductor?tcpKeepAlive=true",
        "driver-class-name": "org.postgresql.Driver",
        "username": "owner",
        "password": "generated-kestra-role-password-1A",
        "keepalive-time": 60_000,
    }
    assert deployment.outputs == {
        "url": "http://docker.example.com:18080",
        "username": "admin@example.com",
        "password": "Given1-password",
    }
    assert (container.plain["envs"], container.plain["uploads"]) == ("[secret]", "[secret]")


def test_kestra_owns_the_shared_paths():
    container = kestra(docker_socket=True).one(CONTAINER, "kestra")
    assert container.inputs["user"] == "root"
    assert [port["internal"] for port in container.inputs["ports"]] == [8080, 8081]
    assert len(container.inputs["volumes"]) == 3


def test_the_management_port_is_published_on_demand():
    container = kestra(management_port=None).one(CONTAINER, "kestra")
    assert [port["internal"] for port in container.inputs["ports"]] == [8080]


@contextmanager
def answering(status: int) -> Iterator[int]:
    """Runs a server that gives every request this status; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (401, False)])
def test_kestra_is_healthy_when_its_management_port_says_so(status: int, healthy: bool):
    kind, *command = kestra().one(CONTAINER, "kestra").inputs["healthcheck"]["tests"]
    assert kind == "CMD"
    with answering(status) as port:
        command = [part.replace("8081", str(port)) for part in command]
        assert (subprocess.run(command, timeout=5).returncode == 0) is healthy
    assert subprocess.run(command, timeout=5, capture_output=True).returncode != 0


def test_pgadmin_has_every_database_registered():
    deployment = pgadmin()
    container = deployment.one(CONTAINER, "pgadmin")
    path = environment(container)["PGADMIN_SERVER_JSON_FILE"]
    servers = json.loads(files(container)[path])
    shared = {
        "Group": "Podium",
        "Host": "db",
        "Port": 5432,
        "Username": "browser",
        "ConnectionParameters": {"sslmode": "prefer", "passfile": "/.pgpass"},
    }
    assert servers == {
        "Servers": {
            "1": {"Name": "dwh", "MaintenanceDB": "dwh", **shared},
            "2": {"Name": "conductor", "MaintenanceDB": "conductor", **shared},
        }
    }
    assert deployment.outputs["pgadminUrl"] == "http://docker.example.com:18085"


@pytest.mark.parametrize(
    ("password", "escaped"),
    [("plain", "plain"), ("a:b", r"a\:b"), ("a\\b", r"a\\b"), (r"\:", r"\\\:"), ("größe", "größe")],
)
def test_pgadmin_gets_the_role_password_escaped_for_libpq(password: str, escaped: str):
    deployment = pgadmin(role_password=password)
    container = deployment.one(CONTAINER, "pgadmin")
    assert files(container)["/pgadmin4/pgpass"] == f"db:5432:*:browser:{escaped}\n"
    assert container.plain["uploads"] == "[secret]"


@pytest.mark.parametrize(
    ("email", "folder"),
    [
        ("admin@example.com", "admin_example.com"),
        ("1st@example.com", "pga_user_1st_example.com"),
        ("o'brien@example.com", "o'brien_example.com"),
        ("a/b@example.com", "aslashb_example.com"),
        ("müller@example.com", "müller_example.com"),
    ],
)
def test_the_pgpass_is_in_the_storage_of_the_login(email: str, folder: str):
    container = pgadmin(email=email).one(CONTAINER, "pgadmin")
    shell, option, script = container.inputs["entrypoints"]
    assert (shell, option) == ("/bin/sh", "-c")
    assert shlex.split(script) == [
        *("install", "-D", "-m", "0600", "/pgadmin4/pgpass"),
        f"/var/lib/pgadmin/storage/{folder}/.pgpass",
        *("&&", "exec", "/entrypoint.sh"),
    ]
    assert environment(container)["PGADMIN_DEFAULT_EMAIL"] == email


def test_a_url_of_taxi_files_needs_no_file_server():
    args = TaxiSourceArgs(**SERVICE, url="https://example.com/{taxi}", folder=None)
    deployment = run(lambda: pulumi.export("url", TaxiSource("mirror", args).url))
    assert deployment.outputs == {"url": "https://example.com/{taxi}"}
    assert deployment.all(CONTAINER) == []


def test_the_file_server_of_a_folder_is_reached_by_its_name_only():
    args = TaxiSourceArgs(**SERVICE, url="/data/taxi", folder=Path("/data/taxi"))
    deployment = run(lambda: pulumi.export("url", TaxiSource("mirror", args).url))
    container = deployment.one(CONTAINER, "mirror")
    assert deployment.outputs == {"url": "http://mirror"}
    assert container.inputs["networksAdvanced"] == [{"name": "lan", "aliases": ["mirror"]}]
    assert container.inputs["ports"] == []
    assert container.inputs["volumes"][0]["readOnly"] is True
