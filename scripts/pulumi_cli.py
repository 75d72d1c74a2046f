"""Pulumi for the commands of the Makefile; `scripts/env.sh` puts its CLI on PATH before."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pulumi.automation import CommandError, InvalidVersionError, LocalWorkspace, StackNotFoundError

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


def stack_outputs(workspace: LocalWorkspace, stack: str, *names: str) -> list[Any]:
    """Returns outputs of a stack that is up.

    Args:
        workspace: the project.
        stack: the stack's name.
        names: the outputs to return, in this order.

    Raises:
        CommandError: the Pulumi CLI failed.
        SystemExit: the stack is not up, which includes that there is none of this name.
    """
    try:
        outputs = workspace.stack_outputs(stack)
    except StackNotFoundError:
        outputs = {}
    if not outputs.keys() >= set(names):
        sys.exit(f"Stack {stack} is not up: make up STACK={stack}")
    return [outputs[name].value for name in names]


def cli_message(error: CommandError) -> str:
    """Returns what the CLI said; the error's own text has its exit code and output before it."""
    return str(error).partition("\n stderr: ")[2].strip()
