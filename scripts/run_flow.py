"""Runs a flow and follows it: `python -m scripts.run_flow NAMESPACE/ID [name=value ...]`."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from infra.kestra.client import KestraClient, KestraError
from scripts.pulumi_cli import INTERRUPTED, project_workspace, stack_outputs

# https://kestra.io/docs/workflow-components/states
_SUCCESSFUL = frozenset({"SUCCESS", "WARNING"})
_ENDED = _SUCCESSFUL | {"FAILED", "KILLED", "CANCELLED", "RETRIED", "SKIPPED"}
_POLL_SECONDS = 0.5
# Longer than a server that is up needs, shorter than one that is away is worth waiting for.
_WAIT_SECONDS = 15.0


def main() -> int:
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="make run-flow",
        usage='make run-flow FLOW=namespace/id [INPUTS="name=value ..."] [STACK=dev]',
        description="Runs a flow and follows it.",
    )
    parser.add_argument("flow", metavar="FLOW", type=_flow)
    parser.add_argument("inputs", metavar="INPUTS", nargs="*", type=_input, default=[])
    parser.add_argument("--stack", metavar="STACK", default="dev")
    arguments = parser.parse_args()
    with project_workspace() as workspace:
        url, user, password = stack_outputs(
            workspace, arguments.stack, "kestraUrl", "kestraUser", "kestraPassword"
        )
        try:
            with KestraClient(url, user, password, wait=_WAIT_SECONDS) as client:
                namespace, flow_id = arguments.flow
                return run_flow(client, namespace, flow_id, dict(arguments.inputs))
        except KestraError as error:
            sys.exit(str(error))


def run_flow(client: KestraClient, namespace: str, flow_id: str, inputs: Mapping[str, str]) -> int:
    """Starts an execution, prints its tasks and log lines as they come, and waits for its end.

    Args:
        client: the server.
        namespace: the flow's namespace.
        flow_id: the flow's id.
        inputs: the values of its inputs by name.

    Returns:
        0 where the execution succeeded, 1 where it did not, 130 where the user left it running.

    Raises:
        KestraError: the server refused the execution or does not answer.
    """
    execution = client.create_execution(namespace, flow_id, inputs)
    url = execution["url"]
    print(f"{namespace}/{flow_id}: execution {execution['id']}", flush=True)
    try:
        state = _follow(client, execution)
    except KeyboardInterrupt:
        print(f"\n{namespace}/{flow_id} goes on running: {url}")
        return INTERRUPTED
    print(f"{namespace}/{flow_id}: {state}")
    return 0 if state in _SUCCESSFUL else 1


class _Event(NamedTuple):
    """What happened in an execution: a change of state, or a line of the log."""

    time: datetime
    task: str
    text: str
    run: str


def _follow(client: KestraClient, execution: dict[str, Any]) -> str:
    """Prints what happens until the execution has ended, and returns its last state."""
    seen: Counter[_Event] = Counter()
    ended = False
    while not ended:
        # One more look after the end: the last lines reach the log later than the state changes.
        ended = execution["state"]["current"] in _ENDED
        time.sleep(_POLL_SECONDS)
        execution = client.get_execution(execution["id"])
        events = Counter([*_states(execution), *_lines(client, execution)])
        order = {run["id"]: place for place, run in enumerate(_runs(execution))}
        # In a loop the value tells one run of a task from another.
        names = {run["id"]: f"{run['taskId']} {run.get('value', '')}" for run in _runs(execution)}
        for event in sorted(
            (events - seen).elements(),
            # Of one moment: first what an earlier task did, and the end of a task last.
            key=lambda event: (event.time, order.get(event.run, -1), event.text in _ENDED),
        ):
            name = names.get(event.run, event.task).strip()
            print(f"{event.time.astimezone():%X}  {name:12}  {event.text}", flush=True)
        seen = events
    return str(execution["state"]["current"])


def _runs(execution: Mapping[str, Any]) -> list[dict[str, Any]]:
    return execution.get("taskRunList") or []


def _states(execution: Mapping[str, Any]) -> Iterator[_Event]:
    for run in _runs(execution):
        for step in run["state"]["histories"]:
            moment = datetime.fromisoformat(step["date"])
            yield _Event(moment, run["taskId"], step["state"], run["id"])


def _lines(client: KestraClient, execution: Mapping[str, Any]) -> Iterator[_Event]:
    for line in client.get_logs(execution["id"]):
        moment = datetime.fromisoformat(line["timestamp"])
        text = f"{line['level']}  {line['message']}"
        yield _Event(moment, line.get("taskId", ""), text, line.get("taskRunId", ""))


def _flow(text: str) -> tuple[str, str]:
    namespace, slash, flow_id = text.partition("/")
    if not (namespace and slash and flow_id) or "/" in flow_id:
        raise argparse.ArgumentTypeError(f'"{text}" must be namespace/id, as zoomcamp/taxi_load')
    return namespace, flow_id


def _input(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f'"{text}" must be name=value, as month=2019-01')
    return name, value


if __name__ == "__main__":
    sys.exit(main())
