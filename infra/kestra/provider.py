"""The dynamic provider of flows.

Pulumi keeps a reference to this class in the state of every flow: it must stay in this module. It
holds nothing and imports its code when called, so that an old stack can be destroyed after the
code has changed.
"""

from typing import Any

from pulumi.dynamic import CreateResult, DiffResult, ReadResult, ResourceProvider, UpdateResult


class FlowProvider(ResourceProvider):
    """Creates, updates, deletes and reads flows."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Creates a flow."""
        from infra.kestra import lifecycle

        return lifecycle.create(props)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Compares two states of a flow."""
        from infra.kestra import lifecycle

        return lifecycle.diff(olds, news)

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Writes a new revision of a flow."""
        from infra.kestra import lifecycle

        return lifecycle.update(news)

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Deletes a flow."""
        from infra.kestra import lifecycle

        lifecycle.delete(props)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Reads a flow from the server."""
        from infra.kestra import lifecycle

        return lifecycle.read(id_, props)
