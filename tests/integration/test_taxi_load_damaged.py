"""Loads of files that are damaged, or have lines that are no text: nothing wrong loads silently."""

from __future__ import annotations

import csv
import gzip
import http.server
import re
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from bench.months import write_month
from tests.integration.conftest import HEADER, TRIP, Warehouse, on_server
from tests.kestra.servers import ROOT

MONTH = "2019-01"
# Files that are no part of the project, with a table of what must come of each.
CASES = ROOT.parent / "shared/cases/taxi"


def load_a_good_month(warehouse: Warehouse) -> list[Any]:
    """Loads a month, whose file is then gone, and returns what it left."""
    written = write_month(warehouse.folder, "yellow", MONTH, 100, seed=1)
    warehouse.load("yellow", MONTH)
    written.path.unlink()
    return warehouse.content()


def check_refused(warehouse: Warehouse, before: list[Any], file_format: str = "csv.gz") -> str:
    """Loads the month, which must fail and stay as it was; returns the errors."""
    errors = warehouse.load_fails("yellow", MONTH, format=file_format)
    assert f"yellow_tripdata_{MONTH}.{file_format}" in errors
    assert warehouse.content() == before
    states = warehouse.rows("SELECT state FROM quality.loads ORDER BY started_at")
    assert [load["state"] for load in states] == ["LOADED", "FAILED"]
    assert warehouse.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'staging'") == 0
    return errors


def write_lines(
    warehouse: Warehouse, *lines: bytes, file_format: str = "csv.gz", end: bytes = b"\n"
) -> None:
    """Writes a file of yellow trips, its header first."""
    content = b"\n".join([HEADER.encode(), *lines]) + end
    path = warehouse.folder / f"yellow_tripdata_{MONTH}.{file_format}"
    path.write_bytes(gzip.compress(content, 1) if file_format == "csv.gz" else content)


def with_flag(flag: bytes) -> bytes:
    """A trip whose text is another."""
    return TRIP.encode().replace(b",N,", b",%s," % flag)


# --- the shared cases -----------------------------------------------------------------------------


def shared_cases() -> list[dict[str, str]]:
    table = CASES / "expected.tsv"
    if not table.exists():
        return []
    with table.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.mark.parametrize("case", shared_cases(), ids=lambda case: case["case"])
def test_shared_case(warehouse: Warehouse, case: dict[str, str]) -> None:
    before = load_a_good_month(warehouse)
    for path in (CASES / case["case"]).iterdir():
        shutil.copy(path, warehouse.folder)
    if case["outcome"] == "fail":
        check_refused(warehouse, before)
        return
    load = warehouse.load("yellow", MONTH)
    assert load["rows_loaded"] == int(case["rows"])
    assert load["rows_rejected"] == int(case["rejects"])
    assert load["total_amount"] == Decimal(case["total_amount"])
    assert load["rows_read"] == int(case["rows"]) + int(case["rejects"])


# --- files that are damaged -----------------------------------------------------------------------


def flipped(place: int) -> Callable[[bytes], bytes]:
    """Changes one bit of a byte."""
    return lambda content: content[:place] + bytes([content[place] ^ 1]) + content[place:][1:]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="cut in half"),
        pytest.param(lambda content: content[:-8], id="without its checksum"),
        pytest.param(lambda content: content[:-1], id="without its last byte"),
        pytest.param(flipped(-8), id="another checksum"),
        pytest.param(flipped(-4), id="another length"),
        pytest.param(flipped(5000), id="a damaged byte"),
        pytest.param(lambda content: content + b"<html></html>", id="something behind it"),
        pytest.param(lambda _: f"{HEADER}\n{TRIP}\n".encode(), id="not compressed"),
    ],
)
def test_a_damaged_compressed_file_is_refused(
    warehouse: Warehouse, damage: Callable[[bytes], bytes]
) -> None:
    before = load_a_good_month(warehouse)
    path = write_month(warehouse.folder, "yellow", MONTH, 2000).path
    path.write_bytes(damage(path.read_bytes()))
    check_refused(warehouse, before)


def test_all_members_of_a_compressed_file_are_loaded(warehouse: Warehouse) -> None:
    path = warehouse.folder / f"yellow_tripdata_{MONTH}.csv.gz"
    members = (f"{HEADER}\n{TRIP}\n", f"{TRIP}\n{TRIP}\n")
    path.write_bytes(b"".join(gzip.compress(member.encode()) for member in members))
    assert warehouse.load("yellow", MONTH)["rows_loaded"] == 3


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="cut in half"),
        pytest.param(lambda content: content[:-1], id="without its last byte"),
        pytest.param(flipped(-20), id="damaged column list"),
        pytest.param(lambda _: b"<html></html>", id="no parquet"),
    ],
)
def test_a_damaged_parquet_file_is_refused(
    warehouse: Warehouse, damage: Callable[[bytes], bytes]
) -> None:
    before = load_a_good_month(warehouse)
    path = write_month(warehouse.folder, "yellow", MONTH, 2000, file_format="parquet").path
    path.write_bytes(damage(path.read_bytes()))
    check_refused(warehouse, before, "parquet")


@pytest.mark.parametrize("file_format", ["csv", "csv.gz", "parquet"])
def test_a_download_that_is_shorter_than_its_length_is_refused(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, file_format: str
) -> None:
    def send_half(self: object, source: Any, target: Any) -> None:
        content = source.read()
        target.write(content[: len(content) // 2])

    before = load_a_good_month(warehouse)
    write_month(warehouse.folder, "yellow", MONTH, 2000, file_format=file_format)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "copyfile", send_half)
    check_refused(warehouse, before, file_format)


# --- lines that are no text or no trips -----------------------------------------------------------

# Bad lines by their reason, and how quality.rejects has them.
ODD_LINES = [
    ("character \\x00", b"1\0" + TRIP[1:].encode(), "1\\x00" + TRIP[1:]),
    ("character \\x02", b"\2" + TRIP.encode(), "\\x02" + TRIP),
    *(
        (f"character {text}", with_flag(character.encode()), with_flag(text.encode()).decode())
        for character, text in (
            ("\1", "\\x01"),
            ("\x0b", "\\x0b"),
            ("\r", "\\r"),
            ("\ufffe", "\\ufffe"),
            ("\U0010ffff", "\\U0010ffff"),
        )
    ),
    ("byte 0xe9 is not UTF-8", with_flag(b"\xe9"), with_flag(b"\\xe9").decode()),
]
IRREGULAR_QUOTES = [
    ",".join([*fields[:place], value, *fields[place + 1 :]])
    for fields in [TRIP.split(",")]
    for place in (0, 6, 7, 16, 17)
    for value in (
        '"123.45', '123.45"', '"12"34', '"12"34"', '12"34', '1"2"3', '"', '"""', ' "12"', '"12" '
    )
]  # fmt: skip
ZONES = ["Z", " Z", "z", "+01", "-05", "+01:30", " UTC", " America/New_York", " +00", " BC"]
ZONED_TIMES = [f"2019-01-15 08:00:00{zone}" for zone in ZONES]
BAD_LINES = [
    *ODD_LINES,
    *(("quotes that enclose no field", line.encode(), line) for line in IRREGULAR_QUOTES),
    *(
        (f'tpep_pickup_datetime "{time}" is no timestamp', line.encode(), line)
        for time in ZONED_TIMES
        for line in [TRIP.replace("2019-01-15 08:00:00", time)]
    ),
]


@pytest.mark.parametrize("file_format", ["csv.gz", "csv"])
@pytest.mark.parametrize("last", [0, len(BAD_LINES) // 2])
def test_each_bad_line_is_one_reject(warehouse: Warehouse, last: int, file_format: str) -> None:
    # One of them is the last line, and not ended.
    bad = [*BAD_LINES[last:], *BAD_LINES[:last]][::-1]
    lines = [line for _, each, _ in bad for line in (*[TRIP.encode()] * 100, each)]
    write_lines(warehouse, *lines, file_format=file_format, end=b"")
    load = warehouse.load("yellow", MONTH, format=file_format)
    assert (load["rows_read"], load["rows_rejected"]) == (len(lines), len(bad))
    assert load["rows_loaded"] == 100 * len(bad)
    assert load["total_amount"] == 100 * len(bad) * Decimal("12.8")
    assert warehouse.rows("SELECT line, reason, raw FROM quality.rejects ORDER BY line") == [
        {"line": 1 + 101 * number, "reason": reason, "raw": raw}
        for number, (reason, _, raw) in enumerate(bad, start=1)
    ]
    assert warehouse.rows("SELECT line FROM trips.yellow ORDER BY line") == [
        {"line": number} for number in range(2, 2 + len(lines)) if (number - 1) % 101
    ]


@pytest.mark.parametrize("bad", [ODD_LINES[0], ODD_LINES[-1], BAD_LINES[-1]])
def test_a_bad_last_line_is_a_reject(warehouse: Warehouse, bad: tuple[str, bytes, str]) -> None:
    reason, line, raw = bad
    write_lines(warehouse, *[TRIP.encode()] * 200, line)
    assert warehouse.load("yellow", MONTH)["rows_read"] == 201
    assert warehouse.rows("SELECT line, reason, raw FROM quality.rejects") == [
        {"line": 202, "reason": reason, "raw": raw}
    ]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("file_format", ["csv.gz", "csv"])
def test_a_very_long_line_is_one_reject(warehouse: Warehouse, last: bool, file_format: str) -> None:
    good = [TRIP.encode()] * 200
    line = b"x" * 50_000_000
    lines = [*good, line] if last else [*good[:100], line, *good[100:]]
    write_lines(warehouse, *lines, file_format=file_format, end=b"" if last else b"\n")
    load = warehouse.load("yellow", MONTH, format=file_format)
    assert (load["rows_read"], load["rows_loaded"], load["rows_rejected"]) == (201, 200, 1)
    (reject,) = warehouse.rows("SELECT * FROM quality.rejects")
    assert reject["line"] == (202 if last else 102)
    assert reject["reason"] == f"{50_000_000 + (not last)} bytes long"
    assert reject["raw"] == "x" * 1000


def test_a_nul_in_a_parquet_file_is_one_reject(warehouse: Warehouse) -> None:
    path = write_month(warehouse.folder, "yellow", MONTH, 200, file_format="parquet").path
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE trips AS SELECT * REPLACE"
            " (CASE WHEN row_number() OVER () = 150 THEN 'a' || chr(0) END AS store_and_fwd_flag)"
            f" FROM read_parquet('{path}')"
        )
        connection.execute(f"COPY trips TO '{path}'")
    load = warehouse.load("yellow", MONTH, format="parquet")
    assert (load["rows_read"], load["rows_loaded"], load["rows_rejected"]) == (200, 199, 1)
    assert warehouse.rows("SELECT line, reason FROM quality.rejects") == [
        {"line": 150, "reason": 'store_and_fwd_flag "a\\x00" is no text'}
    ]


def test_lines_may_end_in_either_way(warehouse: Warehouse) -> None:
    lines = [TRIP.encode() + (b"\r" if number % 3 else b"") for number in range(200)]
    write_lines(warehouse, *lines)
    load = warehouse.load("yellow", MONTH)
    assert (load["rows_read"], load["rows_loaded"]) == (200, 200)
    assert load["total_amount"] == 200 * Decimal("12.8")


def test_text_of_other_languages_is_kept(warehouse: Warehouse) -> None:
    flags = ["é", "日本", "😀"]
    write_lines(warehouse, *(TRIP.replace(",N,", f",{flag},").encode() for flag in flags))
    assert warehouse.load("yellow", MONTH)["rows_loaded"] == 3
    rows = warehouse.rows("SELECT store_and_fwd_flag AS flag FROM trips.yellow ORDER BY line")
    assert [row["flag"] for row in rows] == flags


def test_a_time_may_be_written_in_many_ways(warehouse: Warehouse) -> None:
    times = {
        "2019-01-05T08:00:01": "2019-01-05 08:00:01",
        "2019-01-05 08:00:01.25": "2019-01-05 08:00:01.25",
        "2019-01-05 08:00": "2019-01-05 08:00:00",
        "2019-01-05": "2019-01-05 00:00:00",
        "2019-1-5 8:00:01": "2019-01-05 08:00:01",
        "2019/01/05  08:00:01": "2019-01-05 08:00:01",
        " 2019-01-05 08:00:01 ": "2019-01-05 08:00:01",
    }
    write_lines(warehouse, *(TRIP.replace("2019-01-15 08:00:00", time).encode() for time in times))
    warehouse.load("yellow", MONTH)
    rows = warehouse.rows("SELECT pickup_at::text AS time FROM trips.yellow ORDER BY line")
    assert [row["time"] for row in rows] == list(times.values())


@on_server
@pytest.mark.parametrize("length", [100, 50_000])
def test_a_large_file_takes_little_memory(warehouse: Warehouse, length: int) -> None:
    write_lines(warehouse, *[b"x" * length] * (300_000_000 // length), file_format="csv")
    server = warehouse.client.server.process
    assert server

    def most_memory() -> int:
        status = Path(f"/proc/{server.pid}/status").read_text()
        (kibibytes,) = re.findall(r"VmHWM:\s+(\d+)", status)
        return int(kibibytes) * 1024

    # proc(5): 5 resets VmHWM.
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")
    before = most_memory()  # a Java machine, most of it
    assert "there is no trip in it" in warehouse.load_fails("yellow", MONTH, format="csv")
    assert most_memory() - before < 512e6


# --- zones ----------------------------------------------------------------------------------------

ZONE_FILE = '"LocationID","Borough","Zone","service_zone"\n1,"EWR","Newark Airport","EWR"\n'


@pytest.mark.parametrize(
    "line",
    [
        b'2,"Queens,"Jamaica Bay","Boro Zone"',
        b'2,"Queens","Jamaica" Bay,"Boro Zone"',
        b'2,"Queens","Jamaica \0Bay","Boro Zone"',
        b'2,"Queens","Jamaica \xe9Bay","Boro Zone"',
        b'2,"Queens"',
        b"x" * 50_000_000,
    ],
)
def test_damaged_zones_leave_the_table_as_it_was(warehouse: Warehouse, line: bytes) -> None:
    path = warehouse.folder / "taxi_zone_lookup.csv"
    path.write_text(ZONE_FILE)
    warehouse.run("zones_load")
    path.write_bytes(ZONE_FILE.encode() + line + b"\n")
    execution = warehouse.run("zones_load")
    assert execution["state"]["current"] == "FAILED"
    assert "taxi_zone_lookup.csv" in "\n".join(warehouse.kestra.logs(execution, "ERROR"))
    assert warehouse.rows("SELECT location_id, zone FROM trips.zones") == [
        {"location_id": 1, "zone": "Newark Airport"}
    ]
