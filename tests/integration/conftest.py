"""A warehouse that the project's own flows load, run by a Kestra server on a real PostgreSQL."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml
from psycopg.rows import dict_row

from infra.databases import WAREHOUSE_SCHEMAS
from infra.kestra.folder import read_folder
from tests.kestra.servers import (
    ROOT,
    Client,
    Database,
    PostgresServer,
    new_database,
    running_kestra,
    state,
)

NAMESPACE = "zoomcamp"
_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR")
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


class Kestra(Protocol):
    """What runs the project's flows: a server, or an engine in process."""

    def create(self, text: str) -> None:
        """Registers a flow."""

    def put_file(self, path: str, text: str) -> None:
        """Writes a file of the flows' namespace."""

    def put_key_value(self, key: str, value: Any) -> None:
        """Sets a key-value of the flows' namespace."""

    def start(self, flow: str, **inputs: str) -> dict[str, Any]:
        """Starts a flow and returns its execution, which has only just begun."""

    def ended(self, execution: dict[str, Any]) -> dict[str, Any]:
        """Waits until an execution has ended, 60 seconds at most, and returns it."""

    def refusal(self, flow: str, **inputs: str) -> str:
        """Starts a flow, which must be refused, and returns the reason."""

    def logs(self, execution: dict[str, Any], level: str = "INFO") -> list[str]:
        """Returns the log of an execution from a level on."""


class ServerKestra:
    """A server, through its API."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.logs = client.logs

    def create(self, text: str) -> None:
        self.client.create(text)

    def put_file(self, path: str, text: str) -> None:
        self.client.http.post(
            f"/namespaces/{NAMESPACE}/files",
            params={"path": f"/{path}"},
            files={"fileContent": text.encode()},
        ).raise_for_status()

    def put_key_value(self, key: str, value: Any) -> None:
        self.client.http.put(
            f"/namespaces/{NAMESPACE}/kv/{key}",
            content=json.dumps(value),
            headers={"Content-Type": "text/plain"},
        ).raise_for_status()

    def start(self, flow: str, **inputs: str) -> dict[str, Any]:
        return self.client.start(f"{NAMESPACE}/{flow}", wait=False, **inputs)

    def ended(self, execution: dict[str, Any]) -> dict[str, Any]:
        return self.client.wait(
            execution["id"], "SUCCESS", "WARNING", "FAILED", "KILLED", seconds=60
        )

    def refusal(self, flow: str, **inputs: str) -> str:
        response = self.client.http.post(
            f"/executions/{NAMESPACE}/{flow}",
            files={name: (None, value) for name, value in inputs.items()},
        )
        assert response.status_code == 422
        return str(response.json()["message"])


class EngineKestra:
    """An engine in process, which has no API; its executions are those of the engine."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._texts: dict[str, str] = {}
        self._threads = ThreadPoolExecutor()

    def create(self, text: str) -> None:
        self._engine.register(text)
        self._texts[yaml.safe_load(text)["id"]] = text

    def put_file(self, path: str, text: str) -> None:
        self._engine.write_file(NAMESPACE, path, text.encode())

    def put_key_value(self, key: str, value: Any) -> None:
        self._engine.put_key_value(NAMESPACE, key, value)

    def start(self, flow: str, **inputs: str) -> dict[str, Any]:
        return {"run": self._threads.submit(self._engine.run, self._texts[flow], inputs)}

    def ended(self, execution: dict[str, Any]) -> dict[str, Any]:
        ended = execution["run"].result()
        return {"id": ended.id, "state": {"current": ended.state}, "logs": ended.logs}

    def refusal(self, flow: str, **inputs: str) -> str:
        error = self.start(flow, **inputs)["run"].exception()
        assert error
        return str(error)

    def logs(self, execution: dict[str, Any], level: str = "INFO") -> list[str]:
        shown = _LEVELS[_LEVELS.index(level) :]
        return [line.message for line in execution["logs"] if line.level in shown]


@dataclass(frozen=True)
class Warehouse:
    """The warehouse, the Kestra whose flows load it, and the folder where these find files.

    Attributes:
        kestra: the server or engine.
        database: the warehouse.
        source: the address of the folder.
        folder: the folder.
    """

    kestra: Kestra
    database: Database
    source: str
    folder: Path

    @property
    def client(self) -> Client:
        """The API of the server, for what no engine in process has."""
        assert isinstance(self.kestra, ServerKestra)
        return self.kestra.client

    def start(self, flow: str, **inputs: str) -> dict[str, Any]:
        """Starts a flow and returns its execution, which has only just begun."""
        return self.kestra.start(flow, **inputs)

    def run(self, flow: str, **inputs: str) -> dict[str, Any]:
        """Runs a flow and returns its execution as it ended."""
        return self.ended(self.start(flow, **inputs))

    def ended(self, execution: dict[str, Any]) -> dict[str, Any]:
        """Waits until an execution has ended, 60 seconds at most, and returns it."""
        return self.kestra.ended(execution)

    def load(self, taxi: str, month: str, **inputs: str) -> dict[str, Any]:
        """Loads a month, which must succeed, and returns its row in quality.loads."""
        execution = self.run("taxi_load", taxi=taxi, month=month, **inputs)
        assert state(execution) == "SUCCESS", self.kestra.logs(execution, "WARN")
        return self.load_of(execution)

    def load_fails(self, taxi: str, month: str, **inputs: str) -> str:
        """Loads a month, which must fail, and returns the errors in its log."""
        execution = self.run("taxi_load", taxi=taxi, month=month, **inputs)
        assert state(execution) == "FAILED"
        return "\n".join(self.kestra.logs(execution, "ERROR"))

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

    def reset(self) -> None:
        """Makes the warehouse as empty as a new stack has it."""
        for schema in WAREHOUSE_SCHEMAS:
            self.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE", f"CREATE SCHEMA {schema}")
        for path in self.folder.iterdir():
            path.unlink()


@contextmanager
def new_warehouse(
    postgres: PostgresServer,
    folder: Path,
    host: str | None = None,
    port: int | None = None,
    engine: partial[Any] | None = None,
    kestra_postgres: PostgresServer | None = None,
) -> Iterator[Warehouse]:
    """A warehouse with all flows of the project registered.

    Args:
        postgres: the server for the warehouse.
        folder: an empty folder.
        host: where flows reach PostgreSQL, if not where the test does.
        port: the port there.
        engine: starts an engine with globals and secrets, instead of a server.
        kestra_postgres: the server for Kestra's own database, if not the one of the warehouse.
    """
    files = folder / "files"
    files.mkdir()
    with ExitStack() as stack:
        database = stack.enter_context(new_database(postgres))
        source = stack.enter_context(served(files))
        address = f"{host or postgres.host}:{port or postgres.port}"
        globals_ = {"source": source, "warehouse": f"jdbc:postgresql://{address}/{database.name}"}
        secrets = {"WAREHOUSE_USERNAME": postgres.user, "WAREHOUSE_PASSWORD": postgres.password}
        kestra: Kestra
        if engine:
            kestra = EngineKestra(stack.enter_context(engine(globals_, secrets)))
        else:
            server = stack.enter_context(
                running_kestra(
                    kestra_postgres or postgres, folder, globals=globals_, secrets=secrets
                )
            )
            kestra = ServerKestra(Client(server))
        content = read_folder(ROOT / "flows")[NAMESPACE]
        is_kestra_1 = bool(engine and engine.args[0] < "2")
        for flow in content.flows_for(is_kestra_1=is_kestra_1).values():
            kestra.create(flow.text)
        for path, text in content.files.items():
            kestra.put_file(path, text)
        yield Warehouse(kestra, database, source, files)


@pytest.fixture(scope="module", params=["server", "1.3.31"])
def shared_warehouse(
    request: pytest.FixtureRequest,
    postgres: PostgresServer,
    running_engine: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Warehouse]:
    """One warehouse for the tests of a module: on a server, and on the engine of Kestra 1.3."""
    engine = None if request.param == "server" else partial(running_engine, request.param)
    folder = tmp_path_factory.mktemp("warehouse")
    with new_warehouse(postgres, folder, engine=engine) as warehouse:
        yield warehouse


# For tests of what an engine in process does not have.
on_server = pytest.mark.parametrize("shared_warehouse", ["server"], indirect=True)


@pytest.fixture
def warehouse(shared_warehouse: Warehouse) -> Warehouse:
    """The module's warehouse, empty."""
    shared_warehouse.reset()
    return shared_warehouse
