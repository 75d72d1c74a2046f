"""The script that checks files before DuckDB reads them."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SCRIPT = Path(__file__).parents[2] / "flows/zoomcamp/files/scripts/check_lines.py"
LONGEST = 1 << 16


def check(folder: Path, content: bytes, name: str = "a.csv") -> tuple[int, bytes | None]:
    """Checks a file that must be whole; the number of lines, and the file as rewritten."""
    (folder / "file").write_bytes(content)
    (folder / "lines").unlink(missing_ok=True)
    process = run(folder, name)
    assert process.returncode == 0, process.stderr
    outputs = json.loads(process.stdout.strip().strip(":"))["outputs"]
    rewritten = folder / "lines"
    return outputs["lines"], rewritten.read_bytes() if rewritten.exists() else None


def run(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "file", name]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", 0),
        (b"a\nb", 2),
        (b"a\n", 1),
        (b"a\n\n", 2),
        (b"a,b\n1,2\n3,4", 3),
        # More than one chunk.
        (b"0123456789\n" * 100_000, 100_000),
        (b"0123456789\n" * 100_000 + b"end", 100_001),
    ],
)
def test_plain_text_is_counted_and_stays(tmp_path: Path, content: bytes, lines: int) -> None:
    assert check(tmp_path, content) == (lines, None)
    assert check(tmp_path, gzip.compress(content), "a.csv.gz") == (lines, content)


@pytest.mark.parametrize(
    ("line", "rewritten"),
    [
        (b"a\r", "a"),
        ("é😀".encode(), "é😀"),
        (b"x\0y", "\x02character \\x00\x02x\\x00y"),
        (b"x\x01y", "\x02character \\x01\x02x\\x01y"),
        (b"x\x02y", "\x02character \\x02\x02x\\x02y"),
        (b"x\ry", "\x02character \\r\x02x\\ry"),
        (b"x\r\r", "\x02character \\r\x02x\\r"),
        (b"x\ty", "\x02character \\t\x02x\\ty"),
        ("x\u2028y".encode(), "\x02character \\u2028\x02x\\u2028y"),
        ("\ufeffx".encode(), "\x02character \\ufeff\x02\\ufeffx"),
        (b"caf\xe9", "\x02byte 0xe9 is not UTF-8\x02caf\\xe9"),
        (b"\xed\xa0\x80", "\x02byte 0xed is not UTF-8\x02\\xed\\xa0\\x80"),
        (b"x" * LONGEST, f"\x02{LONGEST + 1} bytes long\x02" + "x" * 1000),
        (b"x" * 3 * LONGEST, f"\x02{3 * LONGEST + 1} bytes long\x02" + "x" * 1000),
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_a_line_of_a_file_stays_a_line(
    tmp_path: Path, line: bytes, rewritten: str, last: bool
) -> None:
    following = b"" if last else b"end\n"
    content = b"header\r\nstart\n" + line + b"\n" + following
    expected = f"header\nstart\n{rewritten}\n".encode() + following
    assert check(tmp_path, content) == (3 + (not last), expected)
    assert check(tmp_path, gzip.compress(content), "a.csv.gz") == (3 + (not last), expected)


def test_a_long_line_may_be_the_last_without_an_end(tmp_path: Path) -> None:
    content = b"header\n" + b"x" * 50_000_000
    lines, rewritten = check(tmp_path, content)
    assert lines == 2
    assert rewritten == b"header\n\x0250000000 bytes long\x02" + b"x" * 1000 + b"\n"


def test_a_line_just_below_the_limit_is_kept(tmp_path: Path) -> None:
    content = b"header\n" + b"x" * (LONGEST - 1) + b"\n"
    assert check(tmp_path, content) == (2, content)


def test_the_mark_at_the_beginning_of_a_file_is_left_out(tmp_path: Path) -> None:
    assert check(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n") == (2, b"a,b\n1,2\n")


def test_a_header_is_never_a_reject(tmp_path: Path) -> None:
    assert check(tmp_path, b"a\0b\n1\n") == (2, b"a\\x00b\n1\n")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_become_as_many_lines_of_text(tmp_path: Path, one: bytes, other: bytes) -> None:
    content = b"header\n" + one + b"\n\0\n" + other
    lines, rewritten = check(tmp_path, content)
    assert rewritten is not None
    assert lines == len(content.removesuffix(b"\n").split(b"\n")) == rewritten.count(b"\n")
    for line in rewritten.decode().removesuffix("\n").split("\n"):
        assert line.isprintable() or line.startswith("\x02")


# --- compressed files -----------------------------------------------------------------------------

PACKED = gzip.compress(b"header\n" + b"".join(b"%d\n" % number for number in range(5000)))


def test_all_members_of_a_file_are_read(tmp_path: Path) -> None:
    members = gzip.compress(b"a\nb\n") + gzip.compress(b"c\n")
    assert check(tmp_path, members, "a.csv.gz") == (3, b"a\nb\nc\n")


@pytest.mark.parametrize("size", range(2, len(PACKED), 499))
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(PACKED[:size])
    process = run(tmp_path, "a.csv.gz")
    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr.startswith("a.csv.gz: Compressed file ended")


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-8],
        lambda packed: packed[:-1],
        lambda packed: packed[:-5] + bytes([packed[-5] ^ 1]) + packed[-4:],  # the checksum
        lambda packed: packed[:-1] + bytes([packed[-1] ^ 1]),  # the length
        lambda packed: packed[:2000] + bytes([packed[2000] ^ 1]) + packed[2001:],
        lambda packed: packed + b"<html>",
        lambda packed: b"<html></html>",
        lambda packed: b"header\n1\n",
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage: object) -> None:
    (tmp_path / "file").write_bytes(damage(PACKED))  # type: ignore[operator]
    process = run(tmp_path, "a.csv.gz")
    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr.startswith("a.csv.gz: ")
    assert "Traceback" not in process.stderr
