"""A warehouse that the project's own flows load, run by a Kestra server on a real PostgreSQL."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from psycopg.rows import dict_row

from infra.databases import WAREHOUSE_SCHEMAS
from infra.kestra.client import KestraClient
from infra.kestra.folder import read_folder
from tests.kestra.servers import (
    PASSWORD,
    ROOT,
    USERNAME,
    Client,
    Database,
    PostgresServer,
    new_database,
    running_kestra,
    state,
)

_NAMESPACE = "zoomcamp"
# The course's header of 2019, and a trip below it.
HEADER = (
    "VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,RatecodeID,"
    "store_and_fwd_flag,PULocationID,DOLocationID,payment_type,fare_amount,extra,mta_tax,"
    "tip_amount,tolls_amount,improvement_surcharge,total_amount,congestion_surcharge"
)
TRIP = "1,2019-01-15 08:00:00,2019-01-15 08:20:00,1,2.5,1,N,151,239,1,10,0,0.5,2,0,0.3,12.8,2.5"


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A web server on a folder; yields its address."""
    handler = partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Leaves the test's output to the test."""


@dataclass(frozen=True)
class Warehouse:
    """The warehouse, the server whose flows load it, and the folder where these find files."""

    client: Client
    database: Database
    folder: Path

    def start(self, flow: str, **inputs: str) -> dict[str, Any]:
        """Starts a flow and returns its execution, which has only just begun."""
        return self.client.start(f"{_NAMESPACE}/{flow}", wait=False, **inputs)

    def run(self, flow: str, **inputs: str) -> dict[str, Any]:
        """Runs a flow and returns its execution as it ended."""
        return self.ended(self.start(flow, **inputs))

    def ended(self, execution: dict[str, Any]) -> dict[str, Any]:
        """Waits until an execution has ended, 60 seconds at most, and returns it."""
        return self.client.wait(
            execution["id"], "SUCCESS", "WARNING", "FAILED", "KILLED", seconds=60
        )

    def load(self, taxi: str, month: str, **inputs: str) -> dict[str, Any]:
        """Loads a month, which must succeed, and returns its row in quality.loads."""
        execution = self.run("taxi_load", taxi=taxi, month=month, **inputs)
        assert state(execution) == "SUCCESS", self.client.logs(execution, "WARN")
        return self.load_of(execution)

    def load_fails(self, taxi: str, month: str, **inputs: str) -> str:
        """Loads a month, which must fail, and returns the errors in its log."""
        execution = self.run("taxi_load", taxi=taxi, month=month, **inputs)
        assert state(execution) == "FAILED"
        return "\n".join(self.client.logs(execution, "ERROR"))

    def load_of(self, execution: dict[str, Any]) -> dict[str, Any]:
        """Returns the row in quality.loads of an execution."""
        (row,) = self.rows(f"SELECT * FROM quality.loads WHERE load_id = '{execution['id']}'")
        return row

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Returns the rows of a query."""
        with self.database.connect() as connection:
            return connection.cursor(row_factory=dict_row).execute(query).fetchall()

    def content(self) -> list[Any]:
        """Returns all that loads leave in the warehouse, but for the loads themselves."""
        return [
            self.rows(query)
            for query in (
                "SELECT * FROM trips.all_trips ORDER BY taxi, month, line",
                "SELECT * FROM reports.revenue ORDER BY taxi, month, pickup_location_id",
                "SELECT * FROM reports.trips_per_hour ORDER BY taxi, month, hour",
            )
        ]

    def value(self, query: str) -> Any:
        """Returns the one value of a query."""
        ((value,),) = (row.values() for row in self.rows(query))
        return value

    def execute(self, *statements: str) -> None:
        """Runs statements as the superuser."""
        with self.database.connect() as connection:
            for statement in statements:
                connection.execute(statement)

    def register(self, path: str, content: str) -> None:
        """Writes a file of the flows' namespace."""
        self.client.http.post(
            f"/namespaces/{_NAMESPACE}/files",
            params={"path": f"/{path}"},
            files={"fileContent": content.encode()},
        ).raise_for_status()

    def reset(self) -> None:
        """Makes the warehouse as empty as a new stack has it."""
        for schema in WAREHOUSE_SCHEMAS:
            self.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE", f"CREATE SCHEMA {schema}")
        for path in self.folder.iterdir():
            path.unlink()


@contextmanager
def new_warehouse(
    postgres: PostgresServer, folder: Path, host: str | None = None, port: int | None = None
) -> Iterator[Warehouse]:
    """A warehouse with all flows of the project registered.

    Args:
        postgres: the server for the warehouse and for Kestra's own database.
        folder: an empty folder.
        host: where flows reach PostgreSQL, if not where the test does.
        port: the port there.
    """
    files = folder / "files"
    files.mkdir()
    with new_database(postgres) as database, served(files) as source:
        address = f"{host or postgres.host}:{port or postgres.port}"
        with running_kestra(
            postgres,
            folder,
            globals={"source": source, "warehouse": f"jdbc:postgresql://{address}/{database.name}"},
            secrets={"WAREHOUSE_USERNAME": postgres.user, "WAREHOUSE_PASSWORD": postgres.password},
        ) as server:
            warehouse = Warehouse(Client(server), database, files)
            with KestraClient(server.base, USERNAME, PASSWORD) as client:
                is_kestra_1 = client.is_kestra_1
            namespace = read_folder(ROOT / "flows")[_NAMESPACE]
            for flow in namespace.flows_for(is_kestra_1=is_kestra_1).values():
                warehouse.client.create(flow.text)
            scripts = ROOT / "flows" / _NAMESPACE / "files"
            for path in sorted(scripts.rglob("*.*")):
                warehouse.register(path.relative_to(scripts).as_posix(), path.read_text())
            yield warehouse


@pytest.fixture(scope="module")
def shared_warehouse(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Warehouse]:
    """One warehouse for the tests of a module."""
    with new_warehouse(postgres, tmp_path_factory.mktemp("warehouse")) as warehouse:
        yield warehouse


@pytest.fixture
def warehouse(shared_warehouse: Warehouse) -> Warehouse:
    """The module's warehouse, empty."""
    shared_warehouse.reset()
    return shared_warehouse
