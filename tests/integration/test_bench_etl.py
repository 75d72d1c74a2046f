"""The benchmark of loads, with few trips."""

from __future__ import annotations

import psycopg
import pytest

from bench import etl
from bench.postgres import running_postgres


def test_measures_loads_beside_copy_and_course() -> None:
    lines = [str(line) for line in etl.compare(1, sizes=(10, 20, 30))]
    titles, *cases = lines[:6]
    assert "of bare COPY" in titles
    assert "of the course's way" in titles
    assert [case.split("  ")[1] for case in cases] == [
        "10 trips",
        "20 trips",
        "20 trips, csv.gz",
        "30 trips",
        "20 trips, 11 months there",
    ]
    assert all(case.rstrip().endswith("MB") for case in cases)
    aims = lines[lines.index("\nAims") + 1 :]
    assert len(aims) == 7
    assert all(aim.endswith(("met", "MISSED")) for aim in aims)


def test_server_is_gone_afterwards() -> None:
    with running_postgres(fsync="off") as login, psycopg.connect(login) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("off",)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(login, connect_timeout=5)
