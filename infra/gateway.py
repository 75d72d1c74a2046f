"""The gateway: Caddy, in front of the pages of the stack, with TLS."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from infra.certificates import Certificates
from infra.container import HealthCheck, ServiceArgs, data_volume, service_container

_CONFIGURATION_FILE = "/etc/caddy/Caddyfile"
_SECRETS = "/run/secrets"
_HEALTH_PORT = 8081
# Files for flows are uploaded through Kestra's page; taxi files of a month have less than this.
# One that says its length is refused at once; of others the rest is not read.
_MAX_BODY = "100MB"
_CONFIGURATION = """\
{{
	admin off
	servers {{
		protocols h1 h2
	}}
}}
http://127.0.0.1:{health_port} {{
	respond "ok"
}}
"""
_SITE = """\
{host} {{
	{tls}
	header Strict-Transport-Security max-age=31536000
	@large header_regexp Content-Length ^[0-9]{{9,}}$
	respond @large 413
	request_body {{
		max_size {max_body}
	}}
	reverse_proxy {upstream}
}}
"""


@dataclass(frozen=True)
class GatewayArgs(ServiceArgs):
    """What the gateway needs.

    Attributes:
        ports: The published ports, from the port in the container to the one on the Docker host.
        pages: Host and port of each page on the stack's network, by the first part of its name.
        certificates: Where its certificate is from, or None for one that it asks Let's Encrypt for.
    """

    ports: Mapping[int, int]
    pages: Mapping[str, str]
    certificates: Certificates | None


class Gateway(pulumi.ComponentResource):
    """A proxy that serves each page under a name of its own, below that of the Docker host."""

    def __init__(
        self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declares the gateway.

        Args:
            name: The logical name, also the alias on the network.
            args: What it needs.
            opts: The resource options.
        """
        super().__init__("podium:infra:Gateway", name, None, opts)
        hosts = {f"{page}.{args.placement.page_host}": page for page in args.pages}
        tls = f"tls {_SECRETS}/{name}.crt {_SECRETS}/{name}.key" if args.certificates else ""
        sites = [
            _SITE.format(host=host, tls=tls, max_body=_MAX_BODY, upstream=args.pages[page])
            for host, page in hosts.items()
        ]
        configuration = _CONFIGURATION.format(health_port=_HEALTH_PORT) + "".join(sites)
        service_container(
            name,
            args,
            parent=self,
            # The image has a Caddy with this capability, which does not start where it is dropped.
            capabilities=("CAP_NET_BIND_SERVICE",),
            uploads=[
                docker.ContainerUploadArgs(file=_CONFIGURATION_FILE, content=configuration),
                *(args.certificates.files(name, [*hosts], _SECRETS) if args.certificates else ()),
            ],
            ports=args.ports,
            # What Let's Encrypt has issued: it does so a few times a week only.
            volumes=[]
            if args.certificates
            else [
                docker.ContainerVolumeArgs(
                    volume_name=data_volume(f"{name}-data", args.placement, parent=self).name,
                    container_path="/data",
                )
            ],
            health=HealthCheck(
                tests=["CMD", "wget", "-q", "-O", "/dev/null", f"http://127.0.0.1:{_HEALTH_PORT}"],
                start_period=10,
                wait_timeout=60,
            ),
        )
        self.register_outputs({})
