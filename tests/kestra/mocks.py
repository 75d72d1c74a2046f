"""A program under Pulumi mocks: what it declares, without engine, network or Docker."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pulumi.runtime import mocks, rpc, settings, stack

STACK = "pulumi:pulumi:Stack"
FLOW = "pulumi-python:dynamic/kestra:Flow"
FLOW_NAMESPACE = "pulumi-python:dynamic/kestra:Namespace"
NAMESPACE_FILE = "pulumi-python:dynamic/kestra:NamespaceFile"
KEY_VALUE = "pulumi-python:dynamic/kestra:KeyValue"
DASHBOARD = "pulumi-python:dynamic/kestra:Dashboard"
FLOW_DIRECTORY = "kestra:index:FlowDirectory"
DASHBOARD_DIRECTORY = "kestra:index:DashboardDirectory"

Computed = Mapping[str, Callable[[str], dict[str, Any]]]


@dataclass(frozen=True)
class Resource:
    """One registered resource; other resources are named by type and name, as in `key`.

    `plain` is what of `inputs` is readable to all: each secret shows as "[secret]".
    """

    type: str
    name: str
    inputs: dict[str, Any]
    plain: dict[str, Any]
    parent: str
    provider: str
    depends_on: frozenset[str]
    deleted_with: str
    protect: bool
    retain_on_delete: bool
    delete_before_replace: bool
    ignore_changes: tuple[str, ...]
    aliases: tuple[str, ...]

    @property
    def key(self) -> str:
        """Type and name in one word."""
        return f"{self.type}::{self.name}"


@dataclass
class Deployment:
    """Everything that one run of a program declared."""

    resources: list[Resource] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    plain_outputs: dict[str, Any] = field(default_factory=dict)

    def one(self, type_: str, name: str) -> Resource:
        """Returns the only resource of a type and name."""
        (found,) = (item for item in self.all(type_) if item.name == name)
        return found

    def all(self, type_: str) -> list[Resource]:
        """Returns the resources of a type, in the order of their registration."""
        return [item for item in self.resources if item.type == type_]


class _Mocks(mocks.Mocks):
    """Answers as the providers would: outputs are inputs and what the provider computes."""

    def __init__(self, failures: Mapping[str, str], computed: Computed) -> None:
        self.failures = failures
        self.computed = computed

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        computed: dict[str, dict[str, Any]] = {
            FLOW: {"revision": 1},
            DASHBOARD: {"registered": True},
            FLOW_NAMESPACE: {
                "written": {flow_id: {"revision": 1} for flow_id in args.inputs.get("flows", ())},
                "failures": self.failures,
            },
        }
        if args.typ in self.computed:
            computed[args.typ] = self.computed[args.typ](args.name)
        return f"{args.name}-id", {**args.inputs, **computed.get(args.typ, {})}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], None]:
        raise AssertionError(f"the program calls no provider function, but {args.token}")


class _Monitor(mocks.MockMonitor):
    """Records every registration with the options that the plain mocks leave out."""

    def __init__(self, failures: Mapping[str, str], computed: Computed) -> None:
        super().__init__(_Mocks(failures, computed))
        self.deployment = Deployment()

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the name of the gRPC method
        if request.type != STACK:
            inputs = rpc.deserialize_properties(request.object)
            self.deployment.resources.append(
                Resource(
                    type=request.type,
                    name=request.name,
                    inputs=_unwrap(inputs),
                    plain=_mask(inputs),
                    parent=_key(request.parent),
                    provider=_key(request.provider).rpartition("::")[0],
                    depends_on=frozenset(map(_key, request.dependencies)),
                    deleted_with=_key(request.deletedWith),
                    protect=request.protect,
                    retain_on_delete=request.retainOnDelete,
                    delete_before_replace=request.deleteBeforeReplace,
                    ignore_changes=tuple(request.ignoreChanges),
                    aliases=tuple(str(alias.spec).strip() for alias in request.aliases),
                )
            )
        return super().RegisterResource(request)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        if _key(request.urn).startswith(STACK):
            outputs = rpc.deserialize_properties(request.outputs)
            self.deployment.outputs = _unwrap(outputs)
            self.deployment.plain_outputs = _mask(outputs)
        return super().RegisterResourceOutputs(request)


def _key(urn: str) -> str:
    """Returns type and name of the resource that a URN names."""
    return urn.rpartition("$")[2] if "$" in urn else "::".join(urn.split("::")[2:])


def _unwrap(value: Any, secret: Callable[[Any], Any] | None = None) -> Any:
    """Returns the value with each secret replaced by what `secret` makes of it."""
    if rpc.is_rpc_secret(value):
        inner = rpc.unwrap_rpc_secret(value)
        return secret(inner) if secret else _unwrap(inner)
    if isinstance(value, dict):
        return {key: _unwrap(item, secret) for key, item in value.items()}
    return [_unwrap(item, secret) for item in value] if isinstance(value, list) else value


def _mask(value: Any) -> Any:
    return _unwrap(value, lambda _: "[secret]")


def run(
    program: Callable[[], object],
    stack_name: str = "test",
    failures: Mapping[str, str] = MappingProxyType({}),
    computed: Computed = MappingProxyType({}),
) -> Deployment:
    """Runs a program under mocks and returns what it declared.

    Args:
        program: the program.
        stack_name: the name of the stack.
        failures: what fails in each namespace of flows, by flow.
        computed: the outputs that providers compute from a resource's name, by resource type.
    """
    monitor = _Monitor(failures, computed)

    def declare() -> None:
        program()

    async def run_in_stack() -> None:
        # What fails is raised in the end; futures that nobody asked would log it once more whenever
        # they are collected, even in the middle of an import, which Python 3.11 does not survive.
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        mocks.set_mocks(
            monitor.mocks, project="podium", stack=stack_name, preview=False, monitor=monitor
        )
        # A program that failed leaves what it waited for.
        settings.SETTINGS.rpc_manager.clear()
        settings.SETTINGS.outputs.clear()
        # The mocks bring a finished root along; the program gets one of its own, with outputs.
        settings.set_root_resource(None)  # type: ignore[arg-type]
        await stack.run_in_stack(declare)

    asyncio.run(run_in_stack())
    return monitor.deployment
