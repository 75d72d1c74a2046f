"""The Kestra server: its container, its volume and its login."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_docker as docker
import yaml

from infra.container import HealthCheck, ServiceArgs, data_volume, secret_file, service_container
from infra.databases import Databases
from infra.kestra import Connection
from infra.passwords import generated_secret, password

_API_PORT = 8080
_MANAGEMENT_PORT = 8081
# Micronaut reads it as the image's launcher would have it read KESTRA_CONFIGURATION, which every
# script of a flow would find in its environment (gradle/jar/selfrun.sh in Kestra's repository).
CONFIGURATION_FILE = "/app/confs/application.yml"
_STORAGE_PATH = "/app/storage"
_WORKING_PATH = "/tmp/kestra-wd"  # where the documented set-up has it
_DOCKER_SOCKET = "/var/run/docker.sock"
# Seconds that a server gives its running tasks after SIGTERM, and after which the next one repeats
# those it ended. No step of a load takes longer; Kestra's default is 5 minutes.
_TERMINATION_GRACE = 60
# Seconds without a heartbeat (one each 3) after which a server is dead; Kestra's default is 45.
_LIVENESS_TIMEOUT = 30
# A connection whose other side is gone ends after 90 seconds, as in infra/postgres.py; by default
# after two hours, or 15 minutes while something is being sent.
_SYSCTLS = {
    "net.ipv4.tcp_keepalive_time": "60",
    "net.ipv4.tcp_keepalive_intvl": "10",
    "net.ipv4.tcp_keepalive_probes": "3",
    "net.ipv4.tcp_retries2": "8",
}
_CONNECTION_CHECK = 60_000  # milliseconds after which an idle connection of the pool is tested
# Of the memory of the container; the rest is for scripts, and for DuckDB outside of the heap.
_JAVA_OPTS = "-XX:MaxRAMPercentage=50"
# The volume and the Docker socket are root's, the files of the image are the user kestra's, and
# what scripts install as root changes its owner.
_CAPABILITIES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID")
_OPEN_ENDPOINTS = ("health", "prometheus")
# Kestra's own configuration has some of these on, whatever endpoints.all says.
_CLOSED_ENDPOINTS = (
    *("beans", "caches", "env", "info", "loggers", "metrics"),
    *("refresh", "routes", "stop", "threaddump"),
)
# The image promises neither curl nor wget.
_HEALTH_CHECK = (
    f"exec 3<>/dev/tcp/127.0.0.1/{_MANAGEMENT_PORT}; "
    "printf 'GET /health HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3; "
    'read -r _ status _ <&3; [ "$status" = 200 ]'
)


@dataclass(frozen=True)
class KestraServerArgs(ServiceArgs):
    """What the Kestra server needs.

    Attributes:
        port: The published port of page and API on the Docker host.
        management_port: The published port of health and metrics on the Docker host, or None.
        username: The e-mail address that is the login.
        password: The login's password, or None for a generated one.
        databases: The databases; the server starts when they are complete.
        variables: What flows read as `{{ globals.<name> }}`.
        secrets: What flows read as `{{ secret('<NAME>') }}`.
        environment: More environment variables of the server, which may be secrets.
        docker_socket: Whether the server gets the Docker socket.
    """

    port: int
    management_port: int | None
    username: str
    password: str | None
    databases: Databases
    variables: Mapping[str, str]
    secrets: Mapping[str, pulumi.Input[str]]
    environment: Mapping[str, str]
    docker_socket: bool


class KestraServer(pulumi.ComponentResource):
    """A standalone Kestra server on PostgreSQL.

    Attributes:
        connection: How its API is reached: URL and login.
        address: Host and port of the page on the stack's network, such as kestra:8080.
        container: The running server.
        outputs: What the stack exports of it, by the names of the stack's outputs.
    """

    connection: Connection
    address: str
    container: docker.Container
    outputs: dict[str, pulumi.Input[str | int]]

    def __init__(
        self, name: str, args: KestraServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declares the server.

        Args:
            name: the logical name, also the alias on the network.
            args: what it needs.
            opts: the resource options.
        """
        super().__init__("podium:infra:KestraServer", name, None, opts)
        host = args.placement.host_name
        url = f"http://{host}:{args.port}"
        page = args.placement.page_url(name, args.port)
        login_password = password(f"{name}-password", args.password, parent=self)
        self.connection = Connection(url, args.username, login_password)
        self.address = f"{name}:{_API_PORT}"
        volume = data_volume(f"{name}-data", args.placement, parent=self)
        configuration = pulumi.Output.all(
            database_password=args.databases.kestra.password,
            password=login_password,
            encryption_key=generated_secret(f"{name}-encryption-key", parent=self),
        ).apply(lambda secrets: yaml.safe_dump(_configuration(args, page, **secrets)))
        self.container = service_container(
            name,
            args,
            parent=self,
            command=["server", "standalone"],
            user="root",
            capabilities=_CAPABILITIES,
            labels={"podium.databases": args.databases.names_id},
            envs={
                "MICRONAUT_CONFIG_FILES": CONFIGURATION_FILE,
                "JAVA_OPTS": _JAVA_OPTS,
                **{key: pulumi.Output.secret(value) for key, value in args.environment.items()},
                # Open-source Kestra takes secrets from its environment only.
                **{f"SECRET_{key}": _base64(value) for key, value in args.secrets.items()},
            },
            uploads=[secret_file(CONFIGURATION_FILE, configuration, "0600")],
            ports={_API_PORT: args.port}
            | ({_MANAGEMENT_PORT: args.management_port} if args.management_port else {}),
            volumes=[
                docker.ContainerVolumeArgs(volume_name=volume.name, container_path=_STORAGE_PATH),
                *(_docker_runner_volumes() if args.docker_socket else ()),
            ],
            # It fails while the database is away: Kestra looks at it for /health.
            health=HealthCheck(
                tests=["CMD", "bash", "-c", _HEALTH_CHECK],
                start_period=120,
                wait_timeout=300,
                retries=3,
            ),
            stop_timeout=_TERMINATION_GRACE + 30,
            sysctls=_SYSCTLS,
            depends_on=args.databases.before_kestra,
        )
        self.outputs = {
            "kestraUrl": url,
            "kestraPage": page,
            "kestraUser": args.username,
            "kestraPassword": login_password,
        }
        if args.management_port:
            self.outputs["kestraManagementUrl"] = f"http://{host}:{args.management_port}"
        self.register_outputs({"url": url, "password": login_password})


def _configuration(
    args: KestraServerArgs, url: str, database_password: str, password: str, encryption_key: str
) -> dict[str, Any]:
    """Returns Kestra's configuration (https://kestra.io/docs/configuration)."""
    return {
        "endpoints": {
            "all": {"enabled": False},
            **{name: {"enabled": True} for name in _OPEN_ENDPOINTS},
            **{name: {"enabled": False} for name in _CLOSED_ENDPOINTS},
        },
        "datasources": {
            "postgres": {
                "url": args.databases.kestra.jdbc_url,
                "driver-class-name": "org.postgresql.Driver",
                "username": args.databases.kestra.user,
                "password": database_password,
                "keepalive-time": _CONNECTION_CHECK,
            }
        },
        "kestra": {
            "server": {
                "basic-auth": {"username": args.username, "password": password},
                "termination-grace-period": f"{_TERMINATION_GRACE}s",
                # The tasks of a dead server begin again at once: with one server, it has ended
                # before the next one runs, so that no task runs twice at a time.
                "worker-task-restart-strategy": "IMMEDIATELY",
                "liveness": {
                    "timeout": f"{_LIVENESS_TIMEOUT}s",
                    "initial-delay": f"{_LIVENESS_TIMEOUT}s",
                },
            },
            "jdbc": {
                # What the queue holds is done with: Kestra 1.3 would keep it for 7 days.
                "cleaner": {"initial-delay": "1h", "fixed-delay": "1h", "retention": "1d"},
                "queue": {  # Kestra 2.0
                    "cleaner": {"initial-delay": "1h", "fixed-delay": "1h", "retention": "1h"}
                },
            },
            "repository": {"type": "postgres"},
            "queue": {"type": "postgres"},
            "storage": {"type": "local", "local": {"base-path": _STORAGE_PATH}},
            "tasks": {"tmp-dir": {"path": f"{_WORKING_PATH}/tmp"}},
            "encryption": {"secret-key": base64.b64encode(encryption_key.encode()).decode()},
            "url": f"{url}/",
            "variables": {"globals": dict(args.variables)},
        },
    }


def _base64(value: pulumi.Input[str]) -> pulumi.Output[str]:
    """Encodes a secret the way open-source Kestra takes it from its environment."""
    encoded = pulumi.Output.from_input(value).apply(
        lambda text: base64.b64encode(text.encode()).decode()
    )
    return pulumi.Output.secret(encoded)


def _docker_runner_volumes() -> tuple[docker.ContainerVolumeArgs, ...]:
    """Returns what the Docker task runner needs: the socket, and one path on both sides."""
    return tuple(
        docker.ContainerVolumeArgs(host_path=path, container_path=path)
        for path in (_DOCKER_SOCKET, _WORKING_PATH)
    )
