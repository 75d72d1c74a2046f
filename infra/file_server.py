"""Where flows fetch the taxi files: a URL, or a folder on the Docker host behind a file server."""

from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_docker as docker

from infra.container import HealthCheck, ServiceArgs, service_container

_ROOT = "/usr/share/nginx/html"
# For port 80, and for workers of another user.
_CAPABILITIES = ("CAP_CHOWN", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID")


@dataclass(frozen=True)
class TaxiSourceArgs(ServiceArgs):
    """What the source of the taxi files needs.

    Attributes:
        url: The URL of the files, in which {taxi} stands for yellow or green.
        folder: A folder on the Docker host, served read-only in the place of the URL, or None.
    """

    url: str
    folder: Path | None


class TaxiSource(pulumi.ComponentResource):
    """The source of the taxi files; a folder gets a file server, of which no port is published.

    Attributes:
        url: The URL of the files for the services of the stack.
    """

    url: str

    def __init__(
        self, name: str, args: TaxiSourceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declares the source.

        Args:
            name: The logical name, also the file server's alias on the network.
            args: What it needs.
            opts: The resource options.
        """
        # The type has the name that the state of stacks knows.
        super().__init__("podium:infra:FileServer", name, None, opts)
        self.url = f"http://{name}" if args.folder else args.url
        if args.folder:
            self._serve(name, args, args.folder)
        self.register_outputs({"url": self.url})

    def _serve(self, name: str, args: TaxiSourceArgs, folder: Path) -> None:
        service_container(
            name,
            args,
            parent=self,
            capabilities=_CAPABILITIES,
            # What the image writes to (https://hub.docker.com/_/nginx, "read-only mode").
            tmpfs=["/run", "/tmp", "/var/cache/nginx"],
            volumes=[
                docker.ContainerVolumeArgs(
                    host_path=str(folder), container_path=_ROOT, read_only=True
                )
            ],
            # A folder without an index page answers 403, which is an answer.
            health=HealthCheck(
                tests=["CMD", "curl", "-s", "-o", "/dev/null", "http://127.0.0.1"],
                start_period=10,
                wait_timeout=60,
            ),
        )
