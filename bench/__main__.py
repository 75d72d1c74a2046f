"""Runs benchmarks and prints what they find: `python -m bench [name ...]`, all without a name."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterable

from bench import backup, engine, etl, flows, loop, up

_BENCHMARKS: dict[str, Callable[[int], Iterable[object]]] = {
    "up": up.compare,
    "engine": engine.compare,
    "flows": flows.compare,
    "loop": loop.compare,
    "etl": etl.compare,
    "backup": backup.compare,
}


def main() -> None:
    """Runs the command line."""
    # Pulumi programs and the offline parts run with this Python too.
    python_folder = os.path.dirname(sys.executable)
    os.environ["PATH"] = os.pathsep.join([python_folder, os.environ["PATH"]])
    # In the background a shell ignores Ctrl-C for us, and Pulumi would wait for plugins to take it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    names = ", ".join(_BENCHMARKS)
    parser.add_argument("names", nargs="*", choices=[*_BENCHMARKS, []], metavar="name", help=names)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    arguments = parser.parse_args()
    for name in arguments.names or _BENCHMARKS:
        comparisons = _BENCHMARKS[name](arguments.rounds)
        print(f"\n{name}: medians of {arguments.rounds} rounds, and the ratio's range")
        for comparison in comparisons:
            print(comparison)


if __name__ == "__main__":
    main()
