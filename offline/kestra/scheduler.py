"""Schedule triggers: their state, their clock and their backfills."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter

from offline.kestra import inputs as execution_inputs
from offline.kestra import pebble, states
from offline.kestra.context import RunContext, Services
from offline.kestra.errors import BadRequest, ConstraintViolations, IllegalState, NotFound
from offline.kestra.executions import new_execution, resolve_inputs
from offline.kestra.executor import Executor
from offline.kestra.schema import SCHEDULE
from offline.kestra.states import Json

_LOG = logging.getLogger("kestra.scheduler")
_PERIOD = 0.25  # seconds between looks at the clock: cron knows whole seconds


def _date(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def neighbour(trigger: Mapping[str, Any], at: datetime, *, back: bool = False) -> datetime:
    """The next date of a Schedule trigger after a moment, or the last one before it.

    Args:
        trigger: the trigger as it stands in the flow.
        at: the moment, with a time zone.
    """
    zone = ZoneInfo(trigger.get("timezone") or "UTC")
    dates = croniter(
        trigger["cron"],
        at.astimezone(zone),
        second_at_beginning=bool(trigger.get("withSeconds")),
    )
    found: datetime = dates.get_prev(datetime) if back else dates.get_next(datetime)
    return found.astimezone(UTC) if zone.key == "UTC" else found


class Scheduler:
    """Starts executions when the time has come.

    Args:
        services: database, storage and configuration.
        executor: what runs them.
    """

    def __init__(self, services: Services, executor: Executor) -> None:
        self._services = services
        self._store = services.store
        self._executor = executor
        self._stopped = threading.Event()
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._loop, name="scheduler", daemon=True)

    def start(self) -> None:
        """Skip the dates that are not to be made up for, then follow the clock."""
        for state in self._store.triggers():
            _, trigger = self._declared(state)
            recover = (trigger or {}).get("recoverMissedSchedules", "ALL")
            due = state.get("nextExecutionDate")
            now = datetime.now(UTC)
            if trigger and due and datetime.fromisoformat(due) < now and recover != "ALL":
                step = neighbour(trigger, now, back=recover == "LAST")
                self._store.save_trigger(state | {"nextExecutionDate": _date(step)})
        self._thread.start()

    def stop(self) -> None:
        """Start no more executions."""
        self._stopped.set()
        self._thread.join()

    # --- the triggers of flows -----------------------------------------------------------------

    def flow_changed(self, flow: Json, deleted: bool) -> None:
        """Keep the triggers' states in step with a flow that was saved or deleted."""
        triggers = [] if deleted else flow.get("triggers") or []
        schedules = [trigger for trigger in triggers if trigger["type"] == SCHEDULE]
        with self._lock:
            self._store.delete_triggers(
                flow["namespace"], flow["id"], [trigger["id"] for trigger in schedules]
            )
            for trigger in schedules:
                now = datetime.now(UTC)
                known = self._store.trigger(flow["namespace"], flow["id"], trigger["id"])
                state = known or {
                    "namespace": flow["namespace"],
                    "flowId": flow["id"],
                    "triggerId": trigger["id"],
                    "date": _date(now),
                    "disabled": False,
                }
                if "backfill" not in state:
                    state["nextExecutionDate"] = _date(neighbour(trigger, now))
                self._store.save_trigger(state)

    def _declared(self, state: Mapping[str, Any]) -> tuple[Json | None, Json | None]:
        """The flow of a trigger's state, and the trigger in it."""
        row = self._store.flow(state["namespace"], state["flowId"])
        if row is None:
            return None, None
        flow = {**row["value"], "revision": row["revision"]}
        found = (each for each in flow.get("triggers") or () if each["id"] == state["triggerId"])
        return flow, next(found, None)

    def shown(self, state: Json) -> Json:
        """The state of a trigger as the API shows it."""
        return {name: value for name, value in state.items() if name != "executionId"}

    def declaration(self, state: Json) -> Json | None:
        """The trigger of a state, as it stands in the flow."""
        return self._declared(state)[1]

    def update(self, given: Mapping[str, Any]) -> Json:
        """Disable, enable or backfill a trigger (`PUT triggers`).

        Raises:
            NotFound: there is no such flow or trigger.
        """
        flow, trigger = self._declared(given)
        if flow is None:
            raise NotFound(f"Flow of trigger {given['triggerId']} not found")
        if trigger is None:
            raise NotFound(f"Flow {given['flowId']} has no trigger {given['triggerId']}")
        with self._lock:
            state = self._store.trigger(given["namespace"], given["flowId"], given["triggerId"])
            if state is None:
                raise NotFound(f"Trigger {given['triggerId']} not found")
            if "disabled" in given:
                state["disabled"] = bool(given["disabled"])
                state.pop("nextExecutionDate", None)
                if not state["disabled"]:
                    due = _date(neighbour(trigger, datetime.now(UTC)))
                    self._store.save_trigger(state | {"nextExecutionDate": due})
                    return state
            if backfill := given.get("backfill"):
                start = pebble.moment(backfill["start"])
                end = pebble.moment(backfill.get("end") or datetime.now(UTC))
                state["backfill"] = {
                    "start": backfill["start"],
                    "end": backfill.get("end") or _date(end),
                    "currentDate": backfill["start"],
                    "paused": False,
                    "inputs": backfill.get("inputs") or {},
                    "labels": backfill.get("labels") or [],
                    "previousNextExecutionDate": state.get("nextExecutionDate"),
                }
                state["nextExecutionDate"] = _date(neighbour(trigger, start))
            self._store.save_trigger(state)
            return state

    def change_backfill(self, given: Mapping[str, Any], action: str) -> Json:
        """Pause, unpause or delete the backfill of a trigger.

        Raises:
            BadRequest: it has none.
        """
        with self._lock:
            state = self._store.trigger(given["namespace"], given["flowId"], given["triggerId"])
            if state is None or "backfill" not in state:
                raise BadRequest("No backfill found")
            if action == "delete":
                self._end_backfill(state)
            else:
                state["backfill"]["paused"] = action == "pause"
            self._store.save_trigger(state)
            return state

    def unlock(self, namespace: str, flow_id: str, trigger_id: str) -> Json:
        """Forget the execution that a trigger waits for.

        Raises:
            NotFound: there is no such trigger.
            IllegalState: it waits for none.
        """
        with self._lock:
            state = self._store.trigger(namespace, flow_id, trigger_id)
            if state is None:
                raise NotFound("Trigger not found")
            if "executionId" not in state:
                raise IllegalState("Trigger is not locked")
            del state["executionId"]
            self._store.save_trigger(state)
            return state

    # --- the clock -------------------------------------------------------------------------------

    def _loop(self) -> None:
        while not self._stopped.wait(_PERIOD):
            try:
                for state in self._store.triggers():
                    self._evaluate(state)
            except Exception:  # the database is away, say: the clock goes on
                _LOG.exception("the triggers could not be evaluated")

    def _evaluate(self, state: Json) -> None:
        with self._lock:
            key = (state["namespace"], state["flowId"], state["triggerId"])
            if self._store.trigger(*key) != state:
                return  # changed since it was read
            if "executionId" in state:  # one execution of a trigger at a time
                last = self._store.execution(state["executionId"])
                if last and not states.is_terminated(last):
                    return
                del state["executionId"]
                trigger = self._declared(state)[1]
                if (
                    last
                    and trigger
                    and last["state"]["current"] in (trigger.get("stopAfter") or ())
                ):
                    state["disabled"] = True
                    state.pop("nextExecutionDate", None)
                self._store.save_trigger(state)
            due = state.get("nextExecutionDate")
            if not due or datetime.fromisoformat(due) > datetime.now(UTC):
                return
            flow, trigger = self._declared(state)
            held = state["disabled"] or state.get("backfill", {}).get("paused")
            if held or not flow or not trigger:
                return
            if not flow.get("disabled") and not trigger.get("disabled"):
                self._fire(flow, trigger, state, datetime.fromisoformat(due))

    def _fire(self, flow: Json, trigger: Json, state: Json, at: datetime) -> None:
        following = neighbour(trigger, at)
        dates = {
            "date": _date(at),
            "next": _date(following),
            "previous": _date(neighbour(trigger, at, back=True)),
        }
        backfill = state.get("backfill")
        execution = new_execution(
            flow,
            [*(trigger.get("labels") or ()), *((backfill or {}).get("labels") or ())],
            correlated=self._services.config.release.tenant is not None,
            trigger={"id": trigger["id"], "type": trigger["type"], "variables": dates},
            variables={"schedule": dates},
        )
        given = {**(trigger.get("inputs") or {}), **((backfill or {}).get("inputs") or {})}
        state |= {
            "date": _date(at), "nextExecutionDate": _date(following), "executionId": execution["id"]
        }  # fmt: skip
        if backfill:
            backfill["currentDate"] = _date(at)
            if following > pebble.moment(backfill["end"]):
                self._end_backfill(state)
        self._store.save_trigger(state)
        context = RunContext(self._services, flow, execution)
        try:
            resolved = resolve_inputs(self._services, flow, execution, context.render(given))
            values = execution_inputs.values_of(resolved)
        except (ConstraintViolations, pebble.RenderError) as error:
            execution["state"] = states.moved(execution["state"], "FAILED")
            self._store.save_execution(execution)
            context.log("ERROR", str(error))
            return
        if values:
            execution["inputs"] = values
        self._executor.submit(flow, execution)

    def _end_backfill(self, state: Json) -> None:
        state["nextExecutionDate"] = state.pop("backfill")["previousNextExecutionDate"]
