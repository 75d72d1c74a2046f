"""The data of a backup, written and restored, beside PostgreSQL's own programs alone.

Both sides run against one server with the stack's settings. The backup streams a dump out of the
container into an archive, with its SHA-256, and counts the rows of each table in the same snapshot;
`pg_dump | cat` stays in the container and throws the rows away. The restore streams the dump into
the container; `pg_restore` reads a file there.
"""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import docker
from psycopg.conninfo import conninfo_to_dict

from bench.comparison import Comparison, Ratios, aim, seconds
from bench.postgres import running_postgres
from cli.backup.archive import ArchiveWriter, writing
from cli.backup.parts import Server, count_rows
from infra.postgres import SERVER_SETTINGS

_DATABASE = "warehouse"
_ROWS = 3_000_000
_TABLES = 3
_MONEY = ("fare", "extra", "tax", "tip", "tolls", "surcharge", "total")
_TRIPS = (
    "SELECT timestamp '2019-01-01' + id * interval '1 second' AS pickup_at,"
    " timestamp '2019-01-01' + (id + random() * 2000) * interval '1 second' AS dropoff_at,"
    " (id % 2 + 1)::smallint AS vendor, (random() * 6)::smallint AS passengers,"
    " (random() * 30)::numeric(6, 2) AS distance, (id % 265)::smallint AS pickup_zone,"
    " (random() * 264)::smallint AS dropoff_zone, "
    + ", ".join(f"(random() * 50)::numeric(8, 2) AS {name}" for name in _MONEY)
    + f" FROM generate_series(1, {_ROWS // _TABLES}) AS id"
)
_FILE = "/tmp/bare.dump"
_LIMIT = 1.3


def compare(rounds: int) -> Iterator[object]:
    """Measures by turns and yields what there is to print.

    Args:
        rounds: how often each is measured.

    Raises:
        click.ClickException: a dump or a restore failed.
        subprocess.CalledProcessError: PostgreSQL's own program failed.
    """
    backup = Comparison("backup", "pg_dump | cat")
    restore = Comparison("restore", "pg_restore")
    with running_postgres(**SERVER_SETTINGS) as login, TemporaryDirectory() as folder:
        container, server = _server(login)
        _fill(server)
        size, path = server.sizes()[_DATABASE], Path(folder) / "backup.tar"
        _bare(container, f"pg_dump -Fc -Z zstd:1 -U postgres -f {_FILE} {_DATABASE}")
        for number in range(1, rounds + 1):
            print(f"Round {number} of {rounds}", flush=True)
            path.unlink(missing_ok=True)
            backup.seconds.append(seconds(lambda: _back_up(server, path)))
            backup.baseline_seconds.append(
                seconds(
                    lambda: _bare(container, f"pg_dump -U postgres {_DATABASE} | cat >/dev/null")
                )
            )
            restore.seconds.append(seconds(lambda: _restore(server, path)))
            restore.baseline_seconds.append(
                seconds(
                    lambda: _bare(
                        container,
                        f"dropdb -U postgres {_DATABASE}"
                        f" && pg_restore -U postgres --create -d postgres {_FILE}",
                    )
                )
            )
    for comparison in (backup, restore):
        yield comparison
        speed = size / 1e6 / median(comparison.seconds)
        yield f"  {comparison.name}: {speed:.0f} MB/s of a database of {size / 1e6:.0f} MB"
    for comparison in (backup, restore):
        ratio = Ratios(comparison.seconds, comparison.baseline_seconds).median
        yield aim(f"{comparison.name}, of {comparison.baseline}", ratio, _LIMIT)


def _server(login: str) -> tuple[str, Server]:
    """Returns the container of the server that a login is of, and the server."""
    words = {key: str(value) for key, value in conninfo_to_dict(login).items()}
    port = words["port"]
    (container,) = docker.from_env().containers.list(filters={"publish": port})
    name = str(container.name)
    return name, Server(name, words["host"], int(port), words["user"], words["password"])


def _fill(server: Server) -> None:
    """Creates tables like those of the trips, with an index."""
    with server.connect("postgres") as connection:
        connection.execute(f"CREATE DATABASE {_DATABASE}")
    with server.connect(_DATABASE) as connection:
        for number in range(_TABLES):
            connection.execute(f"CREATE TABLE trips_{number} AS {_TRIPS}")
            connection.execute(f"CREATE INDEX ON trips_{number} (pickup_zone, pickup_at)")
        connection.execute("VACUUM ANALYZE")


def _back_up(server: Server, path: Path) -> None:
    with (
        writing(path, "bench") as file,
        server.reading(_DATABASE) as (chunks, connection),
        ThreadPoolExecutor(1) as pool,
    ):
        rows = pool.submit(count_rows, connection)
        ArchiveWriter(file).add("dump", chunks)
        if sum(rows.result().values()) != _ROWS:
            raise RuntimeError("not all rows were counted")


def _restore(server: Server, path: Path) -> None:
    with path.open("rb") as file:
        file.seek(512)
        server.write_database(_DATABASE, iter(lambda: file.read(1 << 20), b""))


def _bare(container: str, script: str) -> None:
    command = ["docker", "exec", "--user=postgres", container, "sh", "-c", script]
    subprocess.run(command, check=True, capture_output=True)
