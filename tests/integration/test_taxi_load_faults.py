"""Loads of taxi months that are cut off, killed, repeated, or at work at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import docker
import httpx
import psycopg
import pytest
from docker.models.containers import Container
from psycopg.rows import dict_row
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from bench.months import Dirt, write_month
from tests.integration.conftest import Warehouse, new_warehouse
from tests.integration.postgres_proxy import (
    Fault,
    Hold,
    PostgresProxy,
    drops,
    halves,
    loses_answer,
    meets,
)
from tests.kestra.servers import ROOT, PostgresServer, free_port, running_postgres, runs, state

MONTH = "2019-01"
ATTEMPTS = 5  # of each step that works in the warehouse
FILE = f"yellow_tripdata_{MONTH}.csv.gz"

# What one load of one file leaves, whatever happened before.
QUERIES = {
    "trips": "SELECT * FROM trips.yellow ORDER BY month, line",
    "revenue": "SELECT * FROM reports.revenue ORDER BY taxi, month, pickup_location_id",
    "hours": "SELECT * FROM reports.trips_per_hour ORDER BY taxi, month, hour",
    "load": "SELECT DISTINCT ON (taxi, month) taxi, month, file_name, file_size, checksum,"
    " rows_read, rows_loaded, rows_rejected, rows_outside_month, null_counts, total_amount"
    " FROM quality.loads WHERE state = 'LOADED' ORDER BY taxi, month, finished_at DESC",
    "rejects": "SELECT taxi, month, line, reason, raw, load_id = (SELECT load_id FROM quality.loads"
    " WHERE state = 'LOADED' ORDER BY finished_at DESC LIMIT 1) AS of_this_load"
    " FROM quality.rejects ORDER BY line",
    "partitions": "SELECT relname, array_agg(regexp_replace(pg_get_indexdef(indexrelid), '\\S+ ON',"
    " 'ON') ORDER BY indkey::text) FROM pg_class JOIN pg_index ON indrelid = pg_class.oid"
    " WHERE relispartition AND relkind = 'r' GROUP BY relname ORDER BY relname",
    "staging": "SELECT tablename FROM pg_tables WHERE schemaname = 'staging'",
    "running": "SELECT load_id FROM quality.loads WHERE state = 'RUNNING'",
}
Snapshot = dict[str, list[dict[str, Any]]]

# What a reader sees of the month in one look.
LOOK = """
SELECT
  (SELECT (count(*), sum(total_amount)) FROM trips.yellow)::text,
  (SELECT (sum(trips), sum(revenue)) FROM reports.revenue)::text,
  (SELECT sum(trips) FROM reports.trips_per_hour)
"""


def snapshot(warehouse: Warehouse) -> Snapshot:
    """All that is in the warehouse, but for the loads before the last."""
    with warehouse.database.connect() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        return {name: cursor.execute(query).fetchall() for name, query in QUERIES.items()}


@dataclass
class Correction:
    """A month that is loaded, and a file that corrects it.

    Attributes:
        before: what the warehouse holds.
        after: what it holds after one undisturbed load of the file.
    """

    warehouse: Warehouse
    proxy: PostgresProxy
    before: Snapshot
    after: Snapshot

    def start(self) -> dict[str, Any]:
        """Begins to load the file."""
        return self.warehouse.start("taxi_load", taxi="yellow", month=MONTH, force="true")

    def succeeds(self) -> dict[str, Any]:
        """Loads the file in spite of a fault; returns the execution."""
        execution = self.warehouse.ended(self.start())
        assert state(execution) == "SUCCESS"
        return execution

    def fails(self) -> dict[str, Any]:
        """Loads the file in vain; returns the execution."""
        execution = self.warehouse.ended(self.start())
        assert state(execution) == "FAILED"
        return execution

    def repeat(self) -> None:
        """Loads the file, undisturbed: all must be as after one load."""
        self.proxy.heal()
        self.warehouse.load("yellow", MONTH)
        assert snapshot(self.warehouse) == self.after

    @contextmanager
    def read(self) -> Iterator[None]:
        """Reads the month all the time: no reader may see anything but one file of it, whole."""
        looks: set[tuple[Any, ...]] = set()
        ended = threading.Event()

        def look() -> None:
            while not ended.is_set():
                try:
                    with self.warehouse.database.connect() as connection:
                        while not ended.wait(0.01):
                            looks.update(connection.execute(LOOK))
                except psycopg.OperationalError as error:
                    # A server that ends or begins says nothing, or a code of this class.
                    if not (error.sqlstate or "57P").startswith("57P"):
                        looks.add((error,))

        reader = threading.Thread(target=look)
        reader.start()
        try:
            yield
        finally:
            ended.set()
            reader.join(60)
        assert looks
        assert looks <= {look_of(self.before), look_of(self.after)}


def look_of(found: Snapshot) -> tuple[Any, ...]:
    """What LOOK shows of a warehouse."""
    trips, revenue, hours = found["trips"], found["revenue"], found["hours"]
    return (
        f"({len(trips)},{sum(trip['total_amount'] for trip in trips)})",
        f"({sum(row['trips'] for row in revenue)},{sum(row['revenue'] for row in revenue)})",
        sum(row["trips"] for row in hours),
    )


@dataclass(frozen=True)
class Stack:
    """A warehouse whose flows come through a proxy, and the container of its server."""

    warehouse: Warehouse
    proxy: PostgresProxy
    container: Container


@pytest.fixture(scope="module")
def stack(
    docker_client: docker.DockerClient,
    postgres_image: str,
    postgres: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """One for the tests of this module."""
    with (
        running_postgres(docker_client, postgres_image, free_port()) as (server, container),
        PostgresProxy(server) as proxy,
        new_warehouse(
            server,
            tmp_path_factory.mktemp("warehouse"),
            "127.0.0.1",
            proxy.port,
            kestra_postgres=postgres,  # Kestra ends when it loses its own
        ) as warehouse,
    ):
        yield Stack(warehouse, proxy, container)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Two files of the month, each with a line that is no trip."""
    folder = tmp_path_factory.mktemp("files")
    first = write_month(folder, "yellow", MONTH, 150, dirt=Dirt(bad_numbers=1)).path.read_bytes()
    dirt = Dirt(short_lines=1)
    return first, write_month(folder, "yellow", MONTH, 120, seed=1, dirt=dirt).path.read_bytes()


@pytest.fixture(scope="module")
def outcomes(stack: Stack, files: tuple[bytes, bytes]) -> tuple[Snapshot, Snapshot]:
    """What one undisturbed load of each file leaves."""
    found = []
    for file in files:
        stack.warehouse.reset()
        (stack.warehouse.folder / FILE).write_bytes(file)
        stack.warehouse.load("yellow", MONTH)
        found.append(snapshot(stack.warehouse))
    return found[0], found[1]


@pytest.fixture
def warehouse(stack: Stack) -> Iterator[Warehouse]:
    """The module's warehouse, empty."""
    stack.warehouse.reset()
    yield stack.warehouse
    stack.proxy.heal()
    stack.warehouse.reset()


@pytest.fixture
def correction(
    stack: Stack, files: tuple[bytes, bytes], outcomes: tuple[Snapshot, Snapshot]
) -> Iterator[Correction]:
    """One of the two files is loaded, and the other one is there."""
    warehouse = stack.warehouse
    now = warehouse.value("SELECT to_regclass('quality.loads')") and snapshot(warehouse)
    if now not in outcomes:
        warehouse.reset()
        (warehouse.folder / FILE).write_bytes(files[0])
        warehouse.load("yellow", MONTH)
        now = outcomes[0]
    other = 1 - outcomes.index(now)
    (warehouse.folder / FILE).write_bytes(files[other])
    yield Correction(warehouse, stack.proxy, now, outcomes[other])
    stack.proxy.heal()


# --- a connection is lost -------------------------------------------------------------------------

BEGUN = r"^COMMIT.*INSERT INTO quality\.loads"
STAGED = r"^COMMIT.*CREATE TABLE staging\S+ \(LIKE"
COPYING = r"^CopyData.*COPY staging\.load_[a-z0-9]+\b"
COPIED = r"^CopyDone.*COPY staging\.load_[a-z0-9]+\b"
REJECTED = r"^CopyDone.*COPY staging\S+_rejects"
LOCKED = r"^-- PostgreSQL, one transaction.*pg_advisory_xact_lock"  # the statement that publishes
PUBLISHED = r"^COMMIT.*ALTER TABLE trips\.yellow\s+ATTACH"
STEPS = {
    "before the copy": [
        ("begin", r"to_regclass\('reports", drops),
        ("begin", r"INSERT INTO quality\.loads", drops),
        ("begin", BEGUN, loses_answer),
        ("compare", r"AS unchanged", loses_answer),
        ("stage", r"CREATE TABLE staging", drops),
        ("stage", STAGED, loses_answer),
    ],
    "copy": [
        ("copy_rejects", r"^CopyData.*COPY staging\S+_rejects", halves),
        ("copy_rejects", REJECTED, loses_answer),
        ("copy_even", COPYING, halves),
        ("copy_even", COPIED, drops),
        ("copy_even", COPIED, loses_answer),
    ],
    "after the copy": [
        ("by_hour", r"CREATE INDEX IF NOT EXISTS load_\w+_pickup_at", drops),
        ("by_hour", r"^COMMIT.*CREATE TABLE staging\S+_hours", loses_answer),
        ("by_zone", r"^COMMIT.*CREATE TABLE staging\S+_zones", loses_answer),
    ],
    "publication": [
        ("publish", LOCKED, drops),
        ("publish", LOCKED, loses_answer),
        ("publish", PUBLISHED, drops),
        ("publish", PUBLISHED, loses_answer),
    ],
}


@pytest.mark.parametrize("faults", STEPS.values(), ids=STEPS.keys())
def test_a_step_that_lost_its_connection_is_repeated(
    correction: Correction, faults: list[tuple[str, str, Fault]]
) -> None:
    with correction.read():
        for task, step, fault in faults:
            correction.proxy.inject(step, fault)
            found = runs(correction.succeeds())
            # Either of the two streams may be the first.
            tasks = ("copy_even", "copy_odd") if task == "copy_even" else (task,)
            assert max(len(found[name]["attempts"]) for name in tasks) == 2, step
            assert snapshot(correction.warehouse) == correction.after, step


def test_a_load_whose_connections_are_lost_again_and_again_fails_and_can_be_repeated(
    correction: Correction,
) -> None:
    for task, step in (("begin", BEGUN), ("stage", STAGED), ("publish", LOCKED)):
        correction.proxy.inject(step, drops, times=ATTEMPTS)
        execution = correction.fails()
        assert len(runs(execution)[task]["attempts"]) == ATTEMPTS
        now = snapshot(correction.warehouse)
        assert {**now, "rejects": correction.before["rejects"]} == correction.before
    correction.repeat()


def test_a_month_that_is_published_stays_so_when_nobody_hears_of_it(correction: Correction) -> None:
    correction.proxy.inject(PUBLISHED, loses_answer)
    correction.proxy.inject(LOCKED, drops, first=2, times=ATTEMPTS)
    with correction.read():
        execution = correction.fails()
        assert correction.warehouse.load_of(execution)["state"] == "LOADED"
        assert snapshot(correction.warehouse) == correction.after
        correction.proxy.heal()
        assert correction.warehouse.load("yellow", MONTH)["state"] == "UNCHANGED"
        assert snapshot(correction.warehouse) == correction.after


@pytest.mark.parametrize("stream", [1, 2])
def test_one_of_two_streams_is_repeated(correction: Correction, stream: int) -> None:
    correction.proxy.inject(COPYING, meets(2), times=2)
    correction.proxy.inject(COPIED, loses_answer, first=stream)
    correction.succeeds()
    assert snapshot(correction.warehouse) == correction.after


def test_the_first_load_of_all_repeats_its_first_step(
    warehouse: Warehouse,
    stack: Stack,
    files: tuple[bytes, bytes],
    outcomes: tuple[Snapshot, Snapshot],
) -> None:
    (warehouse.folder / FILE).write_bytes(files[0])
    stack.proxy.inject(BEGUN, drops)
    warehouse.load("yellow", MONTH)
    assert snapshot(warehouse) == outcomes[0]


def restarted(warehouse: Warehouse, execution: dict[str, Any]) -> str:
    """Restarts a failed execution at the task that failed; returns how it ends."""
    http = warehouse.client.http
    http.post(f"/executions/{execution['id']}/restart").raise_for_status()
    return state(warehouse.ended(execution))


@pytest.mark.parametrize(
    ("step", "ends"), [(BEGUN, "SUCCESS"), (STAGED, "FAILED"), (LOCKED, "FAILED")]
)
def test_a_load_is_restarted(correction: Correction, step: str, ends: str) -> None:
    correction.proxy.inject(step, drops, times=ATTEMPTS)
    with correction.read():
        execution = correction.fails()
        correction.proxy.heal()
        assert restarted(correction.warehouse, execution) == ends
        if ends == "FAILED":  # its files, and what was staged, are gone
            correction.repeat()
        assert snapshot(correction.warehouse) == correction.after


def test_a_load_is_restarted_when_its_file_is_there(correction: Correction) -> None:
    path = correction.warehouse.folder / FILE
    content = path.read_bytes()
    path.unlink()
    execution = correction.fails()
    path.write_bytes(content)
    assert restarted(correction.warehouse, execution) == "SUCCESS"
    assert snapshot(correction.warehouse) == correction.after


# --- what is left behind --------------------------------------------------------------------------


def test_what_a_load_left_behind_goes_after_a_day(correction: Correction) -> None:
    # All is lost, and so is the task that would have tidied up.
    correction.proxy.inject(COPYING, drops, times=2 * ATTEMPTS)
    correction.proxy.inject(r"SET state = 'FAILED', finished_at = clock", drops, times=ATTEMPTS)
    load = correction.warehouse.load_of(correction.fails())
    assert load["state"] == "RUNNING"
    sweep(correction, load["load_id"])


def sweep(correction: Correction, load_id: str) -> None:
    """Repeats the load: what a load left behind stays for a day, and is gone with the next one."""
    warehouse = correction.warehouse
    correction.proxy.heal()
    warehouse.load("yellow", MONTH)
    now = snapshot(warehouse)
    assert now["running"] == [{"load_id": load_id}]
    assert all(row["tablename"].startswith(f"load_{load_id.lower()}") for row in now["staging"])
    rejects = [row for row in now["rejects"] if row["of_this_load"]]
    assert {**now, "rejects": rejects, "staging": [], "running": []} == correction.after
    warehouse.execute(
        "UPDATE quality.loads SET started_at = started_at - interval '25 hours'"
        f" WHERE load_id = '{load_id}'"
    )
    warehouse.load("yellow", MONTH, force="true")
    assert snapshot(warehouse) == correction.after


SLOW = "SELECT count(*) FROM range(1000000000000);\n"


def kill(warehouse: Warehouse, execution: dict[str, Any]) -> None:
    """Asks for the end of an execution."""
    http = warehouse.client.http
    http.post(f"/executions/{execution['id']}/kill").raise_for_status()


def leaves_nothing(correction: Correction, execution: dict[str, Any]) -> None:
    """The tasks after a killed execution remove its tables; the file can be loaded."""
    client = correction.warehouse.client
    deadline = time.monotonic() + 30
    while True:
        last = runs(client.execution(execution["id"])).get("clean_up_killed")
        if last and state(last) == "SUCCESS":
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert correction.warehouse.load_of(execution)["state"] == "FAILED"
    assert snapshot(correction.warehouse)["staging"] == []
    correction.repeat()


def test_an_execution_is_killed_while_it_reads(correction: Correction) -> None:
    path = "sql/read.sql"
    script = (ROOT / "flows/zoomcamp/files" / path).read_text()
    correction.warehouse.kestra.put_file(path, SLOW + script)
    try:
        execution = correction.start()
        correction.warehouse.client.wait_for_task(execution["id"], "read")
        kill(correction.warehouse, execution)
        correction.warehouse.client.wait(execution["id"], "KILLED")
    finally:
        correction.warehouse.kestra.put_file(path, script)
    leaves_nothing(correction, execution)


@pytest.mark.parametrize("step", [COPYING, PUBLISHED])
def test_an_execution_is_killed_while_it_writes(correction: Correction, step: str) -> None:
    with correction.read(), Hold(drops) as hold:
        correction.proxy.inject(step, hold)
        execution = correction.start()
        hold.wait()
        kill(correction.warehouse, execution)
    correction.warehouse.client.wait(execution["id"], "KILLED")
    leaves_nothing(correction, execution)


# --- a server process ends ------------------------------------------------------------------------


@contextmanager
def locked(warehouse: Warehouse, table: str, mode: str) -> Iterator[None]:
    """A table is locked by somebody else for the time of the block."""
    with warehouse.database.connect() as other, other.transaction():
        other.execute(f"LOCK TABLE {table} IN {mode} MODE")
        yield


@retry(
    retry=retry_if_exception_type(ValueError),
    stop=stop_after_delay(30),
    wait=wait_fixed(0.02),
    reraise=True,
)
def writer_waiting_for(warehouse: Warehouse, table: str) -> int:
    """The backend that waits for a table, not only to read it; 30 seconds at most."""
    ((backend,),) = (
        row.values()
        for row in warehouse.rows(
            f"SELECT pid FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass"
            " AND mode <> 'AccessShareLock'"
        )
    )
    return backend


@pytest.mark.parametrize(
    ("table", "mode"),
    [("quality.rejects", "SHARE"), ("trips.yellow", "ACCESS SHARE")],
)
def test_a_step_whose_backend_is_terminated_is_repeated(
    correction: Correction, table: str, mode: str
) -> None:
    with correction.read():
        with locked(correction.warehouse, table, mode):
            execution = correction.start()
            backend = writer_waiting_for(correction.warehouse, table)
            correction.warehouse.execute(f"SELECT pg_terminate_backend({backend})")
        assert state(correction.warehouse.ended(execution)) == "SUCCESS"
    assert snapshot(correction.warehouse) == correction.after


def resumed(warehouse: Warehouse, execution: dict[str, Any]) -> dict[str, Any]:
    """Waits for an execution whose Kestra is started whenever it ended itself, as by Docker."""
    client = warehouse.client
    deadline = time.monotonic() + 180
    while True:
        assert time.monotonic() < deadline
        assert client.server.process
        if client.server.process.poll() is not None:
            client.server.start()
        with suppress(httpx.HTTPError):
            found = client.execution(execution["id"])
            if state(found) in ("SUCCESS", "FAILED", "KILLED"):
                return found
        time.sleep(0.5)


@pytest.mark.parametrize("step", [COPIED, PUBLISHED])
def test_a_load_goes_on_after_the_server_of_the_warehouse_was_killed(
    correction: Correction, stack: Stack, step: str
) -> None:
    with correction.read(), Hold(drops) as hold:
        correction.proxy.inject(step, hold)
        execution = correction.start()
        hold.wait()
        stack.container.kill()
        stack.container.start()
        correction.warehouse.database.server.wait_until_ready()
    assert state(resumed(correction.warehouse, execution)) == "SUCCESS"
    assert snapshot(correction.warehouse) == correction.after


# --- the server that runs the flow ends -----------------------------------------------------------


@pytest.mark.parametrize("step", [BEGUN, STAGED, REJECTED, COPIED, PUBLISHED])
def test_the_server_is_killed_and_goes_on(correction: Correction, step: str) -> None:
    warehouse = correction.warehouse
    with correction.read():
        with Hold(drops, is_executed=True) as hold:
            correction.proxy.inject(step, hold)
            execution = correction.start()
            hold.wait()
            warehouse.client.server.kill()
        assert state(resumed(warehouse, execution)) == "SUCCESS"
        assert snapshot(warehouse) == correction.after


# --- loads and readers at once --------------------------------------------------------------------


def test_two_loads_of_a_file_at_once(correction: Correction) -> None:
    for step in (BEGUN, STAGED, REJECTED, LOCKED):
        correction.proxy.inject(step, meets(2), times=2)
    with correction.read():
        for execution in [correction.start(), correction.start()]:
            assert state(correction.warehouse.ended(execution)) == "SUCCESS"
        assert snapshot(correction.warehouse) == correction.after


def test_two_files_of_a_month_at_once(correction: Correction, files: tuple[bytes, bytes]) -> None:
    path = correction.warehouse.folder / FILE
    (other,) = set(files) - {path.read_bytes()}
    with correction.read(), Hold() as hold:
        correction.proxy.inject(LOCKED, hold)
        execution = correction.start()
        hold.wait()
        path.write_bytes(other)
        correction.warehouse.load("yellow", MONTH, force="true")
        assert snapshot(correction.warehouse)["trips"] == correction.before["trips"]
    # The month is of the file that was published last, and so is what the warehouse says about it.
    assert state(correction.warehouse.ended(execution)) == "SUCCESS"
    assert snapshot(correction.warehouse) == correction.after


def test_two_first_loads_of_a_month_at_once(
    warehouse: Warehouse,
    stack: Stack,
    files: tuple[bytes, bytes],
    outcomes: tuple[Snapshot, Snapshot],
) -> None:
    (warehouse.folder / FILE).write_bytes(files[0])
    for step in (r"to_regclass\('reports", LOCKED):
        stack.proxy.inject(step, meets(2), times=2)
    started = [warehouse.start("taxi_load", taxi="yellow", month=MONTH) for _ in range(2)]
    assert [state(warehouse.ended(execution)) for execution in started] == ["SUCCESS"] * 2
    assert snapshot(warehouse) == outcomes[0]


def test_four_months_at_once(warehouse: Warehouse, stack: Stack) -> None:
    months = [(taxi, month) for taxi in ("yellow", "green") for month in ("2019-01", "2019-02")]
    # The first loads of all create the tables; the others replace what these have loaded.
    for seed, together in enumerate([r"to_regclass\('reports", r"DROP TABLE IF EXISTS trips"]):
        written = [
            write_month(warehouse.folder, *month, 50 + number, seed=seed)
            for number, month in enumerate(months)
        ]
        stack.proxy.inject(together, meets(4), times=4)
        started = [warehouse.start("taxi_load", taxi=taxi, month=month) for taxi, month in months]
        for execution in started:
            assert state(warehouse.ended(execution)) == "SUCCESS"
        assert warehouse.rows(
            "SELECT taxi, to_char(month, 'YYYY-MM') AS month, count(*) AS rows, sum(total_amount)"
            " AS total_amount FROM trips.all_trips GROUP BY 1, 2 ORDER BY count(*)"
        ) == [
            {name: getattr(month, name) for name in ("taxi", "month", "rows", "total_amount")}
            for month in written
        ]


def test_a_load_waits_for_a_reader_and_no_reader_for_a_load(correction: Correction) -> None:
    warehouse = correction.warehouse
    with warehouse.database.connect() as reader, reader.transaction():
        before = reader.execute(LOOK).fetchone()
        execution = correction.start()
        writer_waiting_for(warehouse, "trips.yellow")
        assert reader.execute(LOOK).fetchone() == before
        with warehouse.database.connect() as other:
            other.execute("SET statement_timeout = '20s'")
            assert other.execute(LOOK).fetchone() == before
    assert state(warehouse.ended(execution)) == "SUCCESS"
    assert snapshot(warehouse) == correction.after


def test_a_load_gives_way_to_a_reader_that_would_be_in_a_deadlock(correction: Correction) -> None:
    warehouse = correction.warehouse
    with correction.read():
        with warehouse.database.connect() as reader, reader.transaction():
            reader.execute("SELECT count(*) FROM trips.yellow_2019_01")
            execution = correction.start()
            writer_waiting_for(warehouse, "trips.yellow_2019_01")
            reader.execute("SELECT count(*) FROM trips.yellow")
        assert state(warehouse.ended(execution)) == "SUCCESS"
    assert snapshot(warehouse) == correction.after
