"""Pulumi for the commands of the Makefile; `scripts/env.sh` puts its CLI on PATH before."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pulumi.automation import CommandError, InvalidVersionError, LocalWorkspace

PROJECT_FOLDER = Path(__file__).parents[1]
# What a shell says of a command that ended by Ctrl-C.
INTERRUPTED = 130


@contextmanager
def project_workspace() -> Iterator[LocalWorkspace]:
    """Gives the project to Pulumi's Automation API, and tells its errors without a traceback.

    Raises:
        SystemExit: a command failed, with what it said; or the user interrupted it.
    """
    try:
        yield LocalWorkspace(work_dir=str(PROJECT_FOLDER))
    except CommandError as error:
        sys.exit(cli_message(error))
    except InvalidVersionError as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd)}: {error.stderr.strip()}")
    except FileNotFoundError as error:
        sys.exit(f"There is no {error.filename} on PATH; make sets it up: make help")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def cli_message(error: CommandError) -> str:
    """Returns what the CLI said; the error's own text has its exit code and output before it."""
    return str(error).partition("\n stderr: ")[2].strip()
