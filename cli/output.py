"""What the commands print: tables, and one line for each step that takes time."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

_WIDTH_OF_FILES = 200

console = Console(highlight=False, markup=False, soft_wrap=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Prints a table: with lines on a terminal, with spaces only elsewhere.

    Args:
        columns: the headings.
        rows: the cells.
        title: a line above the table.
    """
    if title:
        console.print(title, style="bold")
    table = Table(*columns, box=box.ROUNDED if console.is_terminal else None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    width = console.width if console.is_terminal else _WIDTH_OF_FILES
    console.print(table, width=width, soft_wrap=False)
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
