"""The PostgreSQL server: its container, its volume and its superuser."""

from dataclasses import dataclass, field

import pulumi
import pulumi_docker as docker

from infra.certificates import Certificates
from infra.container import (
    HealthCheck,
    Placement,
    ServiceArgs,
    data_volume,
    secret_file,
    service_container,
)
from infra.passwords import password

_SUPERUSER = "postgres"
_PORT = 5432
_SECRETS = "/run/secrets"
_PASSWORD_FILE = f"{_SECRETS}/postgres-password"
# PostgreSQL takes a key from its own user only; uploads are root's.
_KEY_FILE = "/var/run/postgresql/server.key"
_HBA_FILE = "/etc/postgresql/pg_hba.conf"
# The entrypoint gives the data to the user postgres and becomes that user.
_CAPABILITIES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID")
# Parallel queries put their shared state into /dev/shm, of which Docker gives 64 MiB by default.
_SHM_MIB = 256
SERVER_SETTINGS = {
    # For bulk loads: fewer checkpoints, less WAL, faster index builds; the log goes to Docker.
    "shared_buffers": "512MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "lz4",
    "log_destination": "stderr",
    "logging_collector": "off",
    # A client whose container was killed does not say goodbye. Its session, and the locks it holds,
    # end after 90 seconds: waiting for the client, running a query, or sending rows.
    "tcp_keepalives_idle": "60s",
    "tcp_keepalives_interval": "10s",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "10s",
    "tcp_user_timeout": "90s",
}


@dataclass(frozen=True)
class PostgresTls:
    """What PostgreSQL needs to ask for TLS outside of the stack's network.

    Attributes:
        certificates: Where its certificate is from.
        gateway: The address on the network that the Docker host itself has, see `Network`.
    """

    certificates: Certificates
    gateway: pulumi.Output[str]


@dataclass(frozen=True)
class PostgresArgs(ServiceArgs):
    """What the PostgreSQL server needs.

    Attributes:
        major_version: The server's major version, which decides on the data path.
        port: The published port on the Docker host.
        password: The superuser's password, or None for a generated one.
        tls: What it needs for TLS, or None for plain text.
    """

    major_version: int
    port: int
    password: str | None
    tls: PostgresTls | None = field(default=None, kw_only=True)


class Postgres(pulumi.ComponentResource):
    """A PostgreSQL server whose data is on a volume of its own.

    Attributes:
        host: The host name under which the Docker host is reached.
        port: The published port.
        sslmode: How clients on the Docker host connect.
        address: Host and port on the stack's network, such as postgres:5432.
        user: The superuser's name.
        password: The superuser's password.
        container: The running server.
        volume: The volume with everything that PostgreSQL holds.
        outputs: What the stack exports of it, by the names of the stack's outputs.
    """

    host: str
    port: int
    sslmode: str
    address: str
    user: str
    password: pulumi.Output[str]
    container: docker.Container
    volume: docker.Volume
    outputs: dict[str, pulumi.Input[str | int]]

    def __init__(
        self, name: str, args: PostgresArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declares the server.

        Args:
            name: the logical name, also the alias on the network.
            args: what it needs.
            opts: the resource options.
        """
        super().__init__("podium:infra:Postgres", name, None, opts)
        self.host = args.placement.host_name
        self.port = args.port
        self.sslmode = "require" if args.tls else "disable"
        self.address = f"{name}:{_PORT}"
        self.user = _SUPERUSER
        self.password = password(f"{name}-password", args.password, parent=self)
        self.volume = data_volume(f"{name}-data", args.placement, parent=self)
        self.container = service_container(
            name,
            args,
            parent=self,
            capabilities=_CAPABILITIES,
            envs={"POSTGRES_USER": self.user, "POSTGRES_PASSWORD_FILE": _PASSWORD_FILE},
            uploads=[
                secret_file(_PASSWORD_FILE, self.password, "0600"),
                *(_tls_files(name, args.placement, args.tls) if args.tls else ()),
            ],
            entrypoints=_with_key(name) if args.tls else None,
            command=[
                "postgres",
                *(
                    part
                    for key, value in (
                        SERVER_SETTINGS | (_tls_settings(name) if args.tls else {})
                    ).items()
                    for part in ("-c", f"{key}={value}")
                ),
            ],
            ports={_PORT: args.port},
            volumes=[
                docker.ContainerVolumeArgs(
                    volume_name=self.volume.name, container_path=_data_path(args.major_version)
                )
            ],
            shm_size=_SHM_MIB,
            # While it initialises its data the server listens on its socket only, not on TCP.
            health=HealthCheck(
                tests=["CMD", "pg_isready", "-h", "127.0.0.1", "-U", self.user],
                start_period=30,
                wait_timeout=120,
            ),
            stop_timeout=60,
        )
        self.outputs = {
            "postgresHost": self.host,
            "postgresPort": self.port,
            "postgresUser": self.user,
            "postgresPassword": self.password,
        }
        self.register_outputs({"password": self.password})


def _tls_files(
    name: str, placement: Placement, tls: PostgresTls
) -> list[docker.ContainerUploadArgs]:
    host_names = sorted({placement.host_name, placement.page_host})
    return [
        *tls.certificates.files(name, host_names, _SECRETS),
        docker.ContainerUploadArgs(file=_HBA_FILE, content=tls.gateway.apply(_hba)),
    ]


def _hba(gateway: str) -> str:
    """Returns who may connect, and how (PostgreSQL's documentation, "The pg_hba.conf File").

    Args:
        gateway: The address of the Docker host on the stack's network. What comes through the
            published port may have it too.
    """
    return f"""\
local   all         all             trust
local   replication all             trust
hostssl all         all {gateway}/32 scram-sha-256
host    all         all {gateway}/32 reject
host    all         all samenet scram-sha-256
hostssl all         all all     scram-sha-256
"""


def _with_key(name: str) -> list[str]:
    """Returns an entrypoint that hands the key to PostgreSQL's user before the image's own."""
    script = f"install -o postgres -m 0600 {_SECRETS}/{name}.key {_KEY_FILE}"
    return ["/bin/sh", "-c", f'{script} && exec docker-entrypoint.sh "$@"', "entrypoint"]


def _tls_settings(name: str) -> dict[str, str]:
    return {
        "ssl": "on",
        "ssl_cert_file": f"{_SECRETS}/{name}.crt",
        "ssl_key_file": _KEY_FILE,
        "hba_file": _HBA_FILE,
        "password_encryption": "scram-sha-256",
    }


def _data_path(major_version: int) -> str:
    """Returns where the official image of a major version declares its volume."""
    return "/var/lib/postgresql" if major_version >= 18 else "/var/lib/postgresql/data"
