"""Sets the engine up: `python -m offline.kestra.engine [ACTION [RELEASE...]]`."""

import argparse
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from offline.kestra.engine import RELEASES, SetupError
from offline.kestra.engine.archive import record_classes, write_archive
from offline.kestra.engine.classpath import write_lock

_ACTIONS: Mapping[str, Callable[[str], Path | None]] = {
    "archive": write_archive,
    "classes": record_classes,
    "lock": write_lock,
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
        "the lists of classes; `lock` writes the locks anew, for a pom that was changed.",
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
