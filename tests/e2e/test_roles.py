"""What the roles of the stack may do in PostgreSQL, and what they may not."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from infra.databases import WAREHOUSE_SCHEMAS
from tests.e2e.warehouse import connect

# What no role may do, wherever it is connected: other roles and databases, code of the server's,
# files and programs of its machine, secrets, the catalog, settings of all, sessions of others.
_FORBIDDEN = """
CREATE ROLE probe
CREATE DATABASE probe
CREATE TABLESPACE probe LOCATION '/tmp'
CREATE EXTENSION file_fdw SCHEMA pg_catalog
CREATE EXTENSION dblink SCHEMA pg_catalog
CREATE LANGUAGE probe HANDLER plpgsql_call_handler
CREATE FOREIGN DATA WRAPPER probe
CREATE EVENT TRIGGER probe ON sql_drop EXECUTE FUNCTION pg_backend_pid()
CREATE ACCESS METHOD probe TYPE INDEX HANDLER bthandler
CREATE CAST (text AS integer) WITHOUT FUNCTION
CREATE PUBLICATION probe FOR ALL TABLES
CREATE SUBSCRIPTION probe CONNECTION 'host=localhost' PUBLICATION probe WITH (connect = false)
CREATE FUNCTION pg_temp.probe() RETURNS integer LANGUAGE internal AS 'pg_backend_pid'
CREATE FUNCTION pg_catalog.probe() RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'
ALTER FUNCTION pg_read_file(text) OWNER TO CURRENT_USER
ALTER FUNCTION pg_backend_pid() SECURITY DEFINER
GRANT EXECUTE ON FUNCTION pg_read_file(text) TO CURRENT_USER
GRANT postgres TO CURRENT_USER
GRANT pg_read_server_files TO CURRENT_USER
GRANT pg_execute_server_program TO CURRENT_USER
GRANT pg_signal_backend TO CURRENT_USER
ALTER ROLE CURRENT_USER SUPERUSER
ALTER ROLE CURRENT_USER CREATEROLE
ALTER ROLE CURRENT_USER BYPASSRLS
ALTER ROLE CURRENT_USER CONNECTION LIMIT -1
ALTER ROLE postgres PASSWORD 'probe'
ALTER ROLE postgres RENAME TO probe
DROP ROLE postgres
DROP DATABASE postgres
ALTER DATABASE postgres CONNECTION LIMIT 0
ALTER DATABASE template1 IS_TEMPLATE false
COMMENT ON DATABASE postgres IS 'probe'
SET ROLE postgres
SET ROLE pg_read_all_data
SET SESSION AUTHORIZATION postgres
SET session_replication_role = replica
SET log_statement = 'none'
SET log_min_messages = panic
SET zero_damaged_pages = on
ALTER SYSTEM SET work_mem = '1GB'
LOAD '/tmp/probe.so'
CHECKPOINT
COPY pg_class TO PROGRAM 'id'
COPY pg_class TO '/tmp/probe'
COPY pg_class FROM '/etc/passwd'
COPY pg_class FROM PROGRAM 'id'
SELECT pg_read_file('/etc/passwd')
SELECT pg_read_binary_file('/etc/passwd')
SELECT pg_ls_dir('/')
SELECT pg_stat_file('postgresql.conf')
SELECT pg_ls_waldir()
SELECT pg_ls_logdir()
SELECT lo_import('/etc/passwd')
SELECT lo_export(1, '/tmp/probe')
SELECT lo_create(0)
SELECT lo_creat(-1)
SELECT lo_from_bytea(0, '')
SELECT rolpassword FROM pg_authid
SELECT passwd FROM pg_shadow
SELECT * FROM pg_user_mapping
SELECT * FROM pg_statistic
SELECT * FROM pg_largeobject
SELECT * FROM pg_hba_file_rules
SELECT * FROM pg_file_settings
SELECT * FROM pg_subscription
UPDATE pg_class SET relname = relname
ALTER TABLE pg_class ADD COLUMN probe integer
DELETE FROM pg_database
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IS NULL
SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname IS NULL
SELECT pg_reload_conf()
SELECT pg_rotate_logfile()
SELECT pg_switch_wal()
SELECT pg_create_restore_point('probe')
SELECT pg_backup_start('probe')
SELECT pg_promote()
SELECT pg_stat_reset()
SELECT pg_create_physical_replication_slot('probe')
SELECT pg_log_backend_memory_contexts(pg_backend_pid())
""".strip().splitlines()

pytestmark = [pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def probes(outputs: dict[str, Any], role_passwords: dict[str, str]) -> Iterator[None]:
    """A table of the role `etl` in each schema."""
    with connect(outputs, "etl", role_passwords["etl"], "ny_taxi") as etl:
        for schema in WAREHOUSE_SCHEMAS:
            etl.execute(f"CREATE TABLE {schema}.probe AS SELECT 1 AS number")
        yield
        for schema in WAREHOUSE_SCHEMAS:
            etl.execute(f"DROP TABLE {schema}.probe")


@pytest.mark.parametrize(
    ("role", "database"),
    [
        ("kestra", "kestra"),
        ("etl", "ny_taxi"),
        ("reader", "ny_taxi"),
        ("pgadmin", "ny_taxi"),
        ("pgadmin", "kestra"),
    ],
)
def test_no_role_gets_beyond_its_database(
    outputs: dict[str, Any], role_passwords: dict[str, str], role: str, database: str
) -> None:
    done = []
    with connect(outputs, role, role_passwords[role], database) as connection:
        for statement in _FORBIDDEN:
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
                done.append(statement)
    assert done == []


@pytest.mark.parametrize(
    ("role", "database", "schema"), [("kestra", "kestra", "public"), ("etl", "ny_taxi", "staging")]
)
def test_writers_write_what_is_theirs(
    outputs: dict[str, Any],
    role_passwords: dict[str, str],
    role: str,
    database: str,
    schema: str,
) -> None:
    statements = f"""
        CREATE TABLE {schema}.written (number integer PRIMARY KEY)
        INSERT INTO {schema}.written SELECT generate_series(1, 3)
        UPDATE {schema}.written SET number = number + 3
        DELETE FROM {schema}.written WHERE number = 6
        ALTER TABLE {schema}.written ADD COLUMN text text
        CREATE VIEW {schema}.written_view AS SELECT * FROM {schema}.written
        CREATE TEMPORARY TABLE written_copy AS SELECT * FROM {schema}.written_view
        CREATE FUNCTION {schema}.written() RETURNS integer LANGUAGE sql RETURN 1
        TRUNCATE {schema}.written
        SELECT pg_advisory_lock(1)
        DROP FUNCTION {schema}.written
        DROP TABLE {schema}.written CASCADE
    """
    with connect(outputs, role, role_passwords[role], database) as connection:
        for statement in statements.strip().splitlines():
            connection.execute(statement)


@pytest.mark.parametrize(
    ("role", "database"),
    [
        ("etl", "kestra"),
        ("reader", "kestra"),
        ("kestra", "ny_taxi"),
        *itertools.product(("kestra", "etl", "reader", "pgadmin"), ("postgres", "template1")),
    ],
)
def test_role_cannot_connect_to_what_is_not_its_own(
    outputs: dict[str, Any], role_passwords: dict[str, str], role: str, database: str
) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        connect(outputs, role, role_passwords[role], database)


def test_public_cannot_connect(outputs: dict[str, Any], role_passwords: dict[str, str]) -> None:
    superuser = outputs["postgresUser"]
    with connect(outputs, superuser, role_passwords[superuser], "postgres") as connection:
        connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
        try:
            for database in ("kestra", "ny_taxi", "postgres", "template1"):
                with pytest.raises(psycopg.OperationalError, match="permission denied"):
                    connect(outputs, "stranger", "stranger", database)
        finally:
            connection.execute("DROP ROLE stranger")


@pytest.mark.parametrize("role", ["reader", "pgadmin"])
def test_readers_read_what_etl_has_written(
    outputs: dict[str, Any], role_passwords: dict[str, str], probes: None, role: str
) -> None:
    with connect(outputs, role, role_passwords[role], "ny_taxi") as reader:
        for schema in WAREHOUSE_SCHEMAS:
            assert reader.execute(f"SELECT number FROM {schema}.probe").fetchone() == (1,)


@pytest.mark.parametrize(
    ("role", "database", "statement"),
    [
        ("etl", "ny_taxi", "CREATE TABLE public.probe ()"),
        ("etl", "ny_taxi", "CREATE SCHEMA probe"),
        ("etl", "ny_taxi", "DROP SCHEMA trips CASCADE"),
        ("etl", "ny_taxi", "ALTER SCHEMA trips RENAME TO probe"),
        ("reader", "ny_taxi", "CREATE TABLE trips.probe ()"),
        ("reader", "ny_taxi", "CREATE TABLE public.probe ()"),
        ("pgadmin", "ny_taxi", "CREATE TABLE staging.probe ()"),
        ("pgadmin", "kestra", "CREATE TABLE public.probe ()"),
        *itertools.product(
            ("reader", "pgadmin"),
            ("ny_taxi",),
            (
                "CREATE TEMPORARY TABLE probe ()",
                "CREATE FUNCTION trips.probe() RETURNS integer LANGUAGE sql RETURN 1",
                "CREATE VIEW reports.probe AS SELECT 1",
                "INSERT INTO trips.probe DEFAULT VALUES",
                "UPDATE trips.probe SET number = 2",
                "DELETE FROM trips.probe",
                "TRUNCATE trips.probe",
                "DROP TABLE trips.probe",
                "ALTER TABLE trips.probe ADD COLUMN probe integer",
                "CREATE INDEX ON trips.probe (number)",
                "BEGIN; LOCK TABLE trips.probe IN ACCESS EXCLUSIVE MODE",
                "SELECT pg_advisory_lock(1)",
                "SELECT pg_try_advisory_lock_shared(1, 2)",
                "SELECT pg_advisory_xact_lock(hashtext('podium'), hashtext('warehouse'))",
            ),
        ),
        ("pgadmin", "kestra", "SELECT pg_advisory_lock(1)"),
        ("pgadmin", "kestra", "DELETE FROM flows"),
        ("pgadmin", "kestra", "CREATE TEMPORARY TABLE probe ()"),
    ],
)
def test_role_may_not(
    outputs: dict[str, Any],
    role_passwords: dict[str, str],
    probes: None,
    role: str,
    database: str,
    statement: str,
) -> None:
    with (
        connect(outputs, role, role_passwords[role], database) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


@pytest.mark.parametrize(("role", "limit"), [("etl", 50), ("reader", 15), ("pgadmin", 10)])
def test_role_leaves_connections_to_kestra(
    outputs: dict[str, Any], role_passwords: dict[str, str], role: str, limit: int
) -> None:
    with (
        contextlib.ExitStack() as connections,
        pytest.raises(psycopg.OperationalError, match="too many connections for role"),
    ):
        for _ in range(limit + 1):
            connections.enter_context(connect(outputs, role, role_passwords[role], "ny_taxi"))


def test_sessions_of_readers_end_that_hold_locks(
    outputs: dict[str, Any], role_passwords: dict[str, str]
) -> None:
    with connect(outputs, "reader", role_passwords["reader"], "ny_taxi") as reader:
        for name, value in (
            ("idle_in_transaction_session_timeout", "10min"),
            ("statement_timeout", "1h"),
        ):
            assert reader.execute(f"SHOW {name}").fetchone() == (value,)


def test_pgadmin_reads_what_kestra_keeps(
    outputs: dict[str, Any], role_passwords: dict[str, str]
) -> None:
    with connect(outputs, "pgadmin", role_passwords["pgadmin"], "kestra") as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
        assert tables
        for (table,) in tables:
            connection.execute(
                psycopg.sql.SQL("SELECT * FROM {} LIMIT 1").format(psycopg.sql.Identifier(table))
            )
