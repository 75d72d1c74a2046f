"""What the commands print: tables, and one line for each step that takes time."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Table

console = Console(highlight=False, markup=False, soft_wrap=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table: with a frame on a terminal, as plain columns elsewhere.

    Args:
        columns: the headings.
        rows: the cells.
    """
    if console.is_terminal:
        table = Table(*columns, box=box.ROUNDED)
        for row in rows:
            table.add_row(*row)
        console.print(table, soft_wrap=False)
    else:
        widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        for row in (columns, *rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print("  ".join(cells).rstrip())
    console.print()


@contextmanager
def step(title: str) -> Iterator[None]:
    """Prints one line with the seconds that the work inside took; a spinner on a terminal."""
    begin = time.monotonic()
    with console.status(title):
        yield
    console.print(f"{title}: {time.monotonic() - begin:.0f} s")


@contextmanager
def transfer(
    title: str, total: int | None = None
) -> Iterator[Callable[[str, Iterable[bytes]], Iterator[bytes]]]:
    """Prints one line as `step` does; a progress bar on a terminal.

    Args:
        title: what is done.
        total: the bytes that will pass, where that is known.

    Yields:
        A function that passes chunks of bytes on and counts them, given the name of what they are.
    """
    begin = time.monotonic()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(title, total=total)

        def count(name: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
            bar.update(task, description=f"{title}: {name}")
            for chunk in chunks:
                bar.advance(task, len(chunk))
                yield chunk

        yield count
    console.print(f"{title}: {time.monotonic() - begin:.0f} s")


def cache_folder() -> Path:
    """Returns the folder of the logs and of what is built."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podium"
