"""Runs executions: one thread for each, its state saved and told at every step."""

from __future__ import annotations

import logging
import random
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout

from offline.kestra import states
from offline.kestra.context import Cancellation, Killed, RunContext, Services
from offline.kestra.errors import NotFound
from offline.kestra.flows import with_defaults
from offline.kestra.inputs import parsed
from offline.kestra.pebble import RenderError
from offline.kestra.schema import parsed_duration
from offline.kestra.states import Json
from offline.kestra.store import Conditions, Page
from offline.kestra.tasks import TYPES
from offline.kestra.tasks.base import Branch, Flowable, Runnable, TaskError

_LOG = logging.getLogger("kestra.executor")
_GOOD = frozenset({"SUCCESS", "WARNING", "SKIPPED"})
_WORKERS = 16
_CANCEL_PAUSE = 0.5  # seconds between requests to a task to stop
_DATABASE_PAUSE = 1.0  # seconds between looks whether the database is back
Listener = Callable[[Json], None]


class _Run:
    """One execution while it runs.

    Args:
        services: database, storage and configuration.
        flow: the flow with plugin defaults applied.
        execution: the execution, new or to be continued.
        tell: called with the execution after each step.
    """

    def __init__(self, services: Services, flow: Json, execution: Json, tell: Listener) -> None:
        self._services = services
        self._flow = flow
        self._tell = tell
        self.lock = threading.RLock()
        self._active: set[Cancellation] = set()
        self._killed = False
        self.execution = execution

    # --- state -----------------------------------------------------------------------------------

    @contextmanager
    def _step(self) -> Iterator[Json]:
        """Change the execution in one step, then save and tell it."""
        with self.lock:
            yield self.execution
            self._services.store.save_execution(self.execution)
            self._tell(self.execution)

    def _runs(self) -> list[Json]:
        runs: list[Json] = self.execution.setdefault("taskRunList", [])
        return runs

    def _move(self, to: str) -> None:
        self.execution["state"] = states.moved(self.execution["state"], to)

    def kill(self) -> None:
        """Stop what runs and let nothing more begin."""
        with self.lock:
            if self._killed or states.is_terminated(self.execution):
                return
            self._killed = True
            with self._step():
                self._move("KILLING")
            active = list(self._active)
        for cancellation in active:
            threading.Thread(target=self._insist, args=(cancellation,), daemon=True).start()

    def _insist(self, cancellation: Cancellation) -> None:
        """Cancel until the task has ended: a query that is just about to begin begins anyway."""
        while cancellation in self._active:
            cancellation.cancel()
            time.sleep(_CANCEL_PAUSE)

    def fail(self) -> None:
        """End the execution as failed, whatever it is at."""
        with self._step():
            self._move("FAILED")

    # --- the flow --------------------------------------------------------------------------------

    def run(self) -> None:
        """Run the execution to its end."""
        # A new execution is shown as running with its first task; one that goes on, at once.
        self._started = "taskRunList" in self.execution
        if self._started:
            with self._step():
                self._move("RUNNING")
        state = self._sequence(self._flow["tasks"], None, Branch([]))
        if state == "FAILED" and self._flow.get("errors"):
            self._sequence(self._flow["errors"], None, Branch([]))
        if self._flow.get("finally"):
            after = self._sequence(self._flow["finally"], None, Branch([]))
            state = _worst([state, after])
        try:
            outputs = self._flow_outputs() if state in _GOOD else None
        except (RenderError, TaskError) as error:
            RunContext(self._services, self._flow, self.execution).log(
                "ERROR", f"Failed to render output values: {error}"
            )
            state, outputs = "FAILED", None
        with self._step() as execution:
            if outputs is not None:
                execution["outputs"] = outputs
            if not self._started and not self._killed:
                self._move("RUNNING")
            self._move("KILLED" if self._killed else state)

    def _flow_outputs(self) -> Json | None:
        declared = self._flow.get("outputs")
        if not declared:
            return None
        context = RunContext(self._services, self._flow, self.execution)
        outputs = {}
        for each in declared:
            value = context.render(each["value"])
            try:
                outputs[each["id"]] = None if value is None else parsed(each["type"], value)
            except ValueError as error:
                raise TaskError(
                    f"Invalid output for `{each['id']}`, {error}, "
                    f"but received `{context.text(each['value'])}`"
                ) from error
        return outputs

    def _sequence(self, tasks: list[Json], parent: Json | None, branch: Branch) -> str:
        """Run tasks one after the other until one fails.

        Returns:
            The worst state.
        """
        reached = []
        for task in tasks:
            if self._killed:
                return "KILLED"
            if task.get("disabled"):
                continue
            state = self._task(task, parent, branch)
            reached.append(state)
            if state not in _GOOD:
                break
        return _worst(reached)

    def _task(self, task: Json, parent: Json | None, branch: Branch) -> str:
        run = self._task_run(task, parent, branch)
        if states.is_terminated(run):
            return str(run["state"]["current"])
        context = RunContext(
            self._services,
            self._flow,
            self.execution,
            run,
            self._parents(run),
            task.get("logLevel"),
        )
        task_type = TYPES[task["type"]]
        try:
            if not context.is_true(task.get("runIf", "true")):
                return self._end(run, "SKIPPED")
        except RenderError as error:
            context.log("ERROR", str(error))
            return self._end(run, "FAILED")
        if issubclass(task_type, Flowable):
            return self._flowable(task_type(task, context), run)
        return self._runnable(task_type(task, context), run)

    def _task_run(self, task: Json, parent: Json | None, branch: Branch) -> Json:
        """The task run of an execution that is continued, or a new one."""
        with self.lock:
            for run in self._runs():
                if (
                    run["taskId"] == task["id"]
                    and run.get("parentTaskRunId") == (parent and parent["id"])
                    and run.get("value") == branch.value
                ):
                    return run
            run = {
                "id": states.create_id(),
                "executionId": self.execution["id"],
                "namespace": self.execution["namespace"],
                "flowId": self.execution["flowId"],
                "taskId": task["id"],
                "state": states.created(),
            }
            if parent:
                run["parentTaskRunId"] = parent["id"]
            if branch.value is not None:
                run |= {"value": branch.value, "iteration": branch.iteration}
            with self._step():
                if not self._started:
                    self._started = True
                    self._move("RUNNING")
                self._runs().append(run)
            return run

    def _parents(self, run: Json) -> list[Json]:
        by_id = {each["id"]: each for each in self._runs()}
        parents = []
        while parent := by_id.get(run.get("parentTaskRunId", "")):
            parents.append(parent)
            run = parent
        return parents

    def _end(self, run: Json, state: str, outputs: Json | None = None) -> str:
        with self._step():
            if outputs is not None:
                run["outputs"] = outputs
            run["state"] = states.moved(run["state"], state)
        return state

    # --- flowable tasks --------------------------------------------------------------------------

    def _flowable(self, task: Flowable, run: Json) -> str:
        try:
            with self._step():
                run["state"] = states.moved(run["state"], "RUNNING")
                if "outputs" not in run:
                    run["outputs"] = task.outputs()
            branches = task.branches(run["outputs"])
        except (RenderError, TaskError) as error:
            task.context.log("ERROR", str(error))
            return self._end(run, "FAILED")
        limit = task.concurrency() or len(branches) or 1
        if limit == 1:
            reached = []
            for branch in branches:
                reached.append(self._sequence(branch.tasks, run, branch))
                if reached[-1] not in _GOOD:
                    break
        else:
            with ThreadPoolExecutor(limit, threading.current_thread().name) as pool:
                reached = list(
                    pool.map(lambda branch: self._sequence(branch.tasks, run, branch), branches)
                )
        state = _worst(reached)
        if state == "FAILED" and task.data.get("errors"):
            self._sequence(task.data["errors"], run, Branch([]))
        if state == "FAILED" and (task.tolerates_failure or task.data.get("allowFailure")):
            state = "WARNING"
        return self._end(run, _allowed(state, task.data))

    # --- runnable tasks --------------------------------------------------------------------------

    def _runnable(self, task: Runnable, run: Json) -> str:
        retry = task.data.get("retry")
        began = time.monotonic()
        with self._step():
            run["state"] = states.moved(run["state"], "RUNNING")
        while True:
            state, outputs = self._attempt(task, run)
            wait = _wait(retry, len(run["attempts"]), time.monotonic() - began)
            if state != "FAILED" or wait is None:
                break
            with self._step():
                run["state"] = states.moved(run["state"], "RETRYING")
            try:
                with self._cancellable(task.context) as cancellation:
                    cancellation.sleep(wait)
            except Killed:
                return self._end(run, "KILLED", {})
            with self._step():
                for to in ("CREATED", "RUNNING"):
                    run["state"] = states.moved(run["state"], to)
        with self._step():
            attempt = run["attempts"][-1]
            attempt["state"] = states.moved(attempt["state"], state)
            if (
                state == "SUCCESS"
                and len(run["attempts"]) > 1
                and (retry or {}).get("warningOnRetry")
            ):
                state = "WARNING"
            if state == "FAILED" and task.data.get("allowFailure"):
                state = "WARNING"
            state = _allowed(state, task.data)
            run["outputs"] = outputs
            run["state"] = states.moved(run["state"], state)
        return state

    def _attempt(self, task: Runnable, run: Json) -> tuple[str, Json]:
        """Run a task once.

        Returns:
            The state it ends in, which is not yet written into the attempt unless another one is
            to follow, and the outputs.
        """
        with self._step():
            attempt = {"state": states.moved(states.created(), "RUNNING")}
            run["attempts"] = [*run.get("attempts", ()), attempt]
        context = task.context
        state, outputs = "SUCCESS", {}
        timer, timed_out = None, threading.Event()
        try:
            seconds = self._timeout(task)
            with self._cancellable(context) as cancellation:
                if seconds is not None:
                    timer = threading.Timer(seconds, self._time_out, (cancellation, timed_out))
                    timer.start()
                outputs = task.run()
        except Killed:
            state = "KILLED"
        except (TaskError, RenderError, NotFound) as error:
            state = "FAILED"
            context.log("ERROR", str(error))
            context.log("TRACE", "".join(traceback.format_exception(error)))
        except (psycopg.Error, PoolTimeout):
            raise  # Kestra's own database, not one that the task works on
        except Exception as error:  # whatever a task does, the execution must come to an end
            state = "FAILED"
            context.log("ERROR", f"{type(error).__name__}: {error}")
            context.log("TRACE", "".join(traceback.format_exception(error)))
        finally:
            if timer:
                timer.cancel()
        if timed_out.is_set() and state == "KILLED":
            state = "FAILED"
            context.log("ERROR", f"Timeout after {_hours(seconds or 0)}")
        if state == "FAILED":
            attempt["state"] = states.moved(attempt["state"], "FAILED")
        return state, outputs

    @staticmethod
    def _timeout(task: Runnable) -> float | None:
        if (timeout := task.data.get("timeout")) is None:
            return None
        seconds = parsed_duration(task.context.text(timeout))
        if seconds is None:
            raise TaskError(f"timeout: `{timeout}` is not a duration")
        return seconds

    def _time_out(self, cancellation: Cancellation, timed_out: threading.Event) -> None:
        timed_out.set()
        self._insist(cancellation)

    @contextmanager
    def _cancellable(self, context: RunContext) -> Iterator[Cancellation]:
        """Let a kill of the execution reach what the context is used for in the block."""
        with self.lock:
            cancellation = context.cancellation = Cancellation()
            self._active.add(cancellation)
            if self._killed:
                cancellation.cancel()
        try:
            cancellation.check()
            yield cancellation
        finally:
            with self.lock:
                self._active.discard(cancellation)


def _worst(reached: list[str]) -> str:
    for state in ("KILLED", "FAILED", "WARNING"):
        if state in reached:
            return state
    return "SUCCESS"


def _allowed(state: str, task: Json) -> str:
    return "SUCCESS" if state == "WARNING" and task.get("allowWarning") else state


def _hours(seconds: float) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{milliseconds:03}"


def _wait(retry: Json | None, attempts: int, elapsed: float) -> float | None:
    """Seconds until the next attempt; None if there is to be none."""
    if retry is None:
        return None
    limit = retry.get("maxAttempts") or retry.get("maxAttempt")
    longest = parsed_duration(retry["maxDuration"]) if retry.get("maxDuration") else None
    if limit is not None and attempts >= limit:
        return None
    if retry["type"] == "random":
        low, high = (parsed_duration(retry[name]) or 0 for name in ("minInterval", "maxInterval"))
        wait = random.uniform(low, high)
    else:
        wait = parsed_duration(retry["interval"]) or 0
        if retry["type"] == "exponential":
            factor = retry.get("delayFactor") or 2
            wait = min(wait * factor * attempts, parsed_duration(retry["maxInterval"]) or 0)
    return None if longest is not None and elapsed + wait > longest else wait


class Executor:
    """All running executions.

    Args:
        services: database, storage and configuration.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._pool = ThreadPoolExecutor(_WORKERS, "worker")
        self._lock = threading.RLock()
        self._running: dict[str, _Run] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._closed = False

    # --- listening -------------------------------------------------------------------------------

    @contextmanager
    def listening(self, execution_id: str, listener: Listener) -> Iterator[Json | None]:
        """Have `listener` told every step of an execution while the block runs.

        Yields:
            The execution as it is before the first of these steps; None if there is none.
        """
        with self._lock:
            run = self._running.get(execution_id)
        with run.lock if run else nullcontext():
            found = run.execution if run else self._services.store.execution(execution_id)
            now = found and states.shown(found)
            with self._lock:
                self._listeners.setdefault(execution_id, []).append(listener)
        try:
            yield now
        finally:
            with self._lock:
                self._listeners[execution_id].remove(listener)
                if not self._listeners[execution_id]:
                    del self._listeners[execution_id]

    def _tell(self, execution: Json) -> None:
        with self._lock:
            listeners = list(self._listeners.get(execution["id"], ()))
        if listeners:
            told = states.shown(execution)
            for listener in listeners:
                listener(told)

    # --- running ---------------------------------------------------------------------------------

    def submit(self, flow: Json, execution: Json) -> None:
        """Save an execution and run it, or hold it back as the flow's `concurrency` says.

        Args:
            flow: the flow as it is stored, with `revision`.
            execution: the execution, in state CREATED.
        """
        self._services.store.save_execution(execution)
        self._tell(execution)
        with self._lock:
            self._admit(flow, execution)

    def _admit(self, flow: Json, execution: Json) -> None:
        if self._closed:
            return  # it is saved: the next server begins it
        limit = flow.get("concurrency")
        if limit and self._count(execution) >= limit["limit"]:
            held = {"QUEUE": "QUEUED", "CANCEL": "CANCELLED", "FAIL": "FAILED"}
            to = held[limit.get("behavior", "QUEUE")]
            execution["state"] = states.moved(execution["state"], to)
            self._services.store.save_execution(execution)
            self._tell(execution)
            return
        run = _Run(self._services, with_defaults(flow), execution, self._tell)
        self._running[execution["id"]] = run
        self._pool.submit(self._run, run, flow)

    def _count(self, execution: Json) -> int:
        return sum(
            run.execution["namespace"] == execution["namespace"]
            and run.execution["flowId"] == execution["flowId"]
            for run in self._running.values()
        )

    def _run(self, run: _Run, flow: Json) -> None:
        execution_id = run.execution["id"]
        try:
            run.run()
        except (psycopg.Error, PoolTimeout) as error:
            _LOG.error("execution %s waits for the database: %s", execution_id, error)
            self._pool.submit(self._resume, execution_id)
        except Exception:  # a fault of ours: the execution must come to an end all the same
            _LOG.exception("execution %s", execution_id)
            run.fail()
        with self._lock:
            del self._running[execution_id]
            if flow.get("concurrency") and not self._closed:
                self._admit_next(flow)

    def _resume(self, execution_id: str) -> None:
        """Go on with an execution as soon as the database answers again."""
        while not self._closed:
            time.sleep(_DATABASE_PAUSE)
            try:
                execution = self._services.store.execution(execution_id)
            except (psycopg.Error, PoolTimeout):
                continue
            if execution and not states.is_terminated(execution):
                self._continue(execution)
            return

    def _admit_next(self, flow: Json) -> None:
        conditions = Conditions()
        conditions.add("namespace = %s", flow["namespace"])
        conditions.add("flow_id = %s", flow["id"])
        conditions.add("state = 'QUEUED'")
        waiting, _ = self._services.store.executions(
            conditions, Page("executions", 1, 1, [], "start_date")
        )
        for execution in waiting:
            self._admit(flow, execution)

    def kill(self, execution_id: str) -> None:
        """Kill an execution; one that has ended stays as it is."""
        with self._lock:
            run = self._running.get(execution_id)
            execution = None if run else self._services.store.execution(execution_id)
            if execution and execution["state"]["current"] == "QUEUED":
                for to in ("KILLING", "KILLED"):
                    execution["state"] = states.moved(execution["state"], to)
                self._services.store.save_execution(execution)
                self._tell(execution)
        if run:
            run.kill()

    def recover(self) -> None:
        """Go on with the executions that an earlier server did not finish.

        As on the genuine server, a task that was under way is run once more, in a new attempt.
        """
        for execution in self._services.store.unfinished_executions():
            self._continue(execution)

    def _continue(self, execution: Json) -> None:
        row = self._services.store.flow(
            execution["namespace"], execution["flowId"], execution["flowRevision"], deleted=True
        )
        assert row is not None, "an execution's flow revision is never removed"
        for run in execution.get("taskRunList", ()):
            for attempt in run.get("attempts", ()):
                if not states.is_terminated(attempt):
                    attempt["state"] = states.moved(attempt["state"], "KILLED")
        _LOG.info("going on with execution %s", execution["id"])
        with self._lock:
            if execution["state"]["current"] == "KILLING":
                execution["state"] = states.moved(execution["state"], "KILLED")
                self._services.store.save_execution(execution)
            else:
                self._admit({**row["value"], "revision": row["revision"]}, execution)

    def busy(self) -> bool:
        """Whether any execution is running."""
        return bool(self._running)

    def close(self, grace: float) -> None:
        """Begin no more and wait for what runs.

        Args:
            grace: seconds to wait at most; what still runs then is continued by the next server.
        """
        with self._lock:
            self._closed = True
        deadline = time.monotonic() + grace
        while self.busy() and time.monotonic() < deadline:
            time.sleep(0.05)
        self._pool.shutdown(wait=False, cancel_futures=True)


def new_execution(
    flow: Json, labels: list[Json] | None = None, *, correlated: bool = True, **more: Any
) -> Json:
    """A new execution of a flow, not yet saved.

    Args:
        labels: on top of the flow's own.
        correlated: whether it gets the label that ties together executions of subflows.
        more: further properties, such as `inputs` or `trigger`.
    """
    execution_id = states.create_id()
    state = states.created()
    every = [
        *(each for each in flow.get("labels") or () if not each["key"].startswith("system.")),
        *(labels or ()),
    ]
    if correlated and all(each["key"] != "system.correlationId" for each in every):
        every.append({"key": "system.correlationId", "value": execution_id})
    execution = {
        "id": execution_id,
        "namespace": flow["namespace"],
        "flowId": flow["id"],
        "flowRevision": flow["revision"],
        "state": state,
        "originalId": execution_id,
        "deleted": False,
        "metadata": {
            "attemptNumber": 1,
            "originalCreatedDate": state["histories"][0]["date"],
        },
        **more,
    }
    return execution | {"labels": every} if every else execution
