"""pgAdmin, with every database of the stack registered.

It connects when somebody opens a database, so it starts beside PostgreSQL instead of after it.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from infra.container import HealthCheck, ServiceArgs, data_volume, service_container
from infra.passwords import password

_PORT = 80
_DATA_PATH = "/var/lib/pgadmin"
_SERVERS_FILE = "/pgadmin4/servers.json"
_PGPASS_FILE = "/pgadmin4/pgpass"
_PGPASS_NAME = ".pgpass"


@dataclass(frozen=True)
class PgAdminArgs(ServiceArgs):
    """What pgAdmin needs.

    Attributes:
        host: the host name under which the user reaches pgAdmin.
        port: the published port on the Docker host.
        email: the e-mail address that is the login.
        password: the login's password, or None for a generated one.
        database_host: PostgreSQL's alias on the network.
        databases: the names of the databases to register.
        role: the role with which pgAdmin connects.
        role_password: the password of that role.
        protect_volume: whether not even `destroy` may remove its data.
    """

    host: str
    port: int
    email: str
    password: str | None
    database_host: str
    databases: Sequence[str]
    role: str
    role_password: pulumi.Input[str]
    protect_volume: bool


class PgAdmin(pulumi.ComponentResource):
    """pgAdmin in server mode, connecting to the databases without asking for a password.

    Attributes:
        url: where pgAdmin answers.
        password: the login's password.
    """

    url: str
    password: pulumi.Output[str]

    def __init__(
        self, name: str, args: PgAdminArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declares pgAdmin.

        Args:
            name: the logical name, also the alias on the network.
            args: what it needs.
            opts: the resource options.
        """
        super().__init__("podium:infra:PgAdmin", name, None, opts)
        self.url = f"http://{args.host}:{args.port}"
        self.password = password(f"{name}-password", args.password, parent=self)
        volume = data_volume(f"{name}-data", args.protect_volume, parent=self)
        pgpass = pulumi.Output.secret(args.role_password).apply(
            lambda role_password: _pgpass(args, role_password)
        )
        service_container(
            name,
            args,
            parent=self,
            # The image copies a pgpass file at its first start only; a changed password must
            # arrive too. libpq reads the file only when nobody else can (mode 0600).
            entrypoints=[
                "/bin/sh",
                "-c",
                f"install -D -m 0600 {_PGPASS_FILE} {shlex.quote(_pgpass_path(args.email))}"
                " && exec /entrypoint.sh",
            ],
            envs={
                "PGADMIN_DEFAULT_EMAIL": args.email,
                "PGADMIN_DEFAULT_PASSWORD": self.password,
                "PGADMIN_SERVER_JSON_FILE": _SERVERS_FILE,
                "PGADMIN_DISABLE_POSTFIX": "true",
                # Otherwise every page asks gravatar.com for a picture of the login's address.
                "PGADMIN_CONFIG_SHOW_GRAVATAR_IMAGE": "False",
            },
            uploads=[
                docker.ContainerUploadArgs(file=_SERVERS_FILE, content=_servers(args)),
                docker.ContainerUploadArgs(file=_PGPASS_FILE, content=pgpass),
            ],
            ports={_PORT: args.port},
            volumes=[
                docker.ContainerVolumeArgs(volume_name=volume.name, container_path=_DATA_PATH)
            ],
            health=HealthCheck(
                tests=[
                    "CMD",
                    "wget",
                    "-q",
                    "-O",
                    "/dev/null",
                    f"http://localhost:{_PORT}/misc/ping",
                ],
                start_period=120,
                wait_timeout=300,
            ),
        )
        self.register_outputs({"url": self.url, "password": self.password})


def _servers(args: PgAdminArgs) -> str:
    """Returns the servers to register (pgAdmin's documentation, "Import/Export Servers")."""
    servers = {
        str(number): {
            "Name": database,
            "Group": "Podium",
            "Host": args.database_host,
            "Port": 5432,
            "MaintenanceDB": database,
            "Username": args.role,
            "ConnectionParameters": {"sslmode": "prefer", "passfile": f"/{_PGPASS_NAME}"},
        }
        for number, database in enumerate(args.databases, start=1)
    }
    return json.dumps({"Servers": servers}, indent=2)


def _pgpass(args: PgAdminArgs, role_password: str) -> str:
    """Returns libpq's password file, in which backslash and colon are escaped."""
    escaped = role_password.replace("\\", "\\\\").replace(":", "\\:")
    return f"{args.database_host}:5432:*:{args.role}:{escaped}\n"


def _pgpass_path(email: str) -> str:
    """Returns where the file lies for this login: passfile paths are relative to its folder."""
    # The name of the folder follows pgAdmin's preprocess_username().
    name = f"pga_user_{email}" if email[0].isdigit() else email
    return f"{_DATA_PATH}/storage/{name.replace('@', '_').replace('/', 'slash')}/{_PGPASS_NAME}"
