"""The program under Pulumi mocks: what it declares, without engine, network or Docker."""

import asyncio
import runpy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime import mocks, rpc, settings, stack

PROJECT_FOLDER = Path(__file__).parents[2]


@dataclass(frozen=True)
class Resource:
    """One registered resource."""

    type: str
    name: str
    inputs: dict[str, Any]
    secrets: frozenset[str]
    parent: str
    depends_on: frozenset[str]
    deleted_with: str
    protect: bool
    ignore_changes: tuple[str, ...]


@dataclass
class Deployment:
    """Everything that one run of the program declared."""

    resources: list[Resource] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    secret_outputs: frozenset[str] = frozenset()

    def one(self, type_: str, name: str) -> Resource:
        """Returns the only resource of a type and name."""
        found = [item for item in self.resources if (item.type, item.name) == (type_, name)]
        assert len(found) == 1, f"{len(found)} resources {type_} {name}"
        return found[0]

    def all(self, type_: str) -> list[Resource]:
        """Returns the resources of a type."""
        return [item for item in self.resources if item.type == type_]


class _Mocks(mocks.Mocks):
    """Answers as the providers would: outputs are inputs and what the provider computes."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        computed: dict[str, dict[str, Any]] = {
            "random:index/randomPassword:RandomPassword": {"result": f"generated-{args.name}-1A"},
            "docker:index/remoteImage:RemoteImage": {"imageId": f"sha256:{args.name}"},
            "pulumi-python:dynamic/kestra:Flow": {"revision": 1},
        }
        return f"{args.name}-id", {**args.inputs, **computed.get(args.typ, {})}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], None]:
        raise AssertionError(f"the program calls no provider function, but {args.token}")


class _Monitor(mocks.MockMonitor):
    """Records every registration with the options that the plain mocks leave out."""

    def __init__(self) -> None:
        super().__init__(_Mocks())
        self.deployment = Deployment()

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the name of the gRPC method
        inputs = rpc.deserialize_properties(request.object)
        self.deployment.resources.append(
            Resource(
                type=request.type,
                name=request.name,
                inputs=_unwrap(inputs),
                secrets=_secrets(inputs),
                parent=request.parent,
                depends_on=frozenset(request.dependencies),
                deleted_with=request.deletedWith,
                protect=request.protect,
                ignore_changes=tuple(request.ignoreChanges),
            )
        )
        return super().RegisterResource(request)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        if "pulumi:pulumi:Stack" in request.urn:
            outputs = rpc.deserialize_properties(request.outputs)
            self.deployment.outputs = _unwrap(outputs)
            self.deployment.secret_outputs = _secrets(outputs)
        return super().RegisterResourceOutputs(request)


def _secrets(properties: dict[str, Any]) -> frozenset[str]:
    """Returns the top-level properties that hold a secret anywhere."""

    def holds_secret(value: Any) -> bool:
        if rpc.is_rpc_secret(value):
            return True
        items = value.values() if isinstance(value, dict) else value
        return isinstance(value, dict | list) and any(holds_secret(item) for item in items)

    return frozenset(key for key, value in properties.items() if holds_secret(value))


def _unwrap(value: Any) -> Any:
    if rpc.is_rpc_secret(value):
        return _unwrap(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {key: _unwrap(item) for key, item in value.items()}
    return [_unwrap(item) for item in value] if isinstance(value, list) else value


def run(program: Callable[[], Any]) -> Deployment:
    """Runs a program under mocks and returns what it declared."""
    monitor = _Monitor()

    async def run_in_stack() -> None:
        mocks.set_mocks(_Mocks(), project="podium", stack="test", preview=False, monitor=monitor)
        # The mocks bring a finished root along; the program gets one of its own, with outputs.
        settings.set_root_resource(None)
        await stack.run_in_stack(program)

    asyncio.run(run_in_stack())
    return monitor.deployment


def configure(secrets: dict[str, str] | None = None, **config: object) -> None:
    """Sets the stack's configuration: the defaults of Pulumi.yaml, changed by `config`."""
    schema = yaml.safe_load((PROJECT_FOLDER / "Pulumi.yaml").read_text())["config"]
    values = {key: value["default"] for key, value in schema.items()} | config | (secrets or {})
    pulumi.runtime.set_all_config(
        {f"podium:{key}": _engine_text(value) for key, value in values.items()},
        [f"podium:{key}" for key in secrets or {}],
    )


def _engine_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Deployment]:
    """Returns a function that runs the whole program with some settings."""
    monkeypatch.chdir(PROJECT_FOLDER)

    def deploy_with(secrets: dict[str, str] | None = None, **config: object) -> Deployment:
        configure(secrets, **config)
        return run(lambda: runpy.run_path("__main__.py") and None)

    return deploy_with
