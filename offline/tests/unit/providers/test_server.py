"""The provider protocol, apart from what a resource type does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc
from pulumi.runtime.rpc import UNKNOWN, is_rpc_secret, wrap_rpc_secret

from offline.providers import docker, postgresql, random
from offline.providers.schema import known
from offline.providers.server import Provider
from offline.tests.provider_host import CheckError, Deployed, OperationError, hosting

BIN = Path(__file__).parents[3] / "bin"


@pytest.mark.parametrize("name", ["docker", "postgresql", "random"])
def test_executable_answers_on_the_port_it_prints(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text("raise SystemExit('the program folder is not searched')")
    with subprocess.Popen(
        [BIN / f"pulumi-resource-{name}", "127.0.0.1:1"],
        cwd=tmp_path,
        env=os.environ | {"PODIUM_PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            with grpc.insecure_channel(f"127.0.0.1:{process.stdout.readline().strip()}") as channel:
                stub = provider_pb2_grpc.ResourceProviderStub(channel)
                assert stub.GetPluginInfo(empty_pb2.Empty(), timeout=30).version
        finally:
            process.terminate()


def test_provider_ends_with_a_killed_engine() -> None:
    provider = [str(BIN / "pulumi-resource-random"), "127.0.0.1:1"]
    start = f"import subprocess, time; subprocess.Popen({provider}); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", start],
        env=os.environ | {"PODIUM_PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        text=True,
    ) as engine:
        assert engine.stdout is not None
        port = engine.stdout.readline().strip()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            assert stub.GetPluginInfo(empty_pb2.Empty(), timeout=30).version
        engine.kill()
        # The provider has the other end: no more than the end of the file is left of it.
        assert engine.stdout.read() == ""


@pytest.mark.parametrize(
    ("provider", "token"),
    [
        (docker.PROVIDER, "docker:index/service:Service"),
        (postgresql.PROVIDER, "postgresql:index/function:Function"),
        (random.PROVIDER, "random:index/randomPet:RandomPet"),
    ],
)
def test_unsupported_resources_are_refused_by_name(provider: Provider, token: str) -> None:
    with hosting(provider) as started, pytest.raises(grpc.RpcError) as refused:
        started.check(token, {})
    assert refused.value.details() == f"{token} is not supported offline"


def test_functions_are_refused_by_name() -> None:
    with hosting(docker.PROVIDER) as started, pytest.raises(grpc.RpcError) as refused:
        started.stub.Invoke(provider_pb2.InvokeRequest(tok="docker:index/getNetwork:getNetwork"))
    reason = "function docker:index/getNetwork:getNetwork is not supported offline"
    assert refused.value.details() == reason


def test_imports_are_refused() -> None:
    with hosting(random.PROVIDER) as started, pytest.raises(OperationError, match="importing"):
        started.refresh(Deployed(random.RandomId.token, "x", {}, {}, frozenset()))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"scheme": "awspostgres"}, "property 'scheme' is not supported offline"),
        ({"port": "many"}, "'port' must be of type integer, got str"),
        ({"connectTimeout": -2}, "'connectTimeout' must be at least -1, got -2"),
    ],
)
def test_bad_configuration_is_refused(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(CheckError, match=reason), hosting(postgresql.PROVIDER, **config):
        pytest.fail("the configuration was accepted")


def _config(values: dict[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(values)
    return struct


def test_configuration_stays_as_it_is_but_for_the_secret() -> None:
    given = {"host": UNKNOWN, "port": "5432", "password": "p", "version": "3.18.2"}
    with hosting(postgresql.PROVIDER) as started:
        request = provider_pb2.CheckRequest(news=_config(given))
        checked = MessageToDict(started.stub.CheckConfig(request).inputs)
    assert is_rpc_secret(checked.pop("password"))
    assert checked == {"host": UNKNOWN, "port": "5432", "version": "3.18.2"}


def test_change_of_the_configuration_updates_the_provider() -> None:
    with hosting(postgresql.PROVIDER) as started:
        changed = started.stub.DiffConfig(
            provider_pb2.DiffRequest(
                old_inputs=_config({"host": "a", "password": wrap_rpc_secret("p")}),
                news=_config({"host": "b", "password": wrap_rpc_secret("p")}),
            )
        )
    assert list(changed.detailedDiff) == ["host"]
    assert list(changed.replaces) == []


def test_environment_completes_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", "1")
    with (
        hosting(postgresql.PROVIDER, sslmode="disable") as started,
        pytest.raises(OperationError) as failed,
    ):
        started.create(postgresql.Role.token, {"name": "r"})
    assert str(failed.value) == (
        "error connecting to PostgreSQL server 127.0.0.1:1: Connection refused"
    )


def test_update_that_failed_leaves_the_new_values_in_the_state() -> None:
    inputs = {"name": "r", "password": "old"}
    with hosting(postgresql.PROVIDER, host="127.0.0.1", port=1) as started:
        outputs = known(started.preview(postgresql.Role.token, inputs))
        role = Deployed(postgresql.Role.token, "r", inputs, outputs, frozenset())
        with pytest.raises(OperationError, match="Connection refused") as failed:
            started.update(role, inputs | {"password": "new"})
        assert failed.value.kept
        assert failed.value.kept.outputs["password"] == "new"
        # Nothing is left to be done, so that the role keeps its old password.
        assert started.diff(failed.value.kept, inputs | {"password": "new"}).changes == {}


def test_cancellation_is_left_to_the_engine() -> None:
    with hosting(random.PROVIDER) as started:
        started.stub.Cancel(empty_pb2.Empty())
        assert started.create(random.RandomId.token, {"byteLength": 1}).outputs["hex"]


def test_preview_needs_no_server() -> None:
    with hosting(postgresql.PROVIDER, host="127.0.0.1", port=1) as started:
        assert started.preview(postgresql.Role.token, {"name": "r"})["name"] == "r"


def test_docker_that_is_not_there_is_named(tmp_path: Path) -> None:
    host = f"unix://{tmp_path}/docker.sock"
    with (
        hosting(docker.PROVIDER, host=host) as started,
        pytest.raises(OperationError, match=f"Docker is not reachable at {host}"),
    ):
        started.create(docker.Volume.token, {"name": "v"})


def test_password_of_a_role_is_a_secret() -> None:
    with hosting(postgresql.PROVIDER) as started:
        response = started.stub.Check(
            provider_pb2.CheckRequest(
                urn=f"urn:pulumi:s::p::{postgresql.Role.token}::r", news=_config({"password": "p"})
            )
        )
    assert is_rpc_secret(MessageToDict(response.inputs)["password"])


@pytest.mark.parametrize("provider", [docker.PROVIDER, postgresql.PROVIDER, random.PROVIDER])
def test_schema_lists_the_resources(provider: Provider) -> None:
    with hosting(provider) as started:
        schema = json.loads(started.stub.GetSchema(provider_pb2.GetSchemaRequest()).schema)
    for token, resource in schema["resources"].items():
        assert token.startswith(f"{schema['name']}:index/")
        assert resource["inputProperties"].keys() <= resource["properties"].keys()


@pytest.mark.parametrize(
    ("provider", "token", "says"),
    [
        (docker.PROVIDER, docker.Network.token, True),
        (random.PROVIDER, random.RandomPassword.token, False),
    ],
)
def test_schema_says_what_replaces_where_the_official_one_does(
    provider: Provider, token: str, says: bool
) -> None:
    with hosting(provider) as started:
        schema = json.loads(started.stub.GetSchema(provider_pb2.GetSchemaRequest()).schema)
    properties = schema["resources"][token]["inputProperties"].values()
    assert any(prop.get("willReplaceOnChanges") for prop in properties) is says
