"""The property tables: what replaces and what updates, as in the official plugins."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from pulumi._types import input_type_py_to_pulumi_names
from pulumi.runtime.rpc import UNKNOWN

from offline.providers import docker, postgresql, random
from offline.providers.schema import Table, Values, is_computed_list, known
from offline.providers.server import Resource
from offline.tests.provider_host import Deployed, ProviderHost, hosting

RESOURCES: list[type[Resource]] = [
    docker.Network,
    docker.Volume,
    docker.RemoteImage,
    docker.Container,
    postgresql.Role,
    postgresql.Database,
    postgresql.Schema,
    postgresql.Extension,
    postgresql.Grant,
    postgresql.GrantRole,
    postgresql.DefaultPrivileges,
    random.RandomPassword,
    random.RandomId,
]

BY_TYPE = pytest.mark.parametrize(
    "resource", RESOURCES, ids=[resource.token.rsplit(":", 1)[1] for resource in RESOURCES]
)

LABEL = [{"label": "a", "value": "b"}]
GRANT = {
    "role": "r",
    "database": "d",
    "objectType": "table",
    "schema": "s",
    "privileges": ["SELECT"],
}

# What a resource has, what of it replaces it when changed, and what updates it.
CASES: dict[type[Resource], tuple[Values, Values, Values]] = {
    docker.Network: (
        {"name": "n"},
        {
            "name": "m",
            "driver": "macvlan",
            "labels": LABEL,
            "options": {"a": "b"},
            "internal": True,
            "attachable": True,
            "ipv6": True,
            "ipamConfigs": [{"subnet": "10.9.0.0/24"}],
        },
        {},
    ),
    docker.Volume: (
        {"name": "v"},
        {"name": "w", "driver": "nfs", "driverOpts": {"a": "b"}, "labels": LABEL},
        {},
    ),
    docker.RemoteImage: (
        {"name": "i"},
        {"name": "j", "platform": "linux/arm64", "pullTriggers": ["x"], "triggers": {"a": "b"}},
        {"keepLocally": True, "forceRemove": True},
    ),
    docker.Container: (
        {
            "name": "c",
            "image": "i",
            "envs": ["A=1", "B=2"],
            "ports": [{"internal": 80, "external": 8080, "ip": "127.0.0.1"}],
            "uploads": [{"file": "/f", "content": "x"}],
            "mounts": [{"target": "/m", "type": "volume", "source": "v"}],
            "healthcheck": {"tests": ["CMD", "true"]},
        },
        {
            "name": "d",
            "image": "j",
            "command": ["sh"],
            "entrypoints": ["sh"],
            "envs": ["A=1", "B=3"],
            "user": "1000",
            "workingDir": "/w",
            "hostname": "h",
            "domainname": "d",
            "labels": LABEL,
            "ports": [{"internal": 80, "external": 8081, "ip": "127.0.0.1"}],
            "networkMode": "host",
            "networksAdvanced": [{"name": "n", "aliases": ["a"]}],
            "hosts": [{"host": "h", "ip": "10.0.0.1"}],
            "volumes": [{"containerPath": "/v", "volumeName": "v"}],
            "mounts": [],
            "uploads": [{"file": "/f", "content": "y"}],
            "shmSize": 64,
            "privileged": True,
            "readOnly": True,
            "tty": True,
            "groupAdds": ["g"],
            "cpus": "1.5",
            "capabilities": {"adds": ["CAP_CHOWN"], "drops": ["ALL"]},
            "securityOpts": ["no-new-privileges"],
            "logDriver": "local",
            "logOpts": {"max-size": "1m"},
            "stopSignal": "SIGINT",
            "stopTimeout": 5,
        },
        {
            "restart": "always",
            "maxRetryCount": 1,
            "memory": 512,
            "memorySwap": 1024,
            "memoryReservation": 256,
            "cpuShares": 512,
            "tmpfs": {"/t": "rw"},
            "healthcheck": {"tests": ["CMD", "false"]},
            "mounts": [{"target": "/n", "type": "volume", "source": "v"}],
            "destroyGraceSeconds": 9,
            "removeVolumes": False,
            "mustRun": False,
            "wait": True,
            "waitTimeout": 5,
            "start": False,
            "rm": True,
            "attach": True,
            "init": True,
        },
    ),
    postgresql.Role: (
        {"name": "r", "password": "a"},
        {},
        {
            "name": "s",
            "password": "b",
            "login": True,
            "superuser": True,
            "createDatabase": True,
            "createRole": True,
            "inherit": False,
            "replication": True,
            "bypassRowLevelSecurity": True,
            "connectionLimit": 3,
            "validUntil": "2030-01-01",
            "roles": ["x"],
            "searchPaths": ["x"],
            "statementTimeout": 1,
            "idleInTransactionSessionTimeout": 1,
            "assumeRole": "x",
            "skipDropRole": True,
            "skipReassignOwned": True,
        },
    ),
    postgresql.Database: (
        {"name": "d"},
        {"template": "t", "encoding": "LATIN1", "lcCollate": "C", "lcCtype": "C"},
        {
            "name": "e",
            "owner": "o",
            "tablespaceName": "t",
            "connectionLimit": 1,
            "allowConnections": False,
            "isTemplate": True,
            "alterObjectOwnership": True,
        },
    ),
    postgresql.Schema: (
        {"name": "s", "database": "d"},
        {"database": "e"},
        {"name": "t", "owner": "o", "ifNotExists": False, "dropCascade": True},
    ),
    postgresql.Extension: (
        {"name": "x", "database": "d"},
        {"name": "y", "database": "e"},
        {"schema": "s", "version": "1", "dropCascade": True, "createCascade": True},
    ),
    postgresql.Grant: (
        GRANT,
        {
            "role": "q",
            "database": "e",
            "schema": "t",
            "objectType": "sequence",
            "objects": ["o"],
            "withGrantOption": True,
        },
        {"privileges": ["SELECT", "INSERT"]},
    ),
    postgresql.GrantRole: (
        {"role": "r", "grantRole": "g"},
        {"role": "s", "grantRole": "h", "withAdminOption": True},
        {},
    ),
    postgresql.DefaultPrivileges: (
        GRANT | {"owner": "o"},
        {
            "role": "q",
            "database": "e",
            "owner": "p",
            "schema": "t",
            "objectType": "sequence",
            "withGrantOption": True,
        },
        {"privileges": ["INSERT"]},
    ),
    random.RandomPassword: (
        {"length": 16},
        {
            "length": 17,
            "lower": False,
            "upper": False,
            "numeric": False,
            "number": False,
            "special": False,
            "minLower": 1,
            "minUpper": 1,
            "minNumeric": 1,
            "minSpecial": 1,
            "overrideSpecial": "_",
            "keepers": {"a": "b"},
        },
        {},
    ),
    random.RandomId: (
        {"byteLength": 4},
        {"byteLength": 5, "prefix": "p", "keepers": {"a": "b"}},
        {},
    ),
}


def _changes(index: int) -> list[Any]:
    return [
        pytest.param(resource, name, value, id=f"{resource.token.rsplit(':', 1)[1]}.{name}")
        for resource, case in CASES.items()
        for name, value in case[index].items()
    ]


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, ProviderHost]]:
    with (
        hosting(docker.PROVIDER) as of_docker,
        hosting(postgresql.PROVIDER) as of_postgresql,
        hosting(random.PROVIDER) as of_random,
    ):
        yield {"docker": of_docker, "postgresql": of_postgresql, "random": of_random}


@pytest.fixture
def deploy(hosts: dict[str, ProviderHost]) -> Any:
    """Pretend that a resource was deployed, without a server."""

    def pretend(resource: type[Resource], inputs: Values) -> tuple[ProviderHost, Deployed]:
        started = hosts[resource.token.split(":")[0]]
        lists: Values = {
            name: [] for name, prop in resource.table.items() if is_computed_list(prop)
        }
        outputs = lists | known(started.preview(resource.token, inputs))
        checked = started.check(resource.token, inputs)
        return started, Deployed(resource.token, "id", checked, outputs, frozenset())

    return pretend


def test_every_resource_has_a_case() -> None:
    assert set(CASES) == set(RESOURCES)


@pytest.mark.parametrize(("resource", "name", "value"), _changes(1))
def test_replaces(deploy: Any, resource: type[Resource], name: str, value: Any) -> None:
    inputs = CASES[resource][0]
    started, old = deploy(resource, inputs)
    found = started.diff(old, inputs | {name: value})
    assert name in found.replaces
    assert all(kind.endswith("_REPLACE") for kind in found.changes.values())


@pytest.mark.parametrize(("resource", "name", "value"), _changes(2))
def test_updates(deploy: Any, resource: type[Resource], name: str, value: Any) -> None:
    inputs = CASES[resource][0]
    started, old = deploy(resource, inputs)
    found = started.diff(old, inputs | {name: value})
    assert found.replaces == ()
    assert {path.split(".")[0].split("[")[0] for path in found.changes} == {name}


@BY_TYPE
def test_no_change_without_change(deploy: Any, resource: type[Resource]) -> None:
    inputs = CASES[resource][0]
    started, old = deploy(resource, inputs)
    assert started.diff(old, inputs).changes == {}


@BY_TYPE
@pytest.mark.filterwarnings("ignore::DeprecationWarning:pulumi_postgresql")
def test_inputs_have_the_names_of_the_sdk(resource: type[Resource]) -> None:
    package, _, name = resource.token.split(":")
    _assert_names(importlib.import_module(f"pulumi_{package}"), name, resource.table)


def _assert_names(sdk: ModuleType, name: str, table: Table) -> None:
    """Compare a table with the SDK's class for it, and its objects with theirs."""
    in_sdk = input_type_py_to_pulumi_names(getattr(sdk, f"{name}Args")).values()
    for prop_name, prop in table.items():
        assert prop.output_only or prop_name in in_sdk
        nested = prop.element or prop
        if nested.fields and not prop.output_only:
            singular = prop_name.removesuffix("s") if prop.element else prop_name
            _assert_names(sdk, name + singular[0].upper() + singular[1:], nested.fields)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        pytest.param({"name": "mine", "image": "a"}, True, id="named by the user"),
        pytest.param({"image": "a"}, True, id="autonamed"),
    ],
)
def test_containers_are_deleted_before_they_are_replaced(
    deploy: Any, inputs: Values, expected: bool
) -> None:
    started, old = deploy(docker.Container, inputs)
    assert started.diff(old, inputs | {"image": "b"}).delete_before_replace is expected


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        pytest.param({"name": "mine"}, True, id="named by the user"),
        pytest.param({}, False, id="autonamed"),
    ],
)
def test_resources_named_by_the_user_are_deleted_before_they_are_replaced(
    deploy: Any, inputs: Values, expected: bool
) -> None:
    started, old = deploy(docker.Network, inputs)
    assert started.diff(old, inputs | {"driver": "macvlan"}).delete_before_replace is expected


def test_privileges_have_no_order(deploy: Any) -> None:
    inputs = GRANT | {"privileges": ["SELECT", "INSERT"]}
    started, old = deploy(postgresql.Grant, inputs)
    assert started.diff(old, inputs | {"privileges": ["INSERT", "SELECT"]}).changes == {}


def test_image_that_is_not_known_yet_replaces_the_container(deploy: Any) -> None:
    started, old = deploy(docker.Container, {"name": "c", "image": "sha256:1"})
    assert started.diff(old, {"name": "c", "image": UNKNOWN}).replaces == ("image",)


def test_preview_of_a_container_knows_its_inputs_only(hosts: dict[str, ProviderHost]) -> None:
    outputs = hosts["docker"].preview(
        docker.Container.token, {"image": UNKNOWN, "envs": ["A=1"], "ports": [{"internal": 80}]}
    )
    assert outputs["envs"] == ["A=1"]
    assert outputs["image"] == UNKNOWN
    assert outputs["networkDatas"] == UNKNOWN
    assert outputs["ports"] == [
        {
            "internal": 80,
            "external": UNKNOWN,
            "ip": "0.0.0.0",
            "protocol": "tcp",
        }
    ]
    assert outputs["restart"] == "no"
    assert outputs["mustRun"] is True


def test_container_whose_creation_failed_is_replaced(hosts: dict[str, ProviderHost]) -> None:
    inputs = {"name": "c", "image": "i", "ports": [{"internal": 80, "external": 8080}]}
    created = known(hosts["docker"].preview(docker.Container.token, inputs))
    checked = hosts["docker"].check(docker.Container.token, inputs)
    failed = Deployed(docker.Container.token, "id", checked, created, frozenset())
    assert "entrypoints" in hosts["docker"].diff(failed, inputs).replaces
