"""What the commands print: tables, and one line for each step that takes time."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console
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


def cache_folder() -> Path:
    """Returns the folder of the logs and of what is built."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podium"
