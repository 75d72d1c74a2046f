"""pgAdmin, with every database of the stack registered.

It connects when somebody opens a database, so it starts beside PostgreSQL instead of after it.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from infra.container import (
    HealthCheck,
    ServiceArgs,
    data_volume,
    physical_name,
    secret_file,
    service_container,
)
from infra.databases import Login
from infra.passwords import password

# One that needs no privilege, so that `no-new-privileges` leaves it to every release of the image.
_PORT = 8080
_DATA_PATH = "/var/lib/pgadmin"
_SERVERS_FILE = "/pgadmin4/servers.json"
_PGPASS_FILE = "/pgadmin4/pgpass"
_PGPASS_NAME = ".pgpass"
_PASSWORD_FILE = "/run/secrets/pgadmin-password"
# The image's user is in the group root.
_SECRET_MODE = "0640"
# The image has a Python with this capability, which does not start where it is dropped.
_CAPABILITIES = ("CAP_NET_BIND_SERVICE",)


@dataclass(frozen=True)
class PgAdminArgs(ServiceArgs):
    """What pgAdmin needs.

    Attributes:
        port: The published port on the Docker host.
        email: The e-mail address that is the login.
        password: The login's password, or None for a generated one.
        databases: How pgAdmin logs in to each database that it registers.
        names_id: Changes with the name of a database, see `Databases`.
    """

    port: int
    email: str
    password: str | None
    databases: Sequence[Login]
    names_id: pulumi.Input[str]


class PgAdmin(pulumi.ComponentResource):
    """pgAdmin in server mode, connecting to the databases without asking for a password.

    Attributes:
        address: Host and port of the page on the stack's network, such as pgadmin:8080.
        outputs: What the stack exports of it, by the names of the stack's outputs.
    """

    address: str
    outputs: dict[str, pulumi.Input[str | int]]

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
        url = f"http://{args.placement.host_name}:{args.port}"
        login_password = password(f"{name}-password", args.password, parent=self)
        self.address = f"{name}:{_PORT}"
        volume = data_volume(f"{name}-data", args.placement, parent=self)
        pgpass = pulumi.Output.all(*(login.password for login in args.databases)).apply(
            lambda passwords: _pgpass(args.databases, passwords)
        )
        service_container(
            name,
            args,
            parent=self,
            capabilities=_CAPABILITIES,
            labels={"podium.databases": args.names_id},
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
                "PGADMIN_DEFAULT_PASSWORD_FILE": _PASSWORD_FILE,
                "PGADMIN_LISTEN_PORT": str(_PORT),
                # Of PGADMIN_CONFIG_... the values are Python literals.
                "PGADMIN_CONFIG_SESSION_COOKIE_NAME": repr(f"pga4_{physical_name('session')}"),
                **(
                    {"PGADMIN_CONFIG_SESSION_COOKIE_SECURE": "True"}
                    if args.placement.gateway
                    else {}
                ),
                "PGADMIN_SERVER_JSON_FILE": _SERVERS_FILE,
                # Otherwise the file is read at the first start only.
                "PGADMIN_REPLACE_SERVERS_ON_STARTUP": "True",
                "PGADMIN_DISABLE_POSTFIX": "true",
                # Otherwise pages ask gravatar.com for a picture of the login's address, and
                # pgadmin.org for newer releases: without internet that is an error at each login.
                "PGADMIN_CONFIG_SHOW_GRAVATAR_IMAGE": "False",
                "PGADMIN_CONFIG_UPGRADE_CHECK_ENABLED": "False",
            },
            uploads=[
                docker.ContainerUploadArgs(file=_SERVERS_FILE, content=_servers(args.databases)),
                secret_file(_PGPASS_FILE, pgpass, _SECRET_MODE),
                secret_file(_PASSWORD_FILE, login_password, _SECRET_MODE),
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
        self.outputs = {
            "pgadminUrl": url,
            "pgadminPage": args.placement.page_url(name, args.port),
            "pgadminUser": args.email,
            "pgadminPassword": login_password,
        }
        self.register_outputs({"url": url, "password": login_password})


def _servers(databases: Sequence[Login]) -> str:
    """Returns the servers to register (pgAdmin's documentation, "Import/Export Servers")."""
    servers = {}
    for number, login in enumerate(databases, start=1):
        host, _, port = login.address.partition(":")
        servers[str(number)] = {
            "Name": login.database,
            "Group": "Podium",
            "Host": host,
            "Port": int(port),
            "MaintenanceDB": login.database,
            "Username": login.user,
            "ConnectionParameters": {"sslmode": "prefer", "passfile": f"/{_PGPASS_NAME}"},
        }
    return json.dumps({"Servers": servers}, indent=2)


def _pgpass(databases: Sequence[Login], passwords: Sequence[str]) -> str:
    """Returns libpq's password file, in which backslash and colon are escaped."""
    lines = {
        f"{login.address}:*:{login.user}:{escaped}\n"
        for login, password in zip(databases, passwords, strict=True)
        for escaped in [password.replace("\\", "\\\\").replace(":", "\\:")]
    }
    return "".join(sorted(lines))


def _pgpass_path(email: str) -> str:
    """Returns where the file is for this login: passfile paths are relative to its folder."""
    # The name of the folder follows pgAdmin's preprocess_username().
    name = f"pga_user_{email}" if email[0].isdigit() else email
    return f"{_DATA_PATH}/storage/{name.replace('@', '_').replace('/', 'slash')}/{_PGPASS_NAME}"
