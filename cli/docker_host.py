"""The Docker host: this machine, or another one."""

import os
from urllib.parse import urlsplit

import click
from docker import ContextAPI

from infra.settings import Settings

_LOCAL_SCHEMES = ("", "unix", "npipe")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def use_context() -> None:
    """Lets everything use the host of a Docker context that is another machine.

    Docker's library for Python and Pulumi's plugin know DOCKER_HOST only, which counts more.
    """
    if not os.environ.get("DOCKER_HOST"):
        context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT"))
        if context and context.Host and _is_remote(context.Host):
            os.environ["DOCKER_HOST"] = context.Host


def remote_host() -> str | None:
    """Returns the URL of the Docker host, or None where it is this machine."""
    url = os.environ.get("DOCKER_HOST", "")
    return url if _is_remote(url) else None


def _is_remote(url: str) -> bool:
    parts = urlsplit(url)
    # What the library has for the socket of this machine is "http+unix".
    return parts.scheme.removeprefix("http+") not in _LOCAL_SCHEMES and (
        parts.hostname not in _LOOPBACK
    )


def check_remote_host(settings: Settings, podium: str) -> None:
    """Refuses settings with which services on another machine cannot be reached from here.

    Args:
        settings: The stack's settings.
        podium: The command line on the stack, for the fix.

    Raises:
        click.ClickException: The host is another one, and its ports are on loopback only.
    """
    host = remote_host()
    if host and settings.gateway_ports:
        raise click.ClickException(
            f"tls is {settings.tls}, with which only the Docker host itself reaches Kestra's port, "
            f"but that is {host}. Run Podium there; or {podium} pulumi config set tls off"
        )
    if host and settings.host_name == "localhost":
        raise click.ClickException(
            f"hostName is localhost, but the Docker host is {host}. Set the name by which you "
            f"reach it: {podium} pulumi config set hostName <name>"
        )
