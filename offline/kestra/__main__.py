"""`python -m offline.kestra server standalone`: the arguments of the official image."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from offline.kestra import config, server


def main() -> int:
    """Run the command; 1 if it cannot start."""
    parser = argparse.ArgumentParser(
        prog="kestra", description="Podium's stand-in for Kestra. This is not Kestra."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("server").add_subparsers(dest="kind", required=True)
    serving.add_parser("standalone", help="API, executor and scheduler in one process")
    parser.parse_args()
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)-5s %(name)s %(message)s",
        stream=sys.stdout,
    )
    for noisy in ("httpx", "httpcore", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        server.run(config.load(os.environ))
    except (config.ConfigError, server.StartError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
