"""podium report: what is printed, and when the page is written again."""

from __future__ import annotations

import socket
from contextlib import nullcontext
from dataclasses import replace

import psycopg
import pytest

from tests.unit.cli.command_line import CommandLine, Ended
from tests.unit.report.test_page import FULL, NOTHING, load


def test_server_that_does_not_answer_is_named_with_the_fix(command: CommandLine) -> None:
    command.add_stack(tag="official", resources=3)
    with socket.socket() as closed:
        # Bound, and nobody listens.
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        command.set(
            outputs={
                "postgresHost": "127.0.0.1",
                "postgresPort": port,
                "warehouseDatabase": "ny_taxi",
                "readerUser": "reader",
                "readerPassword": "x",
            }
        )
        result = command.run("report")
    assert result == Ended(
        1,
        "",
        "Error: The warehouse of stack dev does not answer (connection failed: connection to "
        f'server at "127.0.0.1", port {port} failed: Connection refused): '
        "docker start podium-dev-postgres\n",
    )


def test_watch_writes_the_page_after_each_load_until_ctrl_c(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.add_stack(tag="official", resources=3)
    file = command.folder / "page.html"
    first = replace(FULL, loads=[load(load_id="4aAs")])
    second = replace(FULL, loads=[load(load_id="7Hqx"), *first.loads])
    # What the warehouse holds at each look, and which loads the page has after it.
    looks = iter([NOTHING, first, first, second])
    written: list[tuple[bool, bool, float]] = []

    def wait(seconds: float) -> None:
        page = file.read_text() if file.exists() else ""
        written.append(("4aAs" in page, "7Hqx" in page, seconds))
        file.unlink(missing_ok=True)
        if len(written) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(psycopg, "connect", lambda **_: nullcontext())
    monkeypatch.setattr("report.warehouse.read_warehouse", lambda _: next(looks))
    monkeypatch.setattr("cli.commands.report.time.sleep", wait)
    result = command.run("report", "--watch", "--output", str(file))
    assert result == Ended(130, f"{file}\n" * 2, "")
    assert written == [
        (False, False, 3),
        (True, False, 3),
        (False, False, 3),
        (True, True, 3),
    ]
