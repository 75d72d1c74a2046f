"""A stack that is opened to a network: its pages and its database with TLS."""

import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import httpx
import psycopg
import pytest

from tests.e2e.conftest import Project
from tests.e2e.warehouse import as_reader

# The first `up` may have to build or pull every image.
pytestmark = [pytest.mark.timeout(1200)]


def ask(context: ssl.SSLContext, page: str, path: str, **options: Any) -> httpx.Response:
    """Asks a page whose name only browsers resolve."""
    host = urlsplit(page)
    with httpx.Client(verify=context) as client:
        return client.get(
            f"https://127.0.0.1:{host.port}{path}",
            headers={"Host": host.netloc},
            extensions={"sni_hostname": host.hostname},
            **options,
        )


def protocol(context: ssl.SSLContext, page: str) -> str | None:
    """Returns the protocol that the gateway chooses of all that it could speak."""
    host = urlsplit(page)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", host.port)) as connection,
        context.wrap_socket(connection, server_hostname=host.hostname) as encrypted,
    ):
        return encrypted.selected_alpn_protocol()


def as_postgres(
    outputs: dict[str, Any], sslmode: str = "prefer", sslrootcert: str | None = None
) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=outputs["postgresHost"],
        port=outputs["postgresPort"],
        user=outputs["postgresUser"],
        password=outputs["postgresPassword"],
        dbname=outputs["warehouseDatabase"],
        sslmode=sslmode,
        sslrootcert=sslrootcert,
    )


def test_stack_is_opened_with_tls_and_closed_again(
    project: Project,
    docker_client: docker.DockerClient,
    outputs: dict[str, Any],
    tmp_path: Path,
) -> None:
    with as_postgres(outputs) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    project.pulumi("config", "set", "tls", "internal")
    result = project.make("up")
    assert result.returncode == 0, result.stdout + result.stderr
    opened = project.outputs()
    authority = tmp_path / "authority.pem"
    authority.write_text(opened["rootCertificate"])
    context = ssl.create_default_context(cafile=str(authority))

    kestra, pgadmin = opened["kestraPage"], opened["pgadminPage"]
    login = (opened["kestraUser"], opened["kestraPassword"])
    flows = "/api/v1/main/flows/search"
    assert ask(context, kestra, flows).status_code == 401
    answer = ask(context, kestra, flows, auth=login)
    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    answer = ask(context, pgadmin, "/login")
    assert answer.status_code == 200
    assert all("; Secure" in cookie for cookie in answer.headers.get_list("set-cookie"))
    assert protocol(context, kestra) == "h2"
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        ask(ssl.create_default_context(), kestra, flows)

    as_postgres(opened, sslmode="verify-full", sslrootcert=str(authority)).close()
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf"):
        as_postgres(opened, sslmode="disable")
    result = project.make("up")
    assert "unchanged\n\n" in result.stdout.partition("Resources:\n")[2], result.stdout

    project.pulumi("config", "rm", "tls")
    result = project.make("up")
    assert result.returncode == 0, result.stdout + result.stderr
    outputs.update(project.outputs())
    with as_postgres(outputs) as connection:
        assert connection.execute("SELECT one FROM kept").fetchall() == [(1,)]
        connection.execute("DROP TABLE kept")
    with as_reader(outputs) as connection:
        connection.execute("SELECT 1")
    names = [
        item.name for item in docker_client.containers.list(filters={"label": "podium.stack=e2e"})
    ]
    assert "podium-e2e-gateway" not in names
