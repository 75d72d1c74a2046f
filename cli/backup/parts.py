"""How each part of a backup is read from a running stack, and written to one.

The programs are those of the stack's own containers, so that this machine needs none of them and
they have the server's version. A volume is read and written by a container of PostgreSQL's image
that has nothing but this volume, and no network.
"""

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Self

import click
import psycopg
import tenacity
from psycopg.sql import SQL, Identifier

from cli.backup.streams import read_from, write_to
from cli.services import SUPERUSER
from cli.stack import Stack

# PostgreSQL 16 and later take zstd, which is faster than gzip and smaller.
_FIRST_WITH_ZSTD = 16
# Of pgAdmin's volume: what is copied by SQLite, what is only valid for running sessions, and the
# passwords that its entrypoint writes anew at every start.
PGADMIN_LEFT_OUT = ("./pgadmin4.db*", "./sessions", "./storage/*/.pgpass")
_PGADMIN_DATABASE = "/var/lib/pgadmin/pgadmin4.db"
_SERIALIZE = (
    "import sqlite3, sys; "
    f"database = sqlite3.connect('file:{_PGADMIN_DATABASE}?mode=ro', uri=True, timeout=60); "
    "sys.stdout.buffer.write(database.serialize())"
)
# "r" are ordinary tables, and with them the partitions of those that are partitioned.
_TABLES = """
SELECT nspname, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'r' AND nspname !~ '^(pg_|information_schema$)'
ORDER BY nspname, relname
"""
# What `docker exec` returns where the program does not exist.
_NO_PROGRAM = (126, 127)
_SIZES = "SELECT datname, pg_database_size(datname) FROM pg_database"


_Connection = psycopg.Connection[tuple[Any, ...]]
# Less than PostgreSQL's deadlock_timeout, so that no load is ended in favour of a backup.
_LOCK_SECONDS = 0.5
_PAUSE_SECONDS = 0.5
_PATIENCE_SECONDS = 300


class _TablesChanged(Exception):
    """A table came or went before all were locked."""


class Server:
    """A PostgreSQL server in a container.

    Attributes:
        version: its version, such as 17.11.
    """

    def __init__(self, container: str, host: str, port: int, user: str, password: str) -> None:
        """Logs in.

        Args:
            container: the name of the container.
            host: the host on which its port is published.
            port: the published port.
            user: the superuser.
            password: the superuser's password.

        Raises:
            click.ClickException: the server does not answer.
        """
        self._container = container
        self._login: dict[str, Any] = {
            "host": host,
            "port": port,
            "user": user,
            "password": password,
            "connect_timeout": 10,
        }
        with self.connect("postgres") as connection:
            self.version = str(connection.info.parameter_status("server_version")).split()[0]

    @classmethod
    def of(cls, stack: Stack) -> Self:
        """Returns the server of a stack that is up."""
        login = (stack.outputs[f"postgres{key}"] for key in ("Host", "Port", "User", "Password"))
        return cls(stack.container_name("postgres"), *login)

    def connect(self, database: str) -> _Connection:
        """Returns a connection of the superuser."""
        try:
            return psycopg.connect(**self._login, dbname=database, autocommit=True)
        except psycopg.OperationalError as error:
            raise click.ClickException(f"PostgreSQL does not answer: {error}") from error

    def log_in(self, database: str, user: str, password: str) -> None:
        """Logs in as a role.

        Raises:
            psycopg.OperationalError: the role is refused.
        """
        login = self._login | {"user": user, "password": password}
        psycopg.connect(**login, dbname=database).close()

    def sizes(self) -> dict[str, int]:
        """Returns the bytes of each database."""
        with self.connect("postgres") as connection:
            return dict(connection.execute(_SIZES).fetchall())

    def read_globals(self) -> Iterator[bytes]:
        """Yields the roles with the hashes of their passwords, as SQL."""
        return read_from(self._command("pg_dumpall", "--globals-only"))

    def read_database(self, name: str, *options: str) -> Iterator[bytes]:
        """Yields a database in pg_dump's custom format.

        Args:
            name: its name.
            options: more options of pg_dump.
        """
        has_zstd = int(self.version.partition(".")[0]) >= _FIRST_WITH_ZSTD
        compress = f"--compress={'zstd:1' if has_zstd else '1'}"
        return read_from(self._command("pg_dump", "--format=custom", compress, *options, name))

    @contextmanager
    def reading(self, database: str) -> Iterator[tuple[Iterator[bytes], _Connection]]:
        """Begins to dump a database of which tables are dropped and renamed meanwhile.

        Whoever drops a table waits for the dump. As pg_dump would wait for them in turn, all locks
        are released and taken anew if one of them is not free at once.

        Yields:
            What `read_database` yields, and a connection that sees the same rows.

        Raises:
            psycopg.Error: some table is locked by others all the time.
            click.ClickException: pg_dump failed.
        """
        with self.connect(database) as connection:
            connection.execute(f"SET lock_timeout = '{_LOCK_SECONDS}s'")
            for attempt in tenacity.Retrying(
                retry=tenacity.retry_if_exception(_is_locked_or_gone),
                wait=tenacity.wait_fixed(_PAUSE_SECONDS),
                stop=tenacity.stop_after_delay(_PATIENCE_SECONDS),
                reraise=True,
            ):
                with attempt:
                    chunks = self._begin(connection, database)
            yield chunks, connection

    def _begin(self, connection: _Connection, database: str) -> Iterator[bytes]:
        """Locks all tables, and starts pg_dump, which has locked them too once it prints."""
        tables = _tables(connection)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        try:
            if tables:
                names = SQL(", ").join(tables)
                connection.execute(SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))
            # Unlike the locks, a query begins the snapshot.
            (snapshot,) = connection.execute("SELECT pg_export_snapshot()").fetchall()[0]
            if _tables(connection) != tables:
                raise _TablesChanged
            wait = f"--lock-wait-timeout={_LOCK_SECONDS}s"
            chunks = self.read_database(database, f"--snapshot={snapshot}", wait)
            return chain([next(chunks)], chunks)
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def write_globals(self, chunks: Iterable[bytes]) -> None:
        """Creates the roles that are missing, and gives each its password and its settings."""
        # A role that exists is an error of its CREATE ROLE, and not of the ALTER ROLE after it.
        write_to(self._command("psql", "-qX", "-d", "postgres"), chunks)

    def write_database(self, name: str, chunks: Iterable[bytes]) -> None:
        """Replaces a database by a dump of it, with its owner and its privileges."""
        with self.connect("postgres") as connection:
            connection.execute(
                SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name))
            )
        options = ("--create", "--exit-on-error", "--dbname=postgres")
        write_to(self._command("pg_restore", *options), chunks)

    def check(self, databases: Sequence[str]) -> str:
        """Looks for corruption in databases, and returns what was found.

        Raises:
            click.ClickException: pg_amcheck found errors, which the message has.
        """
        options = ["--install-missing", *(f"--database={name}" for name in databases)]
        command = self._command("pg_amcheck", *options)
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode in _NO_PROGRAM:
            return "not checked: the image has no pg_amcheck"
        for name in databases:
            with self.connect(name) as connection:
                connection.execute("DROP EXTENSION IF EXISTS amcheck")
        if result.returncode:
            raise click.ClickException(f"pg_amcheck: {result.stdout}{result.stderr}".strip())
        return "clean"

    def _command(self, program: str, *options: str) -> list[str]:
        return ["docker", "exec", "-i", self._container, program, *SUPERUSER, *options]


def count_rows(connection: _Connection) -> dict[str, int]:
    """Returns the rows of each table of a database by its name, such as trips.yellow_2019_01."""
    counts = {}
    for table in _tables(connection):
        row = connection.execute(SQL("SELECT count(*) FROM {}").format(table)).fetchone()
        assert row
        counts[".".join(table._obj)] = int(row[0])
    return counts


def _tables(connection: _Connection) -> list[Identifier]:
    return [Identifier(*names) for names in connection.execute(_TABLES).fetchall()]


def _is_locked_or_gone(error: BaseException) -> bool:
    if isinstance(error, click.ClickException):
        # As pg_dump reports both, before it prints anything.
        return "timeout" in error.message or "does not exist" in error.message
    return isinstance(
        error,
        (
            psycopg.errors.LockNotAvailable,
            psycopg.errors.UndefinedTable,
            _TablesChanged,
        ),
    )


def read_volume(image: str, volume: str, left_out: Sequence[str] = ()) -> Iterator[bytes]:
    """Yields the files of a volume as a tar archive, compressed by gzip.

    Files that change meanwhile are no error: Kestra writes each of its files once.

    Args:
        image: an image with a shell, tar and gzip.
        volume: the volume's name.
        left_out: the patterns of files that are left out.
    """
    excluded = " ".join(f"--exclude='{pattern}'" for pattern in left_out)
    # GNU tar ends with 1 if a file changed while it was read.
    tar = f"tar -C /volume {excluded} -cf - . || [ $? = 1 ]"
    script = f"set -o pipefail; {{ {tar}; }} | gzip -1"
    return read_from(_with_volume(image, f"{volume}:/volume:ro", "bash", script))


def volume_size(image: str, volume: str) -> int:
    """Returns the bytes that the files of a volume take."""
    script = "du -sk /volume | cut -f1"
    printed = b"".join(read_from(_with_volume(image, f"{volume}:/volume:ro", "sh", script)))
    return int(printed) * 1024


def write_volume(image: str, volume: str, chunks: Iterable[bytes]) -> None:
    """Replaces the files of a volume by those of an archive, with their owners."""
    script = "find /volume -mindepth 1 -delete && tar -C /volume --numeric-owner -xpzf -"
    write_to(_with_volume(image, f"{volume}:/volume", "sh", script), chunks)


def read_pgadmin(container: str) -> Iterator[bytes]:
    """Yields pgAdmin's database as it is at one moment."""
    return read_from(["docker", "exec", container, "/venv/bin/python3", "-c", _SERIALIZE])


def write_pgadmin(image: str, volume: str, chunks: Iterable[bytes]) -> None:
    """Writes pgAdmin's database into its volume, which has the right owner."""
    file = "/volume/pgadmin4.db"
    script = f"cat >{file} && chown --reference=/volume {file} && chmod 600 {file}"
    write_to(_with_volume(image, f"{volume}:/volume", "sh", script), chunks)


def _with_volume(image: str, mount: str, shell: str, script: str) -> list[str]:
    options = ["--rm", "-i", "--network=none", "--user=root", f"--volume={mount}"]
    return ["docker", "run", *options, f"--entrypoint={shell}", image, "-c", script]
