"""Sets the engine up: `python -m offline.kestra.engine [lock]`.

Downloads and compiles what all releases need; with `lock`, writes their locks anew instead, for a
pom that was changed.
"""

import logging
import sys

from offline.kestra.engine.classpath import RELEASES, SetupError, class_path, write_lock


def main() -> int:
    """Sets all releases up.

    Returns:
        The exit code.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for release in RELEASES:
        try:
            write_lock(release) if sys.argv[1:] == ["lock"] else class_path(release)
        except SetupError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
