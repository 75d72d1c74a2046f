"""The gRPC side of all offline providers: Pulumi's provider protocol on top of property tables.

The engine starts a provider as a child process and speaks `pulumirpc.ResourceProvider` with it.
Secrets are kept by the engine: like the official plugins a provider does not accept them, so the
engine hands over plain values and marks the outputs of secret inputs itself.
"""

from __future__ import annotations

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, NoReturn

import grpc
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2
from pulumi.runtime.rpc import UNKNOWN, is_rpc_secret, unwrap_rpc_secret, wrap_rpc_secret
from typing_extensions import override

from offline.providers import schema
from offline.providers.schema import Change, ChangeKind, Kind, Table, Values

_MAX_MESSAGE_BYTES = 400 * 1024 * 1024
_MAX_OPERATIONS = 64
_ENGINE_CHECK_SECONDS = 1
# What the engine itself puts among the inputs of a provider.
_ENGINE_CONFIG = ("version", "pluginDownloadURL", "pluginChecksums")

_DIFF_KINDS = {
    ChangeKind.ADD: provider_pb2.PropertyDiff.ADD,
    ChangeKind.UPDATE: provider_pb2.PropertyDiff.UPDATE,
    ChangeKind.DELETE: provider_pb2.PropertyDiff.DELETE,
}
_REPLACE_KINDS = {
    ChangeKind.ADD: provider_pb2.PropertyDiff.ADD_REPLACE,
    ChangeKind.UPDATE: provider_pb2.PropertyDiff.UPDATE_REPLACE,
    ChangeKind.DELETE: provider_pb2.PropertyDiff.DELETE_REPLACE,
}


class ProviderError(Exception):
    """An operation failed for a reason the user can understand: one line, no traceback."""


class InitializationError(ProviderError):
    """A resource was created but something failed afterwards, or its update failed.

    The engine keeps the state, and updates the resource the next time.

    Attributes:
        resource_id: the ID of the resource.
        outputs: its properties as far as they are known.
    """

    def __init__(self, reason: str, resource_id: str, outputs: Values) -> None:
        super().__init__(reason)
        self.resource_id = resource_id
        self.outputs = outputs


class Resource(ABC):
    """A resource type; an instance serves one operation.

    Attributes:
        token: the type token, e.g. `docker:index/network:Network`.
        table: its properties.
        delete_before_replace: whether the old one must go before the new one is created. Resources
            with a name of the user's choice always do so.
        schema_says_what_replaces: whether the package's schema marks what replaces the resource.
    """

    token: ClassVar[str]
    table: ClassVar[Table]
    delete_before_replace: ClassVar[bool] = False
    schema_says_what_replaces: ClassVar[bool] = True

    def __init__(self, config: Values) -> None:
        """Prepare an operation.

        Args:
            config: the provider configuration, with defaults.
        """
        self.config = config

    @classmethod
    def plan(cls, old: Values | None, inputs: Values) -> Values:
        """Foretell the outputs, see `schema.plan`."""
        return schema.plan(cls.table, old, inputs)

    @abstractmethod
    def create(self, planned: Values) -> tuple[str, Values]:
        """Create the resource.

        Args:
            planned: its properties, without those that only the server knows.

        Returns:
            Its ID and its properties.

        Raises:
            ProviderError: it was not created.
            InitializationError: it was created and then something failed.
        """

    @abstractmethod
    def read(self, resource_id: str, state: Values) -> tuple[str, Values] | None:
        """Look the resource up.

        Args:
            resource_id: its ID.
            state: its properties when last seen.

        Returns:
            Its ID and its properties, None where it is gone.
        """

    def update(self, resource_id: str, old: Values, planned: Values) -> Values:
        """Change the resource in place.

        Args:
            resource_id: its ID.
            old: its properties when last seen.
            planned: the properties it is to have.

        Returns:
            Its properties.
        """
        return planned

    @abstractmethod
    def delete(self, resource_id: str, state: Values) -> None:
        """Delete the resource.

        Args:
            resource_id: its ID.
            state: its properties when last seen.
        """


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """Serves the resource types of one package."""

    def __init__(
        self, name: str, version: str, config: Table, resources: Iterable[type[Resource]]
    ) -> None:
        """Set the package up.

        Args:
            name: the package, e.g. `docker`.
            version: the version of the official plugin whose behaviour this follows.
            config: the properties of the provider configuration.
            resources: the resource types.
        """
        self._name = name
        self._version = version
        self._config_table = config
        self._resources = {resource.token: resource for resource in resources}
        self._config: Values = {}

    @override
    def GetPluginInfo(self, request: Any, context: Any) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self._version)

    @override
    def GetSchema(self, request: Any, context: Any) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(
            schema=json.dumps(
                {
                    "name": self._name,
                    "version": self._version,
                    "config": {"variables": _schema_properties(self._config_table)},
                    "provider": {"inputProperties": _schema_properties(self._config_table)},
                    "resources": {
                        token: {
                            "properties": _schema_properties(
                                resource.table, resource.schema_says_what_replaces
                            ),
                            "inputProperties": _schema_properties(
                                {k: p for k, p in resource.table.items() if not p.output_only},
                                resource.schema_says_what_replaces,
                            ),
                            "requiredInputs": [k for k, p in resource.table.items() if p.required],
                        }
                        for token, resource in self._resources.items()
                    },
                }
            )
        )

    @override
    def Cancel(self, request: Any, context: Any) -> empty_pb2.Empty:
        # As the bridge does: what has begun goes on to its end.
        return empty_pb2.Empty()

    @override
    def CheckConfig(self, request: Any, context: Any) -> provider_pb2.CheckResponse:
        news = _unmarshal(request.news)
        own = {name: value for name, value in news.items() if name not in _ENGINE_CONFIG}
        _, failures = schema.check(self._config_table, self._decode(own), {}, "")
        inputs = struct_pb2.Struct()
        inputs.CopyFrom(request.news)
        for name, prop in self._config_table.items():
            if prop.secret and name in news:
                inputs.update({name: wrap_rpc_secret(news[name])})
        return provider_pb2.CheckResponse(inputs=inputs, failures=_failures(failures))

    @override
    def DiffConfig(self, request: Any, context: Any) -> provider_pb2.DiffResponse:
        olds, news = _unmarshal(request.old_inputs), _unmarshal(request.news)
        changes = schema.diff(self._config_table, self._decode(olds), self._decode(news))
        return _diff_response(changes)

    @override
    def Configure(self, request: Any, context: Any) -> provider_pb2.ConfigureResponse:
        given = self._decode(_unmarshal(request.args))
        from_environment = {
            name: os.environ[prop.env]
            for name, prop in self._config_table.items()
            if prop.env and os.environ.get(prop.env)
        }
        self._config = schema.plan(self._config_table, {}, self._decode(from_environment) | given)
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    @override
    def Invoke(self, request: Any, context: Any) -> NoReturn:
        _abort(context, f"function {request.tok} is not supported offline")

    @override
    def Check(self, request: Any, context: Any) -> provider_pb2.CheckResponse:
        resource = self._type(request, context)
        autoname = schema.unique_name(request.urn.rsplit("::", 1)[-1], request.randomSeed)
        inputs, failures = schema.check(
            resource.table, _unmarshal(request.news), _unmarshal(request.olds), autoname
        )
        return provider_pb2.CheckResponse(
            inputs=_marshal(resource.table, inputs), failures=_failures(failures)
        )

    @override
    def Diff(self, request: Any, context: Any) -> provider_pb2.DiffResponse:
        resource = self._type(request, context)
        olds, news = _unmarshal(request.olds), _unmarshal(request.news)
        changes = schema.diff(resource.table, olds, resource.plan(olds, news))
        response = _diff_response(changes)
        response.stables[:] = sorted(
            name
            for name, prop in resource.table.items()
            if prop.replaces and name not in response.replaces
        )
        named_by_user = any(
            prop.autonamed and name in news and name not in news.get(schema.DEFAULTS, [name])
            for name, prop in resource.table.items()
        )
        response.deleteBeforeReplace = bool(response.replaces) and (
            resource.delete_before_replace or named_by_user
        )
        return response

    @override
    def Create(self, request: Any, context: Any) -> provider_pb2.CreateResponse:
        resource = self._type(request, context)
        planned = resource.plan(None, _unmarshal(request.properties))
        if request.preview:
            return provider_pb2.CreateResponse(properties=_marshal(resource.table, planned))
        with _reporting(context, resource):
            resource_id, outputs = self._operation(resource).create(schema.known(planned))
        return provider_pb2.CreateResponse(
            id=resource_id, properties=_marshal(resource.table, outputs)
        )

    @override
    def Read(self, request: Any, context: Any) -> provider_pb2.ReadResponse:
        resource = self._type(request, context)
        state = _unmarshal(request.properties)
        if not state:
            _abort(context, f"importing a {resource.token} is not supported offline")
        with _reporting(context, resource):
            found = self._operation(resource).read(request.id, state)
        if found is None:
            return provider_pb2.ReadResponse()
        resource_id, outputs = found
        inputs = schema.refresh(_unmarshal(request.inputs), outputs)
        return provider_pb2.ReadResponse(
            id=resource_id,
            properties=_marshal(resource.table, outputs),
            inputs=_marshal(resource.table, inputs),
        )

    @override
    def Update(self, request: Any, context: Any) -> provider_pb2.UpdateResponse:
        resource = self._type(request, context)
        olds = _unmarshal(request.olds)
        outputs = resource.plan(olds, _unmarshal(request.news))
        if not request.preview:
            with _reporting(context, resource):
                try:
                    outputs = self._operation(resource).update(request.id, olds, outputs)
                except ProviderError as error:
                    # As the bridge does: the state gets the new values of an update that failed.
                    raise InitializationError(str(error), request.id, outputs) from error
        return provider_pb2.UpdateResponse(properties=_marshal(resource.table, outputs))

    @override
    def Delete(self, request: Any, context: Any) -> empty_pb2.Empty:
        resource = self._type(request, context)
        with _reporting(context, resource):
            self._operation(resource).delete(request.id, _unmarshal(request.properties))
        return empty_pb2.Empty()

    def _type(self, request: Any, context: Any) -> type[Resource]:
        """The resource type that a request is about."""
        token = request.urn.split("::")[2].rsplit("$", 1)[-1]
        if token not in self._resources:
            _abort(context, f"{token} is not supported offline")
        return self._resources[token]

    def _operation(self, resource: type[Resource]) -> Resource:
        return resource(self._config)

    def _decode(self, config: Values) -> Values:
        """Provider configuration with its types; Pulumi hands it over as JSON texts."""
        decoded = dict(config)
        for name, prop in self._config_table.items():
            value = config.get(name)
            if prop.kind is not Kind.STRING and isinstance(value, str) and value != UNKNOWN:
                # What is no JSON is refused as a text by the check.
                with suppress(ValueError):
                    decoded[name] = json.loads(value)
        return decoded


def start(provider: Provider) -> tuple[grpc.Server, int]:
    """Start to serve a package on a free loopback port.

    Args:
        provider: the package.

    Returns:
        The server and its port.
    """
    server = grpc.server(
        ThreadPoolExecutor(_MAX_OPERATIONS),
        options=[
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        ],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def serve(provider: Provider) -> None:
    """Serve a package until the engine ends the process; print the port on standard output.

    Args:
        provider: the package.
    """
    engine = os.getppid()
    server, port = start(provider)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    # The engine stops a provider with an interrupt, unless it is killed itself.
    with suppress(KeyboardInterrupt):
        while server.wait_for_termination(_ENGINE_CHECK_SECONDS):
            if os.getppid() != engine:
                # Without waiting for the operations, whose results nobody would record.
                os._exit(1)


@contextmanager
def _reporting(context: Any, resource: type[Resource]) -> Iterator[None]:
    """Turn the errors of an operation into what the engine expects."""
    try:
        yield
    except InitializationError as error:
        detail = provider_pb2.ErrorResourceInitFailed(
            id=error.resource_id,
            properties=_marshal(resource.table, error.outputs),
            reasons=[str(error)],
        )
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error))
        status.details.add().Pack(detail)
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        _abort(context, str(error))
    except ProviderError as error:
        _abort(context, str(error))


def _abort(context: Any, reason: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, reason)
    raise AssertionError("abort always raises")


def _unmarshal(struct: struct_pb2.Struct) -> Values:
    """Plain Python values: without secrets and nulls, whole numbers as int."""
    values = _plain(MessageToDict(struct))
    assert isinstance(values, dict)
    return values


def _plain(value: Any) -> Any:
    if is_rpc_secret(value):
        return _plain(unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _marshal(table: Table, values: Values) -> struct_pb2.Struct:
    """Values for the engine, with the secrets of the table marked as such."""
    struct = struct_pb2.Struct()
    for name, value in values.items():
        if value is not None:
            secret = name in table and table[name].secret
            struct.update({name: wrap_rpc_secret(value) if secret else value})
    return struct


def _diff_response(changes: Mapping[str, Change]) -> provider_pb2.DiffResponse:
    """The changes by property path in the words of the protocol."""
    response = provider_pb2.DiffResponse
    return response(
        changes=response.DIFF_SOME if changes else response.DIFF_NONE,
        diffs=sorted({_top_level(path) for path in changes}),
        replaces=sorted({_top_level(path) for path, change in changes.items() if change.replaces}),
        detailedDiff={
            path: provider_pb2.PropertyDiff(
                kind=(_REPLACE_KINDS if change.replaces else _DIFF_KINDS)[change.kind]
            )
            for path, change in changes.items()
        },
        hasDetailedDiff=True,
    )


def _top_level(path: str) -> str:
    return path.split(".")[0].split("[")[0]


def _failures(failures: Iterable[schema.Failure]) -> list[provider_pb2.CheckFailure]:
    return [provider_pb2.CheckFailure(property=f.property, reason=f.reason) for f in failures]


_SCHEMA_TYPES = {
    Kind.STRING: "string",
    Kind.INTEGER: "integer",
    Kind.BOOLEAN: "boolean",
    Kind.LIST: "array",
    Kind.SET: "array",
    Kind.MAP: "object",
    Kind.OBJECT: "object",
}


def _schema_properties(table: Table, says_what_replaces: bool = False) -> Values:
    """The table as Pulumi's package schema has it; objects are open there."""
    properties: Values = {}
    for name, prop in table.items():
        entry: Values = {"type": _SCHEMA_TYPES[prop.kind]}
        if prop.element:
            entry["items"] = {"type": _SCHEMA_TYPES[prop.element.kind]}
        if prop.secret:
            entry["secret"] = True
        if prop.replaces and says_what_replaces:
            entry["willReplaceOnChanges"] = True
        properties[name] = entry
    return properties
