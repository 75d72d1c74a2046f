"""Kestra's start with the archive of its classes and without, its executions and its memory."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from statistics import median

from bench.comparison import Comparison, Ratios, aim, seconds
from bench.kestra import Kestra, running_kestra
from bench.postgres import running_postgres
from offline.kestra.engine import running

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
    at_once = Comparison(f"{_EXECUTIONS} at once", "on H2 in memory")
    first: list[float] = []
    memory: list[float] = []
    for _ in range(rounds):
        with _started(start.seconds) as kestra:
            first.append(seconds(lambda: kestra.run("bench/short")))
            at_once.seconds.append(seconds(lambda: _at_once(partial(kestra.run, "bench/short"))))
            memory.append(kestra.peak_memory() / 2**20)
        with _started(start.baseline_seconds, JAVA_TOOL_OPTIONS="-Xshare:off"):
            pass
        with running("2.0.0") as engine:
            engine.run(_FLOW)
            at_once.baseline_seconds.append(seconds(lambda: _at_once(partial(engine.run, _FLOW))))
    yield start
    yield at_once
    executions_per_second = _EXECUTIONS / median(at_once.seconds)
    yield f"  first execution {median(first):.2f} s, {executions_per_second:.1f} a second at once"
    ratio = Ratios(at_once.seconds, at_once.baseline_seconds).median
    yield aim(f"{at_once.name}, beside H2 in memory", ratio, 2)
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


def _at_once(run: Callable[[], object]) -> None:
    with ThreadPoolExecutor(_EXECUTIONS) as threads:
        for future in [threads.submit(run) for _ in range(_EXECUTIONS)]:
            future.result()
