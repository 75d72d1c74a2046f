"""The configuration: what is accepted, and what each error says."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import settings as runtime

from infra.settings import Settings, SettingsError
from tests.unit.harness import PROJECT, PROJECT_FOLDER, configure

DIGEST = "sha256:" + "0f" * 32

PORT = "must be a port from 1024 to 65535"
DAYS = "must be a number of days from 1 to 36500"
FLAG = "must be true or false"
ADDRESS = "must be an IPv4 or IPv6 address of the Docker host"
HOST = "must be a host name (RFC 1123) or an IPv4 address, without scheme and port"
IMAGE = "must be an image reference with a tag or a digest"
MAJOR = "must have a tag that begins with the major version, 15 or later"
REGISTRY = "must be a registry host with an optional path, without scheme and final slash"
IDENTIFIER = (
    "must be a PostgreSQL identifier: a lower-case letter or underscore, "
    "then lower-case letters, digits, underscores or dollar signs"
)
EMAIL = "must be an e-mail address: "
SOURCE = "must be an http or https URL, or a folder"
ONE_LINE = "must be printable text on one line"
COLON = "must not have a colon in it, as Docker cannot mount such a folder"
NO_FOLDER = "must be a folder that exists: Docker would create an empty one"
PLACEHOLDER = "must not contain ${"
CPUS = "must be a number of CPUs such as 2 or 1.5"
KESTRA = (
    "must be Kestra 1.2 or later: the plugins of older ones split SQL inside $$, so that taxi_load "
    "fails"
)
KESTRA_PASSWORD = (
    "must have 8 to 256 characters with A to Z, a to z and a digit among them, and must not "
    "contain ${"
)
PGADMIN_PASSWORD = "must have at least 6 printable characters"

BAD = [
    ("postgresPort", "", PORT),
    ("postgresPort", "1023", PORT),
    ("postgresPort", "65536", PORT),
    ("kestraPort", "-8080", PORT),
    ("kestraPort", "08080", PORT),
    ("kestraPort", "8080.0", PORT),
    ("kestraManagementPort", "http", PORT),
    ("kestraManagementPort", "٨٠٨١", PORT),
    ("pgadminPort", "9" * 5000, PORT),
    ("pgadminPort", "8080", "must be another port than kestraPort, which has the same value"),
    ("bindAddress", "", ADDRESS),
    ("bindAddress", "localhost", ADDRESS),
    ("bindAddress", "127.0.0.256", ADDRESS),
    ("bindAddress", "127.0.0.1/8", ADDRESS),
    ("tls", "", "must be off, internal or acme"),
    ("tls", "true", "must be off, internal or acme"),
    ("gatewayPort", "443", PORT),
    ("gatewayPort", "8080", "must be another port than kestraPort, which has the same value"),
    ("allowPlainText", "yes", FLAG),
    ("gatewayMemory", "63", "must be a number of MiB, 64 or more"),
    ("hostName", "", HOST),
    ("hostName", "http://localhost", HOST),
    ("hostName", "localhost:8080", HOST),
    ("hostName", "::1", HOST),
    ("hostName", "-docker.example.com", HOST),
    ("hostName", "docker_host", HOST),
    ("hostName", "a" * 64, HOST),
    ("hostName", ".".join(["a" * 63] * 4), HOST),
    ("kestraImage", "", IMAGE),
    ("kestraImage", "kestra/kestra", IMAGE),
    ("kestraImage", "kestra/kestra:", IMAGE),
    ("kestraImage", "Kestra/kestra:v1", IMAGE),
    ("kestraImage", "https://example.com/kestra:v1", IMAGE),
    ("kestraImage", "kestra/kestra:v0.24.2", KESTRA),
    ("kestraImage", "kestra/kestra:v1.1.13-no-plugins", KESTRA),
    ("kestraImage", f"localhost:5000/kestra/kestra:1.0@{DIGEST}", KESTRA),
    ("pgadminImage", "dpage/pgadmin4:9 ", IMAGE),
    ("pgadminImage", "dpage/pgadmin4@sha256:0f", IMAGE),
    ("filesImage", "nginx:1.28-alpinë", IMAGE),
    ("postgresImage", "postgres", IMAGE),
    ("postgresImage", "postgres:latest", MAJOR),
    ("postgresImage", "postgres:14.20", MAJOR),
    ("postgresImage", f"postgres@{DIGEST}", MAJOR),
    ("registryPrefix", "https://registry.example.com", REGISTRY),
    ("registryPrefix", "registry.example.com/hub/", REGISTRY),
    ("warehouseDatabase", "", IDENTIFIER),
    ("warehouseDatabase", "NY_taxi", IDENTIFIER),
    ("warehouseDatabase", "ny-taxi", IDENTIFIER),
    ("kestraDatabase", "1st", IDENTIFIER),
    ("kestraDatabase", "a" * 64, "must have at most 63 bytes, not 64"),
    ("kestraDatabase", "ä" * 32, "must have at most 63 bytes, not 64"),
    ("kestraDatabase", "template1", "must not be one of PostgreSQL's own databases"),
    (
        "warehouseDatabase",
        "kestra",
        "must be another database than kestraDatabase, which has the same value",
    ),
    ("etlRole", "etl;drop", IDENTIFIER),
    ("etlRole", "$etl", IDENTIFIER),
    ("readerRole", "pg_reader", "must not be a role name that PostgreSQL reserves"),
    ("kestraRole", "postgres", "must not be a role name that PostgreSQL reserves"),
    ("pgadminRole", "reader", "must be another role than readerRole, which has the same value"),
    ("adminEmail", "admin", EMAIL + "An email address must have an @-sign"),
    (
        "adminEmail",
        "admin@localhost",
        EMAIL + "The part after the @-sign is not valid. It should have a period",
    ),
    ("adminEmail", "größe@example.com", EMAIL[:-2] + " of ASCII characters"),
    ("adminEmail", "admin@größe.example.com", EMAIL[:-2] + " of ASCII characters"),
    ("taxiSource", "", SOURCE),
    ("taxiSource", "ftp://example.com/{taxi}", SOURCE),
    ("taxiSource", "https:///{taxi}", SOURCE),
    ("taxiSource", "https://example.com/new york", SOURCE),
    ("taxiSource", "~somebody/taxi", SOURCE),
    ("taxiSource", "https:/example.com/{taxi}", COLON),
    ("taxiSource", "/data:taxi", COLON),
    ("taxiSource", "no/such/folder", NO_FOLDER),
    ("taxiSource", __file__, NO_FOLDER),
    ("adminEmail", "${user}@example.com", PLACEHOLDER),
    ("taxiSource", "https://example.com/${taxi}", PLACEHOLDER),
    ("postgresMemory", "1023", "must be a number of MiB, 1024 or more"),
    ("kestraMemory", "4g", "must be a number of MiB, 1024 or more"),
    ("pgadminMemory", "", "must be a number of MiB, 512 or more"),
    ("filesMemory", "0", "must be a number of MiB, 64 or more"),
    ("postgresCpus", "0", CPUS),
    ("postgresCpus", "01", CPUS),
    ("kestraCpus", "1.50", CPUS),
    ("kestraCpus", "two", CPUS),
    ("schedulesEnabled", "True", FLAG),
    ("retentionDays", "0", DAYS),
    ("retentionDays", "-1", DAYS),
    ("retentionDays", "36501", DAYS),
    ("retentionDays", "ninety", DAYS),
    ("kestraDockerSocket", "yes", FLAG),
    ("protectVolumes", "", FLAG),
]

BAD_SECRETS = [
    ("postgresPassword", "two\nlines", ONE_LINE),
    ("etlPassword", "bell\a", ONE_LINE),
    ("readerPassword", "null\0", ONE_LINE),
    ("kestraPassword", "Short1", KESTRA_PASSWORD),
    ("kestraPassword", "nouppercase1", KESTRA_PASSWORD),
    ("kestraPassword", "NOLOWERCASE1", KESTRA_PASSWORD),
    ("kestraPassword", "NoDigitAtAll", KESTRA_PASSWORD),
    ("kestraPassword", "Reads${user}1", KESTRA_PASSWORD),
    ("kestraPassword", "Secret1" + "x" * 250, KESTRA_PASSWORD),
    ("kestraPassword", "ÄÖÜßäöü1", KESTRA_PASSWORD),
    ("kestraPassword", "Password٣", KESTRA_PASSWORD),
    ("pgadminPassword", "five5", PGADMIN_PASSWORD),
    ("pgadminPassword", "tabs\tare not printed", PGADMIN_PASSWORD),
]

PASSWORDS = sorted(key for key in PROJECT["config"] if key.endswith("Password"))


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    runtime.configure(runtime.Settings(project="podium", stack="test"))


def load(secrets: dict[str, str] | None = None, /, **config: object) -> Settings:
    configure(secrets, **config)
    return Settings.load()


def passwords(settings: Settings) -> dict[str, str | None]:
    return {
        key: value for key, value in settings.model_dump(by_alias=True).items() if key in PASSWORDS
    }


def error(secrets: dict[str, str] | None = None, /, **config: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load(secrets, **config)
    return str(caught.value)


@pytest.mark.parametrize(("key", "value", "reason"), BAD)
def test_an_invalid_value_is_shown_with_the_reason_and_the_fix(key: str, value: str, reason: str):
    head, what, fix = error(**{key: value}).split("\n")
    assert head == "1 setting is invalid; nothing was changed."
    assert what == f'  podium:{key} = "{value}" {reason}.'
    assert fix.startswith(f"      pulumi config set {key} ")


@pytest.mark.parametrize(
    ("key", "value"), {key: value for key, value, why in BAD if "another" not in why}.items()
)
def test_the_fix_fixes_it(key: str, value: str):
    *_, fixed_key, fixed_value = shlex.split(error(**{key: value}).rpartition("\n")[2])
    load(**{fixed_key: fixed_value})


@pytest.mark.parametrize(("key", "value", "reason"), BAD_SECRETS)
def test_a_bad_password_is_explained_but_not_shown(key: str, value: str, reason: str):
    assert error({key: value}) == (
        "1 setting is invalid; nothing was changed.\n"
        f"  podium:{key} = [secret] {reason}.\n"
        f"      pulumi config set --secret {key}"
    )


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ("hidden", "must be a mapping of environment variables"),
        (["hidden"], "must be a mapping of environment variables"),
        ({"MY-NAME": "hidden"}, "must not have the variable MY-NAME: letters, digits, underscores"),
        (
            {"KESTRA_CONFIGURATION": "hidden"},
            "must not have the variable KESTRA_CONFIGURATION, which Podium sets itself",
        ),
        (
            {"SECRET_KEY": "hidden"},
            "must not have SECRET_KEY: secrets of flows are in __main__.py",
        ),
        ({"LIST": ["hidden"]}, "must have a text for the variable LIST"),
        ({"URL": "hidden ${user}"}, PLACEHOLDER),
    ],
)
def test_a_bad_environment_of_kestra_is_explained_but_not_shown(variables: object, reason: str):
    assert error(kestraEnvironment=json.dumps(variables)) == (
        "1 setting is invalid; nothing was changed.\n"
        f"  podium:kestraEnvironment = [secret] {reason}.\n"
        "      pulumi config rm --path kestraEnvironment.<name>"
    )


@pytest.mark.parametrize("key", PASSWORDS)
def test_a_password_in_plain_text_is_refused_and_not_shown(key: str):
    assert error(**{key: "Correct4horse"}) == (
        "1 setting is invalid; nothing was changed.\n"
        f"  podium:{key} = [secret] must be encrypted, but is in plain text.\n"
        f"      pulumi config set --secret {key}"
    )


def test_all_errors_are_reported_at_once():
    message = error(
        {"kestraPassword": "weak"},
        postgresPort=80,
        kestraPort=8085,
        registryPrefix="hub/",
        adminEmail="admin",
    )
    assert message.startswith("5 settings are invalid; nothing was changed.\n")
    assert re.findall(r"^  podium:(\w+)", message, re.MULTILINE) == [
        "postgresPort",
        "registryPrefix",
        "adminEmail",
        "kestraPassword",
        "pgadminPort",
    ]


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("kestraImge", "; did you mean kestraImage?"),
        ("notice", "."),
        ("postgres_port", "; did you mean postgresPort?"),
    ],
)
def test_a_key_that_is_no_setting_is_an_error(key: str, hint: str):
    assert error(**{key: "anything"}) == (
        "1 setting is invalid; nothing was changed.\n"
        f"  podium:{key} is not a setting{hint}\n"
        f"      pulumi config rm {key}"
    )


def test_a_setting_with_two_errors_counts_once():
    message = error(kestraPassword="weak")
    assert message.startswith("1 setting is invalid;")
    assert message.count("podium:kestraPassword") == 2


GOOD = [
    ("postgresPort", "1024", "postgres_port", 1024),
    ("postgresPort", "65535", "postgres_port", 65535),
    ("bindAddress", "127.9.9.9", "bind_address", "127.9.9.9"),
    ("bindAddress", "::1", "bind_address", "::1"),
    ("hostName", "192.0.2.1", "host_name", "192.0.2.1"),
    ("hostName", "Docker-1.example.com", "host_name", "Docker-1.example.com"),
    ("hostName", "a" * 63, "host_name", "a" * 63),
    ("postgresImage", "postgres:18.1-alpine", "postgres_major", 18),
    ("postgresImage", f"localhost:5000/pg:15@{DIGEST}", "postgres_major", 15),
    *(
        ("kestraImage", image, "kestra_image", image)
        for image in (
            f"kestra/kestra@{DIGEST}",
            "kestra/kestra:v1.2.0",
            "kestra/kestra:v1.10.0",
            "kestra/kestra:latest",
            # Whose release is not known.
            "example.com/our/kestra:0.1",
            "example.com/our-kestra/kestra:1.0",
        )
    ),
    ("kestraDatabase", "a" * 63, "kestra_database", "a" * 63),
    ("kestraDatabase", "ä" * 31 + "z", "kestra_database", "ä" * 31 + "z"),
    ("warehouseDatabase", "_taxi$2019", "warehouse_database", "_taxi$2019"),
    ("etlRole", "größe", "etl_role", "größe"),
    ("adminEmail", "o'brien@example.com", "admin_email", "o'brien@example.com"),
    ("kestraManagementPort", "0", "kestra_management_port", None),
    ("kestraMemory", "1024", "kestra_memory", 1024),
    ("postgresCpus", "", "postgres_cpus", None),
    ("kestraCpus", "1.5", "kestra_cpus", "1.5"),
    ("kestraCpus", "0.05", "kestra_cpus", "0.05"),
    ("kestraEnvironment", "", "kestra_environment", {}),
    (
        "kestraEnvironment",
        '{"JAVA_OPTS": "-Xmx1g", "TRIES": 5, "DEBUG": true}',
        "kestra_environment",
        {"JAVA_OPTS": "-Xmx1g", "TRIES": "5", "DEBUG": "true"},
    ),
    ("schedulesEnabled", "false", "schedules_enabled", False),
    ("retentionDays", "36500", "retention_days", 36500),
    ("kestraDockerSocket", "true", "kestra_docker_socket", True),
    ("protectVolumes", "true", "protect_volumes", True),
]


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "::", "2001:db8::1"])
def test_ports_are_open_to_a_network_with_tls_or_where_plain_text_is_allowed(address: str):
    message = error(bindAddress=address)
    assert message == (
        "1 setting is invalid; nothing was changed.\n"
        f'  podium:bindAddress = "{address}" opens the ports to a network, which passwords would '
        "cross in plain text.\n"
        "      pulumi config set tls internal\n"
        "    or, where the network is trusted:\n"
        "      pulumi config set allowPlainText true"
    )
    for changes in ({"tls": "internal", "hostName": "docker"}, {"allowPlainText": True}):
        assert load(bindAddress=address, **changes).bind_address == address


@pytest.mark.parametrize(
    ("tls", "host", "reason"),
    [
        ("acme", "localhost", "must be a public host name where tls is acme"),
        ("acme", "docker", "must be a public host name where tls is acme"),
        ("acme", "dev.localhost", "must be a public host name where tls is acme"),
        ("acme", "192.0.2.1", "must be a public host name where tls is acme"),
        ("internal", "192.0.2.1", "must be a host name where tls is on: the pages are below it"),
    ],
)
def test_certificates_need_a_host_name(tls: str, host: str, reason: str):
    assert f'podium:hostName = "{host}" {reason}.\n' in error(tls=tls, hostName=host)


def test_certificates_open_to_a_network_need_a_name_that_is_known_there():
    reason = "must be the name by which others reach the Docker host where tls is on"
    assert f'podium:hostName = "localhost" {reason}.\n' in error(tls="internal", bindAddress="::")
    assert load(tls="internal").host_name == "localhost"


@pytest.mark.parametrize(
    ("tls", "ports"), [("off", {}), ("internal", {443: 8443}), ("acme", {443: 443, 80: 80})]
)
def test_the_gateway_has_the_ports_of_its_certificates(tls: str, ports: dict[int, int]):
    settings = load(tls=tls, hostName="docker.example.com")
    assert settings.gateway_ports == ports
    # Only what can be another port is looked for a free one.
    assert ("gatewayPort" in settings.ports) is (tls == "internal")


@pytest.mark.parametrize(("key", "value", "attribute", "expected"), GOOD)
def test_edge_cases_are_accepted(key: str, value: str, attribute: str, expected: object):
    assert getattr(load(**{key: value}), attribute) == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("postgres:17", "mirror.example.com/hub/postgres:17"),
        ("library/postgres:17", "mirror.example.com/hub/library/postgres:17"),
        (f"postgres:17@{DIGEST}", f"mirror.example.com/hub/postgres:17@{DIGEST}"),
        ("quay.io/postgres:17", "quay.io/postgres:17"),
        ("registry:5000/postgres:17", "registry:5000/postgres:17"),
        ("localhost/postgres:17", "localhost/postgres:17"),
    ],
)
def test_the_mirror_serves_images_that_name_no_registry(image: str, expected: str):
    settings = load(registryPrefix="mirror.example.com/hub", postgresImage=image)
    assert settings.postgres_image == expected
    assert (
        settings.kestra_image
        == f"mirror.example.com/hub/{PROJECT['config']['kestraImage']['default']}"
    )


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("https://example.com/{taxi}", None),
        ("http://localhost:8000", None),
        ("/data/taxi", Path("/data/taxi")),
        ("/data/new york", Path("/data/new york")),
        ("data/taxi", PROJECT_FOLDER / "data/taxi"),
        ("~", Path.home()),
        ("~/taxi", Path.home() / "taxi"),
    ],
)
def test_the_taxi_source_is_a_url_or_a_folder(
    source: str, folder: Path | None, monkeypatch: pytest.MonkeyPatch
):
    # Of another Docker host's folders nothing can be checked.
    monkeypatch.setenv("DOCKER_HOST", "ssh://docker.example.com")
    settings = load(taxiSource=source)
    assert settings.taxi_source == source
    assert settings.taxi_folder == folder


@pytest.mark.parametrize("host", [None, "", "unix:///var/run/docker.sock"])
def test_a_taxi_folder_must_exist_where_docker_is_local(
    host: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if host is not None:
        monkeypatch.setenv("DOCKER_HOST", host)
    assert load(taxiSource=tmp_path).taxi_folder == tmp_path
    assert NO_FOLDER in error(taxiSource=tmp_path / "missing")


def test_the_sample_is_in_the_project_and_only_where_docker_is_local(
    monkeypatch: pytest.MonkeyPatch,
):
    assert load(taxiSource="sample").taxi_folder == PROJECT_FOLDER / "sample"
    monkeypatch.setenv("DOCKER_HOST", "ssh://docker.example.com")
    assert "must be the path of a copy of sample/ on the Docker host" in error(taxiSource="sample")


def test_the_longest_password_of_kestra_is_taken():
    load({"kestraPassword": "Secret1" + "x" * 249})


def test_passwords_are_taken_as_they_are():
    chosen = {key: f"Pass word:\\{key}'1" for key in PASSWORDS}
    assert passwords(load(chosen)) == chosen


def test_passwords_not_set_are_left_to_be_generated():
    assert set(passwords(load()).values()) == {None}


def test_secrets_do_not_show_in_the_representation():
    environment = json.dumps({"TOKEN": "Correct4horse"})
    settings = load({"kestraPassword": "Correct4horse", "kestraEnvironment": environment})
    assert "Correct4horse" not in repr(settings)


def test_the_program_reads_every_key_that_the_project_declares_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
):
    configure()
    read: set[str] = set()
    get = pulumi.Config.get

    def spy(config: pulumi.Config, key: str) -> Any:
        read.add(key)
        return get(config, key)

    monkeypatch.setattr(pulumi.Config, "get", spy)
    Settings.load()
    assert read == set(PROJECT["config"])


@pytest.mark.parametrize("key", PROJECT["config"])
def test_the_project_gives_every_key_a_default_of_its_type_and_one_sentence(key: str):
    declared = PROJECT["config"][key]
    types = {"string": str, "integer": int, "boolean": bool, "object": dict}
    assert set(declared) == {"type", "default", "description"}
    assert type(declared["default"]) is types[declared["type"]]
    assert re.fullmatch(r"[A-Z][^.]*(\.\S[^.]*)*\.", declared["description"])


@pytest.mark.skipif("template" not in PROJECT, reason="this project was made from the template")
def test_the_template_offers_keys_with_the_defaults_of_the_project():
    for key, offered in PROJECT["template"]["config"].items():
        assert offered["default"] == PROJECT["config"][key]["default"]
