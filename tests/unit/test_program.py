"""The whole program: what it declares with its defaults, and what its settings change."""

import ast
import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from cryptography import x509

from infra.kestra.folder import read_folder
from infra.settings import SettingsError
from tests.kestra.mocks import (
    DASHBOARD,
    DASHBOARD_DIRECTORY,
    FLOW_DIRECTORY,
    FLOW_NAMESPACE,
    STACK,
    Deployment,
    Resource,
)
from tests.unit.harness import (
    CONTAINER,
    DATABASE,
    DEFAULT_PRIVILEGES,
    GRANT,
    IMAGE,
    NETWORK,
    PASSWORD,
    POSTGRESQL,
    PROJECT,
    PROJECT_FOLDER,
    RANDOM_ID,
    ROLE,
    SCHEMA,
    VOLUME,
    deploy,
    environment,
    files,
)

SERVICES = ("postgres", "kestra", "pgadmin")
IMAGES = {service: PROJECT["config"][f"{service}Image"]["default"] for service in SERVICES}
IN_POSTGRESQL = (ROLE, DATABASE, SCHEMA, GRANT, DEFAULT_PRIVILEGES)
DATA_VOLUME = f"{VOLUME}::postgres-data"


def mounts(container: Resource) -> list[tuple[str, str]]:
    return [
        (volume.get("volumeName") or volume["hostPath"], volume["containerPath"])
        for volume in container.inputs["volumes"]
    ]


def kestra_configuration(deployment: Deployment) -> dict[str, Any]:
    container = deployment.one(CONTAINER, "kestra")
    path = environment(container)["MICRONAUT_CONFIG_FILES"]
    configuration: dict[str, Any] = yaml.safe_load(files(container)[path])
    return configuration


def password_file(container: Resource, variable: str) -> str:
    return files(container)[environment(container)[variable]]


# Names and places


def test_every_resource_belongs_to_a_component_and_components_to_the_stack(platform: Deployment):
    for resource in platform.resources:
        components = ("podium:infra:", "kestra:index:")
        on_top = resource.type.startswith(components)
        expected = f"{STACK}::podium-test" if on_top else components
        assert resource.parent.startswith(expected), resource.key


def test_components_have_the_type_tokens_of_the_project(platform: Deployment):
    assert {item.key for item in platform.resources if item.type.startswith("podium:")} == {
        "podium:infra:Network::network",
        "podium:infra:Postgres::postgres",
        "podium:infra:Databases::databases",
        "podium:infra:FileServer::files",
        "podium:infra:KestraServer::kestra",
        "podium:infra:PgAdmin::pgadmin",
    }


def test_objects_on_the_docker_host_are_named_and_labelled_by_project_and_stack(
    platform: Deployment,
):
    objects = [item for type_ in (NETWORK, VOLUME, CONTAINER) for item in platform.all(type_)]
    assert sorted(item.inputs["name"] for item in objects) == [
        "podium-test-kestra",
        "podium-test-kestra-data",
        "podium-test-network",
        "podium-test-pgadmin",
        "podium-test-pgadmin-data",
        "podium-test-postgres",
        "podium-test-postgres-data",
    ]
    for item in objects:
        labels = {label["label"]: label["value"] for label in item.inputs["labels"]}
        labels.pop("podium.databases", None)
        assert labels == {"podium.project": "podium", "podium.stack": "test"}


def test_two_stacks_share_no_physical_name_but_every_logical_one(platform: Deployment):
    other = deploy(stack_name="other")

    def names(deployment: Deployment) -> set[str]:
        types = (NETWORK, VOLUME, CONTAINER)
        return {item.inputs["name"] for type_ in types for item in deployment.all(type_)}

    assert not names(platform) & names(other)
    assert {item.key for item in platform.resources} == {item.key for item in other.resources}


# Containers


def test_the_services_meet_on_one_bridge_network_under_their_aliases(platform: Deployment):
    (network,) = platform.all(NETWORK)
    assert network.inputs["driver"] == "bridge"
    for service in SERVICES:
        assert platform.one(CONTAINER, service).inputs["networksAdvanced"] == [
            {"name": network.inputs["name"], "aliases": [service]}
        ]


@pytest.mark.parametrize(
    ("service", "ports"),
    [
        ("postgres", {5432: 5432}),
        ("kestra", {8080: 8080}),
        ("pgadmin", {8080: 8085}),
    ],
)
def test_ports_are_published_on_loopback(platform: Deployment, service: str, ports: dict[int, int]):
    assert platform.one(CONTAINER, service).inputs["ports"] == [
        {"internal": internal, "external": external, "ip": "127.0.0.1"}
        for internal, external in ports.items()
    ]


def test_ports_and_address_follow_the_settings():
    deployment = deploy(
        bindAddress="0.0.0.0",
        allowPlainText=True,
        postgresPort=15432,
        kestraPort=18080,
        kestraManagementPort=18081,
        pgadminPort=18085,
    )
    published = [port for item in deployment.all(CONTAINER) for port in item.inputs["ports"]]
    assert {(port["ip"], port["internal"], port["external"]) for port in published} == {
        ("0.0.0.0", 5432, 15432),
        ("0.0.0.0", 8080, 18080),
        ("0.0.0.0", 8081, 18081),
        ("0.0.0.0", 8080, 18085),
    }


@pytest.mark.parametrize(
    ("service", "mounted"),
    [
        ("postgres", [("podium-test-postgres-data", "/var/lib/postgresql/data")]),
        ("kestra", [("podium-test-kestra-data", "/app/storage")]),
        ("pgadmin", [("podium-test-pgadmin-data", "/var/lib/pgadmin")]),
    ],
)
def test_each_service_keeps_its_data_on_its_own_volume(
    platform: Deployment, service: str, mounted: list[tuple[str, str]]
):
    assert mounts(platform.one(CONTAINER, service)) == mounted


@pytest.mark.parametrize(
    ("image", "path"),
    [
        ("postgres:15", "/var/lib/postgresql/data"),
        ("postgres:17.7-bookworm", "/var/lib/postgresql/data"),
        ("postgres:18", "/var/lib/postgresql"),
        ("postgres:19beta1", "/var/lib/postgresql"),
    ],
)
def test_the_data_path_follows_the_major_version(image: str, path: str):
    container = deploy(postgresImage=image).one(CONTAINER, "postgres")
    assert mounts(container) == [("podium-test-postgres-data", path)]


@pytest.mark.parametrize(
    ("service", "command", "start_period", "wait_timeout", "retries"),
    [
        ("postgres", "pg_isready -h 127.0.0.1 -U postgres", "30s", 120, 10),
        ("kestra", "/dev/tcp/127.0.0.1/8081", "2m0s", 300, 3),
        ("pgadmin", "http://localhost:8080/misc/ping", "2m0s", 300, 10),
    ],
)
def test_up_waits_until_the_service_is_healthy(
    platform: Deployment,
    service: str,
    command: str,
    start_period: str,
    wait_timeout: int,
    retries: int,
):
    inputs = platform.one(CONTAINER, service).inputs
    tests = inputs["healthcheck"]["tests"]
    assert command in " ".join(tests)
    assert inputs["healthcheck"] == {
        "tests": tests,
        "interval": "5s",
        "timeout": "5s",
        "retries": retries,
        "startPeriod": start_period,
    }
    assert inputs["wait"] is True
    assert inputs["waitTimeout"] == wait_timeout


@pytest.mark.parametrize("service", SERVICES)
def test_services_restart_and_keep_a_bounded_log(platform: Deployment, service: str):
    inputs = platform.one(CONTAINER, service).inputs
    assert inputs["restart"] == "unless-stopped"
    assert inputs["logDriver"] == "json-file"
    assert inputs["logOpts"] == {"max-size": "10m", "max-file": "3"}


CAPABILITIES_OF_ROOT = {
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"),
    *("CAP_SETGID", "CAP_SETUID"),
}


@pytest.mark.parametrize(
    ("service", "capabilities", "memory", "folders"),
    [
        ("postgres", CAPABILITIES_OF_ROOT, 2048, None),
        ("kestra", CAPABILITIES_OF_ROOT, 4096, None),
        ("pgadmin", {"CAP_NET_BIND_SERVICE"}, 1024, None),
        (
            "files",
            {"CAP_CHOWN", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID"},
            256,
            {"/run", "/tmp", "/var/cache/nginx"},
        ),
    ],
)
def test_a_container_has_what_it_needs_and_no_more(
    service: str,
    capabilities: set[str],
    memory: int,
    folders: set[str] | None,
    tmp_path: Path,
):
    inputs = deploy(taxiSource=tmp_path).one(CONTAINER, service).inputs
    assert inputs["capabilities"]["drops"] == ["ALL"]
    assert set(inputs["capabilities"]["adds"]) == capabilities
    assert inputs["securityOpts"] == ["no-new-privileges"]
    assert (inputs["memory"], inputs["memorySwap"]) == (memory, 2 * memory)
    assert inputs.get("cpus") is None
    assert "privileged" not in inputs
    # Docker writes no file into a container that is read-only.
    assert inputs["readOnly"] is not bool(inputs["uploads"])
    assert set(inputs.get("tmpfs") or ()) == (folders or set())


def test_limits_follow_the_settings(tmp_path: Path):
    memory = {"postgres": 1025, "kestra": 1026, "pgadmin": 1027, "files": 1028}
    settings: dict[str, Any] = {f"{service}Memory": limit for service, limit in memory.items()}
    deployment = deploy(taxiSource=tmp_path, postgresCpus="1.5", kestraCpus="2", **settings)
    containers = {item.name: item.inputs for item in deployment.all(CONTAINER)}
    assert {name: inputs["memory"] for name, inputs in containers.items()} == memory
    assert {name: inputs.get("cpus") for name, inputs in containers.items()} == {
        "postgres": "1.5",
        "kestra": "2",
        "pgadmin": None,
        "files": None,
    }


def test_no_secret_is_in_an_environment_but_those_of_flows():
    variables = {"TOKEN": "bWluZQ==", "JAVA_OPTS": "-Xmx2g"}
    deployment = deploy({"kestraEnvironment": json.dumps(variables)})
    hidden = {f"generated-{item.name}-1A": item.name for item in deployment.all(PASSWORD)}
    hidden |= {base64.b64encode(key.encode()).decode(): name for key, name in hidden.items()}
    for container in deployment.all(CONTAINER):
        names = {
            variable: hidden[value]
            for variable, value in environment(container).items()
            if value in hidden
        }
        only = {"SECRET_WAREHOUSE_PASSWORD": "etl-role-password"}
        assert names == (only if container.name == "kestra" else {})
    envs = environment(deployment.one(CONTAINER, "kestra"))
    assert variables.items() <= envs.items()
    assert "bWluZQ==" not in repr([item.plain for item in deployment.resources])


@pytest.mark.parametrize(
    ("service", "path", "mode"),
    [
        ("postgres", "/run/secrets/postgres-password", "0600"),
        ("kestra", "/app/confs/application.yml", "0600"),
        # Which the user of the image reads as one of the group root.
        ("pgadmin", "/run/secrets/pgadmin-password", "0640"),
        ("pgadmin", "/pgadmin4/pgpass", "0640"),
    ],
)
def test_files_with_secrets_are_for_their_service_only(
    platform: Deployment, service: str, path: str, mode: str
):
    uploads = platform.one(CONTAINER, service).inputs["uploads"]
    assert [item["permissions"] for item in uploads if item["file"] == path] == [mode]


def test_each_stack_has_a_cookie_of_its_own(platform: Deployment):
    cookies = [
        environment(item.one(CONTAINER, "pgadmin"))["PGADMIN_CONFIG_SESSION_COOKIE_NAME"]
        for item in (platform, deploy(stack_name="other"))
    ]
    # The image writes it into a module of Python.
    assert list(map(ast.literal_eval, cookies)) == [
        "pga4_podium-test-session",
        "pga4_podium-other-session",
    ]


def test_kestra_has_longer_to_stop_than_it_gives_its_tasks(platform: Deployment):
    inputs = platform.one(CONTAINER, "kestra").inputs
    grace = kestra_configuration(platform)["kestra"]["server"]["termination-grace-period"]
    assert inputs["stopTimeout"] > int(grace.removesuffix("s"))
    assert inputs["destroyGraceSeconds"] == inputs["stopTimeout"]


def test_kestra_notices_when_the_other_side_of_a_connection_is_gone(platform: Deployment):
    assert platform.one(CONTAINER, "kestra").inputs["sysctls"] == {
        "net.ipv4.tcp_keepalive_time": "60",
        "net.ipv4.tcp_keepalive_intvl": "10",
        "net.ipv4.tcp_keepalive_probes": "3",
        "net.ipv4.tcp_retries2": "8",
    }


def test_containers_run_the_image_that_was_pulled(platform: Deployment):
    assert {item.name: item.inputs for item in platform.all(IMAGE)} == {
        service: {"name": image, "keepLocally": True} for service, image in IMAGES.items()
    }
    for service in SERVICES:
        assert platform.one(CONTAINER, service).inputs["image"] == f"sha256:{service}"


def test_no_container_gets_the_docker_socket_unless_asked(platform: Deployment):
    hosts = [host for item in platform.all(CONTAINER) for host, _ in mounts(item)]
    assert not any(host.startswith("/") for host in hosts)
    assert mounts(deploy(kestraDockerSocket=True).one(CONTAINER, "kestra"))[1:] == [
        ("/var/run/docker.sock", "/var/run/docker.sock"),
        ("/tmp/kestra-wd", "/tmp/kestra-wd"),
    ]


def test_postgresql_is_set_up_for_bulk_loads_and_ends_sessions_of_killed_clients(
    platform: Deployment,
):
    inputs = platform.one(CONTAINER, "postgres").inputs
    program, *options = inputs["command"]
    assert program == "postgres"
    assert set(options[::2]) == {"-c"}
    assert dict(option.split("=") for option in options[1::2]) == {
        "shared_buffers": "512MB",
        "maintenance_work_mem": "256MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "wal_compression": "lz4",
        "log_destination": "stderr",
        "logging_collector": "off",
        "tcp_keepalives_idle": "60s",
        "tcp_keepalives_interval": "10s",
        "tcp_keepalives_count": "3",
        "client_connection_check_interval": "10s",
        "tcp_user_timeout": "90s",
    }
    assert inputs["shmSize"] == 256


def test_kestra_is_configured_with_typed_values():
    deployment = deploy(
        {"kestraPassword": 'It\'s: "#1" {a}\\'},
        hostName="docker.example.com",
        kestraPort=9090,
        kestraDatabase="kestra_größe",
        kestraRole="kestra_owner",
    )
    encryption_key = base64.b64encode(b"generated-kestra-encryption-key-1A").decode()
    closed = (
        *("all", "beans", "caches", "env", "info", "loggers"),
        *("metrics", "refresh", "routes", "stop", "threaddump"),
    )
    assert kestra_configuration(deployment) == {
        "endpoints": {
            **{name: {"enabled": False} for name in closed},
            **{name: {"enabled": True} for name in ("health", "prometheus")},
        },
        "datasources": {
            "postgres": {
                "url": "jdbc:postgresql://postgres:5432/kestra_gr%C3%B6%C3%9Fe?tcpKeepAlive=true",
                "driver-class-name": "org.postgresql.Driver",
                "username": "kestra_owner",
                "password": "generated-kestra-role-password-1A",
                "keepalive-time": 60_000,
            }
        },
        "kestra": {
            "server": {
                "basic-auth": {
                    "username": "admin@example.com",
                    "password": 'It\'s: "#1" {a}\\',
                },
                "termination-grace-period": "60s",
                "worker-task-restart-strategy": "IMMEDIATELY",
                "liveness": {"timeout": "30s", "initial-delay": "30s"},
            },
            "jdbc": {
                "cleaner": {"initial-delay": "1h", "fixed-delay": "1h", "retention": "1d"},
                "queue": {
                    "cleaner": {"initial-delay": "1h", "fixed-delay": "1h", "retention": "1h"}
                },
            },
            "repository": {"type": "postgres"},
            "queue": {"type": "postgres"},
            "storage": {"type": "local", "local": {"base-path": "/app/storage"}},
            "tasks": {"tmp-dir": {"path": "/tmp/kestra-wd/tmp"}},
            "encryption": {"secret-key": encryption_key},
            "url": "http://docker.example.com:9090/",
            "variables": {
                "globals": {
                    "source": "https://github.com/DataTalksClub/nyc-tlc-data/releases/download/"
                    "{taxi}",
                    "warehouse": "jdbc:postgresql://postgres:5432/ny_taxi?tcpKeepAlive=true",
                    "retention": "90",
                }
            },
        },
    }


def test_flows_get_the_warehouse_login_as_base64():
    container = deploy({"etlPassword": "größer: als $1"}, etlRole="loader").one(CONTAINER, "kestra")
    secrets = {
        name: base64.b64decode(value).decode()
        for name, value in environment(container).items()
        if name.startswith("SECRET_")
    }
    assert secrets == {
        "SECRET_WAREHOUSE_USERNAME": "loader",
        "SECRET_WAREHOUSE_PASSWORD": "größer: als $1",
    }
    assert container.inputs["command"] == ["server", "standalone"]


def test_a_file_server_serves_the_taxi_folder_and_only_to_the_network(tmp_path: Path):
    deployment = deploy(taxiSource=tmp_path)
    files = deployment.one(CONTAINER, "files").inputs
    assert files["volumes"] == [
        {
            "hostPath": str(tmp_path),
            "containerPath": "/usr/share/nginx/html",
            "readOnly": True,
        }
    ]
    assert files["ports"] == []
    assert files["networksAdvanced"][0]["aliases"] == ["files"]
    assert kestra_configuration(deployment)["kestra"]["variables"]["globals"]["source"] == (
        "http://files"
    )


# Data


@pytest.mark.parametrize("protect", [False, True])
def test_the_data_volumes_are_protected_when_asked(protect: bool):
    volumes = deploy(protectVolumes=protect).all(VOLUME)
    assert {item.name: item.protect for item in volumes} == {
        "postgres-data": protect,
        "kestra-data": protect,
        "pgadmin-data": protect,
    }
    for item in volumes:
        assert item.inputs["driver"] == "local"
        assert item.ignore_changes == ("labels",)


def test_what_lives_in_postgresql_goes_with_its_volume(platform: Deployment):
    for item in platform.resources:
        in_kestra = (FLOW_DIRECTORY, FLOW_NAMESPACE, DASHBOARD_DIRECTORY, DASHBOARD)
        lives_there = item.type in (*IN_POSTGRESQL, *in_kestra)
        assert item.deleted_with == (DATA_VOLUME if lives_there else ""), item.key


# Databases


def test_postgresql_is_managed_by_its_superuser_once_it_runs(platform: Deployment):
    (provider,) = platform.all(POSTGRESQL)
    container = platform.one(CONTAINER, "postgres")
    login = {"host": "localhost", "port": "5432", "username": "postgres", "sslmode": "disable"}
    assert login.items() <= provider.inputs.items()
    assert provider.inputs["password"] == password_file(container, "POSTGRES_PASSWORD_FILE")
    assert container.key in provider.depends_on
    for item in platform.resources:
        if item.type in IN_POSTGRESQL:
            assert item.provider == provider.key
            assert container.key in item.depends_on


def test_flows_come_when_the_databases_are_there_and_pgadmin_at_once(platform: Deployment):
    inside = {item.key for item in platform.resources if item.type in IN_POSTGRESQL}
    for flow in platform.all(FLOW_NAMESPACE):
        assert inside <= flow.depends_on
    assert not inside & platform.one(CONTAINER, "pgadmin").depends_on


def test_each_kind_of_user_has_a_role_with_a_password_of_its_own(platform: Deployment):
    roles = [item.inputs for item in platform.all(ROLE)]
    assert {role["name"] for role in roles} == {"kestra", "etl", "reader", "pgadmin"}
    assert len({role["password"] for role in roles}) == len(roles)
    # No further attribute: none may create databases or roles, or is a superuser.
    limits = {"connectionLimit", "idleInTransactionSessionTimeout", "statementTimeout"}
    assert {frozenset(role) - limits for role in roles} == {
        frozenset({"name", "login", "password"})
    }


def test_roles_leave_connections_to_kestra_and_end_what_would_hold_locks(platform: Deployment):
    columns = ("connectionLimit", "idleInTransactionSessionTimeout", "statementTimeout")
    limits = {
        item.inputs["name"]: tuple(item.inputs.get(column) for column in columns)
        for item in platform.all(ROLE)
    }
    assert limits == {
        "kestra": (None, None, None),
        "etl": (50, 600_000, None),
        "reader": (15, 600_000, 3_600_000),
        "pgadmin": (10, 600_000, 3_600_000),
    }
    # Of 100 connections PostgreSQL reserves 3 for superusers.
    assert 97 - sum(limit or 0 for limit, *_ in limits.values()) >= 20


def test_only_who_writes_to_a_database_takes_its_advisory_locks(platform: Deployment):
    objects = {item.name: set(item.inputs.get("objects", ())) for item in platform.all(GRANT)}
    for database in ("kestra", "warehouse"):
        locks = objects[f"{database}-locks"]
        assert len(locks) == 16
        assert objects[f"{database}-revoke-functions"] == locks | {
            *("lo_creat", "lo_create", "lo_from_bytea"),
        }


def test_databases_and_schemas_have_the_owners_they_need(platform: Deployment):
    assert {(item.inputs["name"], item.inputs["owner"]) for item in platform.all(DATABASE)} == {
        ("kestra", "kestra"),
        ("ny_taxi", "postgres"),
    }
    assert {item.name: item.inputs for item in platform.all(SCHEMA)} == {
        name: {"name": name, "database": "ny_taxi", "owner": "postgres", "dropCascade": True}
        for name in ("staging", "trips", "quality", "reports")
    }


def test_roles_may_do_what_they_need_and_nothing_else(platform: Deployment):
    columns = ("database", "role", "objectType", "schema", "privileges")
    granted = {
        item.name: tuple(item.inputs.get(column) for column in columns)
        for item in platform.all(GRANT)
    }
    functions = ("function", "pg_catalog")
    assert granted == {
        "postgres-revoke-public": ("postgres", "public", "database", None, []),
        "template1-revoke-public": ("template1", "public", "database", None, []),
        "kestra-revoke-functions": ("kestra", "public", *functions, []),
        "kestra-locks": ("kestra", "kestra", *functions, ["EXECUTE"]),
        "warehouse-revoke-functions": ("ny_taxi", "public", *functions, []),
        "warehouse-locks": ("ny_taxi", "etl", *functions, ["EXECUTE"]),
        "kestra-revoke-public": ("kestra", "public", "database", None, []),
        "kestra-revoke-public-schema": ("kestra", "public", "schema", "public", []),
        "warehouse-revoke-public": ("ny_taxi", "public", "database", None, []),
        "warehouse-revoke-public-schema": ("ny_taxi", "public", "schema", "public", []),
        "etl-connect": ("ny_taxi", "etl", "database", None, ["CONNECT", "TEMPORARY"]),
        "etl-staging": ("ny_taxi", "etl", "schema", "staging", ["CREATE", "USAGE"]),
        "etl-trips": ("ny_taxi", "etl", "schema", "trips", ["CREATE", "USAGE"]),
        "etl-quality": ("ny_taxi", "etl", "schema", "quality", ["CREATE", "USAGE"]),
        "etl-reports": ("ny_taxi", "etl", "schema", "reports", ["CREATE", "USAGE"]),
        "reader-connect": ("ny_taxi", "reader", "database", None, ["CONNECT"]),
        "reader-staging-usage": ("ny_taxi", "reader", "schema", "staging", ["USAGE"]),
        "reader-staging-select": ("ny_taxi", "reader", "table", "staging", ["SELECT"]),
        "reader-trips-usage": ("ny_taxi", "reader", "schema", "trips", ["USAGE"]),
        "reader-trips-select": ("ny_taxi", "reader", "table", "trips", ["SELECT"]),
        "reader-quality-usage": ("ny_taxi", "reader", "schema", "quality", ["USAGE"]),
        "reader-quality-select": ("ny_taxi", "reader", "table", "quality", ["SELECT"]),
        "reader-reports-usage": ("ny_taxi", "reader", "schema", "reports", ["USAGE"]),
        "reader-reports-select": ("ny_taxi", "reader", "table", "reports", ["SELECT"]),
        "pgadmin-connect": ("ny_taxi", "pgadmin", "database", None, ["CONNECT"]),
        "pgadmin-connect-kestra": ("kestra", "pgadmin", "database", None, ["CONNECT"]),
        "pgadmin-staging-usage": ("ny_taxi", "pgadmin", "schema", "staging", ["USAGE"]),
        "pgadmin-staging-select": ("ny_taxi", "pgadmin", "table", "staging", ["SELECT"]),
        "pgadmin-trips-usage": ("ny_taxi", "pgadmin", "schema", "trips", ["USAGE"]),
        "pgadmin-trips-select": ("ny_taxi", "pgadmin", "table", "trips", ["SELECT"]),
        "pgadmin-quality-usage": ("ny_taxi", "pgadmin", "schema", "quality", ["USAGE"]),
        "pgadmin-quality-select": ("ny_taxi", "pgadmin", "table", "quality", ["SELECT"]),
        "pgadmin-reports-usage": ("ny_taxi", "pgadmin", "schema", "reports", ["USAGE"]),
        "pgadmin-reports-select": ("ny_taxi", "pgadmin", "table", "reports", ["SELECT"]),
        "pgadmin-kestra-usage": ("kestra", "pgadmin", "schema", "public", ["USAGE"]),
        "pgadmin-kestra-select": ("kestra", "pgadmin", "table", "public", ["SELECT"]),
    }


def test_readers_may_read_the_tables_that_will_come(platform: Deployment):
    columns = ("database", "role", "owner", "schema", "objectType", "privileges")
    promised = [
        tuple(item.inputs[column] for column in columns)
        for item in platform.all(DEFAULT_PRIVILEGES)
    ]
    assert sorted(promised) == [
        ("kestra", "pgadmin", "kestra", "public", "table", ["SELECT"]),
        ("ny_taxi", "pgadmin", "etl", "quality", "table", ["SELECT"]),
        ("ny_taxi", "pgadmin", "etl", "reports", "table", ["SELECT"]),
        ("ny_taxi", "pgadmin", "etl", "staging", "table", ["SELECT"]),
        ("ny_taxi", "pgadmin", "etl", "trips", "table", ["SELECT"]),
        ("ny_taxi", "reader", "etl", "quality", "table", ["SELECT"]),
        ("ny_taxi", "reader", "etl", "reports", "table", ["SELECT"]),
        ("ny_taxi", "reader", "etl", "staging", "table", ["SELECT"]),
        ("ny_taxi", "reader", "etl", "trips", "table", ["SELECT"]),
    ]


def test_privileges_in_a_database_are_granted_one_after_another(platform: Deployment):
    granted: dict[str, set[str]] = {}
    for item in platform.resources:
        if item.type in (GRANT, DEFAULT_PRIVILEGES):
            before = granted.setdefault(item.inputs["database"], set())
            waits_for = {key for key in item.depends_on if key in before}
            assert bool(waits_for) is bool(before), item.key
            before -= waits_for
            before.add(item.key)
    assert {len(last) for last in granted.values()} == {1}


def test_kestra_waits_for_every_privilege_in_its_database_alone(platform: Deployment):
    by_key = {item.key: item for item in platform.resources}
    waits_for, to_visit = set[str](), {by_key[f"{CONTAINER}::kestra"].key}
    while to_visit:
        new = {each for key in to_visit for each in by_key[key].depends_on} - waits_for
        waits_for |= new
        to_visit = new & by_key.keys()
    for item in platform.resources:
        if item.type in (GRANT, DEFAULT_PRIVILEGES):
            is_kestras = item.inputs["database"] == "kestra"
            assert (item.key in waits_for) is is_kestras, item.key


def test_names_in_postgresql_follow_the_settings():
    deployment = deploy(
        warehouseDatabase="dwh", kestraDatabase="conductor", etlRole="loader", readerRole="analyst"
    )
    assert {item.inputs["name"] for item in deployment.all(DATABASE)} == {"dwh", "conductor"}
    assert {item.inputs["name"] for item in deployment.all(ROLE)} == {
        "kestra",
        "loader",
        "analyst",
        "pgadmin",
    }
    assert {item.inputs["role"] for item in deployment.all(GRANT)} == {
        "public",
        "kestra",
        "loader",
        "analyst",
        "pgadmin",
    }


def test_what_is_renamed_with_a_role_or_database_is_not_deleted_under_its_old_name(
    platform: Deployment,
):
    for item in platform.resources:
        renamed = item.type in (GRANT, DEFAULT_PRIVILEGES, SCHEMA)
        assert item.retain_on_delete is renamed, item.key


def test_what_uses_the_databases_is_deleted_before_one_is_renamed():
    deployment = deploy(kestraDatabase="conductor", warehouseDatabase="dwh")
    (names,) = deployment.all(RANDOM_ID)
    assert names.inputs["keepers"] == {"kestra": "conductor", "warehouse": "dwh"}
    assert names.delete_before_replace
    for database in deployment.all(DATABASE):
        assert names.key in database.depends_on
    for container in deployment.all(CONTAINER):
        labels = {label["label"]: label["value"] for label in container.inputs["labels"]}
        uses = labels.get("podium.databases") == f"hex of {names.name}"
        assert uses is (container.name in ("kestra", "pgadmin"))
        assert (names.key in container.depends_on) is uses


# Flows


def test_the_flow_files_of_a_namespace_are_one_resource(platform: Deployment):
    namespaces = read_folder(PROJECT_FOLDER / "flows")
    assert {
        item.inputs["namespace"]: item.inputs["flows"] for item in platform.all(FLOW_NAMESPACE)
    } == {
        name: {flow_id: flow.text for flow_id, flow in namespace.flows.items()}
        for name, namespace in namespaces.items()
    }
    for item in platform.all(FLOW_NAMESPACE):
        assert f"{CONTAINER}::kestra" in item.depends_on
        assert item.inputs["url"] == platform.outputs["kestraUrl"]
        assert item.inputs["username"] == platform.outputs["kestraUser"]
        assert item.inputs["password"] == platform.outputs["kestraPassword"]


def test_another_kestra_validates_flows_and_dashboards_again():
    deployment = deploy(kestraImage="kestra/kestra:v2.1.0")
    for kind in (FLOW_NAMESPACE, DASHBOARD):
        assert deployment.all(kind)
        for item in deployment.all(kind):
            assert item.inputs["triggers"] == ["kestra/kestra:v2.1.0"]


def test_each_dashboard_file_is_one_resource(platform: Deployment):
    folder = PROJECT_FOLDER / "dashboards"
    assert {item.inputs["path"]: item.inputs["source"] for item in platform.all(DASHBOARD)} == {
        str(path.relative_to(PROJECT_FOLDER)): path.read_text() for path in folder.iterdir()
    }
    for item in platform.all(DASHBOARD):
        assert f"{CONTAINER}::kestra" in item.depends_on
        assert item.plain["password"] == "[secret]"


SCHEDULED = """\
id: nightly
namespace: demo
tasks:
  - {id: hello, type: io.kestra.plugin.core.log.Log, message: Hello}
triggers:
  - id: night
    type: io.kestra.plugin.core.trigger.Schedule
    cron: 0 3 * * *
"""


@pytest.mark.parametrize("enabled", [True, False])
def test_triggers_run_unless_schedules_are_off(
    enabled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "flows/demo/nightly.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(SCHEDULED)
    (tmp_path / "dashboards").mkdir()
    deployment = deploy(folder=tmp_path, schedulesEnabled=enabled)
    source = deployment.one(FLOW_NAMESPACE, "flows-demo").inputs["flows"]["nightly"]
    assert yaml.safe_load(source)["triggers"][0].get("disabled") is (None if enabled else True)
    assert (source == SCHEDULED) is enabled


# Secrets and outputs


def test_outputs_say_where_everything_is(platform: Deployment):
    assert platform.plain_outputs == {
        "kestraUrl": "http://localhost:8080",
        "kestraPage": "http://test.localhost:8080",
        "kestraUser": "admin@example.com",
        "kestraPassword": "[secret]",
        "kestraDatabase": "kestra",
        "pgadminUrl": "http://localhost:8085",
        "pgadminPage": "http://test.localhost:8085",
        "pgadminUser": "admin@example.com",
        "pgadminPassword": "[secret]",
        "postgresHost": "localhost",
        "postgresPort": 5432,
        "postgresUser": "postgres",
        "postgresPassword": "[secret]",
        "warehouseDatabase": "ny_taxi",
        "etlUser": "etl",
        "etlPassword": "[secret]",
        "readerUser": "reader",
        "readerPassword": "[secret]",
        "flows": {
            flow.key: 1
            for namespace in read_folder(PROJECT_FOLDER / "flows").values()
            for flow in namespace.flows.values()
        },
        "dashboards": {path.stem: True for path in (PROJECT_FOLDER / "dashboards").iterdir()},
        "images": IMAGES,
    }


def test_the_secret_outputs_are_the_passwords_in_use(platform: Deployment):
    outputs = platform.outputs
    roles = {item.inputs["name"]: item.inputs["password"] for item in platform.all(ROLE)}
    containers = {item.name: item for item in platform.all(CONTAINER)}
    basic_auth = kestra_configuration(platform)["kestra"]["server"]["basic-auth"]
    assert outputs["etlPassword"] == roles["etl"]
    assert outputs["readerPassword"] == roles["reader"]
    assert outputs["postgresPassword"] == password_file(
        containers["postgres"], "POSTGRES_PASSWORD_FILE"
    )
    assert outputs["pgadminPassword"] == password_file(
        containers["pgadmin"], "PGADMIN_DEFAULT_PASSWORD_FILE"
    )
    assert outputs["kestraPassword"] == basic_auth["password"]


def test_urls_carry_the_host_name():
    deployment = deploy(
        hostName="docker.example.com",
        kestraPort=9090,
        pgadminPort=9091,
        kestraManagementPort=8081,
    )
    for output, port in (("kestraUrl", 9090), ("kestraPage", 9090), ("pgadminUrl", 9091)):
        assert deployment.outputs[output] == f"http://docker.example.com:{port}"
    assert deployment.outputs["pgadminPage"] == "http://docker.example.com:9091"
    assert deployment.outputs["kestraManagementUrl"] == "http://docker.example.com:8081"
    assert deployment.outputs["postgresHost"] == "docker.example.com"
    assert deployment.one(POSTGRESQL, "databases").inputs["host"] == "docker.example.com"


# Gateway


def with_tls(tls: str = "internal", **config: Any) -> Deployment:
    return deploy(tls=tls, bindAddress="0.0.0.0", hostName="docker.example.com", **config)


def published(container: Resource) -> list[tuple[str, int, int]]:
    ports = container.inputs["ports"]
    return [(port["ip"], port["internal"], port["external"]) for port in ports]


@pytest.mark.parametrize(
    ("tls", "ports"),
    [
        ("internal", [("0.0.0.0", 443, 9443)]),
        ("acme", [("0.0.0.0", 80, 80), ("0.0.0.0", 443, 443)]),
    ],
)
def test_with_tls_a_network_reaches_the_gateway_and_postgresql_only(
    tls: str, ports: list[tuple[str, int, int]]
):
    deployment = with_tls(tls, gatewayPort=9443, kestraManagementPort=8081)
    assert {item.name: published(item) for item in deployment.all(CONTAINER)} == {
        "gateway": ports,
        "postgres": [("0.0.0.0", 5432, 5432)],
        "kestra": [("127.0.0.1", 8080, 8080), ("127.0.0.1", 8081, 8081)],
        "pgadmin": [("127.0.0.1", 8080, 8085)],
    }


@pytest.mark.parametrize(("tls", "port"), [("internal", ":8443"), ("acme", "")])
def test_with_tls_each_page_has_a_name_of_its_own(tls: str, port: str):
    deployment = with_tls(tls)
    outputs, container = deployment.outputs, deployment.one(CONTAINER, "gateway")
    for service in ("kestra", "pgadmin"):
        name = f"{service}.docker.example.com"
        assert outputs[f"{service}Page"] == f"https://{name}{port}"
        _, _, site = files(container)["/etc/caddy/Caddyfile"].partition(f"\n{name} {{\n")
        site = site.partition("\n}\n")[0]
        assert f"reverse_proxy {service}:8080" in site
        assert "header Strict-Transport-Security max-age=31536000" in site
        assert "max_size 100MB" in site
        assert "@large header_regexp Content-Length ^[0-9]{9,}$\n\trespond @large 413\n" in site
        assert ("tls /run/secrets/gateway.crt /run/secrets/gateway.key" in site) is (
            tls == "internal"
        )
    assert kestra_configuration(deployment)["kestra"]["url"] == f"{outputs['kestraPage']}/"
    # What Pulumi itself uses, on the Docker host.
    assert outputs["kestraUrl"] == "http://localhost:8080"
    volumes = mounts(container)
    assert volumes == ([("podium-test-gateway-data", "/data")] if tls == "acme" else [])


def test_pages_of_a_local_gateway_are_below_the_name_of_the_stack():
    outputs = deploy(tls="internal").outputs
    assert outputs["kestraPage"] == "https://kestra.test.localhost:8443"
    assert outputs["pgadminPage"] == "https://pgadmin.test.localhost:8443"


def test_with_tls_pgadmin_sends_its_cookie_over_tls_only(platform: Deployment):
    name = "PGADMIN_CONFIG_SESSION_COOKIE_SECURE"
    assert environment(with_tls().one(CONTAINER, "pgadmin"))[name] == "True"
    assert name not in environment(platform.one(CONTAINER, "pgadmin"))


@pytest.mark.parametrize("tls", ["internal", "acme"])
def test_with_tls_postgresql_takes_plain_text_from_the_network_of_the_stack_only(tls: str):
    deployment = with_tls(tls)
    container = deployment.one(CONTAINER, "postgres")
    rules = [line.split() for line in files(container)["/etc/postgresql/pg_hba.conf"].splitlines()]
    assert [(rule[0], *rule[3:]) for rule in rules if rule[0] != "local"] == [
        ("hostssl", "192.0.2.254/32", "scram-sha-256"),
        ("host", "192.0.2.254/32", "reject"),
        ("host", "samenet", "scram-sha-256"),
        ("hostssl", "all", "scram-sha-256"),
    ]
    assert {"ssl=on", "hba_file=/etc/postgresql/pg_hba.conf"} <= set(container.inputs["command"])
    assert deployment.one(POSTGRESQL, "databases").inputs["sslmode"] == "require"


def test_without_tls_there_are_no_certificates(platform: Deployment):
    assert not [item for item in platform.resources if "ertificates" in item.key]
    assert "ssl=on" not in platform.one(CONTAINER, "postgres").inputs["command"]
    assert platform.one(CONTAINER, "postgres").inputs.get("entrypoints") is None
    assert "rootCertificate" not in platform.outputs


def test_both_servers_have_certificates_of_the_stacks_authority():
    deployment = with_tls()
    authority = x509.load_pem_x509_certificate(deployment.outputs["rootCertificate"].encode())
    names = {}
    for server in ("postgres", "gateway"):
        container = deployment.one(CONTAINER, server)
        uploads = {item["file"]: item for item in container.inputs["uploads"]}
        pem, key = (uploads[f"/run/secrets/{server}.{end}"] for end in ("crt", "key"))
        certificate = x509.load_pem_x509_certificate(pem["content"].encode())
        certificate.verify_directly_issued_by(authority)
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names[server] = extension.value.get_values_for_type(x509.DNSName)
        assert key["permissions"] == "0600"
        assert "PRIVATE KEY" in key["content"]
        assert "PRIVATE KEY" not in repr(container.plain)
        expiry = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        assert deployment.outputs["certificatesExpire"] == expiry
    assert names == {
        "postgres": ["docker.example.com"],
        "gateway": ["kestra.docker.example.com", "pgadmin.docker.example.com"],
    }
    assert deployment.plain_outputs["rootCertificate"] == deployment.outputs["rootCertificate"]


CHOSEN = {
    "postgresPassword": "Chosen1-postgres",
    "kestraPassword": "Chosen1-kestra",
    "pgadminPassword": "Chosen1-pgadmin",
    "etlPassword": "Chosen1-etl",
    "readerPassword": "Chosen1-reader",
}


@pytest.mark.parametrize("secrets", [{}, CHOSEN], ids=["generated", "chosen"])
def test_no_password_shows_in_plain_text_anywhere(secrets: dict[str, str]):
    deployment = deploy(secrets)
    hidden = {
        *(f"generated-{item.name}-1A" for item in deployment.all(PASSWORD)),
        *secrets.values(),
    }
    hidden |= {base64.b64encode(value.encode()).decode() for value in hidden}
    shown = repr([deployment.plain_outputs, *(item.plain for item in deployment.resources)])
    assert [value for value in hidden if value in shown] == []


def test_passwords_that_the_user_sets_are_used_and_not_generated(platform: Deployment):
    deployment = deploy(CHOSEN)
    assert CHOSEN.items() <= deployment.outputs.items()
    assert {item.name for item in deployment.all(PASSWORD)} == {
        "kestra-encryption-key",
        "kestra-role-password",
        "pgadmin-role-password",
    }


def test_generated_passwords_meet_every_policy(platform: Deployment):
    assert len(platform.all(PASSWORD)) == 8
    for item in platform.all(PASSWORD):
        assert item.inputs == {
            "length": 32,
            "special": False,
            "minLower": 1,
            "minUpper": 1,
            "minNumeric": 1,
        }


def test_invalid_settings_stop_the_program_before_its_first_resource(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(pulumi.CustomResource, "__init__", lambda *_, **__: pytest.fail("declared"))
    with pytest.raises(SettingsError):
        deploy(kestraPort=80)


# The same every time


def test_the_program_declares_the_same_in_every_process():
    declare = (
        "import json; from dataclasses import asdict; from tests.unit.harness import deploy;"
        "resources = {item.key: asdict(item) for item in deploy().resources};"
        "print(json.dumps(resources, sort_keys=True, default=sorted))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", declare],
            cwd=PROJECT_FOLDER,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert runs[0].count(b'"inputs"') > 50
