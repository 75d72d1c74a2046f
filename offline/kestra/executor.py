"""Runs executions: one thread for each, its state saved and told at every step."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from functools import partial
from typing import TypeVar

import psycopg
from psycopg_pool import PoolTimeout

from offline.kestra import states
from offline.kestra.context import Cancellation, Killed, RunContext, Services
from offline.kestra.errors import NotFound
from offline.kestra.executions import flow_of, flow_outputs
from offline.kestra.flows import find_task, with_defaults
from offline.kestra.pebble import RenderError
from offline.kestra.restarts import restarted
from offline.kestra.schema import parsed_duration
from offline.kestra.states import Json
from offline.kestra.store import Conditions, Page
from offline.kestra.tasks import TYPES
from offline.kestra.tasks.base import Branch, Executable, Flowable, Runnable, TaskError

_LOG = logging.getLogger("kestra.executor")
_WORKERS = 16  # tasks that run at once; executions that only wait for others are not counted
_CANCEL_PAUSE = 0.5  # seconds between requests to a task to stop
_DATABASE_PAUSE = 1.0  # seconds between looks whether the database is back
Listener = Callable[[Json], None]
_Task = TypeVar("_Task", Runnable, Executable)


class _Stopping(Exception):
    """The server is about to end; the next one goes on with the execution."""


class _Run:
    """One execution while it runs.

    Args:
        executor: what runs it, and the executions that its tasks start.
        services: database, storage and configuration.
        flow: the flow with plugin defaults applied.
        execution: the execution, new or to be continued.
    """

    def __init__(self, executor: Executor, services: Services, flow: Json, execution: Json) -> None:
        self._executor = executor
        self._services = services
        self._flow = flow
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
            self._executor.tell(self.execution)

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
        state = self._sequence(self._flow["tasks"], None, Branch([]), threading.Event())
        # Neither of these decides how the execution ends.
        if state == "FAILED":
            self._sequence(self._flow.get("errors") or [], None, Branch([]))
        self._sequence(self._flow.get("finally") or [], None, Branch([]))
        try:
            outputs = None
            if not self._killed:
                outputs = flow_outputs(self._services, self._flow, self.execution)
        except (RenderError, ValueError) as error:
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

    def _sequence(
        self,
        tasks: list[Json],
        parent: Json | None,
        branch: Branch,
        failed: threading.Event | None = None,
    ) -> str:
        """Run tasks one after the other.

        Args:
            failed: set when one fails, here or in a branch beside this one; none begins then.
                Without it all tasks run, as those of `errors` and `finally` do.

        Returns:
            The worst state.
        """
        reached = []
        for task in tasks:
            if self._killed:
                return "KILLED"
            if failed and failed.is_set():
                break
            if task.get("disabled"):
                continue
            reached.append(self._task(task, parent, branch))
            if failed and reached[-1] == "FAILED":
                failed.set()
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
        if issubclass(task_type, Executable):
            return self._executable(task_type(task, context), run)
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
                run["value"] = branch.value
                if self._services.config.release.tenant:
                    run["iteration"] = branch.iteration
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
        failed = threading.Event()

        def sequence(branch: Branch) -> str:
            return self._sequence(branch.tasks, run, branch, failed)

        limit = task.concurrency() or len(branches) or 1
        if limit == 1:
            state = _worst([sequence(branch) for branch in branches])
        else:
            with ThreadPoolExecutor(limit, "executor") as pool:
                state = _worst(list(pool.map(sequence, branches)))
        if state == "FAILED":
            self._sequence(task.data.get("errors") or [], run, Branch([]))
        if state == "FAILED" and (task.tolerates_failure or task.data.get("allowFailure")):
            state = "WARNING"
        return self._end(run, _allowed(state, task.data))

    # --- runnable tasks --------------------------------------------------------------------------

    def _runnable(self, task: Runnable, run: Json) -> str:
        state, outputs = self._retried(task, run, self._attempt)
        with self.lock:
            for attempt in run.get("attempts", ()):
                if not states.is_terminated(attempt):
                    attempt["state"] = states.moved(attempt["state"], state)
            retry = task.data.get("retry") or {}
            if state == "SUCCESS" and len(run["attempts"]) > 1 and retry.get("warningOnRetry"):
                state = "WARNING"
            if state == "FAILED" and task.data.get("allowFailure"):
                state = "WARNING"
            return self._end(run, _allowed(state, task.data), outputs)

    def _retried(
        self, task: _Task, run: Json, attempt: Callable[[_Task, Json], tuple[str, Json]]
    ) -> tuple[str, Json]:
        """Make attempts until one does not fail, or as many as `retry` says.

        Returns:
            The state that the last one ended in, and the outputs.
        """
        retry = self._retry(task.data, run)
        powers = self._services.config.release.tenant is not None
        try:
            while True:
                state, outputs = attempt(task, run)
                wait = (
                    _wait(retry, run["attempts"], powers) if retry and state == "FAILED" else None
                )
                if wait is None:
                    return state, outputs
                with self._step():
                    for to in ("FAILED", "RETRYING"):
                        run["state"] = states.moved(run["state"], to)
                    self._retrying("RETRYING")
                with self._cancellable(task.context) as cancellation:
                    cancellation.sleep(wait)
                with self._step():
                    run["state"] = states.moved(run["state"], "CREATED")
                    self._retrying("RUNNING")
        except Killed:
            return "KILLED", {}

    def _retrying(self, state: str) -> None:
        if not self._killed:
            self._move(state)

    def _retry(self, task: Json, run: Json) -> Json | None:
        """The `retry` of a task, or of the nearest task around it that has one."""
        own: Json | None = task.get("retry")
        if own or task.get("allowFailure"):
            return own
        around = (find_task(self._flow, each["taskId"]) for each in self._parents(run))
        return next((each["retry"] for each in around if each and each.get("retry")), None)

    def _attempt(self, task: Runnable, run: Json) -> tuple[str, Json]:
        """Run a task once.

        Returns:
            The state it ends in, which is not yet written into the attempt unless another one is
            to follow, and the outputs.

        Raises:
            Killed: the execution was killed before the task began.
        """
        with self._worker(task.context):
            with self._step():
                run["state"] = states.moved(run["state"], "RUNNING")
                attempt = {"state": states.moved(states.created(), "RUNNING")}
                run["attempts"] = [*run.get("attempts", ()), attempt]
            timed_out = threading.Event()
            state, outputs = self._outcome(task.context, partial(self._timed, task, timed_out))
        if timed_out.is_set() and state == "KILLED":
            state = "FAILED"
            task.context.log("ERROR", f"Timeout after {_hours(self._timeout(task) or 0)}")
        if state == "FAILED":
            attempt["state"] = states.moved(attempt["state"], "FAILED")
        return state, outputs

    def _outcome(
        self, context: RunContext, action: Callable[[], tuple[str, Json]]
    ) -> tuple[str, Json]:
        """What an action returns; what it raises is logged and makes it KILLED or FAILED."""
        try:
            return action()
        except Killed:
            return "KILLED", {}
        except (TaskError, RenderError, NotFound) as error:
            message = str(error)
            trace = traceback.format_exception(error)
            outputs = error.outputs if isinstance(error, TaskError) else {}
        except (psycopg.Error, PoolTimeout, _Stopping):
            raise  # Kestra's own database, not one that the task works on; or our end
        except Exception as error:  # whatever a task does, the execution must come to an end
            message = f"{type(error).__name__}: {error}"
            trace = traceback.format_exception(error)
            outputs = {}
        context.log("ERROR", message)
        context.log("TRACE", "".join(trace))
        return "FAILED", outputs

    def _timed(self, task: Runnable, timed_out: threading.Event) -> tuple[str, Json]:
        """Run a task and cancel it when its time is over."""
        seconds = self._timeout(task)
        with self._cancellable(task.context) as cancellation:
            timer = None
            if seconds is not None:
                timer = threading.Timer(seconds, self._time_out, (cancellation, timed_out))
                timer.start()
            try:
                outputs = task.run()
            finally:
                if timer:
                    timer.cancel()
            return task.state, outputs

    @contextmanager
    def _worker(self, context: RunContext) -> Iterator[None]:
        """Have one of the places of the worker for the block.

        Raises:
            Killed: the execution was killed before there was one.
        """
        places, thread = self._executor.places, threading.current_thread()
        with self._cancellable(context) as cancellation:
            while True:
                cancellation.check()
                with suppress(queue.Empty):
                    place = places.get(timeout=_CANCEL_PAUSE)
                    break
        before, thread.name = thread.name, f"worker_{place}"  # the log shows it
        try:
            yield
        finally:
            thread.name = before
            places.put(place)

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

    # --- tasks that start executions -------------------------------------------------------------

    def _executable(self, task: Executable, run: Json) -> str:
        state, outputs = self._retried(task, run, self._execute)
        return self._end(run, state, outputs)

    def _execute(self, task: Executable, run: Json) -> tuple[str, Json]:
        """Run the execution of another flow, or go on with the one from before a restart.

        Returns:
            The state of the task and its outputs.

        Raises:
            Killed: this execution was killed before.
        """
        begins = run["state"]["current"]
        with self._cancellable(task.context) as cancellation:
            with self._step():
                if begins not in ("RUNNING", "RESTARTED"):  # another attempt
                    run.pop("outputs", None)
                run["state"] = states.moved(run["state"], "RUNNING")
            state, outputs = self._outcome(
                task.context, partial(self._other, task, run, begins, cancellation)
            )
        with self._step():
            run["state"] = states.moved(run["state"], state)
            run["attempts"] = [*run.get("attempts", ()), {"state": run["state"]}]
        return state, outputs

    def _other(
        self, task: Executable, run: Json, begins: str, cancellation: Cancellation
    ) -> tuple[str, Json]:
        store = self._services.store
        other = store.execution(run["outputs"]["executionId"]) if "outputs" in run else None
        if begins == "RESTARTED" and not task.restarts():
            other = None
        if other and begins == "RESTARTED":
            if other["state"]["current"] != "FAILED":
                return "SUCCESS", run["outputs"]
            flow = flow_of(self._services, other)
            other = restarted(flow, other, labelled=True)
            self._begin("Restarted", task.context, flow, other)
        elif not other:
            flow, other = task.create()
            # Said before it is saved, so that the next server looks for it and starts no second.
            with self._step():
                run["outputs"] = {"executionId": other["id"]}
            self._begin("Created new", task.context, flow, other)
        if task.waits():
            other = self._executor.wait(other["id"], cancellation)
        result = task.result(other)
        run["state"] = states.moved(run["state"], other["state"]["current"])
        return result

    def _begin(self, how: str, context: RunContext, flow: Json, other: Json) -> None:
        context.log(
            "INFO",
            f'{how} execution [[link execution="{other["id"]}" flowId="{flow["id"]}" '
            f'namespace="{flow["namespace"]}"]]',
        )
        self._executor.submit(flow, {**other})  # ours stays as it was


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


def _wait(retry: Json, attempts: list[Json], powers: bool) -> float | None:
    """Seconds until the next attempt; None if there is to be none.

    Args:
        attempts: those there were.
        powers: whether exponential waits grow with the powers of the factor, as in release 1.x; in
            0.20 with its multiples, the first being none.
    """
    limit = retry.get("maxAttempts") or retry.get("maxAttempt")
    count = len(attempts)
    if limit is not None and count >= limit:
        return None
    if retry["type"] == "random":
        low, high = (parsed_duration(retry[name]) or 0 for name in ("minInterval", "maxInterval"))
        wait = random.uniform(low, high)
    else:
        wait = parsed_duration(retry["interval"]) or 0
        if retry["type"] == "exponential":
            factor = retry.get("delayFactor") or 2
            wait *= factor ** (count - 1) if powers else int(factor) * (count - 1)
            wait = min(wait, parsed_duration(retry["maxInterval"]) or 0)
    if retry.get("maxDuration"):
        first, last = (
            datetime.fromisoformat(attempts[which]["state"]["histories"][which]["date"])
            for which in (0, -1)
        )
        if (last - first).total_seconds() + wait > (parsed_duration(retry["maxDuration"]) or 0):
            return None
    return wait


class Executor:
    """All running executions.

    Args:
        services: database, storage and configuration.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self.places: queue.PriorityQueue[int] = queue.PriorityQueue()
        for place in range(_WORKERS):
            self.places.put(place)
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
        with ExitStack() as held:
            with self._lock:
                run = self._running.get(execution_id)
                if run is None:  # it cannot begin while the lock is held
                    held.enter_context(self._lock)
            if run:
                held.enter_context(run.lock)
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

    def tell(self, execution: Json) -> None:
        """Tell the listeners of an execution how it is now."""
        with self._lock:
            listeners = list(self._listeners.get(execution["id"], ()))
        if listeners:
            told = states.shown(execution)
            for listener in listeners:
                listener(told)

    def wait(self, execution_id: str, cancellation: Cancellation) -> Json:
        """Wait for the end of an execution that another one has started.

        Args:
            cancellation: of the task that waits; it kills the execution.

        Returns:
            The execution.

        Raises:
            _Stopping: the server is about to end.
        """
        ended = threading.Event()
        last: list[Json] = []

        def listener(told: Json) -> None:
            if states.is_terminated(told):
                last.append(told)
                ended.set()

        with self.listening(execution_id, listener) as now:
            if now:
                listener(now)
            while not ended.wait(_CANCEL_PAUSE):
                if self._closed:
                    raise _Stopping
                if cancellation.cancelled():
                    self.kill(execution_id)
        return last[-1]

    # --- running ---------------------------------------------------------------------------------

    def submit(self, flow: Json, execution: Json) -> None:
        """Save an execution and run it, or hold it back as the flow's `concurrency` says.

        Args:
            flow: the flow as it is stored, with `revision`.
            execution: the execution, in state CREATED.
        """
        self._services.store.save_execution(execution)
        self.tell(execution)
        with self._lock:
            self._admit(flow, execution)

    def _admit(self, flow: Json, execution: Json) -> None:
        if self._closed:
            return  # it is saved: the next server begins it
        limit = flow.get("concurrency")
        if limit and self._count(execution) >= limit["limit"]:
            held = {"QUEUE": "QUEUED", "CANCEL": "CANCELLED", "FAIL": "FAILED"}
            to = held[limit.get("behavior", "QUEUE")]
            if to == "FAILED":
                what = "Execution" if self._services.config.release.tenant else "Flow"
                RunContext(self._services, flow, execution).log(
                    "ERROR", f"{what} is FAILED due to concurrency limit exceeded"
                )
            execution["state"] = states.moved(execution["state"], to)
            self._services.store.save_execution(execution)
            self.tell(execution)
            return
        run = _Run(self, self._services, with_defaults(flow), execution)
        self._running[execution["id"]] = run
        threading.Thread(target=self._run, args=(run, flow), name="executor", daemon=True).start()

    def _count(self, execution: Json) -> int:
        return sum(
            run.execution["namespace"] == execution["namespace"]
            and run.execution["flowId"] == execution["flowId"]
            for run in self._running.values()
        )

    def _run(self, run: _Run, flow: Json) -> None:
        execution_id, goes_on = run.execution["id"], False
        try:
            run.run()
        except _Stopping:
            _LOG.info("execution %s is left to the next server", execution_id)
        except (psycopg.Error, PoolTimeout) as error:
            _LOG.error("execution %s waits for the database: %s", execution_id, error)
            goes_on = True
        except Exception:  # a fault of ours: the execution must come to an end all the same
            _LOG.exception("execution %s", execution_id)
            run.fail()
        with self._lock:
            del self._running[execution_id]
            if flow.get("concurrency") and not self._closed and not goes_on:
                self._admit_next(flow)
        if goes_on:
            self._resume(execution_id)

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
        """Kill an execution and those that it started; one that has ended stays as it is."""
        with self._lock:
            run = self._running.get(execution_id)
            execution = None if run else self._services.store.execution(execution_id)
            if execution and execution["state"]["current"] == "QUEUED":
                for to in ("KILLING", "KILLED"):
                    execution["state"] = states.moved(execution["state"], to)
                self._services.store.save_execution(execution)
                self.tell(execution)
        if run:
            run.kill()
        for child in self._services.store.started_by(execution_id):
            self.kill(child["id"])

    def recover(self) -> None:
        """Go on with the executions that an earlier server did not finish.

        As on the genuine server, a task that was under way is run once more, in a new attempt.
        """
        unfinished = self._services.store.unfinished_executions()
        for execution in unfinished:
            self._continue(execution)
        for execution in unfinished:
            if execution["state"]["current"] == "KILLED":
                self.kill(execution["id"])  # what it started

    def _continue(self, execution: Json) -> None:
        flow = flow_of(self._services, execution)
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
                self._admit(flow, execution)

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
