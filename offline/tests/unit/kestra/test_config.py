"""The configuration: Kestra's keys in either case, and faults that are all told at once."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict

from offline.kestra import config, jdbc

GOOD: dict[str, Any] = {
    "datasources": {
        "postgres": {
            "url": "jdbc:postgresql://postgres:5432/kestra",
            "driverClassName": "org.postgresql.Driver",
            "username": "kestra",
            "password": "k&str: a",
        }
    },
    "kestra": {
        "server": {"basicAuth": {"username": "admin@podium.dev", "password": "Secret123"}},
        "repository": {"type": "postgres"},
        "queue": {"type": "postgres"},
        "storage": {"type": "local", "local": {"basePath": "/app/storage"}},
        "tasks": {"tmpDir": {"path": "/tmp/wd"}},
        "variables": {"globals": {"taxi_source": "http://files"}},
    },
}


def load(tree: dict[str, Any], **environment: str) -> config.Config:
    return config.load({"KESTRA_CONFIGURATION": yaml.safe_dump(tree), **environment})


def test_reads_keys_in_camel_and_kebab_case() -> None:
    loaded = load(GOOD, SECRET_WAREHOUSE=base64.b64encode(b"pw").decode(), ENV_MODE="x")
    assert conninfo_to_dict(loaded.database) == {
        "host": "postgres", "port": "5432", "dbname": "kestra", "user": "kestra",
        "password": "k&str: a",
    }  # fmt: skip
    assert str(loaded.storage) == "/app/storage"
    assert str(loaded.scratch) == "/tmp/wd"
    assert loaded.basic_auth == config.BasicAuth("admin@podium.dev", "Secret123")
    assert loaded.variables_globals == {"taxi_source": "http://files"}
    assert loaded.secrets == {"WAREHOUSE": "pw"}
    assert loaded.environment == {"mode": "x"}
    assert loaded.grace_period == 300
    assert (loaded.port, loaded.management_port) == (8080, 8081)
    assert loaded.release.api == "/api/v1/main"


def test_release_0_20_has_no_tenant_and_optional_credentials() -> None:
    tree = GOOD | {"kestra": GOOD["kestra"] | {"server": {"basic-auth": {"enabled": False}}}}
    loaded = load(tree, KESTRA_STAND_IN_VERSION="0.20.7")
    assert loaded.basic_auth is None
    assert loaded.release.api == "/api/v1"


def test_nothing_secret_stands_in_the_text_of_the_configuration() -> None:
    text = str(load(GOOD, SECRET_WAREHOUSE=base64.b64encode(b"hidden-pw").decode()))
    for secret in ("k&str: a", "Secret123", "hidden-pw"):
        assert secret not in text


def test_tells_all_faults_at_once() -> None:
    with pytest.raises(config.ConfigError) as raised:
        load(
            {
                "datasources": {"postgres": {"url": "jdbc:mysql://x"}},
                "kestra": {
                    "repository": {"type": "h2"},
                    "queue": {"type": "kafka"},
                    "storage": {"type": "s3"},
                    "server": {"terminationGracePeriod": "soon"},
                },
            },
            KESTRA_STAND_IN_VERSION="2.0.0",
            SECRET_X="not base64!",
        )
    message = str(raised.value)
    for part in (
        "KESTRA_STAND_IN_VERSION: '2.0.0' is none of 1.3.34, 0.20.7",
        "kestra.repository.type: 'h2' is not supported, set it to 'postgres'",
        "kestra.queue.type: 'kafka'",
        "kestra.storage.type: 's3'",
        "datasources.postgres.url: URL scheme is invalid",
        "kestra.storage.local.base-path: not set",
        "termination-grace-period: 'soon'",
        "SECRET_X: the value is not base64",
    ):
        assert part in message


@pytest.mark.parametrize("text", ["password: [hidden", "- hidden"])
def test_a_configuration_that_is_no_mapping(text: str) -> None:
    with pytest.raises(config.ConfigError, match="KESTRA_CONFIGURATION") as raised:
        config.load({"KESTRA_CONFIGURATION": text})
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    ("username", "password", "faults"),
    [
        ("admin@podium.dev", "Secret123", 0),
        ("admin", "Secret123", 1),
        ("admin@podium.dev", "secret123", 1),
        ("admin@podium.dev", "Sec1", 1),
        ("admin", "short", 2),
        ("admin@podium.dev", "Secret123" * 30, 1),
    ],
)
def test_credentials_are_checked_as_release_1_does(
    username: str, password: str, faults: int
) -> None:
    credentials = {"username": username, "password": password}
    tree = GOOD | {"kestra": GOOD["kestra"] | {"server": {"basic-auth": credentials}}}
    auth = load(tree).basic_auth
    assert auth is not None
    assert len(auth.errors) == faults


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("jdbc:postgresql://h:5433/d", {"host": "h", "port": "5433", "dbname": "d"}),
        ("jdbc:postgresql://h/", {"host": "h", "port": "5432"}),
        ("jdbc:postgresql:d", {"host": "localhost", "port": "5432", "dbname": "d"}),
        ("jdbc:postgresql://[::1]:1/a%20b", {"host": "::1", "port": "1", "dbname": "a b"}),
        ("jdbc:postgresql://a:1,b/d", {"host": "a,b", "port": "1,5432", "dbname": "d"}),
        (
            "jdbc:postgresql://h/d?ssl=true&connectTimeout=3&ApplicationName=x&user=u",
            {"sslmode": "verify-full", "connect_timeout": "3", "application_name": "x",
             "user": "u", "host": "h", "port": "5432", "dbname": "d"},
        ),
        (
            "jdbc:postgresql://h/d?currentSchema=s&reWriteBatchedInserts=true&socketTimeout=2",
            {"options": "-csearch_path=s", "tcp_user_timeout": "2000", "host": "h",
             "port": "5432", "dbname": "d"},
        ),
    ],
)  # fmt: skip
def test_jdbc_urls(url: str, expected: dict[str, str]) -> None:
    assert conninfo_to_dict(jdbc.conninfo(url)) == expected


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://h/d", "should start with `jdbc:postgresql`"),
        ("jdbc:postgresql://h:x/d", "is not `host:port`"),
        ("jdbc:postgresql://h/d?hostRecheckSeconds=1", "`hostRecheckSeconds` is not supported"),
    ],
)
def test_jdbc_urls_that_are_refused(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        jdbc.conninfo(url)
