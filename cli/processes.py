"""Runs other programs so that Ctrl-C, which they get too, and SIGTERM let them end in order."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from cli.output import cache_folder

PROJECT_FOLDER = Path(__file__).parents[1]
_LINES_OF_LOG = 20


class Terminated(KeyboardInterrupt):
    """SIGTERM came; unlike Ctrl-C only to this process."""


def raise_terminated(*_: object) -> None:
    """Handles SIGTERM."""
    raise Terminated


def run_command(
    *command: str, environment: Mapping[str, str] | None = None, output: IO[str] | None = None
) -> int:
    """Runs a command in the project's folder and returns its exit code.

    Args:
        command: the command.
        environment: its environment; this process's where None.
        output: the file to which it prints; the user's terminal where None.
    """
    # What was printed so far comes before what the command prints.
    sys.stdout.flush()
    with subprocess.Popen(
        command, cwd=PROJECT_FOLDER, env=environment, stdout=output, stderr=output
    ) as process:
        return wait(process)


def run_logged(
    name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> None:
    """Runs a command whose output goes to a log file.

    Args:
        name: the name of the log file, without its ending.
        command: the command.
        environment: its environment; this process's where None.

    Raises:
        click.ClickException: it failed, with the end of the log and the log's path.
    """
    log = cache_folder() / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        code = run_command(*command, environment=environment, output=file)
    if code:
        end = "\n".join(log.read_text().splitlines()[-_LINES_OF_LOG:])
        raise click.ClickException(f"{end}\n{' '.join(command)} failed; the whole log is {log}")


def wait(process: "subprocess.Popen[Any]") -> int:
    """Waits for the end of a process, after Ctrl-C and SIGTERM too."""
    try:
        return process.wait()
    except KeyboardInterrupt as interrupt:
        if isinstance(interrupt, Terminated):
            process.terminate()
        process.wait()
        raise


@contextmanager
def interrupts_forwarded(process: "subprocess.Popen[Any]") -> Iterator[list[int]]:
    """Sends Ctrl-C to a process with a group of its own each time that this one is to end.

    Yields:
        The numbers of the signals that came.
    """
    received: list[int] = []

    def forward(number: int, _frame: object) -> None:
        received.append(number)
        process.send_signal(signal.SIGINT)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
