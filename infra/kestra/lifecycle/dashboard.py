"""The lifecycle of `infra.kestra.resources.Dashboard`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pulumi.dynamic import CheckFailure, DiffResult, ReadResult

from ..content import digest
from ..errors import Conflict, InvalidContent
from ..source import dashboard_id
from .base import CHANGED, Lifecycle, Props, constraints
from .connection import answering_client, report

if TYPE_CHECKING:
    from ..client import KestraClient


class DashboardLifecycle(Lifecycle):
    """The lifecycle of one dashboard; on a server without dashboards it is not registered yet."""

    keys = ("source",)
    shown = "path"  # rather than the whole text

    def identity(self, news: Props) -> str:
        """Returns the id that the text names."""
        return dashboard_id(news["source"])

    def place(self, news: Props) -> str:
        """Returns the path of the dashboard's file."""
        return str(news["path"])

    def record(self, news: Props) -> Props:
        """Returns the digest of the text, and what has it validated again."""
        triggers = {"triggers": news["triggers"]} if news.get("triggers") else {}
        return {"digest": digest(news["source"]), **triggers}

    def find(self, client: KestraClient, id_: str) -> Props | None:
        """Returns the text of the dashboard on the server."""
        found = client.get_dashboard(id_) if client.has_dashboards else None
        return None if found is None else {"source": found}

    def validate(self, news: Props) -> Iterator[CheckFailure]:
        """Yields what is wrong with the text."""
        try:
            dashboard_id(news["source"])
        except ValueError as error:
            yield CheckFailure(self.shown, str(error))

    def review(self, client: KestraClient, olds: Props, news: Props) -> Iterator[str]:
        """Yields why the server would refuse the text; a server without dashboards is a warning."""
        if client.has_dashboards:
            yield from constraints(client.validate_dashboard(news["source"]))
            yield from super().review(client, olds, news)
        else:
            self._warn(client, news)

    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        """Compares the texts; a dashboard not registered yet changes once the server can."""
        result = super().diff(id_, olds, news)
        if not result.changes and not olds["registered"]:
            client = answering_client(news)
            result.changes = bool(client and client.has_dashboards)
        return result

    def write(self, client: KestraClient, news: Props, olds: Props | None) -> Props:
        """Writes the dashboard and returns whether the server has it."""
        if not client.has_dashboards:
            self._warn(client, news)
            return {"registered": False}
        id_, text = self.identity(news), news["source"]
        current = client.get_dashboard(id_)
        if current == text and (errors := constraints(client.validate_dashboard(text))):
            raise InvalidContent(f"is refused: {errors[0]}")
        if current is None:
            client.create_dashboard(id_, text)
        elif current != text:
            is_known = not olds or not olds["registered"] or olds["digest"] == digest(current)
            if not is_known and not news["overwrite"]:
                raise Conflict(CHANGED)
            client.update_dashboard(id_, text)
        return {"registered": True}

    def read(self, id_: str, olds: Props) -> ReadResult:
        """Reads the dashboard, if it is registered."""
        return super().read(id_, olds) if olds["registered"] else ReadResult(id_, olds)

    def delete(self, id_: str, olds: Props) -> None:
        """Deletes the dashboard, if it is registered."""
        if olds["registered"]:
            super().delete(id_, olds)

    def remove(self, client: KestraClient, id_: str) -> None:
        """Deletes the dashboard."""
        client.delete_dashboard(id_)

    def _warn(self, client: KestraClient, news: Props) -> None:
        report(
            f"{self.place(news)}: warning: not registered, as Kestra {client.version} has no "
            "dashboards with ids of their own (from 1.0 on); the next up with a server that has "
            "them registers it"
        )


lifecycle = DashboardLifecycle()
