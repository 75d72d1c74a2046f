"""Dumps of a real server while tables come and go, and what they restore."""

import threading
from concurrent.futures import ThreadPoolExecutor

import docker
import pytest

from cli.backup.parts import Server, count_rows
from tests.kestra.servers import running_postgres

_ROUNDS = 6
_SECONDS_BETWEEN_LOADS = 0.4
# What loads do: a table is filled, and takes the place of another one.
_LOAD = """
CREATE TABLE staging.next AS SELECT generate_series(1, {rows}) AS trip;
BEGIN;
DROP TABLE IF EXISTS trips.month;
ALTER TABLE staging.next RENAME TO month;
ALTER TABLE staging.month SET SCHEMA trips;
COMMIT;
"""


@pytest.mark.timeout(120)
def test_dump_during_loads_is_restored_with_its_rows(
    docker_client: docker.DockerClient, postgres_image: str
):
    with running_postgres(docker_client, postgres_image) as (found, container):
        login = (found.host, found.port, found.user, found.password)
        server = Server(str(container.name), *login)
        with server.connect("postgres") as connection:
            connection.execute("CREATE ROLE etl LOGIN PASSWORD 'Secret-1'")
            connection.execute("CREATE DATABASE warehouse OWNER etl")
        with server.connect("warehouse") as connection:
            connection.execute("CREATE SCHEMA staging; CREATE SCHEMA trips")
            connection.execute('CREATE TABLE trips."Zones; 1" AS SELECT 1 AS zone')
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA trips TO etl")
            connection.execute("REVOKE EXECUTE ON FUNCTION lo_create(oid) FROM PUBLIC")

        stopped = threading.Event()

        def load() -> int:
            number = 0
            with server.connect("warehouse") as connection:
                # A load takes seconds, of which it locks tables for the last few milliseconds.
                while not stopped.wait(_SECONDS_BETWEEN_LOADS):
                    number += 1
                    connection.execute(_LOAD.format(rows=number * 10).encode())
            return number

        dumps = []
        with ThreadPoolExecutor(1) as pool:
            loads = pool.submit(load)
            try:
                for _ in range(_ROUNDS):
                    with server.reading("warehouse") as (chunks, connection):
                        rows = count_rows(connection)
                        dumps.append((b"".join(chunks), rows))
            finally:
                stopped.set()
            assert loads.result() > 0

        roles = b"".join(server.read_globals())
        assert b"Secret-1" not in roles
        for dump, rows in dumps:
            server.write_database("warehouse", [dump])
            with server.connect("warehouse") as connection:
                assert count_rows(connection) == rows
                assert rows["trips.Zones; 1"] == 1
                privileges = connection.execute(
                    "SELECT has_table_privilege('etl', 'trips.\"Zones; 1\"', 'SELECT'),"
                    " has_function_privilege('etl', 'lo_create(oid)', 'EXECUTE')"
                ).fetchone()
                assert privileges == (True, False)
        assert server.check(["warehouse"]) == "clean"
        server.write_globals([roles, b"CREATE ROLE reader LOGIN PASSWORD 'Secret-2';"])
        server.log_in("warehouse", "etl", "Secret-1")
        server.log_in("warehouse", "reader", "Secret-2")
