"""Counts the lines of a file of text, and rewrites it where DuckDB would not read it line by line.

    python3 check_lines.py FILE NAME

FILE is gzip if NAME, which errors begin with, ends with .gz. The task gets the output `lines`, how
many lines there are, and the file `lines` if FILE is compressed or has other characters than line
feeds and printable ASCII. In that file all lines end with a line feed, and one that is no text is
the byte 2, what is wrong with it, the byte 2 again, and its text with escapes.
"""

import gzip
import json
import sys
import zlib
from codecs import BOM_UTF8
from contextlib import nullcontext
from io import BufferedIOBase
from pathlib import Path

_PLAIN = bytes([10, *range(32, 127)])
_MARK = "\x02"
_CHUNK_BYTES = 1 << 15
# DuckDB holds 2,048 lines at a time. A line that is longer than this has a whole chunk.
_LINE_BYTES = 2 * _CHUNK_BYTES
_SHOWN_CHARACTERS = 1000


def copy_plain(source: BufferedIOBase, target: BufferedIOBase | None) -> int | None:
    """Copies a file, unless a line may need to be rewritten.

    Args:
        source: the file.
        target: where the copy goes; nowhere if not given.

    Returns:
        The number of lines, or None if the file has to be rewritten.
    """
    lines, chunk = 0, b"\n"
    while following := source.read(_CHUNK_BYTES):
        chunk = following
        ends = chunk.count(b"\n")
        if not ends or chunk.translate(None, _PLAIN):
            return None
        lines += ends
        if target:
            target.write(chunk)
    return lines + (not chunk.endswith(b"\n"))


def rewrite(source: BufferedIOBase, target: BufferedIOBase) -> int:
    """Writes a file's lines so that DuckDB can read each, and returns how many there are."""
    number = 0
    while line := source.readline(_LINE_BYTES):
        number += 1
        length, rest = len(line), line
        while len(rest) == _LINE_BYTES and not rest.endswith(b"\n"):
            rest = source.readline(_LINE_BYTES)
            length += len(rest)
        if number == 1:
            line = line.removeprefix(BOM_UTF8)
        problem, text = examine(line.removesuffix(b"\n").removesuffix(b"\r"), length)
        # A header has to be one.
        if problem and number > 1:
            text = f"{_MARK}{problem}{_MARK}{text}"
        target.write(f"{text}\n".encode())
    return number


def examine(line: bytes, length: int) -> tuple[str, str]:
    """Examines a line.

    Args:
        line: the line without its end; if it is too long, its beginning.
        length: how many bytes the line has.

    Returns:
        What is wrong with the line, or nothing, and its text.
    """
    text = line.decode(errors="backslashreplace")
    if length > _LINE_BYTES:
        problem = f"{length} bytes long"
    else:
        try:
            line.decode()
        except UnicodeDecodeError as error:
            problem = f"byte 0x{line[error.start]:02x} is not UTF-8"
        else:
            if text.isprintable():
                return "", text
            problem = f"character {next(_escaped(each) for each in text if not each.isprintable())}"
    return problem, "".join(map(_escaped, text[:_SHOWN_CHARACTERS]))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def main(path: Path, name: str) -> None:
    """Checks a file and prints the outputs for Kestra.

    Args:
        path: the file.
        name: what errors call it.
    """
    is_gzip = name.endswith(".gz")
    open_source = gzip.open if is_gzip else open
    copy = path.with_name("lines")
    try:
        with (
            open_source(path, "rb") as source,
            copy.open("wb") if is_gzip else nullcontext() as target,
        ):
            lines = copy_plain(source, target)
        if lines is None:
            with open_source(path, "rb") as source, copy.open("wb") as target:
                lines = rewrite(source, target)
    except (OSError, EOFError, zlib.error) as error:
        sys.exit(f"{name}: {error}")
    print(f"::{json.dumps({'outputs': {'lines': lines}})}::")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
