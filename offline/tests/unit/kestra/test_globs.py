"""Globs for files of namespaces and for output files."""

from __future__ import annotations

import pytest

from offline.kestra.tasks.scripts import glob_pattern


@pytest.mark.parametrize(
    ("glob", "matched", "others"),
    [
        ("*.csv", ["a.csv", ".csv"], ["a/b.csv", "a.csvx"]),
        ("**.csv", ["a.csv", "a/b.csv"], ["a.txt"]),
        ("out/**", ["out/a", "out/b/c"], ["out", "a/out/b"]),
        ("{a,b}?.txt", ["a1.txt", "bx.txt"], ["c1.txt", "a.txt", "a/.txt"]),
        ("[a-c]x", ["ax"], ["dx", "-x"]),
        ("[!a-c]x", ["dx"], ["ax"]),
        ("a,b (1)+.txt", ["a,b (1)+.txt"], ["a,b 1.txt"]),
        (r"\*", ["*"], ["a"]),
        ("glob:*", ["a"], ["a/b"]),
        ("regex:[0-9]+", ["42"], ["a"]),
    ],
)
def test_globs_are_those_of_java(glob: str, matched: list[str], others: list[str]) -> None:
    pattern = glob_pattern(glob)
    assert all(pattern.fullmatch(path) for path in matched)
    assert not any(pattern.fullmatch(path) for path in others)
