"""Configuration: KESTRA_CONFIGURATION and the environment in, a frozen `Config` out."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import isodate
import yaml

from offline.kestra import jdbc

VERSION_VARIABLE = "KESTRA_STAND_IN_VERSION"
_SECRET_PREFIX = "SECRET_"
_EMAIL = re.compile(r"^[a-zA-Z0-9_!#$%&'*+/=?`{|}~^.-]+@[a-zA-Z0-9.-]+$")
_PASSWORD = re.compile(r"(?=.{8,})(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9]).*", re.DOTALL)
_MAX_CREDENTIAL = 256


class ConfigError(Exception):
    """The configuration cannot be used; the message names every faulty key."""


@dataclass(frozen=True)
class Release:
    """The Kestra release whose API is answered.

    Attributes:
        version: what `GET /api/v1/configs` reports.
        tenant: the path segment after `/api/v1`, or None where the release has none.
    """

    version: str
    tenant: str | None

    @property
    def api(self) -> str:
        """The path under which the resources of the tenant live."""
        return f"/api/v1/{self.tenant}" if self.tenant else "/api/v1"


RELEASES = {
    release.version: release for release in (Release("1.3.34", "main"), Release("0.20.7", None))
}


@dataclass(frozen=True)
class BasicAuth:
    """The one user of the server.

    Attributes:
        errors: what release 1.x finds wrong with the credentials; not empty means nobody gets in.
    """

    username: str
    password: str = field(repr=False)
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """Everything the server is told from outside.

    Attributes:
        database: libpq's connection string of Kestra's own database.
        storage: folder of the internal storage.
        scratch: folder for the working files of running tasks.
        basic_auth: the credentials; None means that none are set.
        url: base of the links in answers.
        secrets: the values behind `secret('NAME')`.
        grace_period: seconds that SIGTERM waits for running executions.
    """

    release: Release
    database: str = field(repr=False)
    jdbc_url: str
    storage: Path
    scratch: Path
    basic_auth: BasicAuth | None
    url: str
    variables_globals: Mapping[str, Any]
    recursive_rendering: bool
    secrets: Mapping[str, str] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    grace_period: float
    host: str
    port: int
    management_port: int


def _kebab(key: str) -> str:
    """CamelCase to kebab-case: Micronaut takes both for the same property."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", key).lower()


class _Properties:
    """Look-ups by dotted kebab-case path in a YAML mapping with keys in either case."""

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self._tree = tree

    def get(self, path: str, default: Any = None) -> Any:
        node: Any = self._tree
        for part in path.split("."):
            if not isinstance(node, Mapping):
                return default
            node = next((value for key, value in node.items() if _kebab(str(key)) == part), None)
        return default if node is None else node


def _basic_auth(properties: _Properties, release: Release) -> BasicAuth | None:
    username = properties.get("kestra.server.basic-auth.username")
    password = properties.get("kestra.server.basic-auth.password")
    if release.tenant is None and properties.get("kestra.server.basic-auth.enabled", True) is False:
        return None
    if username is None and password is None:
        return None
    username, password = str(username or ""), str(password or "")
    errors = []
    if release.tenant is not None:
        if not _EMAIL.match(username):
            errors.append(
                "Invalid username for Basic Authentication. Please provide a valid email address."
            )
        if not _PASSWORD.fullmatch(password):
            errors.append(
                "Invalid password for Basic Authentication. "
                "The password must have 8 chars, one upper, one lower and one number"
            )
        if max(len(username), len(password)) > _MAX_CREDENTIAL:
            errors.append("The length of email or password should not exceed 256 characters.")
    return BasicAuth(username, password, tuple(errors))


def _secrets(environment: Mapping[str, str], faults: list[str]) -> dict[str, str]:
    secrets = {}
    for name, value in environment.items():
        if name.startswith(_SECRET_PREFIX):
            try:
                decoded = base64.b64decode(value, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                faults.append(
                    f"{name}: the value is not base64; set it to the base64 of the secret"
                )
            else:
                secrets[name.removeprefix(_SECRET_PREFIX).upper()] = decoded
    return secrets


def load(environment: Mapping[str, str]) -> Config:
    """Read the configuration.

    Args:
        environment: the process's environment: KESTRA_CONFIGURATION (YAML), SECRET_<NAME>
            (base64), ENV_<NAME> (`envs` in expressions), KESTRA_STAND_IN_VERSION.

    Raises:
        ConfigError: something is missing, malformed or not supported; all of it in one message.
    """
    try:
        tree = yaml.safe_load(environment.get("KESTRA_CONFIGURATION", "")) or {}
    except yaml.YAMLError as error:
        # Without the text around the error, which may hold a password.
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        raise ConfigError(f"KESTRA_CONFIGURATION is not YAML: {problem}{place}") from error
    if not isinstance(tree, Mapping):
        raise ConfigError("KESTRA_CONFIGURATION must be a YAML mapping")
    properties = _Properties(tree)
    faults: list[str] = []

    version = environment.get(VERSION_VARIABLE, next(iter(RELEASES)))
    release = RELEASES.get(version)
    if release is None:
        faults.append(f"{VERSION_VARIABLE}: {version!r} is none of {', '.join(RELEASES)}")

    for key, supported in (
        ("kestra.repository.type", "postgres"),
        ("kestra.queue.type", "postgres"),
        ("kestra.storage.type", "local"),
    ):
        if (value := properties.get(key)) != supported:
            faults.append(f"{key}: {value!r} is not supported, set it to {supported!r}")

    jdbc_url = str(properties.get("datasources.postgres.url", ""))
    database = ""
    try:
        database = jdbc.conninfo(
            jdbc_url,
            properties.get("datasources.postgres.username"),
            properties.get("datasources.postgres.password"),
        )
    except ValueError as error:
        faults.append(f"datasources.postgres.url: {error}")

    storage = properties.get("kestra.storage.local.base-path")
    if storage is None:
        faults.append("kestra.storage.local.base-path: not set, name a folder")

    grace_text = str(properties.get("kestra.server.termination-grace-period", "5m"))
    grace = _duration(grace_text)
    if grace is None:
        faults.append(
            f"kestra.server.termination-grace-period: {grace_text!r} is no duration such as '5m'"
        )

    secrets = _secrets(environment, faults)
    if faults or release is None or grace is None:
        raise ConfigError("The configuration cannot be used:\n  " + "\n  ".join(faults))

    port = int(properties.get("micronaut.server.port", 8080))
    return Config(
        release=release,
        database=database,
        jdbc_url=jdbc_url,
        storage=Path(str(storage)),
        scratch=Path(str(properties.get("kestra.tasks.tmp-dir.path", "/tmp/kestra-wd/tmp"))),
        basic_auth=_basic_auth(properties, release),
        url=str(properties.get("kestra.url", f"http://localhost:{port}/")),
        variables_globals=properties.get("kestra.variables.globals", {}),
        recursive_rendering=bool(properties.get("kestra.variables.recursive-rendering", False)),
        secrets=secrets,
        environment={
            name.removeprefix("ENV_").lower(): value
            for name, value in environment.items()
            if name.startswith("ENV_")
        },
        grace_period=grace,
        host=str(properties.get("micronaut.server.host", "0.0.0.0")),
        port=port,
        management_port=int(properties.get("endpoints.all.port", 8081)),
    )


def _duration(text: str) -> float | None:
    """Seconds of a Micronaut duration: ISO-8601 (`PT5M`) or a number with a unit (`5m`, `30s`)."""
    if short := re.fullmatch(r"(\d+)(ms|[smhd])", text):
        scale = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[short[2]]
        return int(short[1]) * scale
    try:
        return float(isodate.parse_duration(text).total_seconds())
    except (isodate.ISO8601Error, AttributeError):
        return None
