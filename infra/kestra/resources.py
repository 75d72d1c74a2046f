"""Flows, namespace files, key-values and dashboards as resources of the stack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pulumi
from pulumi.dynamic import Resource

from .content import encode, read_content
from .errors import InvalidContent, PartlyWritten
from .folder import Namespace, dashboard_files, kestra_1_path, raise_errors, read_folder
from .provider import (
    DashboardProvider,
    FlowProvider,
    KeyValueProvider,
    NamespaceFileProvider,
    NamespaceProvider,
)
from .releases import release_errors
from .source import FlowSource, decode_text
from .switches import AS_WRITTEN, Switches


@dataclass(frozen=True)
class Connection:
    """The address and login of a Kestra server.

    Attributes:
        url: its address, such as http://localhost:8080.
        username: the user, an e-mail address.
        password: the user's password, kept secret.
    """

    url: pulumi.Input[str]
    username: pulumi.Input[str]
    password: pulumi.Input[str]

    def properties(self) -> dict[str, Any]:
        """Returns the properties that every resource carries."""
        return {
            "url": self.url,
            "username": self.username,
            "password": pulumi.Output.secret(self.password),
            # Only a preview lets the server validate; an update does so by writing. An input is the
            # only way to say which of them runs: of the requests to a dynamic provider, Check and
            # Diff do not carry it, and its process sees neither options nor environment of a run.
            # Check removes it again, so that it is neither compared nor kept.
            "isPreview": pulumi.runtime.is_dry_run(),
        }


class Flow(Resource, module="kestra", name="Flow"):
    """A flow on a Kestra server.

    Its namespace and id are those that the YAML names; another namespace or id is another flow.

    Attributes:
        revision: the revision on the server; every change of the text makes a new one.
    """

    revision: pulumi.Output[int]

    def __init__(
        self,
        name: str,
        *,
        connection: Connection,
        source: pulumi.Input[str],
        switches: Switches = AS_WRITTEN,
        adopt: bool = False,
        overwrite: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declares the flow.

        Args:
            name: the logical name.
            connection: the server.
            source: the YAML text.
            switches: what to switch; the rest of the text stays as written.
            adopt: whether to adopt a flow with that name that exists on the server.
            overwrite: whether to replace an edit made elsewhere without a refresh.
            opts: the resource options.
        """

        def switch(text: str) -> str:
            try:
                return switches.apply_to(text)
            except ValueError as error:
                raise InvalidContent(f"{name} {error}") from error

        props = {
            **connection.properties(),
            "source": pulumi.Output.from_input(source).apply(switch),
            "adopt": adopt,
            "overwrite": overwrite,
            "revision": None,
        }
        super().__init__(FlowProvider(), name, props, opts)


class NamespaceFile(Resource, module="kestra", name="NamespaceFile"):
    """A file in a namespace, which the flows of the namespace read."""

    def __init__(
        self,
        name: str,
        *,
        connection: Connection,
        namespace: pulumi.Input[str],
        path: pulumi.Input[str],
        content: pulumi.Input[str] | None = None,
        asset: pulumi.FileAsset | pulumi.StringAsset | None = None,
        adopt: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declares the file, with either `content` or `asset`.

        Args:
            name: the logical name.
            connection: the server.
            namespace: the namespace.
            path: the path within it, such as sql/merge.sql.
            content: the text.
            asset: the content of a file, whether text or not.
            adopt: whether to adopt a file that exists on the server.
            opts: the resource options.
        """
        props = {
            **connection.properties(),
            "namespace": namespace,
            "path": path,
            "content": _content(name, content, asset),
            "adopt": adopt,
        }
        super().__init__(NamespaceFileProvider(), name, props, opts)


class KeyValue(Resource, module="kestra", name="KeyValue"):
    """A key with its value in a namespace, which flows read with `{{ kv('<key>') }}`."""

    def __init__(
        self,
        name: str,
        *,
        connection: Connection,
        namespace: pulumi.Input[str],
        key: pulumi.Input[str],
        value: pulumi.Input[str],
        type: str = "STRING",
        ttl: str | None = None,
        adopt: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declares the key.

        Args:
            name: the logical name.
            connection: the server.
            namespace: the namespace.
            key: the key.
            value: the value as text; a secret one stays secret in the state.
            type: STRING, NUMBER, BOOLEAN, DATETIME, DATE, DURATION or JSON.
            ttl: its time to live, an ISO 8601 duration such as PT1H; None for ever.
            adopt: whether to adopt a key that exists on the server.
            opts: the resource options.
        """
        props = {
            **connection.properties(),
            "namespace": namespace,
            "key": key,
            "value": value,
            "type": type,
            "ttl": ttl,
            "adopt": adopt,
        }
        super().__init__(KeyValueProvider(), name, props, opts)


class Dashboard(Resource, module="kestra", name="Dashboard"):
    """A dashboard on a Kestra server, open source from 1.0 on.

    Its id is the one that the YAML names; another id is another dashboard. A server without
    dashboards is a warning, not an error: the next `up` with one that has them registers it.

    Attributes:
        registered: whether the server has the dashboard.
    """

    registered: pulumi.Output[bool]

    def __init__(
        self,
        name: str,
        *,
        connection: Connection,
        path: Path,
        adopt: bool = False,
        overwrite: bool = False,
        triggers: Sequence[pulumi.Input[str]] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declares the dashboard.

        Args:
            name: the logical name.
            connection: the server.
            path: the file with the YAML text.
            adopt: whether to adopt a dashboard with that id that exists on the server.
            overwrite: whether to replace an edit made elsewhere without a refresh.
            triggers: values of which a change, such as the one of the server's image, has the
                server validate the dashboard again.
            opts: the resource options.
        """
        try:
            source = decode_text(read_content(path))
        except ValueError as error:
            raise InvalidContent(f"{path} {error}") from error
        props = {
            **connection.properties(),
            "source": source,
            # For messages.
            "path": str(path),
            "adopt": adopt,
            "overwrite": overwrite,
            "triggers": list(triggers),
            "registered": None,
        }
        super().__init__(DashboardProvider(), name, props, opts)


class _Namespace(Resource, module="kestra", name="Namespace"):
    """What a `FlowDirectory` has in one namespace: one resource, however many flows."""

    written: pulumi.Output[dict[str, dict[str, Any]]]
    failures: pulumi.Output[dict[str, str]]

    def __init__(self, name: str, props: dict[str, Any], opts: pulumi.ResourceOptions) -> None:
        outputs = {"written": None, "failures": None}
        super().__init__(NamespaceProvider(), name, {**props, **outputs}, opts)


class FlowDirectory(pulumi.ComponentResource):
    """The flows and namespace files in a folder.

    Each namespace is one resource, so that a thousand flows cost little more than one; a preview
    still shows them flow by flow.

    Attributes:
        revisions: the revisions of the flows, by namespace and id such as zoomcamp/taxi_load.
    """

    revisions: pulumi.Output[dict[str, int]]

    def __init__(
        self,
        name: str,
        *,
        connection: Connection,
        path: Path,
        namespace: str | None = None,
        switches: Switches = AS_WRITTEN,
        overrides: Mapping[str, Switches] = MappingProxyType({}),
        adopt: bool = False,
        overwrite: bool = False,
        triggers: Sequence[pulumi.Input[str]] = (),
        release: int | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declares what is in the folder.

        Args:
            name: the logical name.
            connection: the server.
            path: the folder, with flows in <namespace>/*.yaml and files in <namespace>/files/. Of
                two files <id>.yaml and <id>.kestra-1.yaml, the second is for Kestra before 2.0.
            namespace: the only namespace to take; all of them if None.
            switches: what to switch in every flow; the rest of the text stays as written.
            overrides: other switches for some flows, by namespace and id.
            adopt: whether to adopt flows and replace files that exist on the server.
            overwrite: whether to replace edits made elsewhere without a refresh.
            triggers: values of which a change, such as the one of the server's image, has the
                server validate every flow and compare flows and files again.
            release: the major version of the server, so that flows which use what it lacks are
                refused before one is asked; None leaves that to the server.
            opts: the resource options.

        Raises:
            InvalidContent: files are invalid; the message lists every error.
        """
        super().__init__("kestra:index:FlowDirectory", name, None, opts)
        contents = {
            key: content for key, content in read_folder(path).items() if namespace in (None, key)
        }
        if namespace and not contents:
            raise InvalidContent(f"{path} has no namespace {namespace}")
        keys = {flow.key for content in contents.values() for flow in content.flows.values()}
        if strangers := sorted(overrides.keys() - keys):
            raise InvalidContent(
                f"overrides has flows that are not in {path}: {', '.join(strangers)}"
            )
        if release:
            _check_release(contents, release)
        flows = _switched(contents, switches, overrides)
        child_opts = _child_options(self, opts)
        revisions = [
            _revisions(
                _Namespace(
                    f"{name}-{key}",
                    {
                        **connection.properties(),
                        "namespace": key,
                        **flows[key],
                        # For messages; only files that are not named after their flow.
                        "folder": str(path / key),
                        "paths": {
                            flow_id: str(file)
                            for flow_id, file in content.paths.items()
                            if file != path / key / f"{flow_id}.yaml"
                        },
                        "files": content.files,
                        "adopt": adopt,
                        "overwrite": overwrite,
                        "triggers": list(triggers),
                    },
                    child_opts,
                ),
                key,
            )
            for key, content in contents.items()
        ]
        self.revisions = reduce(_merge, revisions, pulumi.Output.from_input({}))
        self.register_outputs({"revisions": self.revisions})


class DashboardDirectory(pulumi.ComponentResource):
    """The dashboards in a folder, each a resource named after its file.

    Attributes:
        registered: whether the server has each dashboard, by the name of its file without suffix.
    """

    registered: pulumi.Output[dict[str, bool]]

    def __init__(
        self,
        name: str,
        *,
        connection: Connection,
        path: Path,
        triggers: Sequence[pulumi.Input[str]] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declares the dashboards.

        Args:
            name: the logical name.
            connection: the server.
            path: the folder, with dashboards in *.yaml.
            triggers: values of which a change has the server validate every dashboard again.
            opts: the resource options.

        Raises:
            InvalidContent: the folder or files in it are invalid.
        """
        super().__init__("kestra:index:DashboardDirectory", name, None, opts)
        child_opts = pulumi.ResourceOptions.merge(
            _child_options(self, opts),
            # A stack may have them from a time when they had no directory.
            pulumi.ResourceOptions(aliases=[pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE)]),
        )
        registered: dict[str, Any] = {
            stem: Dashboard(
                stem, connection=connection, path=file, triggers=triggers, opts=child_opts
            ).registered
            for stem, file in dashboard_files(path).items()
        }
        self.registered = pulumi.Output.from_input(registered)
        self.register_outputs({"registered": self.registered})


def _child_options(
    parent: pulumi.Resource, opts: pulumi.ResourceOptions | None
) -> pulumi.ResourceOptions:
    """Returns the options of a component's child, with those that children do not inherit."""
    return pulumi.ResourceOptions(
        parent=parent,
        depends_on=opts.depends_on if opts else None,
        deleted_with=opts.deleted_with if opts else None,
    )


def _check_release(contents: Mapping[str, Namespace], release: int) -> None:
    """Raises InvalidContent if flows use what a release lacks."""
    raise_errors(
        [
            (path, f"{message} (line {line}, column {column})")
            for content in contents.values()
            for path, flow in content.files_for(is_kestra_1=release < 2).items()
            for (line, column), message in release_errors(flow.text, release)
        ]
    )


def _switched(
    contents: Mapping[str, Namespace], switches: Switches, overrides: Mapping[str, Switches]
) -> dict[str, dict[str, dict[str, str]]]:
    """Returns the properties with the switched texts by id, for each namespace."""
    errors: list[tuple[Path, str]] = []

    def switch(flow: FlowSource, path: Path) -> str:
        try:
            return overrides.get(flow.key, switches).apply_to(flow.text)
        except ValueError as error:
            errors.append((path, str(error)))
            return ""

    texts = {
        key: {
            "flows": {id_: switch(flow, content.paths[id_]) for id_, flow in content.flows.items()},
            # Check takes these into `flows`, or drops them, since it can ask the server.
            "kestra1Flows": {
                id_: switch(flow, kestra_1_path(content.paths[id_]))
                for id_, flow in content.kestra_1_flows.items()
            },
        }
        for key, content in contents.items()
    }
    raise_errors(errors)
    return texts


def _revisions(resource: _Namespace, namespace: str) -> pulumi.Output[dict[str, int]]:
    """Returns the revisions of a namespace, or fails with everything that was refused.

    What was written is in the state by then.
    """

    def check(written: dict[str, dict[str, Any]], failures: dict[str, str]) -> dict[str, int]:
        if failures:
            lines = "\n".join(f"  {failure}" for failure in sorted(failures.values()))
            raise PartlyWritten(
                f"{len(failures)} of namespace {namespace} failed; the others were written.\n"
                f"{lines}"
            )
        return {f"{namespace}/{key}": int(flow["revision"]) for key, flow in written.items()}

    # Output.all would make an output of every flow.
    return resource.written.apply(
        lambda written: resource.failures.apply(lambda failures: check(written, failures))
    )


def _merge(
    left: pulumi.Output[dict[str, int]], right: pulumi.Output[dict[str, int]]
) -> pulumi.Output[dict[str, int]]:
    return left.apply(lambda some: right.apply(lambda others: {**some, **others}))


def _content(
    name: str,
    content: pulumi.Input[str] | None,
    asset: pulumi.FileAsset | pulumi.StringAsset | None,
) -> pulumi.Input[str]:
    if (content is None) == (asset is None):
        raise InvalidContent(f"{name}: give either content or asset, and not both")
    if isinstance(asset, pulumi.FileAsset):
        try:
            return encode(read_content(Path(asset.path)))
        except ValueError as error:
            raise InvalidContent(f"{name}: {asset.path} {error}") from error
    text = asset.text if asset else content
    return pulumi.Output.from_input(text).apply(lambda value: encode(str(value).encode()))
