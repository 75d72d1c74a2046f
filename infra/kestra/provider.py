"""The dynamic providers of flows, files, key-values and dashboards.

Pulumi keeps a reference to these classes in the state of every resource: they must stay in this
module. They hold nothing and import their code when called, so that an old stack can be destroyed
after the code has changed.
"""

from importlib import import_module
from typing import Any, ClassVar

from pulumi.dynamic import (
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)


class _Provider(ResourceProvider):
    serialize_as_secret_always = False
    lifecycle: ClassVar[str]

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        result: CheckResult = self._code().check(olds, news)
        return result

    def diff(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        result: DiffResult = self._code().diff(id_, olds, news)
        return result

    def create(self, props: dict[str, Any]) -> CreateResult:
        result: CreateResult = self._code().create(props)
        return result

    def update(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        result: UpdateResult = self._code().update(id_, olds, news)
        return result

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        self._code().delete(id_, props)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        result: ReadResult = self._code().read(id_, props)
        return result

    def _code(self) -> Any:
        return import_module(f"{__package__}.lifecycle.{self.lifecycle}")


class FlowProvider(_Provider):
    """The provider of single flows."""

    lifecycle = "flow"


class NamespaceProvider(_Provider):
    """The provider of what a `FlowDirectory` keeps in one namespace."""

    lifecycle = "namespace"


class NamespaceFileProvider(_Provider):
    """The provider of namespace files."""

    lifecycle = "namespace_file"


class KeyValueProvider(_Provider):
    """The provider of key-values."""

    lifecycle = "key_value"


class DashboardProvider(_Provider):
    """The provider of dashboards."""

    lifecycle = "dashboard"
