"""Sets the engine up: `python -m offline.kestra.engine [ACTION [RELEASE...]]`."""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from offline.kestra.engine import RELEASES, SetupError, running
from offline.kestra.engine.archive import record_classes, write_archive
from offline.kestra.engine.classpath import write_lock

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


_ACTIONS: Mapping[str, Callable[[str], Path | None]] = {
    "archive": write_archive,
    "classes": record_classes,
    "lock": write_lock,
    "bench": bench,
}


def main() -> int:
    """Runs the command line.

    Returns:
        The exit code.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(
        prog="python -m offline.kestra.engine",
        description="Downloads and compiles what releases of Kestra need, and archives their "
        "classes. Other actions: `classes` sets up all but the archives, and prints the paths of "
        "the lists of classes; `lock` writes the locks anew, for a pom that was changed; `bench` "
        "prints how long the engines take and how much memory.",
    )
    parser.add_argument("action", nargs="?", default="archive", choices=_ACTIONS)
    parser.add_argument("releases", nargs="*", default=RELEASES, metavar="RELEASE")
    arguments = parser.parse_args()
    try:
        for release in arguments.releases:
            if made := _ACTIONS[arguments.action](release):
                print(made)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
