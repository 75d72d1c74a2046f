"""Runs a flow and follows it: `python -m scripts.run_flow NAMESPACE/ID [name=value ...]`."""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from infra.kestra.api import KestraClient, KestraError
from scripts.pulumi_cli import PulumiError, PulumiStack

# https://kestra.io/docs/workflow-components/states
_SUCCESSFUL = frozenset({"SUCCESS", "WARNING"})
_ENDED = _SUCCESSFUL | {"FAILED", "KILLED", "CANCELLED", "RETRIED", "SKIPPED"}
_POLL_SECONDS = 0.5


def main() -> int:
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts.run_flow", description=__doc__)
    parser.add_argument("flow", type=_flow, help="the flow as namespace/id")
    parser.add_argument("inputs", nargs="*", type=_input, help="inputs as name=value")
    parser.add_argument("--stack", default="dev", help="the stack's name (dev)")
    arguments = parser.parse_args()
    stack = PulumiStack(arguments.stack)
    try:
        outputs = stack.outputs()
        if "kestraUrl" not in outputs:
            raise PulumiError(f"Stack {stack.name} is not up: make up STACK={stack.name}")
        with KestraClient(
            outputs["kestraUrl"], outputs["kestraUser"], outputs["kestraPassword"]
        ) as client:
            namespace, flow_id = arguments.flow
            return run_flow(client, namespace, flow_id, dict(arguments.inputs))
    except (PulumiError, KestraError) as error:
        print(error, file=sys.stderr)
        return 1


def run_flow(client: KestraClient, namespace: str, flow_id: str, inputs: Mapping[str, str]) -> int:
    """Starts an execution, prints its tasks and log lines as they come, and waits for its end.

    Args:
        client: the server.
        namespace: the flow's namespace.
        flow_id: the flow's id.
        inputs: the values of its inputs by name.

    Returns:
        0 where the execution succeeded, 1 otherwise.
    """
    execution = client.create_execution(namespace, flow_id, inputs)
    print(f"{namespace}/{flow_id}: execution {execution['id']}", flush=True)
    seen: set[_Event] = set()
    ended = False
    while not ended:
        time.sleep(_POLL_SECONDS)
        # Read before the log: at the last look every line is there.
        execution = client.get_execution(execution["id"])
        ended = execution["state"]["current"] in _ENDED
        for event in sorted({*_states(execution), *_lines(client, execution)} - seen):
            seen.add(event)
            print(f"{event.time[11:19]}  {event.task:12}  {event.text}", flush=True)
    state = str(execution["state"]["current"])
    print(f"{namespace}/{flow_id}: {state}")
    return 0 if state in _SUCCESSFUL else 1


class _Event(NamedTuple):
    """What happened in an execution: a change of state, or a line of the log."""

    time: str
    task: str
    text: str
    run: str


def _states(execution: Mapping[str, Any]) -> Iterator[_Event]:
    for run in execution.get("taskRunList", ()):
        for step in run["state"]["histories"]:
            yield _Event(step["date"], run["taskId"], step["state"], run["id"])


def _lines(client: KestraClient, execution: Mapping[str, Any]) -> Iterator[_Event]:
    for line in client.get_logs(execution["id"]):
        text = f"{line['level']}  {line['message']}"
        yield _Event(line["timestamp"], line.get("taskId", ""), text, line.get("taskRunId", ""))


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
