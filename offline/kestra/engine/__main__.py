"""Sets the engine up: `python -m offline.kestra.engine [lock | bench]`.

Downloads and compiles what all releases need. With `lock`, it writes the locks anew instead, for a
pom that was changed; with `bench`, it prints how long the engines take and how much memory.
"""

import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from offline.kestra.engine import RELEASES, SetupError, running
from offline.kestra.engine.classpath import class_path, write_lock

_FLOW = """\
id: bench
namespace: bench
tasks:
  - {id: first, type: io.kestra.plugin.core.debug.Return, format: "{{ execution.id }}"}
  - {id: second, type: io.kestra.plugin.core.log.Log, message: "{{ outputs.first.value }}"}
"""
_EXECUTIONS = 200


def bench(release: str) -> None:
    """Prints the time to start, the time of executions at once, and the memory afterwards."""
    began = time.monotonic()
    with running(release) as engine, ThreadPoolExecutor(_EXECUTIONS) as threads:
        ready = time.monotonic()
        engine.run(_FLOW)
        first = time.monotonic()
        list(threads.map(engine.run, [_FLOW] * _EXECUTIONS))
        last = time.monotonic()
        print(
            f"Kestra {release}: ready after {ready - began:.1f} s, "
            f"first execution {first - ready:.1f} s, "
            f"{_EXECUTIONS} at once {last - first:.1f} s, "
            f"{engine.memory() >> 20} MiB"
        )


def main() -> int:
    """Sets all releases up, or does what the argument says.

    Returns:
        The exit code.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    action = {(): class_path, ("lock",): write_lock, ("bench",): bench}.get(tuple(sys.argv[1:]))
    if action is None:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        for release in RELEASES:
            action(release)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
