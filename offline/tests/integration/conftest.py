"""Kestra's engine: one of each release for all tests, with a warehouse and a folder of files."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from offline.kestra.engine import RELEASES, Engine, running
from offline.kestra.engine.archive import write_archive
from tests.kestra.servers import ROOT, Database, PostgresServer, new_database

FILES = ROOT / "flows" / "zoomcamp" / "files"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Leaves the test's output to the test."""


@pytest.fixture(scope="session", params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def warehouse(postgres: PostgresServer, release: str) -> Iterator[Database]:
    with new_database(postgres) as database:
        with database.connect() as connection:
            for schema in ("trips", "reports", "quality", "staging"):
                connection.execute(f"CREATE SCHEMA {schema}")
        yield database


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory, release: str) -> Path:
    """The folder that flows download from."""
    return tmp_path_factory.mktemp("source")


@pytest.fixture(scope="session")
def engine(release: str, warehouse: Database, source: Path) -> Iterator[Engine]:
    write_archive(release)
    postgres = warehouse.server
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_Quiet, directory=source)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with running(
            release,
            {"source": f"http://127.0.0.1:{server.server_port}", "warehouse": warehouse.url},
            {"WAREHOUSE_USERNAME": postgres.user, "WAREHOUSE_PASSWORD": postgres.password},
        ) as engine:
            for path in sorted(file for file in FILES.rglob("*") if file.is_file()):
                name = path.relative_to(FILES).as_posix()
                engine.write_file("zoomcamp", name, path.read_bytes())
            yield engine
        server.shutdown()
