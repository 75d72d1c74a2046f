"""Brings a stack up or takes it away: `python -m scripts.stack up|down --stack NAME`."""

import argparse
import socket
import subprocess
import sys
from importlib.metadata import version

import docker
import pulumi
import yaml
from docker.errors import DockerException

from infra.settings import Settings, SettingsError
from scripts.pulumi_cli import PROJECT_FOLDER, Parts, PulumiError, PulumiStack, install_plugin

_PLUGINS = ("docker", "postgresql", "random")
_PORTS = ("postgresPort", "kestraPort", "kestraManagementPort", "pgadminPort")
_TAXI_FOLDER = "data/taxi"
_OFFLINE_CONFIG = {
    "registryPrefix": "",
    "postgresImage": "podium-offline/postgres:15",
    "kestraImage": "podium-offline/kestra-stand-in:v1.3.34",
    "pgadminImage": "podium-offline/pgadmin4:9",
    "filesImage": "podium-offline/nginx:1.22",
    "notice": (
        "Offline parts: Kestra is Podium's stand-in, not Kestra itself; PostgreSQL, pgAdmin and "
        "nginx are built from packages; the providers are Podium's drivers."
    ),
}


def main() -> int:
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts.stack", description=__doc__)
    parser.add_argument("command", choices=("up", "down"))
    parser.add_argument("--stack", default="dev", help="the stack's name (dev)")
    arguments = parser.parse_args()
    stack = PulumiStack(arguments.stack)
    try:
        return up(stack) if arguments.command == "up" else down(stack)
    except (PulumiError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1


def up(stack: PulumiStack) -> int:
    """Brings the stack up, and makes it first where it is new.

    Raises:
        PulumiError: the Pulumi CLI failed.
        SettingsError: the stack's configuration is wrong; nothing was changed.
    """
    count = stack.resource_count()
    if count is None:
        stack.create()
    settings = _settings(stack)
    parts = stack.parts()
    if parts is None:
        # What was brought up without this command has no tag, and keeps its parts all the same.
        parts = Parts.GENUINE if count else _choose_parts(settings)
        if not count:
            _prepare(stack, parts, settings)
        stack.remember(parts)
    if parts is Parts.OFFLINE:
        subprocess.run([PROJECT_FOLDER / "offline/images/build.sh"], check=True)
    if code := stack.run(parts, "up"):
        return code
    outputs = stack.outputs()
    print(f"\nKestra:  {outputs['kestraUrl']} as {outputs['kestraUser']}")
    print(f"pgAdmin: {outputs['pgadminUrl']} as {outputs['pgadminUser']}")
    print(f"The passwords: pulumi stack output --show-secrets --stack {stack.name}")
    if parts is Parts.OFFLINE:
        print(f"In this shell first: . scripts/env.sh {parts}\n\n{_OFFLINE_CONFIG['notice']}")
    return 0


def down(stack: PulumiStack) -> int:
    """Destroys everything that the stack holds.

    Raises:
        PulumiError: the Pulumi CLI failed.
    """
    if stack.resource_count() is None:
        print(f"There is no stack {stack.name}: nothing to take away.")
        return 0
    return stack.run(stack.parts() or Parts.GENUINE, "destroy")


def _settings(stack: PulumiStack) -> Settings:
    """Validates the configuration before anything is pulled, built or chosen."""
    config = stack.config()
    project = yaml.safe_load((PROJECT_FOLDER / "Pulumi.yaml").read_text())["name"]
    pulumi.runtime.configure(pulumi.runtime.Settings(project=project, stack=stack.name))
    pulumi.runtime.set_all_config(
        {key: entry.get("value", "") for key, entry in config.items()},
        [key for key, entry in config.items() if entry["secret"]],
    )
    return Settings.load()


def _choose_parts(settings: Settings) -> Parts:
    """Finds out whether the genuine plugins and images can be had here."""
    print("New stack: looking for Pulumi's plugins and the images.")
    images = [settings.postgres_image, settings.kestra_image, settings.pgadmin_image]
    try:
        for name in _PLUGINS:
            install_plugin(name, version(f"pulumi-{name}"))
        client = docker.from_env()
        for image in images:
            if not client.images.list(image):
                client.images.pull(image)
    except (PulumiError, DockerException) as error:
        reason = str(error).splitlines()[-1]
        print(f"They cannot be had here ({reason}).\nThe stack uses Podium's offline parts.")
        return Parts.OFFLINE
    return Parts.GENUINE


def _prepare(stack: PulumiStack, parts: Parts, settings: Settings) -> None:
    """Writes what a new stack needs beyond the defaults: free ports, and the offline images."""
    config: dict[str, str] = {}
    if parts is Parts.OFFLINE:
        config |= _OFFLINE_CONFIG
        if settings.taxi_folder is None:
            (PROJECT_FOLDER / _TAXI_FOLDER).mkdir(parents=True, exist_ok=True)
            config["taxiSource"] = _TAXI_FOLDER
            print(f"Put the taxi files into {_TAXI_FOLDER}, or set taxiSource to their folder.")
    wanted = (
        settings.postgres_port,
        settings.kestra_port,
        settings.kestra_management_port,
        settings.pgadmin_port,
    )
    free = _free_ports(settings.bind_address, wanted)
    for key, port, free_port in zip(_PORTS, wanted, free, strict=True):
        if free_port != port:
            print(f"Port {port} is taken on this machine: {key} is {free_port} for this stack.")
            config[key] = str(free_port)
    if config:
        stack.set_config(config)


def _free_ports(address: str, wanted: tuple[int, ...]) -> list[int]:
    """Returns for each port itself or the next one that is free and not wanted by another."""
    chosen: list[int] = []
    for port in wanted:
        others = set(wanted) - {port} | set(chosen)
        candidates = (item for item in range(port, 65536) if item not in others)
        chosen.append(next((item for item in candidates if _is_free(address, item)), port))
    return chosen


def _is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As Docker does: a port whose last connection is just closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
