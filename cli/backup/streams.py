"""Programs in the containers of a stack whose output is read, or whose input is written."""

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO

import click

from cli.backup.archive import CHUNK

_LINES_OF_ERROR = 20


def read_from(command: Sequence[str]) -> Iterator[bytes]:
    """Yields what a command prints.

    Raises:
        click.ClickException: it failed, with the end of what it reported.
    """
    with _running(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout
        while chunk := process.stdout.read(CHUNK):
            yield chunk


def write_to(command: Sequence[str], chunks: Iterable[bytes]) -> None:
    """Gives a command its input.

    Raises:
        click.ClickException: it failed, with the end of what it reported.
    """
    with _running(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin
        try:
            for chunk in chunks:
                process.stdin.write(chunk)
            process.stdin.close()
        except BrokenPipeError:
            # It has ended, and says why.
            process.communicate()


@contextmanager
def _running(
    command: Sequence[str], *, stdin: int, stdout: int
) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs a command to its end, or kills it when the block is left by an exception."""
    with TemporaryFile() as errors:
        with subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=errors) as process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise click.ClickException(f"{' '.join(command[:4])} ... failed: {_end(errors)}")


def _end(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return "\n".join(lines[-_LINES_OF_ERROR:])
