"""`python -m offline.kestra server standalone`: the arguments of the official image."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from offline.kestra import config, server
from offline.kestra.engine import SetupError
from offline.kestra.engine.machine import end


def main() -> int:
    """Runs the command; 1 if it cannot start."""
    parser = argparse.ArgumentParser(
        prog="kestra", description="Kestra's own engine, with Podium's API and page."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("server").add_subparsers(dest="kind", required=True)
    serving.add_parser("standalone", help="API, executor, scheduler and worker in one process")
    parser.parse_args()
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)-5s %(name)s %(message)s",
        stream=sys.stdout,
    )
    for noisy in ("httpx", "httpcore", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        status = server.run(config.load(os.environ))
    except (config.ConfigError, server.StartError, SetupError) as error:
        print(error, file=sys.stderr)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    end(status)
    return status


if __name__ == "__main__":
    main()
