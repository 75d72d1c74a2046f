"""Follows an execution of a flow: what has happened since the last look, until its end."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import httpx
import tenacity

from infra.kestra.client import KestraClient, KestraError

# https://kestra.io/docs/workflow-components/states
SUCCESSFUL = frozenset({"SUCCESS", "WARNING"})
ENDED = SUCCESSFUL | {"FAILED", "KILLED", "CANCELLED", "RETRIED", "SKIPPED"}
# The last lines reach the log later than the state changes.
_LOG_DELAY_SECONDS = 1.0
# Between two looks at a server that does not stream the states.
_PAUSE_SECONDS = 1.0
# A server restarts in up to 50 s; one whose database is away answers with errors until then.
_AWAY_SECONDS = 120.0
# What the page shows as a link to another execution.
_LINK = re.compile(r'\[\[link execution="(.*?)" flowId="(.*?)" namespace="(.*?)"\]\]')

_Answer = TypeVar("_Answer")


class Event(NamedTuple):
    """A line of the log, or the end of a task."""

    time: datetime
    task: str
    text: str


@dataclass(frozen=True)
class Task:
    """A run of a task.

    Attributes:
        name: the task's id; in a loop with the value, by which its runs differ.
        state: its state, such as RUNNING.
        start: when it began.
        end: when it ended, or None.
        attempts: how often it was tried.
    """

    name: str
    state: str
    start: datetime
    end: datetime | None
    attempts: int

    @property
    def seconds(self) -> float:
        """How long it took, or takes so far."""
        return max(
            0.0, ((self.end or datetime.now(self.start.tzinfo)) - self.start).total_seconds()
        )


class Look(NamedTuple):
    """An execution at one moment: its state, its tasks, and what is new since the last look."""

    state: str
    tasks: list[Task]
    events: list[Event]


def follow(client: KestraClient, execution_id: str) -> Iterator[Look]:
    """Yields an execution now and at each change, until it has ended.

    The log is fetched when a task has begun or ended, and when nothing changes for a while.

    Args:
        client: the server, which may restart meanwhile.
        execution_id: the execution's id.

    Raises:
        KestraError: the server does not answer any more.
    """
    seen: Counter[Event] = Counter()
    for execution in _executions(client, execution_id):
        state = str(execution["state"]["current"])
        if state in ENDED:
            time.sleep(_LOG_DELAY_SECONDS)
        runs = {run["id"]: _task(run) for run in execution.get("taskRunList") or ()}
        order = {task.name: place for place, task in enumerate(runs.values())}
        lines = _lines(client, execution_id, runs, is_over=state in ENDED)
        events = Counter([*lines, *_ends(runs.values())])
        new = sorted(
            (events - seen).elements(),
            # Of one moment: first what an earlier task did, and the end of a task last.
            key=lambda event: (
                event.time,
                order.get(event.task, -1),
                event.text.split()[0] in ENDED,
            ),
        )
        seen |= events
        yield Look(state, list(runs.values()), new)


def _executions(client: KestraClient, execution_id: str) -> Iterator[Mapping[str, Any]]:
    """Yields the execution as the server streams it, through a restart of the server."""
    shown: Any = None
    while True:
        try:
            for execution in client.follow_execution(execution_id):
                state = execution.get("state", {}).get("current")
                # An event may repeat the one before.
                if state and (now := _states(execution)) != shown:
                    shown = now
                    yield execution
                if state in ENDED:
                    return
        except httpx.HTTPError:
            # The server is away, or nothing changed for a while.
            pass
        execution = _patiently(client.get_execution, execution_id)
        yield execution
        if execution["state"]["current"] in ENDED:
            return
        time.sleep(_PAUSE_SECONDS)


def _patiently(ask: Callable[[str], _Answer], execution_id: str) -> _Answer:
    """Asks a server about an execution, again while it is away."""
    asking = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_away),
        wait=tenacity.wait_fixed(_PAUSE_SECONDS),
        stop=tenacity.stop_after_delay(_AWAY_SECONDS),
        reraise=True,
    )
    return asking(ask, execution_id)


def _is_away(error: BaseException) -> bool:
    return isinstance(error, KestraError) and (error.status is None or error.status >= 500)


def _states(execution: Mapping[str, Any]) -> Any:
    runs = execution.get("taskRunList") or ()
    return [execution["state"]["current"], *((run["id"], run["state"]["current"]) for run in runs)]


def _task(run: Mapping[str, Any]) -> Task:
    state = run["state"]
    histories = state["histories"]
    return Task(
        name=f"{run['taskId']} {run.get('value', '')}".strip(),
        # Between the two the task is on its way to a worker.
        state="CREATED" if state["current"] == "SUBMITTED" else state["current"],
        start=datetime.fromisoformat(histories[0]["date"]),
        end=datetime.fromisoformat(histories[-1]["date"]) if state["current"] in ENDED else None,
        attempts=len(run.get("attempts") or ()),
    )


def _lines(
    client: KestraClient, execution_id: str, runs: Mapping[str, Task], *, is_over: bool
) -> Iterator[Event]:
    source, message = None, ""
    for line in _patiently(client.get_logs, execution_id):
        before = source, message
        source = line["level"], line.get("taskRunId"), line.get("attemptNumber")
        message = _LINK.sub(r"\3/\2 \1", line["message"])
        # Kestra logs the message of an exception, which often has those of its causes, and then
        # these (RunContextLogger.logEntries).
        is_repeated = all(part in before[1] for part in message.splitlines())
        if line["level"] == "ERROR" and source == before[0] and is_repeated:
            continue
        moment = datetime.fromisoformat(line["timestamp"])
        run = runs.get(line.get("taskRunId", ""))
        if not (run or is_over) and "taskRunId" in line:
            continue  # of a task that began after this look: its turn is after those before it
        name = run.name if run else line.get("taskId", "")
        yield Event(moment, name, f"{line['level']}  {message}")


def _ends(tasks: Any) -> Iterator[Event]:
    for task in tasks:
        if task.end:
            yield Event(task.end, task.name, f"{task.state} ({task.seconds:.1f} s)")
