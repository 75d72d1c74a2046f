"""A file server for source files that lie in a folder on the Docker host."""

from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_docker as docker

from infra.container import HealthCheck, ServiceArgs, service_container

_ROOT = "/usr/share/nginx/html"


@dataclass(frozen=True)
class FileServerArgs(ServiceArgs):
    """What the file server needs.

    Attributes:
        folder: the folder on the Docker host, served read-only.
    """

    folder: Path


class FileServer(pulumi.ComponentResource):
    """Serves a folder to the other services; no port is published.

    Attributes:
        url: where the services of the stack find the files.
    """

    url: str

    def __init__(
        self, name: str, args: FileServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declares the file server.

        Args:
            name: the logical name, also the alias on the network.
            args: what it needs.
            opts: the resource options.
        """
        super().__init__("podium:infra:FileServer", name, None, opts)
        self.url = f"http://{name}"
        service_container(
            name,
            args,
            parent=self,
            volumes=[
                docker.ContainerVolumeArgs(
                    host_path=str(args.folder), container_path=_ROOT, read_only=True
                )
            ],
            # A folder without an index page answers 403, which is an answer.
            health=HealthCheck(
                tests=["CMD", "curl", "-s", "-o", "/dev/null", "http://127.0.0.1"],
                start_period=10,
                wait_timeout=60,
            ),
        )
        self.register_outputs({"url": self.url})
