"""States of executions and task runs, their histories, and how the API shows them."""

from __future__ import annotations

import copy
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]

TERMINATED = frozenset(
    {"SUCCESS", "WARNING", "FAILED", "KILLED", "CANCELLED", "RETRIED", "SKIPPED"}
)
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def create_id() -> str:
    """A random identifier: 128 bits in base 62, as Kestra's."""
    number, digits = secrets.randbits(128), ""
    while number:
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


def instant(moment: datetime) -> str:
    """A moment as ISO-8601 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> str:
    """The current moment as `instant` writes it."""
    return instant(datetime.now(UTC))


def iso_duration(length: timedelta) -> str:
    """A duration as Java's `Duration.toString` writes it, e.g. `PT1M2.5S`."""
    milliseconds = round(length.total_seconds() * 1000)
    sign, milliseconds = ("-", -milliseconds) if milliseconds < 0 else ("", milliseconds)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    text = f"{hours}H" if hours else ""
    text += f"{minutes}M" if minutes else ""
    if rest or not text:
        text += f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "S"
    return f"{sign}PT{text}"


def created() -> Json:
    """The state of what has just been created."""
    return {"current": "CREATED", "histories": [{"state": "CREATED", "date": now()}]}


def moved(state: Json, to: str) -> Json:
    """The state after a step to `to`; the same state where it is there already."""
    if state["current"] == to:
        return state
    return {"current": to, "histories": [*state["histories"], {"state": to, "date": now()}]}


def is_terminated(holder: Json) -> bool:
    """Whether an execution or a task run has ended."""
    return holder["state"]["current"] in TERMINATED


def _shown_state(state: Json) -> Json:
    start = state["histories"][0]["date"]
    end = state["histories"][-1]["date"] if len(state["histories"]) > 1 else now()
    length = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    shown = state | {"duration": iso_duration(length), "startDate": start}
    if state["current"] in TERMINATED or state["current"] == "PAUSED":
        shown["endDate"] = end
    return shown


def _shown(holder: Json) -> Json:
    holder["state"] = _shown_state(holder["state"])
    for children in ("taskRunList", "attempts"):
        for child in holder.get(children, ()):
            _shown(child)
    return holder


def shown(execution: Json) -> Json:
    """A copy of an execution as the API shows it: all its states with their durations."""
    return _shown(copy.deepcopy(execution))
