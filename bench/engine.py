"""Kestra's start with the archive of its classes and without, its executions and its memory."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median

from bench.comparison import Comparison, aim, seconds
from bench.kestra import Kestra, running_kestra
from bench.postgres import running_postgres

_EXECUTIONS = 200
_FLOW = """\
id: short
namespace: bench
tasks:
  - {id: first, type: io.kestra.plugin.core.debug.Return, format: "{{ execution.id }}"}
  - {id: second, type: io.kestra.plugin.core.log.Log, message: "{{ outputs.first.value }}"}
"""


def compare(rounds: int) -> Iterator[object]:
    """Measures by turns and yields what there is to print.

    Args:
        rounds: how often each is measured.

    Raises:
        RuntimeError: an execution did not succeed.
        httpx.TransportError: a server did not answer within 120 seconds.
    """
    start = Comparison("start", "without the archive")
    first: list[float] = []
    at_once: list[float] = []
    memory: list[float] = []
    for _ in range(rounds):
        with _started(start.seconds) as kestra:
            first.append(seconds(lambda: kestra.run("bench/short")))
            at_once.append(seconds(lambda: _run_at_once(kestra)))
            memory.append(kestra.peak_memory() / 2**20)
        with _started(start.baseline_seconds, JAVA_TOOL_OPTIONS="-Xshare:off"):
            pass
    yield start
    yield (
        f"  first execution {median(first):.2f} s, {_EXECUTIONS} at once {median(at_once):.2f} s: "
        f"{_EXECUTIONS / median(at_once):.1f} a second"
    )
    yield aim("seconds to start", median(start.seconds), 8)
    yield aim("seconds to start without the archive", median(start.baseline_seconds), 15)
    yield aim("MiB at the peak", median(memory), 700)


@contextmanager
def _started(times: list[float], **environment: str) -> Iterator[Kestra]:
    """Starts a server on an empty database, with a flow; adds the seconds until it answers."""
    with running_postgres() as database:
        begin = time.perf_counter()
        with running_kestra(database, environment=environment) as kestra:
            times.append(time.perf_counter() - begin)
            with kestra.client() as client:
                headers = {"Content-Type": "application/x-yaml"}
                client.post("/flows", content=_FLOW, headers=headers).raise_for_status()
            yield kestra


def _run_at_once(kestra: Kestra) -> None:
    with ThreadPoolExecutor(_EXECUTIONS) as threads:
        list(threads.map(kestra.run, ["bench/short"] * _EXECUTIONS))
