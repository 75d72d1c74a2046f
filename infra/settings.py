"""The stack's configuration, read and validated in one place.

`Pulumi.yaml` declares every key with its type, default and description; nothing else in the
program reads `pulumi.Config`. All errors are collected and reported in one message.
"""

import ipaddress
import json
import os
import re
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pulumi
import yaml
from email_validator import EmailNotValidError, validate_email
from pulumi.runtime import config as runtime_config
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.alias_generators import to_camel

_PROJECT_FILE = Path(__file__).parents[1] / "Pulumi.yaml"
# The taxiSource that is a folder of the project.
SAMPLE = "sample"
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
_KESTRA_RELEASE = re.compile(r"(?:^|/)kestra/kestra:v?(\d+)\.(\d+)", re.ASCII)
# `jdbc.postgresql.Queries` respects $$ since plugin-jdbc 1.3.0 of 2025-12-16
# (https://github.com/kestra-io/plugin-jdbc/pull/735). An image has the plugins of its day: those of
# Kestra 1.2.0, of 2026-01-13, are the first that surely have it.
_FIRST_KESTRA = (1, 2)
_REGISTRY = re.compile(rf"{_PATH_PART}(?::[0-9]{{1,5}})?(?:/{_PATH_PART})*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OWN_VARIABLES = frozenset({"KESTRA_CONFIGURATION", "MICRONAUT_CONFIG_FILES"})


class SettingsError(pulumi.RunError):
    """The configuration is invalid; the message lists every error with its fix."""


def _port(value: str) -> int:
    if _PORT.fullmatch(value) and 1024 <= int(value) <= 65535:
        return int(value)
    raise ValueError("must be a port from 1024 to 65535")


def _optional_port(value: str) -> int | None:
    return None if value == "0" else _port(value)


def _memory(least: int) -> BeforeValidator:
    def check(value: str) -> int:
        if re.fullmatch(r"[1-9][0-9]{0,6}", value) and int(value) >= least:
            return int(value)
        raise ValueError(f"must be a number of MiB, {least} or more")

    return BeforeValidator(check)


def _cpus(value: str) -> str:
    # Docker's smallest part is a hundredth; written otherwise, it would show as a change.
    if re.fullmatch(r"(?:0|[1-9][0-9]{0,3})(?:\.[0-9]?[1-9])?", value) and value != "0":
        return value
    raise ValueError("must be a number of CPUs such as 2 or 1.5")


def _environment(value: str) -> dict[str, str]:
    try:
        variables = json.loads(value or "{}")
    except ValueError:
        variables = None
    if not isinstance(variables, dict):
        raise ValueError("must be a mapping of environment variables")
    for name, content in variables.items():
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"must not have the variable {name}: letters, digits, underscores")
        if name in _OWN_VARIABLES:
            raise ValueError(f"must not have the variable {name}, which Podium sets itself")
        if name.startswith("SECRET_"):
            # There `validate` finds the names of all secrets.
            raise ValueError(f"must not have {name}: secrets of flows are in __main__.py")
        if isinstance(content, dict | list) or content is None:
            raise ValueError(f"must have a text for the variable {name}")
        _check_placeholder(str(content))
    return {
        name: content if isinstance(content, str) else json.dumps(content)
        for name, content in variables.items()
    }


def _check_placeholder(value: str) -> str:
    """Refuses what Micronaut, which reads Kestra's configuration, replaces by a property."""
    if "${" in value:
        raise ValueError("must not contain ${")
    return value


def _days(value: str) -> int:
    if re.fullmatch(r"[1-9][0-9]{0,4}", value) and int(value) <= 36500:
        return int(value)
    raise ValueError("must be a number of days from 1 to 36500")


def _flag(value: str) -> bool:
    if value in ("true", "false"):
        return value == "true"
    raise ValueError("must be true or false")


def _tls(value: str) -> str:
    if value in ("off", "internal", "acme"):
        return value
    raise ValueError("must be off, internal or acme")


def _ip_address(value: str) -> str:
    if _is_ip(value):
        return value
    raise ValueError("must be an IPv4 or IPv6 address of the Docker host")


def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _host_name(value: str) -> str:
    labels = value.split(".")
    if len(value) <= 253 and all(_HOST_LABEL.fullmatch(label) for label in labels):
        return value
    raise ValueError("must be a host name (RFC 1123) or an IPv4 address, without scheme and port")


def _image(value: str) -> str:
    match = _IMAGE.fullmatch(value)
    if match and (match["tag"] or match["digest"]):
        return value
    raise ValueError("must be an image reference with a tag or a digest")


def _postgres_image(value: str) -> str:
    if _major_version(value) >= 15:
        return value
    raise ValueError("must have a tag that begins with the major version, 15 or later")


def _major_version(reference: str) -> int:
    """Returns the major version that the tag begins with, or 0 if there is none."""
    match = _IMAGE.fullmatch(reference)
    major = re.match(r"\d+", match["tag"]) if match and match["tag"] else None
    return int(major[0]) if major else 0


def _registry_prefix(value: str) -> str:
    if not value or _REGISTRY.fullmatch(value):
        return value
    raise ValueError(
        "must be a registry host with an optional path, without scheme and final slash"
    )


def _identifier(value: str) -> str:
    """Accepts a name that PostgreSQL takes without quotes.

    https://www.postgresql.org/docs/current/sql-syntax-lexical.html: a letter or underscore, then
    letters, digits, underscores and dollar signs; upper case would be folded to lower case.
    """
    start_fits = value[:1].isalpha() or value[:1] == "_"
    rest_fits = all(char.isalnum() or char in "_$" for char in value[1:])
    if not (start_fits and rest_fits and value == value.lower()):
        raise ValueError(
            "must be a PostgreSQL identifier: a lower-case letter or underscore, "
            "then lower-case letters, digits, underscores or dollar signs"
        )
    if (size := len(value.encode())) > IDENTIFIER_BYTES:
        raise ValueError(f"must have at most {IDENTIFIER_BYTES} bytes, not {size}")
    return value


def _database(value: str) -> str:
    if value in _SYSTEM_DATABASES:
        raise ValueError("must not be one of PostgreSQL's own databases")
    return value


def _role(value: str) -> str:
    if value in _SYSTEM_ROLES or value.startswith("pg_"):
        raise ValueError("must not be a role name that PostgreSQL reserves")
    return value


def _kestra_image(value: str) -> str:
    match = _KESTRA_RELEASE.search(value)
    if match and (int(match[1]), int(match[2])) < _FIRST_KESTRA:
        raise ValueError(
            f"must be Kestra {'.'.join(map(str, _FIRST_KESTRA))} or later: the plugins of older "
            "ones split SQL inside $$, so that taxi_load fails"
        )
    return value


def _email(value: str) -> str:
    # Kestra knows no others, and HTTP's login has no fixed form for them.
    if not value.isascii():
        raise ValueError("must be an e-mail address of ASCII characters")
    _check_placeholder(value)
    # The library and the options with which pgAdmin validates its own login.
    try:
        validate_email(value, check_deliverability=False)
    except EmailNotValidError as error:
        raise ValueError(f"must be an e-mail address: {str(error).rstrip('.')}") from error
    return value


def _source(value: str) -> str:
    # Of the folders that begin with a tilde, only those of the user's own home are found anywhere.
    is_url = "://" in value
    fits = r"https?://[^\s/]+(/\S*)?" if is_url else r"~(/.*)?|[^~].*"
    if not re.fullmatch(fits, value):
        raise ValueError("must be an http or https URL, or a folder")
    if not is_url:
        _check_folder(value)
    return _check_placeholder(value)


def _check_folder(value: str) -> None:
    if ":" in value:
        raise ValueError("must not have a colon in it, as Docker cannot mount such a folder")
    # Whether another Docker host has the folder cannot be seen from here.
    is_local = os.environ.get("DOCKER_HOST", "") in ("", "unix:///var/run/docker.sock")
    if value == SAMPLE and not is_local:
        raise ValueError("must be the path of a copy of sample/ on the Docker host")
    if is_local and not _absolute(value).is_dir():
        raise ValueError("must be a folder that exists: Docker would create an empty one")


def _absolute(folder: str) -> Path:
    return _PROJECT_FILE.parent / os.path.expanduser(folder)


def _postgres_password(value: str) -> str:
    if value.isprintable():
        return value
    raise ValueError("must be printable text on one line")


def _kestra_password(value: str) -> str:
    # Kestra 0.24 and later let nobody log in with a weaker or longer one.
    strong = 8 <= len(value) <= 256 and all(
        re.search(kind, value) for kind in ("[A-Z]", "[a-z]", "[0-9]")
    )
    if strong and value.isprintable() and "${" not in value:  # see _check_placeholder
        return value
    raise ValueError(
        "must have 8 to 256 characters with A to Z, a to z and a digit among them, and must not "
        "contain ${"
    )


def _pgadmin_password(value: str) -> str:
    # PASSWORD_LENGTH_MIN of pgAdmin.
    if len(value) >= 6 and value.isprintable():
        return value
    raise ValueError("must have at least 6 printable characters")


@dataclass(frozen=True)
class _Group:
    """Marks settings of one kind: their values differ, or, of passwords, are secret."""

    kind: str


def _checked(check: Any) -> AfterValidator:
    return AfterValidator(lambda value: value and check(value))


Flag = Annotated[bool, BeforeValidator(_flag)]
Port = Annotated[int, BeforeValidator(_port), _Group("port")]
Days = Annotated[int, BeforeValidator(_days)]
Image = Annotated[str, AfterValidator(_image)]
Database = Annotated[
    str, AfterValidator(_database), AfterValidator(_identifier), _Group("database")
]
Role = Annotated[str, AfterValidator(_role), AfterValidator(_identifier), _Group("role")]
# None stands for a password to be generated.
Password = Annotated[
    str | None, BeforeValidator(lambda value: value or None), _Group("password"), Field(repr=False)
]
# None stands for no limit.
Cpus = Annotated[str | None, BeforeValidator(lambda value: value or None), _checked(_cpus)]


class Settings(BaseModel):
    """The validated configuration of one stack.

    Each attribute is the key of Pulumi.yaml in snake case, where its meaning is described. Ports
    are those on the Docker host. Images are complete references, with the registry mirror if one is
    set.
    """

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    bind_address: Annotated[str, AfterValidator(_ip_address)]
    host_name: Annotated[str, AfterValidator(_host_name)]
    tls: Annotated[Literal["off", "internal", "acme"], BeforeValidator(_tls)]
    allow_plain_text: Flag
    postgres_port: Port
    kestra_port: Port
    kestra_management_port: Annotated[int | None, BeforeValidator(_optional_port), _Group("port")]
    pgadmin_port: Port
    gateway_port: Port
    registry_prefix: Annotated[str, AfterValidator(_registry_prefix)]
    postgres_image: Annotated[Image, AfterValidator(_postgres_image)]
    kestra_image: Annotated[Image, AfterValidator(_kestra_image)]
    pgadmin_image: Image
    files_image: Image
    gateway_image: Image
    kestra_database: Database
    warehouse_database: Database
    kestra_role: Role
    etl_role: Role
    reader_role: Role
    pgadmin_role: Role
    admin_email: Annotated[str, AfterValidator(_email)]
    postgres_password: Annotated[Password, _checked(_postgres_password)]
    kestra_password: Annotated[Password, _checked(_kestra_password)]
    pgadmin_password: Annotated[Password, _checked(_pgadmin_password)]
    etl_password: Annotated[Password, _checked(_postgres_password)]
    reader_password: Annotated[Password, _checked(_postgres_password)]
    taxi_source: Annotated[str, AfterValidator(_source)]
    schedules_enabled: Flag
    retention_days: Days
    kestra_environment: Annotated[
        dict[str, str], BeforeValidator(_environment), _Group("environment"), Field(repr=False)
    ]
    kestra_docker_socket: Flag
    # Below these PostgreSQL's own settings, Kestra's Java machine and pgAdmin do not fit.
    postgres_memory: Annotated[int, _memory(1024)]
    kestra_memory: Annotated[int, _memory(1024)]
    pgadmin_memory: Annotated[int, _memory(512)]
    files_memory: Annotated[int, _memory(64)]
    gateway_memory: Annotated[int, _memory(64)]
    postgres_cpus: Cpus
    kestra_cpus: Cpus
    protect_volumes: Flag

    @field_validator(
        "postgres_image", "kestra_image", "pgadmin_image", "files_image", "gateway_image"
    )
    @classmethod
    def _mirrored(cls, reference: str, info: ValidationInfo) -> str:
        """Returns the complete reference, with the mirror if it names no registry."""
        prefix = info.data.get("registry_prefix")
        first, slash, _ = reference.partition("/")
        names_registry = slash and ("." in first or ":" in first or first == "localhost")
        return f"{prefix}/{reference}" if prefix and not names_registry else reference

    @property
    def postgres_major(self) -> int:
        """The major version of PostgreSQL, with which the image's tag begins."""
        return _major_version(self.postgres_image)

    @property
    def taxi_folder(self) -> Path | None:
        """The folder with the taxi files, or None if they come from a URL."""
        is_url = "://" in self.taxi_source
        return None if is_url else _absolute(self.taxi_source)

    @property
    def images(self) -> dict[str, str]:
        """The images of the services that every stack has, by the service's name."""
        return {
            "postgres": self.postgres_image,
            "kestra": self.kestra_image,
            "pgadmin": self.pgadmin_image,
        }

    @property
    def ports(self) -> dict[str, int]:
        """The published ports by their keys, such as postgresPort."""
        ports = {to_camel(name): getattr(self, name) for name in _fields("port")}
        if self.tls != "internal":
            del ports["gatewayPort"]
        return {key: port for key, port in ports.items() if port}

    @property
    def gateway_ports(self) -> dict[int, int]:
        """The published ports of the gateway by those in its container, that of HTTPS first."""
        return {
            "off": {},
            "internal": {443: self.gateway_port},
            "acme": {443: 443, 80: 80},
        }[self.tls]

    @classmethod
    def load(cls) -> Self:
        """Reads and validates the stack's configuration.

        Raises:
            SettingsError: If values are invalid; nothing has been declared yet.
        """
        config = pulumi.Config()
        # Pulumi.yaml gives each key a default.
        values = {key: config.get(key) or "" for key in map(to_camel, cls.model_fields)}
        errors: list[tuple[str, str]] = []
        for key in map(to_camel, _fields("password")):
            if values[key] and not pulumi.runtime.is_config_secret(config.full_key(key)):
                errors.append((key, "must be encrypted, but is in plain text"))
        try:
            settings = cls.model_validate(values)
        except ValidationError as invalid:
            errors += [
                (str(error["loc"][0]), str(error["ctx"]["error"])) for error in invalid.errors()
            ]
        lines = [_error(config.name, key, values[key], reason) for key, reason in errors]
        for kind in ("port", "database", "role"):
            lines += _same_values(config.name, kind, values)
        lines += _open_doors(config.name, values)
        lines += _unknown(config.name, values.keys())
        if lines:
            count = len({line.split()[0] for line in lines})
            head = f"{count} setting{'s are' if count > 1 else ' is'} invalid"
            raise SettingsError("\n".join([f"{head}; nothing was changed.", *lines]))
        return settings


def _fields(kind: str) -> list[str]:
    """Returns the names of the settings of a group."""
    return [name for name, field in Settings.model_fields.items() if _Group(kind) in field.metadata]


def _same_values(project: str, kind: str, values: dict[str, str]) -> Iterator[str]:
    """Yields an error for every key of a group whose value an earlier key has already."""
    owners: dict[str, str] = {}
    for key in map(to_camel, _fields(kind)):
        if (owner := owners.setdefault(values[key], key)) != key:
            reason = f"must be another {kind} than {owner}, which has the same value"
            yield _error(project, key, values[key], reason, f"<another {kind}>")


def _open_doors(project: str, values: dict[str, str]) -> Iterator[str]:
    """Yields an error where passwords would cross a network, or certificates have no name."""
    address, host, tls = values["bindAddress"], values["hostName"], values["tls"]
    is_open = _is_ip(address) and not ipaddress.ip_address(address).is_loopback
    if tls == "off" and is_open and values["allowPlainText"] != "true":
        yield (
            f'  {project}:bindAddress = "{address}" opens the ports to a network, which '
            "passwords would cross in plain text.\n      pulumi config set tls internal\n"
            "    or, where the network is trusted:\n"
            "      pulumi config set allowPlainText true"
        )
    elif tls == "acme" and ("." not in host or host.endswith(".localhost") or _is_ip(host)):
        reason = "must be a public host name where tls is acme"
        yield _error(project, "hostName", host, reason, "<host name>")
    elif tls == "internal" and _is_ip(host):
        reason = "must be a host name where tls is on: the pages are below it"
        yield _error(project, "hostName", host, reason)
    elif tls == "internal" and is_open and host == "localhost":
        reason = "must be the name by which others reach the Docker host where tls is on"
        yield _error(project, "hostName", host, reason, "<host name>")


def _unknown(project: str, known: Collection[str]) -> Iterator[str]:
    """Yields an error for every key of the project that is none of its settings."""
    given = {*runtime_config.CONFIG.get(), *runtime_config.get_config_env()}
    for full_key in sorted(given):
        namespace, _, key = full_key.partition(":")
        if namespace == project and key not in known:
            similar = get_close_matches(key, known, n=1)
            hint = f"; did you mean {similar[0]}?" if similar else "."
            yield f"  {full_key} is not a setting{hint}\n      pulumi config rm {key}"


def _error(project: str, key: str, value: str, reason: str, example: str | None = None) -> str:
    """Returns an error and the command that fixes it; the example is the key's default."""
    if key in map(to_camel, _fields("password")):
        shown, fix = "[secret]", f"set --secret {key}"
    elif key in map(to_camel, _fields("environment")):
        shown, fix = "[secret]", f"rm --path {key}.<name>"
    else:
        shown, fix = f'"{value}"', f"set {key} {example or shlex.quote(_default(key))}"
    return f"  {project}:{key} = {shown} {reason}.\n      pulumi config {fix}"


def _default(key: str) -> str:
    declared = yaml.load(_PROJECT_FILE.read_text(), Loader=yaml.BaseLoader)["config"]
    return str(declared[key]["default"])
