"""What the server keeps in PostgreSQL: flows, executions, logs, triggers, keys, dashboards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from offline.kestra.states import Json

# Kestra, too, keeps its tables in the schema that comes first, which is public.
_MIGRATION_LOCK = "kestra-stand-in"
_MIGRATIONS = (
    """
    CREATE TABLE settings (key text PRIMARY KEY, value jsonb NOT NULL);
    CREATE TABLE flows (
        namespace text NOT NULL,
        id text NOT NULL,
        revision int NOT NULL,
        deleted boolean NOT NULL DEFAULT false,
        source text NOT NULL,
        value jsonb NOT NULL,
        PRIMARY KEY (namespace, id, revision)
    );
    CREATE VIEW last_flows AS
        SELECT DISTINCT ON (namespace, id) * FROM flows ORDER BY namespace, id, revision DESC;
    CREATE TABLE executions (
        id text PRIMARY KEY,
        namespace text NOT NULL,
        flow_id text NOT NULL,
        state text NOT NULL,
        start_date timestamptz NOT NULL,
        end_date timestamptz,
        value jsonb NOT NULL
    );
    CREATE INDEX ON executions (namespace, flow_id, start_date DESC);
    CREATE INDEX ON executions (start_date DESC);
    CREATE TABLE logs (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        execution_id text,
        namespace text NOT NULL,
        flow_id text NOT NULL,
        task_id text,
        task_run_id text,
        attempt int,
        level int NOT NULL,
        timestamp timestamptz NOT NULL,
        value jsonb NOT NULL
    );
    CREATE INDEX ON logs (execution_id, timestamp);
    CREATE INDEX ON logs (timestamp);
    CREATE TABLE triggers (
        namespace text NOT NULL,
        flow_id text NOT NULL,
        trigger_id text NOT NULL,
        value jsonb NOT NULL,
        PRIMARY KEY (namespace, flow_id, trigger_id)
    );
    CREATE TABLE key_values (
        namespace text NOT NULL,
        key text NOT NULL,
        type text NOT NULL,
        value jsonb NOT NULL,
        description text,
        created timestamptz NOT NULL DEFAULT clock_timestamp(),
        updated timestamptz NOT NULL DEFAULT clock_timestamp(),
        expires timestamptz,
        PRIMARY KEY (namespace, key)
    );
    """,
    """
    ALTER TABLE flows ADD COLUMN updated timestamptz NOT NULL DEFAULT clock_timestamp();
    CREATE OR REPLACE VIEW last_flows AS
        SELECT DISTINCT ON (namespace, id) * FROM flows ORDER BY namespace, id, revision DESC;
    """,
    """
    CREATE INDEX ON executions ((value #>> '{trigger,variables,executionId}'))
        WHERE end_date IS NULL;
    """,
    """
    CREATE TABLE dashboards (
        id text PRIMARY KEY,
        title text NOT NULL,
        source text NOT NULL,
        value jsonb NOT NULL,
        created timestamptz NOT NULL DEFAULT clock_timestamp(),
        updated timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    """,
)
LEVELS = {"TRACE": 0, "DEBUG": 10, "INFO": 20, "WARN": 30, "ERROR": 40}
_SORTS = {
    "flows": {"id": "id", "namespace": "namespace", "revision": "revision"},
    "executions": {
        "id": "id",
        "namespace": "namespace",
        "flowId": "flow_id",
        "state.current": "state",
        "state.startDate": "start_date",
        "state.endDate": "end_date",
        "state.duration": "(coalesce(end_date, now()) - start_date)",
    },
    "logs": {"timestamp": "timestamp", "level": "level"},
    "dashboards": {"id": "id", "title": "title", "created": "created", "updated": "updated"},
}


class Conditions:
    """The conditions of a WHERE clause, joined by AND."""

    def __init__(self) -> None:
        self._parts: list[sql.SQL] = []
        self.values: list[Any] = []

    def add(self, text: str, *values: Any) -> None:
        """Add one; `text` is SQL of ours, `values` are what comes from outside."""
        self._parts.append(sql.SQL(text))
        self.values.extend(values)

    def add_namespace(self, prefix: str | None) -> None:
        """A namespace and the ones below it."""
        if prefix:
            self.add("(namespace = %s OR starts_with(namespace, %s))", prefix, f"{prefix}.")

    def clause(self) -> sql.Composed:
        """The clause, with WHERE if there is any condition."""
        if not self._parts:
            return sql.Composed([])
        return sql.SQL(" WHERE ") + sql.SQL(" AND ").join(self._parts)


class Page:
    """Which part of a list is asked for, and in which order.

    Args:
        kind: `flows`, `executions`, `logs` or `dashboards`.
        sort: `field:asc` or `field:desc`, several in order of weight.

    Raises:
        ValueError: a field that cannot be sorted by.
    """

    def __init__(self, kind: str, page: int, size: int, sort: Sequence[str], default: str) -> None:
        terms = []
        for term in sort:
            name, _, direction = term.partition(":")
            column = _SORTS[kind].get(name)
            if column is None:
                raise ValueError(f"Unable to sort by `{name}`")
            terms.append(f"{column} {'DESC' if direction.lower() == 'desc' else 'ASC'}")
        order = ", ".join(terms) or default
        self.sql = sql.SQL(f" ORDER BY {order} LIMIT %s OFFSET %s")
        self.values = (size, (page - 1) * size)


class Store:
    """The database of the server.

    Args:
        conninfo: libpq's connection string of the database.

    Raises:
        psycopg.OperationalError: it cannot be reached within 10 seconds, or lets nobody in.
    """

    def __init__(self, conninfo: str) -> None:
        # The pool would try for long and tell only that it did; one connection tells why.
        psycopg.connect(conninfo, connect_timeout=10).close()
        self._pool: ConnectionPool[Connection[DictRow]] = ConnectionPool(
            conninfo,
            kwargs={
                "row_factory": dict_row,
                "application_name": "kestra-stand-in",
                "autocommit": True,  # every statement stands alone
            },
            check=ConnectionPool.check_connection,  # the database may have been restarted
            min_size=1,
            max_size=8,
            open=False,
        )
        self._pool.open(wait=True)
        self._migrate()

    def close(self) -> None:
        """Give the connections back."""
        self._pool.close()

    def _migrate(self) -> None:
        with self._pool.connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (_MIGRATION_LOCK,))
            connection.execute("CREATE TABLE IF NOT EXISTS migrations (done int NOT NULL)")
            row = connection.execute(
                "SELECT coalesce(max(done), 0) AS done FROM migrations"
            ).fetchone()
            done = row["done"] if row else 0
            for number, migration in enumerate(_MIGRATIONS[done:], done + 1):
                connection.execute(migration)
                connection.execute("INSERT INTO migrations VALUES (%s)", (number,))

    def _all(self, query: str | sql.Composed, values: Sequence[Any] = ()) -> list[DictRow]:
        with self._pool.connection() as connection:
            return connection.execute(query, values).fetchall()

    def _one(self, query: str | sql.Composed, values: Sequence[Any] = ()) -> DictRow | None:
        rows = self._all(query, values)
        return rows[0] if rows else None

    def _run(self, query: str, values: Sequence[Any] = ()) -> int:
        with self._pool.connection() as connection:
            return connection.execute(query, values).rowcount

    def _page(self, table: str, conditions: Conditions, page: Page) -> tuple[list[DictRow], int]:
        where = sql.SQL(f" FROM {table}") + conditions.clause()
        total = self._one(sql.SQL("SELECT count(*) AS count") + where, conditions.values)
        rows = self._all(sql.SQL("SELECT *") + where + page.sql, [*conditions.values, *page.values])
        return rows, total["count"] if total else 0

    def server_version(self) -> str:
        """The version of the PostgreSQL server, as it words it.

        Raises:
            psycopg.Error: it does not answer.
            PoolTimeout: it has not for 2 seconds.
        """
        with self._pool.connection(timeout=2) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        assert row is not None
        return str(row["server_version"])

    def setting(self, key: str, default: Any) -> Any:
        """A setting that is made once and stays."""
        self._run(
            "INSERT INTO settings VALUES (%s, %s) ON CONFLICT DO NOTHING", (key, Jsonb(default))
        )
        row = self._one("SELECT value FROM settings WHERE key = %s", (key,))
        return row["value"] if row else default

    # --- flows -----------------------------------------------------------------------------------

    def flow(
        self, namespace: str, flow_id: str, revision: int | None = None, *, deleted: bool = False
    ) -> DictRow | None:
        """A flow at a revision, or the last one.

        Args:
            deleted: whether a deleted flow is found as well.
        """
        row = self._one(
            "SELECT * FROM flows WHERE namespace = %s AND id = %s"
            " AND (%s::int IS NULL OR revision = %s) ORDER BY revision DESC LIMIT 1",
            (namespace, flow_id, revision, revision),
        )
        return row if row and (deleted or not row["deleted"]) else None

    def last_revision(self, namespace: str, flow_id: str) -> int:
        """The number of the last revision, deleted ones included; 0 if there was never one."""
        row = self._one(
            "SELECT max(revision) AS last FROM flows WHERE namespace = %s AND id = %s",
            (namespace, flow_id),
        )
        return (row["last"] if row else 0) or 0

    def revisions(self, namespace: str, flow_id: str) -> list[DictRow]:
        """All revisions of a flow, oldest first."""
        return self._all(
            "SELECT * FROM flows WHERE namespace = %s AND id = %s ORDER BY revision",
            (namespace, flow_id),
        )

    def add_revision(self, value: Json, source: str, *, deleted: bool = False) -> int:
        """Store a flow as its next revision.

        Returns:
            The number of the revision.
        """
        row = self._one(
            "INSERT INTO flows (namespace, id, revision, deleted, source, value) SELECT %s, %s,"
            " coalesce(max(revision), 0) + 1, %s, %s, %s FROM flows"
            " WHERE namespace = %s AND id = %s RETURNING revision",
            (value["namespace"], value["id"], deleted, source, Jsonb(value),
             value["namespace"], value["id"]),
        )  # fmt: skip
        assert row is not None
        return int(row["revision"])

    def flows(self, conditions: Conditions, page: Page) -> tuple[list[DictRow], int]:
        """The flows that are not deleted and meet the conditions: one page, and how many in all."""
        conditions.add("NOT deleted")
        return self._page("last_flows", conditions, page)

    def flows_of(self, namespace: str | None) -> list[DictRow]:
        """All flows of exactly this namespace, or of all."""
        return self._all(
            "SELECT * FROM last_flows WHERE NOT deleted AND (%s::text IS NULL OR namespace = %s)"
            " ORDER BY namespace, id",
            (namespace, namespace),
        )

    def source_search(
        self, query: str | None, namespace: str | None, page: Page
    ) -> tuple[list[DictRow], int]:
        """The flows whose source holds all words of the query."""
        conditions = Conditions()
        conditions.add_namespace(namespace)
        if query:
            conditions.add("to_tsvector('simple', source) @@ plainto_tsquery('simple', %s)", query)
        return self.flows(conditions, page)

    def namespaces(self) -> list[str]:
        """The namespaces that have a flow."""
        rows = self._all("SELECT DISTINCT namespace FROM last_flows WHERE NOT deleted ORDER BY 1")
        return [row["namespace"] for row in rows]

    # --- executions ------------------------------------------------------------------------------

    def save_execution(self, execution: Json) -> None:
        """Insert or replace an execution."""
        histories = execution["state"]["histories"]
        ended = execution["state"]["current"] in (
            "SUCCESS",
            "WARNING",
            "FAILED",
            "KILLED",
            "CANCELLED",
        )
        self._run(
            "INSERT INTO executions VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE"
            " SET state = excluded.state, end_date = excluded.end_date, value = excluded.value",
            (
                execution["id"], execution["namespace"], execution["flowId"],
                execution["state"]["current"], histories[0]["date"],
                histories[-1]["date"] if ended else None, Jsonb(execution),
            ),
        )  # fmt: skip

    def execution(self, execution_id: str) -> Json | None:
        """An execution."""
        row = self._one("SELECT value FROM executions WHERE id = %s", (execution_id,))
        return row["value"] if row else None

    def executions(self, conditions: Conditions, page: Page) -> tuple[list[Json], int]:
        """The executions that meet the conditions: one page, and how many in all."""
        rows, total = self._page("executions", conditions, page)
        return [row["value"] for row in rows], total

    def unfinished_executions(self) -> list[Json]:
        """The executions that have not ended, oldest first."""
        rows = self._all("SELECT value FROM executions WHERE end_date IS NULL ORDER BY start_date")
        return [row["value"] for row in rows]

    def started_by(self, execution_id: str) -> list[Json]:
        """The executions that tasks of an execution started and that have not ended."""
        rows = self._all(
            "SELECT value FROM executions WHERE end_date IS NULL"
            " AND value #>> '{trigger,variables,executionId}' = %s",
            (execution_id,),
        )
        return [row["value"] for row in rows]

    def delete_execution(self, execution_id: str, *, logs: bool) -> None:
        """Delete an execution, with its logs if so asked."""
        self._run("DELETE FROM executions WHERE id = %s", (execution_id,))
        if logs:
            self._run("DELETE FROM logs WHERE execution_id = %s", (execution_id,))

    # --- logs ------------------------------------------------------------------------------------

    def add_log(self, entry: Json) -> None:
        """Store a log entry in the form of the API."""
        self._run(
            "INSERT INTO logs (execution_id, namespace, flow_id, task_id, task_run_id, attempt,"
            " level, timestamp, value) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                entry.get("executionId"), entry["namespace"], entry["flowId"], entry.get("taskId"),
                entry.get("taskRunId"), entry.get("attemptNumber"), LEVELS[entry["level"]],
                entry["timestamp"], Jsonb(entry),
            ),
        )  # fmt: skip

    def logs(self, conditions: Conditions, page: Page) -> tuple[list[Json], int]:
        """The log entries that meet the conditions: one page, and how many in all."""
        rows, total = self._page("logs", conditions, page)
        return [row["value"] for row in rows], total

    def execution_logs(self, conditions: Conditions) -> list[Json]:
        """All log entries that meet the conditions, in the order they were written."""
        rows = self._all(
            sql.SQL("SELECT value FROM logs")
            + conditions.clause()
            + sql.SQL(" ORDER BY timestamp, id"),
            conditions.values,
        )
        return [row["value"] for row in rows]

    def delete_logs(self, conditions: Conditions) -> None:
        """Delete the log entries that meet the conditions."""
        with self._pool.connection() as connection:
            connection.execute(sql.SQL("DELETE FROM logs") + conditions.clause(), conditions.values)

    # --- triggers --------------------------------------------------------------------------------

    def triggers(self) -> list[Json]:
        """The state of all triggers that are evaluated by time."""
        rows = self._all("SELECT value FROM triggers ORDER BY namespace, flow_id, trigger_id")
        return [row["value"] for row in rows]

    def trigger(self, namespace: str, flow_id: str, trigger_id: str) -> Json | None:
        """The state of a trigger."""
        row = self._one(
            "SELECT value FROM triggers WHERE namespace = %s AND flow_id = %s AND trigger_id = %s",
            (namespace, flow_id, trigger_id),
        )
        return row["value"] if row else None

    def save_trigger(self, value: Json) -> None:
        """Insert or replace the state of a trigger."""
        self._run(
            "INSERT INTO triggers VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (namespace, flow_id, trigger_id) DO UPDATE SET value = excluded.value",
            (value["namespace"], value["flowId"], value["triggerId"], Jsonb(value)),
        )

    def delete_triggers(self, namespace: str, flow_id: str, keep: Iterable[str]) -> None:
        """Forget the triggers of a flow that it no longer has."""
        self._run(
            "DELETE FROM triggers WHERE namespace = %s AND flow_id = %s AND trigger_id <> ALL (%s)",
            (namespace, flow_id, list(keep)),
        )

    # --- key-values ------------------------------------------------------------------------------

    def put_key(
        self, namespace: str, key: str, kind: str, value: Any, ttl: float | None,
        description: str | None = None,
    ) -> None:  # fmt: skip
        """Set a key-value pair.

        Args:
            ttl: seconds until it expires; None for never.
        """
        self._run(
            "INSERT INTO key_values (namespace, key, type, value, description, expires)"
            " VALUES (%s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))"
            " ON CONFLICT (namespace, key) DO UPDATE SET type = excluded.type,"
            " value = excluded.value, description = excluded.description,"
            " updated = clock_timestamp(), expires = excluded.expires",
            (namespace, key, kind, Jsonb(value), description, ttl),
        )

    def key(self, namespace: str, key: str) -> DictRow | None:
        """A key-value pair, with `expired` telling whether its time is over."""
        return self._one(
            "SELECT *, coalesce(expires < now(), false) AS expired FROM key_values"
            " WHERE namespace = %s AND key = %s",
            (namespace, key),
        )

    def keys(self, namespace: str) -> list[DictRow]:
        """The key-value pairs of a namespace that have not expired."""
        return self._all(
            "SELECT * FROM key_values WHERE namespace = %s AND (expires IS NULL OR expires > now())"
            " ORDER BY key",
            (namespace,),
        )

    def delete_key(self, namespace: str, key: str) -> bool:
        """Delete a key-value pair.

        Returns:
            Whether there was one.
        """
        return self._run(
            "DELETE FROM key_values WHERE namespace = %s AND key = %s", (namespace, key)
        ) > 0  # fmt: skip

    # --- dashboards ------------------------------------------------------------------------------

    def dashboard(self, dashboard_id: str) -> DictRow | None:
        """A dashboard."""
        return self._one("SELECT * FROM dashboards WHERE id = %s", (dashboard_id,))

    def dashboards(self, conditions: Conditions, page: Page) -> tuple[list[DictRow], int]:
        """The dashboards that meet the conditions: one page, and how many in all."""
        return self._page("dashboards", conditions, page)

    def save_dashboard(self, value: Json, source: str) -> DictRow:
        """Insert or replace a dashboard; returns it."""
        row = self._one(
            "INSERT INTO dashboards (id, title, source, value) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (id) DO UPDATE SET title = excluded.title, source = excluded.source,"
            " value = excluded.value, updated = clock_timestamp() RETURNING *",
            (value["id"], value["title"], source, Jsonb(value)),
        )
        assert row is not None
        return row

    def delete_dashboard(self, dashboard_id: str) -> bool:
        """Delete a dashboard.

        Returns:
            Whether there was one.
        """
        return self._run("DELETE FROM dashboards WHERE id = %s", (dashboard_id,)) > 0
