"""A host of offline providers for tests, which speaks with them as the engine does."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import struct_pb2
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2
from pulumi.runtime.rpc import is_rpc_secret

from offline.providers import server
from offline.providers.schema import DEFAULTS, Values

SEED = b"seed"


class CheckError(Exception):
    """The inputs were refused."""


class OperationError(Exception):
    """An operation failed; `kept` is the state of what was created nevertheless."""

    def __init__(self, reason: str, kept: Deployed | None) -> None:
        super().__init__(reason)
        self.kept = kept


@dataclass(frozen=True)
class Deployed:
    """A resource as it stands in the state."""

    token: str
    id: str
    inputs: Values
    outputs: Values
    secrets: frozenset[str]


@dataclass(frozen=True)
class Diff:
    """What a preview shows for a resource."""

    changes: Mapping[str, str]
    replaces: tuple[str, ...]
    delete_before_replace: bool


class ProviderHost:
    """One provider, configured."""

    def __init__(self, stub: Any) -> None:
        self.stub = stub

    def check(self, token: str, inputs: Values, old: Values | None = None) -> Values:
        """Validate the inputs and fill in defaults."""
        response = self.stub.Check(
            provider_pb2.CheckRequest(
                urn=_urn(token), olds=_struct(old or {}), news=_struct(inputs), randomSeed=SEED
            )
        )
        if response.failures:
            raise CheckError("; ".join(failure.reason for failure in response.failures))
        return _values(response.inputs)

    def preview(self, token: str, inputs: Values) -> Values:
        """The outputs that a preview shows for a new resource."""
        request = provider_pb2.CreateRequest(
            urn=_urn(token), properties=_struct(self.check(token, inputs)), preview=True
        )
        return _values(self.stub.Create(request).properties)

    def create(self, token: str, inputs: Values) -> Deployed:
        """Create a resource."""
        checked = self.check(token, inputs)
        with _failures(token, checked):
            response = self.stub.Create(
                provider_pb2.CreateRequest(urn=_urn(token), properties=_struct(checked))
            )
        return _deployed(token, response.id, checked, response.properties)

    def diff(self, old: Deployed, inputs: Values) -> Diff:
        """Compare a resource with new inputs."""
        response = self.stub.Diff(
            provider_pb2.DiffRequest(
                urn=_urn(old.token),
                id=old.id,
                olds=_struct(old.outputs),
                old_inputs=_struct(old.inputs),
                news=_struct(self.check(old.token, inputs, old.inputs)),
            )
        )
        kinds = provider_pb2.PropertyDiff.Kind
        assert response.changes == (
            response.DIFF_SOME if response.detailedDiff else response.DIFF_NONE
        )
        return Diff(
            {path: kinds.Name(change.kind) for path, change in response.detailedDiff.items()},
            tuple(response.replaces),
            response.deleteBeforeReplace,
        )

    def update(self, old: Deployed, inputs: Values) -> Deployed:
        """Update a resource in place."""
        checked = self.check(old.token, inputs, old.inputs)
        with _failures(old.token, checked):
            response = self.stub.Update(
                provider_pb2.UpdateRequest(
                    urn=_urn(old.token),
                    id=old.id,
                    olds=_struct(old.outputs),
                    news=_struct(checked),
                )
            )
        return _deployed(old.token, old.id, checked, response.properties)

    def refresh(self, old: Deployed) -> Deployed | None:
        """Look a resource up, None where it is gone."""
        with _failures(old.token, old.inputs):
            response = self.stub.Read(
                provider_pb2.ReadRequest(
                    urn=_urn(old.token),
                    id=old.id,
                    properties=_struct(old.outputs),
                    inputs=_struct(old.inputs),
                )
            )
        if not response.id:
            return None
        return _deployed(old.token, response.id, _values(response.inputs), response.properties)

    def delete(self, old: Deployed) -> None:
        """Delete a resource."""
        with _failures(old.token, old.inputs):
            self.stub.Delete(
                provider_pb2.DeleteRequest(
                    urn=_urn(old.token), id=old.id, properties=_struct(old.outputs)
                )
            )


@contextmanager
def hosting(provider: server.Provider, **config: Any) -> Iterator[ProviderHost]:
    """Serve a provider in this process, configured for this host only."""
    own = copy.copy(provider)
    grpc_server, port = server.start(own)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            args = {
                name: value if isinstance(value, str) else json.dumps(value)
                for name, value in config.items()
            }
            check = stub.CheckConfig(provider_pb2.CheckRequest(news=_struct(args)))
            if check.failures:
                raise CheckError("; ".join(failure.reason for failure in check.failures))
            stub.Configure(provider_pb2.ConfigureRequest(args=check.inputs, acceptSecrets=True))
            yield ProviderHost(stub)
    finally:
        grpc_server.stop(None).wait()


def without_defaults(values: Any) -> Any:
    """The values without the notes which of them are defaults."""
    if isinstance(values, dict):
        return {k: without_defaults(v) for k, v in values.items() if k != DEFAULTS}
    return [without_defaults(v) for v in values] if isinstance(values, list) else values


@contextmanager
def _failures(token: str, inputs: Values) -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        kept = None
        call: Any = error
        for key, value in call.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                detail = provider_pb2.ErrorResourceInitFailed()
                status_pb2.Status.FromString(value).details[0].Unpack(detail)
                kept = _deployed(token, detail.id, inputs, detail.properties)
        raise OperationError(call.details(), kept) from error


def _urn(token: str) -> str:
    return f"urn:pulumi:test::podium::podium:infra:Thing${token}::thing"


def _struct(values: Values) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(values)
    return struct


def _values(struct: struct_pb2.Struct) -> Values:
    return {k: v["value"] if is_rpc_secret(v) else v for k, v in MessageToDict(struct).items()}


def _deployed(token: str, id_: str, inputs: Values, properties: struct_pb2.Struct) -> Deployed:
    secrets = (name for name, value in MessageToDict(properties).items() if is_rpc_secret(value))
    return Deployed(token, id_, inputs, _values(properties), frozenset(secrets))


Deploy = Callable[..., Deployed]


@contextmanager
def deploying(host: ProviderHost) -> Iterator[Deploy]:
    """Create resources, and delete them in the end, in the opposite order."""
    deployed: list[Deployed] = []

    def create(resource: Any, **inputs: Any) -> Deployed:
        try:
            deployed.append(host.create(resource.token, inputs))
        except OperationError as error:
            if error.kept:
                deployed.append(error.kept)
            raise
        return deployed[-1]

    yield create
    for resource in reversed(deployed):
        with suppress(OperationError):
            host.delete(resource)
