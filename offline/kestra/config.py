"""Configuration: Kestra's YAML in, its properties and what Podium's API needs out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_EMAIL = re.compile(r"^[a-zA-Z0-9_!#$%&'*+/=?`{|}~^.-]+@[a-zA-Z0-9.-]+$")
_PASSWORD = re.compile(r"(?=.{8,})(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9]).*", re.DOTALL)
_LONGEST = 256
_DEFAULTS = {
    "micronaut.application.name": "kestra",
    "endpoints.all.enabled": True,
    "endpoints.all.sensitive": False,
    "endpoints.env.enabled": True,
    "endpoints.health.details-visible": "ANONYMOUS",
    "endpoints.health.discovery-client.enabled": False,
    "endpoints.health.disk-space.enabled": False,
    "grpc.server.health.enabled": False,
}


class ConfigError(Exception):
    """The configuration cannot be used; the message names every wrong key."""


@dataclass(frozen=True)
class Config:
    """Everything the server gets from outside.

    Attributes:
        properties: Kestra's own configuration, flat.
        username: the one user of the server.
        password: the user's password.
        login_errors: what Kestra finds wrong with them; not empty means nobody gets in.
        url: base of the links in answers.
        host: the address to listen on.
        port: the port of API and page.
    """

    properties: Mapping[str, Any] = field(repr=False)
    username: str
    password: str = field(repr=False)
    login_errors: tuple[str, ...]
    url: str
    host: str
    port: int


def _kebab(key: str) -> str:
    """Returns the form of a key that Micronaut takes both for: camelCase as kebab-case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", key).lower()


def _flat(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the leaves of a YAML tree by their dotted paths."""
    # The names of variables are the flows', not Kestra's.
    own = path.startswith("kestra.variables.globals")
    match tree:
        case Mapping():
            for key, value in tree.items():
                name = str(key) if own else _kebab(str(key))
                yield from _flat(value, f"{path}.{name}" if path else name)
        case list():
            for index, value in enumerate(tree):
                yield from _flat(value, f"{path}[{index}]")
        case _:
            yield path, tree


def _login_errors(username: str, password: str) -> tuple[str, ...]:
    errors = []
    if not _EMAIL.match(username):
        errors.append(
            "Invalid username for Basic Authentication. Please provide a valid email address."
        )
    if not _PASSWORD.fullmatch(password):
        errors.append(
            "Invalid password for Basic Authentication. "
            "The password must have 8 chars, one upper, one lower and one number"
        )
    if max(len(username), len(password)) > _LONGEST:
        errors.append("The length of email or password should not exceed 256 characters.")
    return tuple(errors)


def load(environment: Mapping[str, str]) -> Config:
    """Reads the configuration.

    Args:
        environment: the process's environment, with KESTRA_CONFIGURATION (YAML) or
            MICRONAUT_CONFIG_FILES (the path of one file), of which the first counts.

    Raises:
        ConfigError: something is malformed or not supported; all of it in one message.
    """
    source, text = "KESTRA_CONFIGURATION", environment.get("KESTRA_CONFIGURATION", "")
    try:
        if not text and (source := environment.get("MICRONAUT_CONFIG_FILES", "")):
            text = Path(source).read_text()
        tree = yaml.safe_load(text) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        # Without the text around the error, which may hold a password.
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        raise ConfigError(f"{source} is not YAML: {problem}{place}") from error
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{source} must be a YAML mapping")
    given = dict(_flat(tree))
    wrong = [
        f"{key}: {given.get(key)!r} is not supported here, set it to {supported!r}"
        for key, supported in (
            ("kestra.repository.type", "postgres"),
            ("kestra.queue.type", "postgres"),
            ("kestra.storage.type", "local"),
        )
        if given.get(key) != supported
    ]
    wrong += [
        f"{key}: not set"
        for key in ("datasources.postgres.url", "kestra.storage.local.base-path")
        if not given.get(key)
    ]
    if wrong:
        raise ConfigError("The configuration cannot be used:\n  " + "\n  ".join(wrong))
    username, password = (
        str(given.get(f"kestra.server.basic-auth.{name}") or "")
        for name in ("username", "password")
    )
    port = int(given.get("micronaut.server.port", 8080))
    management = int(given.pop("endpoints.all.port", 8081))
    return Config(
        properties=_DEFAULTS
        | given
        # Micronaut's own server has the management port and nothing else.
        | {"micronaut.server.port": management},
        username=username,
        password=password,
        login_errors=_login_errors(username, password),
        url=str(given.get("kestra.url", f"http://localhost:{port}/")),
        host=str(given.get("micronaut.server.host", "0.0.0.0")),
        port=port,
    )
