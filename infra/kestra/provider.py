"""The dynamic providers of flows, files, key-values and dashboards.

Pulumi keeps a reference to these classes in the state of every resource: they must stay in this
module. They hold nothing and import their code when called, so that an old stack can be destroyed
after the code has changed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from pulumi.dynamic import (
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)

if TYPE_CHECKING:
    from .lifecycle.base import Lifecycle


class _Provider(ResourceProvider):
    serialize_as_secret_always = False
    module: ClassVar[str]

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        return self._lifecycle().check(olds, news)

    def diff(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        return self._lifecycle().diff(id_, olds, news)

    def create(self, props: dict[str, Any]) -> CreateResult:
        return self._lifecycle().create(props)

    def update(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return self._lifecycle().update(id_, olds, news)

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        self._lifecycle().delete(id_, props)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        return self._lifecycle().read(id_, props)

    def _lifecycle(self) -> Lifecycle:
        lifecycle: Lifecycle = import_module(f"{__package__}.lifecycle.{self.module}").lifecycle
        return lifecycle


class FlowProvider(_Provider):
    """The provider of single flows."""

    module = "flow"


class NamespaceProvider(_Provider):
    """The provider of what a `FlowDirectory` keeps in one namespace."""

    module = "namespace"


class NamespaceFileProvider(_Provider):
    """The provider of namespace files."""

    module = "namespace_file"


class KeyValueProvider(_Provider):
    """The provider of key-values."""

    module = "key_value"


class DashboardProvider(_Provider):
    """The provider of dashboards."""

    module = "dashboard"
