"""The configuration: Kestra's keys in either case, and one error with all that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from offline.kestra import config

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


def load(tree: dict[str, Any]) -> config.Config:
    return config.load({"KESTRA_CONFIGURATION": yaml.safe_dump(tree)})


def test_reads_a_file_where_the_environment_has_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "application.yml"
    path.write_text(yaml.safe_dump(GOOD))
    environment = {"MICRONAUT_CONFIG_FILES": str(path)}
    assert config.load(environment) == load(GOOD)
    other = GOOD | {"micronaut": {"server": {"port": 1}}}
    environment["KESTRA_CONFIGURATION"] = yaml.safe_dump(other)
    assert config.load(environment) == load(other)


@pytest.mark.parametrize("content", [None, b"password: [hidden", b"- hidden", b"hidden: \xff"])
def test_a_bad_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "application.yml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(config.ConfigError, match=str(path)) as raised:
        config.load({"MICRONAUT_CONFIG_FILES": str(path)})
    assert "hidden" not in str(raised.value)


def test_reads_keys_in_camel_and_kebab_case() -> None:
    loaded = load(GOOD)
    properties = loaded.properties
    assert properties["datasources.postgres.driver-class-name"] == "org.postgresql.Driver"
    assert properties["kestra.tasks.tmp-dir.path"] == "/tmp/wd"
    assert properties["kestra.storage.local.base-path"] == "/app/storage"
    assert (loaded.username, loaded.password) == ("admin@podium.dev", "Secret123")
    assert loaded.login_errors == ()


def test_keeps_the_names_of_variables() -> None:
    tree = GOOD | {"kestra": GOOD["kestra"] | {"variables": {"globals": {"taxiSource": "x"}}}}
    assert load(tree).properties["kestra.variables.globals.taxiSource"] == "x"


def test_ports_are_those_of_the_api_and_of_management() -> None:
    loaded = load(GOOD)
    assert (loaded.port, loaded.properties["micronaut.server.port"]) == (8080, 8081)
    tree = GOOD | {"micronaut": {"server": {"port": 80}}, "endpoints": {"all": {"port": 81}}}
    loaded = load(tree)
    assert (loaded.port, loaded.properties["micronaut.server.port"]) == (80, 81)


def test_no_secret_is_in_the_text_of_the_configuration() -> None:
    text = str(load(GOOD))
    for secret in ("k&str: a", "Secret123"):
        assert secret not in text


def test_one_error_has_all_that_is_wrong() -> None:
    with pytest.raises(config.ConfigError) as raised:
        load(
            {
                "kestra": {
                    "repository": {"type": "h2"},
                    "queue": {"type": "kafka"},
                    "storage": {"type": "s3"},
                },
            },
        )
    message = str(raised.value)
    for part in (
        "kestra.repository.type: 'h2' is not supported here, set it to 'postgres'",
        "kestra.queue.type: 'kafka'",
        "kestra.storage.type: 's3'",
        "datasources.postgres.url: not set",
        "kestra.storage.local.base-path: not set",
    ):
        assert part in message


@pytest.mark.parametrize("text", ["password: [hidden", "- hidden"])
def test_a_configuration_that_is_no_mapping(text: str) -> None:
    with pytest.raises(config.ConfigError, match="KESTRA_CONFIGURATION") as raised:
        config.load({"KESTRA_CONFIGURATION": text})
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    ("username", "password", "errors"),
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
    username: str, password: str, errors: int
) -> None:
    credentials = {"username": username, "password": password}
    tree = GOOD | {"kestra": GOOD["kestra"] | {"server": {"basic-auth": credentials}}}
    assert len(load(tree).login_errors) == errors
