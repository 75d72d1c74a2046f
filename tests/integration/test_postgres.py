"""The settings of the PostgreSQL server, on a real one."""

import secrets
import time
from collections.abc import Callable

import docker

from infra.postgres import SERVER_SETTINGS
from tests.kestra.servers import running_postgres

_SPEED_UP = 10
_TIMES = (
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "client_connection_check_interval",
    "tcp_user_timeout",
)
_BUSY = """
(sleep 600) | psql -c 'COPY waiting FROM STDIN' &
psql -c 'SELECT pg_sleep(600)' &
psql -c 'COPY (SELECT generate_series(1, 1e9)) TO STDOUT' | (sleep 3; cat >/dev/null) &
wait
"""


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_sessions_of_a_client_that_vanished_end(
    docker_client: docker.DockerClient, postgres_image: str
):
    with running_postgres(docker_client, postgres_image) as (server, container):
        with server.connect() as connection:
            connection.execute("CREATE TABLE waiting (line text)")
            for name in _TIMES:
                seconds = int(SERVER_SETTINGS[name].removesuffix("s")) // _SPEED_UP
                connection.execute(f"ALTER SYSTEM SET {name} = '{seconds}s'")
            count = SERVER_SETTINGS["tcp_keepalives_count"]
            connection.execute(f"ALTER SYSTEM SET tcp_keepalives_count = {count}")
            connection.execute("SELECT pg_reload_conf()")

        network = docker_client.networks.create(f"podium-test-{secrets.token_hex(4)}")
        client = None
        try:
            network.connect(container, aliases=["server"])
            client = docker_client.containers.run(
                postgres_image,
                entrypoint=["bash", "-c", _BUSY],
                environment={
                    "PGHOST": "server",
                    "PGUSER": "postgres",
                    "PGPASSWORD": server.password,
                },
                network=network.name,
                detach=True,
            )
            with server.connect() as connection:

                def sessions() -> int:
                    row = connection.execute(
                        "SELECT count(*) FROM pg_stat_activity "
                        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                    ).fetchone()
                    assert row
                    return int(row[0])

                wait_for(lambda: sessions() == 3)
                # Without its network a client cannot even close its connections.
                network.disconnect(client, force=True)
                wait_for(lambda: sessions() == 0, seconds=90 / _SPEED_UP + 10)
                connection.execute("CREATE INDEX ON waiting (line)")
        finally:
            if client:
                client.remove(force=True, v=True)
            network.disconnect(container, force=True)
            network.remove()
