"""The offline images keep the contracts of the official images they replace."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import docker
import httpx
import psycopg
import pytest
import yaml
from docker.errors import ImageNotFound
from docker.models.containers import Container
from docker.models.networks import Network
from docker.models.volumes import Volume
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

_STACK = yaml.safe_load((Path(__file__).parents[2] / "stack.yaml").read_text())
POSTGRES, KESTRA, PGADMIN, NGINX = (
    _STACK["config"][f"{name}Image"] for name in ("postgres", "kestra", "pgadmin", "files")
)

Run = Callable[..., Container]
T = TypeVar("T")


@pytest.fixture(scope="module")
def network(docker_client: docker.DockerClient) -> Iterator[Network]:
    network = docker_client.networks.create("podium-test-images")
    yield network
    network.remove()


@pytest.fixture
def volume(docker_client: docker.DockerClient) -> Iterator[Volume]:
    """A volume; a test that asks for it before `run` has it until its containers are gone."""
    volume = docker_client.volumes.create()
    yield volume
    volume.remove()


@pytest.fixture
def run(docker_client: docker.DockerClient) -> Iterator[Run]:
    """Starts containers that the test leaves behind to be removed."""
    yield from _runner(docker_client)


@pytest.fixture(scope="module")
def run_for_module(docker_client: docker.DockerClient, network: Network) -> Iterator[Run]:
    yield from _runner(docker_client)


def _runner(client: docker.DockerClient) -> Iterator[Run]:
    containers: list[Container] = []

    def start(image: str, *command: str, port: int | None = None, **options: Any) -> Container:
        try:
            client.images.get(image)
        except ImageNotFound:
            reason = f"the image {image} is missing: offline/setup images"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
        if port:
            options["ports"] = {f"{port}/tcp": ("127.0.0.1", None)}
        containers.append(client.containers.run(image, list(command), detach=True, **options))
        return containers[-1]

    yield start
    for container in containers:
        container.remove(force=True, v=True)


def published(container: Container) -> int:
    """The loopback port that the container's only published port has now."""
    container.reload()
    ((binding, *_),) = (ports for ports in container.ports.values() if ports)
    return int(binding["HostPort"])


def output(container: Container, command: str | list[str]) -> str:
    """What a command that succeeds prints in the container."""
    code, printed = container.exec_run(command)
    assert code == 0
    assert isinstance(printed, bytes)
    return printed.decode()


def refusal(container: Container, code: int = 1) -> str:
    """What a container that must not start said before it ended."""
    assert container.wait(timeout=60)["StatusCode"] == code
    return container.logs().decode()


@retry(
    retry=retry_if_exception_type((psycopg.OperationalError, httpx.TransportError)),
    stop=stop_after_delay(90),
    wait=wait_fixed(0.2),
    reraise=True,
)
def answer(question: Callable[[], T]) -> T:
    """Asks for up to 90 seconds, until the server is there to answer."""
    return question()


def connect(container: Container, password: str, **options: Any) -> psycopg.Connection:
    return answer(
        lambda: psycopg.connect(
            host="127.0.0.1",
            port=published(container),
            password=password,
            autocommit=True,
            connect_timeout=5,
            **{"user": "postgres", "dbname": "postgres"} | options,
        )
    )


def value(connection: psycopg.Connection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


class TestPostgres:
    def test_variables_scripts_and_arguments_shape_the_database(
        self, run: Run, tmp_path: Path
    ) -> None:
        tmp_path.chmod(0o755)
        tmp_path.joinpath("1.sql").write_text("CREATE TABLE log (what text);")
        tmp_path.joinpath("2.sql.gz").write_bytes(gzip.compress(b"INSERT INTO log VALUES ('gz');"))
        tmp_path.joinpath("3.sh").write_text(
            """psql -U "$POSTGRES_USER" "$POSTGRES_DB" -c "INSERT INTO log VALUES ('sh')" """
        )
        container = run(
            POSTGRES,
            "-c",
            "shared_buffers=64MB",
            port=5432,
            environment={
                "POSTGRES_USER": "owner",
                "POSTGRES_PASSWORD": 'it\'s "secret"',
                "POSTGRES_DB": "my db",
                "POSTGRES_INITDB_ARGS": "--data-checksums",
            },
            volumes=[f"{tmp_path}:/docker-entrypoint-initdb.d:ro"],
        )
        with connect(container, 'it\'s "secret"', user="owner", dbname="my db") as connection:
            assert value(connection, "SELECT array_agg(what ORDER BY what) FROM log") == [
                "gz",
                "sh",
            ]
            assert value(connection, "SHOW shared_buffers") == "64MB"
            assert value(connection, "SHOW data_checksums") == "on"
            assert value(connection, "SHOW data_directory") == "/var/lib/postgresql/data"
            collation = "SELECT datcollate FROM pg_database WHERE datname = current_database()"
            assert value(connection, collation) == "en_US.utf8"
            assert value(connection, "SHOW server_version_num")[:2] == "17"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(
                host="127.0.0.1", port=published(container), user="owner", password="wrong"
            )

    def test_every_program_and_extension_finds_its_libraries(self, run: Run) -> None:
        container = run(POSTGRES, port=5432, environment={"POSTGRES_PASSWORD": "one"})
        with connect(container, "one") as connection:
            connection.execute("ALTER SYSTEM SET wal_compression = lz4")
            connection.execute("SET default_toast_compression = lz4")
            connection.execute("SET timezone = 'America/New_York'")
            names = connection.execute("SELECT name FROM pg_available_extensions").fetchall()
            for (name,) in names:
                connection.execute(f'CREATE EXTENSION IF NOT EXISTS "{name}" CASCADE')
        assert {("amcheck",), ("pg_stat_statements",), ("postgres_fdw",)} <= set(names)
        assert output(container, "pg_amcheck --username postgres postgres") == ""
        assert "PostgreSQL database dump" in output(container, "pg_dump --username postgres")
        libraries = output(
            container,
            ["bash", "-c", "ldd /usr/lib/postgresql/17/{bin/*,lib/*.so}"],
        )
        assert "libpq.so.5 => /" in libraries
        assert "not found" not in libraries

    def test_socket_is_where_the_official_image_has_it(self, run: Run) -> None:
        container = run(POSTGRES, port=5432, environment={"POSTGRES_PASSWORD": "one"})
        connect(container, "one").close()
        ready = output(container, "pg_isready --host /var/run/postgresql")
        assert ready == "/var/run/postgresql:5432 - accepting connections\n"

    def test_restart_keeps_the_data_and_stops_cleanly(self, run: Run) -> None:
        container = run(POSTGRES, port=5432, environment={"POSTGRES_PASSWORD": "one"})
        with connect(container, "one") as connection:
            connection.execute("CREATE TABLE kept (n int)")
        container.stop(timeout=20)
        assert container.wait()["StatusCode"] == 0
        container.start()
        with connect(container, "one") as connection:
            assert value(connection, "SELECT count(*) FROM kept") == 0
        assert b"Skipping initialization" in container.logs()

    def test_password_comes_from_a_file_that_only_root_may_read(
        self, run: Run, tmp_path: Path
    ) -> None:
        secret = tmp_path / "password"
        secret.write_text("from file\n")
        secret.chmod(0o400)
        container = run(
            POSTGRES,
            port=5432,
            environment={"POSTGRES_PASSWORD_FILE": "/run/secrets/password"},
            volumes=[f"{secret}:/run/secrets/password:ro"],
        )
        connect(container, "from file").close()
        owners = output(container, "stat --format %u:%a /proc/1 /var/lib/postgresql/data")
        assert owners.split() == ["999:555", "999:700"]

    def test_trust_lets_everyone_in(self, run: Run) -> None:
        container = run(POSTGRES, port=5432, environment={"POSTGRES_HOST_AUTH_METHOD": "trust"})
        connect(container, "any").close()

    def test_refuses_to_start_without_a_password(self, run: Run) -> None:
        assert "superuser password is not specified" in refusal(run(POSTGRES))

    def test_refuses_a_password_and_a_password_file(self, run: Run) -> None:
        environment = {"POSTGRES_PASSWORD": "a", "POSTGRES_PASSWORD_FILE": "/b"}
        container = run(POSTGRES, environment=environment)
        assert "both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are set" in refusal(container)

    def test_refuses_a_volume_with_files_of_something_else(self, run: Run, tmp_path: Path) -> None:
        tmp_path.joinpath("notes.txt").touch()
        container = run(
            POSTGRES,
            environment={"POSTGRES_PASSWORD": "one"},
            volumes=[f"{tmp_path}:/var/lib/postgresql/data"],
        )
        assert "is not empty and holds no database" in refusal(container)
        assert tmp_path.joinpath("notes.txt").exists()

    def test_refuses_initialisation_scripts_that_it_may_not_read(
        self, run: Run, tmp_path: Path
    ) -> None:
        tmp_path.chmod(0o700)
        container = run(
            POSTGRES,
            environment={"POSTGRES_PASSWORD": "one"},
            volumes=[f"{tmp_path}:/docker-entrypoint-initdb.d:ro"],
        )
        assert "Permission denied" in refusal(container, code=2)

    def test_an_initialisation_that_was_killed_begins_anew(
        self, volume: Volume, run: Run, tmp_path: Path
    ) -> None:
        tmp_path.chmod(0o755)
        tmp_path.joinpath("slow.sh").write_text("echo reached the script\nsleep 60")
        data = f"{volume.name}:/var/lib/postgresql/data"
        scripts = f"{tmp_path}:/docker-entrypoint-initdb.d:ro"
        environment = {"POSTGRES_PASSWORD": "one"}
        killed = run(POSTGRES, environment=environment, volumes=[data, scripts])
        assert any(b"reached the script" in line for line in killed.logs(stream=True))
        killed.kill()
        container = run(POSTGRES, port=5432, environment=environment, volumes=[data])
        connect(container, "one").close()

    def test_another_command_runs_as_it_is(self, run: Run) -> None:
        container = run(POSTGRES, "postgres", "--version")
        assert container.wait()["StatusCode"] == 0
        assert container.logs().startswith(b"postgres (PostgreSQL) 17.")


def get(container: Container, path: str) -> httpx.Response:
    """What the container's web server answers."""
    return httpx.get(f"http://127.0.0.1:{published(container)}{path}", timeout=30)


LOGIN = {"PGADMIN_DEFAULT_EMAIL": "admin@example.com", "PGADMIN_DEFAULT_PASSWORD": "Secret 1"}


@pytest.fixture(scope="module")
def pgadmin(
    run_for_module: Run, network: Network, tmp_path_factory: pytest.TempPathFactory
) -> Container:
    """PgAdmin beside a PostgreSQL server that it knows with its password."""
    folder = tmp_path_factory.mktemp("pgadmin")
    folder.chmod(0o755)
    database = run_for_module(
        POSTGRES, environment={"POSTGRES_PASSWORD": "one"}, network=network.name
    )
    server = {
        "Name": "warehouse",
        "Group": "Servers",
        "Host": database.short_id,
        "Port": 5432,
        "MaintenanceDB": "postgres",
        "Username": "postgres",
        "ConnectionParameters": {"sslmode": "prefer", "passfile": "/.pgpass"},
    }
    folder.joinpath("servers.json").write_text(json.dumps({"Servers": {"1": server}}))
    folder.joinpath("pgpass").write_text(f"{database.short_id}:5432:*:postgres:one\n")
    container = run_for_module(
        PGADMIN,
        port=5050,
        environment=LOGIN
        | {
            "PGADMIN_LISTEN_PORT": "5050",
            "PGADMIN_SERVER_JSON_FILE": "/given/servers.json",
            "PGPASS_FILE": "/given/pgpass",
            "PGADMIN_CONFIG_UPGRADE_CHECK_ENABLED": "false",
            "PGADMIN_CONFIG_LOGIN_BANNER": '"Hello, tester"',
        },
        network=network.name,
        volumes=[f"{folder}:/given:ro"],
    )
    answer(lambda: get(container, "/misc/ping"))
    return container


class TestPgadmin:
    def test_answers_a_ping_and_shows_the_login_page(self, pgadmin: Container) -> None:
        assert get(pgadmin, "/misc/ping").text == "PING"
        assert output(pgadmin, "wget -qO- http://localhost:5050/misc/ping") == "PING"
        page = get(pgadmin, "/login").text
        assert "pgAdmin 4" in page
        assert "Hello, tester" in page

    def test_runs_as_the_official_user(self, pgadmin: Container) -> None:
        owners = output(pgadmin, "stat --format %u:%g /proc/1 /var/lib/pgadmin")
        assert owners.split() == ["5050:0", "5050:0"]

    def test_programs_for_backup_and_restore_are_those_of_the_servers_version(
        self, pgadmin: Container
    ) -> None:
        for name in ("psql", "pg_dump", "pg_dumpall", "pg_restore"):
            assert f"{name} (PostgreSQL) 17." in output(
                pgadmin, f"/usr/local/pgsql-17/{name} --version"
            )

    def test_knows_the_server_and_connects_without_a_password(self, pgadmin: Container) -> None:
        address = f"http://127.0.0.1:{published(pgadmin)}"
        with httpx.Client(base_url=address, follow_redirects=True, timeout=30) as browser:
            token = re.search(r'csrfToken&?#?\w*;?": "([^"]+)"', browser.get("/login").text)
            assert token
            page = browser.post(
                "/authenticate/login",
                data={
                    "email": LOGIN["PGADMIN_DEFAULT_EMAIL"],
                    "password": LOGIN["PGADMIN_DEFAULT_PASSWORD"],
                    "csrf_token": token[1],
                },
            )
            assert page.url.path == "/browser/"
            script = browser.get("/browser/js/utils.js").text
            token = re.search(r"\['csrf_token'\] = '([^']+)'", script)
            assert token
            browser.headers["X-pgA-CSRFToken"] = token[1]
            (server,) = browser.get("/browser/server/nodes/1/").json()["result"]
            assert server["label"] == "warehouse"
            connected = browser.post(f"/browser/server/connect/1/{server['_id']}", json={})
            assert connected.json()["info"] == "Server connected.", connected.text

    @pytest.mark.parametrize(
        ("environment", "message"),
        [
            ({}, "You need to define the PGADMIN_DEFAULT_EMAIL"),
            ({"PGADMIN_DEFAULT_EMAIL": ""}, "You need to define the PGADMIN_DEFAULT_EMAIL"),
            (
                LOGIN | {"PGADMIN_DEFAULT_EMAIL": "admin@podium.local"},
                "'admin@podium.local' does not appear to be a valid email address",
            ),
            (LOGIN | {"PGADMIN_DEFAULT_PASSWORD_FILE": "/x"}, "are set (but are exclusive)"),
            (
                {"PGADMIN_DEFAULT_PASSWORD_FILE": "/missing"},
                'PGADMIN_DEFAULT_PASSWORD_FILE is set to "/missing"',
            ),
            (LOGIN | {"PGADMIN_ENABLE_TLS": "1"}, "PGADMIN_ENABLE_TLS is not supported"),
        ],
    )
    def test_refuses(self, run: Run, environment: dict[str, str], message: str) -> None:
        assert message in refusal(run(PGADMIN, environment=environment))


class TestNginx:
    def test_serves_the_files_of_its_root_and_logs_requests(self, run: Run, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        tmp_path.joinpath("trips.csv.gz").write_bytes(b"\x1f\x8bdata")
        container = run(
            NGINX,
            port=80,
            volumes=[f"{tmp_path}:/usr/share/nginx/html:ro"],
            read_only=True,
            tmpfs=dict.fromkeys(("/run", "/tmp", "/var/cache/nginx"), ""),
            cap_drop=["ALL"],
            cap_add=["CHOWN", "NET_BIND_SERVICE", "SETGID", "SETUID"],
            security_opt=["no-new-privileges:true"],
        )
        served = answer(lambda: get(container, "/trips.csv.gz"))
        assert (served.status_code, served.content) == (200, b"\x1f\x8bdata")
        assert get(container, "/missing.csv.gz").status_code == 404
        container.stop(timeout=20)
        assert container.wait()["StatusCode"] == 0
        assert b"GET /missing.csv.gz" in container.logs()


class TestKestra:
    def test_serves_its_api_behind_a_login_and_its_health_without(
        self, volume: Volume, run: Run, network: Network
    ) -> None:
        database = run(
            POSTGRES,
            port=5432,
            environment={"POSTGRES_PASSWORD": "one", "POSTGRES_DB": "kestra"},
            network=network.name,
        )
        connect(database, "one", dbname="kestra").close()
        user, password = "admin@example.com", "Secret123"
        configuration = {
            "datasources": {
                "postgres": {
                    "url": f"jdbc:postgresql://{database.short_id}:5432/kestra",
                    "driver-class-name": "org.postgresql.Driver",
                    "username": "postgres",
                    "password": "one",
                }
            },
            "kestra": {
                "server": {"basic-auth": {"username": user, "password": password}},
                "repository": {"type": "postgres"},
                "queue": {"type": "postgres"},
                "storage": {"type": "local", "local": {"base-path": "/app/storage"}},
            },
        }
        container = run(
            KESTRA,
            "server",
            "standalone",
            port=8080,
            user="root",
            environment={
                "KESTRA_CONFIGURATION": json.dumps(configuration),
                # Without the archive of its classes, Java refuses to start.
                "JAVA_TOOL_OPTIONS": "-Xshare:on",
            },
            network=network.name,
            read_only=True,
            tmpfs={"/tmp": "exec"},
            volumes=[f"{volume.name}:/app/storage"],
        )
        assert answer(lambda: get(container, "/api/v1/main/flows/search")).status_code == 401
        address = f"http://127.0.0.1:{published(container)}/api/v1/main/flows/search"
        assert httpx.get(address, auth=(user, password)).json()["total"] == 0
        health = (
            "exec 3<>/dev/tcp/127.0.0.1/8081; printf 'GET /health HTTP/1.0\r\n\r\n' >&3; cat <&3"
        )
        assert '"UP"' in output(container, ["bash", "-c", health])
        container.stop(timeout=20)
        assert container.wait()["StatusCode"] in (0, 143)
