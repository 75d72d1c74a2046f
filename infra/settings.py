"""The stack's configuration, read and validated in one place.

`Pulumi.yaml` declares every key with its type, default and description; nothing else in the
program reads `pulumi.Config`. Every fault is collected, so that one run tells them all.
"""

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
from email_validator import EmailNotValidError, validate_email

# https://www.postgresql.org/docs/current/limits.html: an identifier has at most 63 bytes.
IDENTIFIER_BYTES = 63
_SYSTEM_DATABASES = frozenset({"postgres", "template0", "template1"})
_SYSTEM_ROLES = frozenset({"postgres", "public", "none", "current_user", "session_user", "user"})
_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_PORT = re.compile(r"[1-9][0-9]{3,4}")
# https://docs.docker.com/reference/cli/docker/image/tag/: [host[:port]/]path[:tag][@digest].
_PATH_PART = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:{_PATH_PART}(?::[0-9]+)?/)?{_PATH_PART}(?:/{_PATH_PART})*"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_REGISTRY = re.compile(rf"{_PATH_PART}(?::[0-9]{{1,5}})?(?:/{_PATH_PART})*")


class SettingsError(pulumi.RunError):
    """The configuration is wrong; the message lists every fault with its mend."""


@dataclass(frozen=True)
class Passwords:
    """The passwords that the user set; None stands for one to be generated."""

    postgres: str | None
    kestra: str | None
    pgadmin: str | None
    etl: str | None
    reader: str | None


@dataclass(frozen=True)
class Settings:
    """The validated configuration of one stack.

    Ports are those on the Docker host. Images are complete references, with the registry mirror
    where one is set. `postgres_major` is the major version that the image's tag begins with.
    `taxi_folder` is the folder that holds the taxi files, or None where `taxi_source` is a URL.
    """

    bind_address: str
    host_name: str
    postgres_port: int
    kestra_port: int
    kestra_management_port: int
    pgadmin_port: int
    postgres_image: str
    postgres_major: int
    kestra_image: str
    pgadmin_image: str
    files_image: str
    kestra_database: str
    warehouse_database: str
    kestra_role: str
    etl_role: str
    reader_role: str
    pgadmin_role: str
    admin_email: str
    taxi_source: str
    taxi_folder: Path | None
    schedules_enabled: bool
    kestra_docker_socket: bool
    protect_volumes: bool
    notice: str
    passwords: Passwords = field(repr=False)

    @classmethod
    def load(cls) -> "Settings":
        """Reads and validates the stack's configuration.

        Raises:
            SettingsError: one or more values are wrong; nothing has been declared yet.
        """
        reader = _Reader()
        settings = cls(
            bind_address=reader.text("bindAddress", "127.0.0.1", _ip_address),
            host_name=reader.text("hostName", "localhost", _host_name),
            postgres_port=reader.port("postgresPort", 5432),
            kestra_port=reader.port("kestraPort", 8080),
            kestra_management_port=reader.port("kestraManagementPort", 8081),
            pgadmin_port=reader.port("pgadminPort", 8085),
            postgres_image=reader.image("postgresImage", "postgres:17", _postgres_image),
            postgres_major=_postgres_major(reader.value("postgresImage")),
            kestra_image=reader.image("kestraImage", "kestra/kestra:v1.3.34", _image),
            pgadmin_image=reader.image("pgadminImage", "dpage/pgadmin4:9", _image),
            files_image=reader.image("filesImage", "nginx:1.28-alpine", _image),
            kestra_database=reader.text("kestraDatabase", "kestra", _database),
            warehouse_database=reader.text("warehouseDatabase", "ny_taxi", _database),
            kestra_role=reader.text("kestraRole", "kestra", _role),
            etl_role=reader.text("etlRole", "etl", _role),
            reader_role=reader.text("readerRole", "reader", _role),
            pgadmin_role=reader.text("pgadminRole", "pgadmin", _role),
            admin_email=reader.text("adminEmail", "admin@example.com", _email),
            taxi_source=reader.text("taxiSource", "https://example.com/{taxi}", _source),
            taxi_folder=_folder(reader.value("taxiSource")),
            schedules_enabled=reader.flag("schedulesEnabled"),
            kestra_docker_socket=reader.flag("kestraDockerSocket"),
            protect_volumes=reader.flag("protectVolumes"),
            notice=reader.value("notice"),
            passwords=Passwords(
                postgres=reader.password("postgresPassword", _postgres_password),
                kestra=reader.password("kestraPassword", _kestra_password),
                pgadmin=reader.password("pgadminPassword", _pgadmin_password),
                etl=reader.password("etlPassword", _postgres_password),
                reader=reader.password("readerPassword", _postgres_password),
            ),
        )
        reader.all_different(
            "port",
            ("postgresPort", "kestraPort", "kestraManagementPort", "pgadminPort"),
        )
        reader.all_different("database", ("kestraDatabase", "warehouseDatabase"))
        reader.all_different("role", ("kestraRole", "etlRole", "readerRole", "pgadminRole"))
        reader.raise_faults()
        return settings


class _Reader:
    """Reads keys one by one and keeps the faults of all of them."""

    def __init__(self) -> None:
        self._config = pulumi.Config()
        self._faults: list[str] = []

    def value(self, key: str) -> str:
        """Returns the raw value of a key; Pulumi.yaml gives each one a default."""
        return self._config.get(key) or ""

    def text(self, key: str, example: object, check: Callable[[str], str | None]) -> str:
        value = self.value(key)
        if reason := check(value):
            self._fault(key, reason, str(example))
        return value

    def port(self, key: str, example: int) -> int:
        value = self.text(key, example, _port)
        return 0 if _port(value) else int(value)

    def flag(self, key: str) -> bool:
        return self.text(key, "false", _flag) == "true"

    def image(self, key: str, example: str, check: Callable[[str], str | None]) -> str:
        """Returns the complete reference, with the mirror where it names no registry."""
        reference = self.text(key, example, check)
        prefix = self.text("registryPrefix", "registry.example.com/hub", _registry_prefix)
        first, slash, _ = reference.partition("/")
        names_registry = slash and ("." in first or ":" in first or first == "localhost")
        return f"{prefix}/{reference}" if prefix and not names_registry else reference

    def password(self, key: str, check: Callable[[str], str | None]) -> str | None:
        value = self.value(key)
        if not value:
            return None
        if not pulumi.runtime.is_config_secret(self._config.full_key(key)):
            self._fault(key, "must be encrypted, but stands in plain text")
        if reason := check(value):
            self._fault(key, reason)
        return value

    def all_different(self, kind: str, keys: tuple[str, ...]) -> None:
        """Notes a fault for every key whose value an earlier key has already."""
        owners: dict[str, str] = {}
        for key in keys:
            value = self.value(key)
            if (owner := owners.setdefault(value, key)) != key:
                reason = f"must be another {kind} than {owner}, which has the same value"
                self._fault(key, reason, f"<another {kind}>")

    def raise_faults(self) -> None:
        if self._faults:
            count = len(self._faults)
            head = f"{count} setting{'s are' if count > 1 else ' is'} wrong; nothing was changed."
            raise SettingsError("\n".join([head, *self._faults]))

    def _fault(self, key: str, reason: str, example: str | None = None) -> None:
        """Notes a fault and its mend; a key without an example is a secret."""
        shown = f'"{self.value(key)}"' if example else "[secret]"
        mend = (
            f"pulumi config set {key} {example}" if example else f"pulumi config set --secret {key}"
        )
        fault = f"  {self._config.name}:{key} = {shown} {reason}.\n      {mend}"
        if fault not in self._faults:
            self._faults.append(fault)


def _port(value: str) -> str | None:
    if _PORT.fullmatch(value) and 1024 <= int(value) <= 65535:
        return None
    return "must be a port from 1024 to 65535"


def _flag(value: str) -> str | None:
    return None if value in ("true", "false") else "must be true or false"


def _ip_address(value: str) -> str | None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return "must be an IPv4 or IPv6 address of the Docker host"
    return None


def _host_name(value: str) -> str | None:
    labels = value.split(".")
    if len(value) <= 253 and all(_HOST_LABEL.fullmatch(label) for label in labels):
        return None
    return "must be a host name (RFC 1123) or an IPv4 address, without scheme and port"


def _image(value: str) -> str | None:
    match = _IMAGE.fullmatch(value)
    if match and (match["tag"] or match["digest"]):
        return None
    return "must be an image reference with a tag or a digest"


def _postgres_image(value: str) -> str | None:
    if reason := _image(value):
        return reason
    if _postgres_major(value) >= 15:
        return None
    return "must have a tag that begins with the major version, 15 or later"


def _postgres_major(reference: str) -> int:
    """Returns the major version that the tag begins with, or 0 where there is none."""
    match = _IMAGE.fullmatch(reference)
    major = re.match(r"\d+", match["tag"]) if match and match["tag"] else None
    return int(major[0]) if major else 0


def _registry_prefix(value: str) -> str | None:
    if not value or _REGISTRY.fullmatch(value):
        return None
    return "must be a registry host with an optional path, without scheme and final slash"


def _identifier(value: str) -> str | None:
    """Checks a name that PostgreSQL takes without quotes.

    https://www.postgresql.org/docs/current/sql-syntax-lexical.html: a letter or underscore, then
    letters, digits, underscores and dollar signs; upper case would be folded to lower case.
    """
    start_fits = value[:1].isalpha() or value[:1] == "_"
    rest_fits = all(char.isalnum() or char in "_$" for char in value[1:])
    if not (start_fits and rest_fits and value == value.lower()):
        return (
            "must be a PostgreSQL identifier: a lower-case letter or underscore, "
            "then lower-case letters, digits, underscores or dollar signs"
        )
    if (size := len(value.encode())) > IDENTIFIER_BYTES:
        return f"must have at most {IDENTIFIER_BYTES} bytes, not {size}"
    return None


def _database(value: str) -> str | None:
    if value in _SYSTEM_DATABASES:
        return "must not be a database that PostgreSQL brings along"
    return _identifier(value)


def _role(value: str) -> str | None:
    if value in _SYSTEM_ROLES or value.startswith("pg_"):
        return "must not be a role name that PostgreSQL keeps for itself"
    return _identifier(value)


def _email(value: str) -> str | None:
    # The library and the options with which pgAdmin checks its own login.
    try:
        validate_email(value, check_deliverability=False)
    except EmailNotValidError as error:
        return f"must be an e-mail address: {str(error).rstrip('.')}"
    return None


def _source(value: str) -> str | None:
    # Of the folders that begin with a tilde, only those of the user's own home are found anywhere.
    fits = r"https?://[^\s/]+(/\S*)?" if _is_url(value) else r"~(/.*)?|[^~].*"
    return None if re.fullmatch(fits, value) else "must be an http or https URL, or a folder"


def _folder(source: str) -> Path | None:
    return None if _is_url(source) else Path(os.path.expanduser(source)).absolute()


def _is_url(source: str) -> bool:
    return "://" in source


def _postgres_password(value: str) -> str | None:
    return None if value.isprintable() else "must be printable text on one line"


def _kestra_password(value: str) -> str | None:
    # Kestra 0.24 and later refuse to start with a weaker one.
    strong = len(value) >= 8 and all(
        any(test(char) for char in value) for test in (str.isupper, str.islower, str.isdecimal)
    )
    # Micronaut, which reads Kestra's configuration, replaces ${...} by a property.
    if strong and value.isprintable() and "${" not in value:
        return None
    return (
        "must have at least 8 characters with an upper-case letter, a lower-case letter and a "
        "digit, and not ${"
    )


def _pgadmin_password(value: str) -> str | None:
    # PASSWORD_LENGTH_MIN of pgAdmin.
    if len(value) >= 6 and value.isprintable():
        return None
    return "must have at least 6 printable characters"
