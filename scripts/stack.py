"""Brings a stack up or takes it away: `python -m scripts.stack up|down --stack NAME`."""

import argparse
import errno
import os
import socket
import subprocess
import sys
from enum import StrEnum
from importlib.metadata import version

import pulumi
from pulumi.automation import CommandError, ConfigValue, LocalWorkspace, StackNotFoundError

from infra.settings import Settings, SettingsError
from scripts.pulumi_cli import PROJECT_FOLDER, cli_message, project_workspace

_PLUGINS = ("docker", "postgresql", "random")
# An executable on PATH is used as it is instead of a plugin.
_DRIVERS = PROJECT_FOLDER / "offline/bin"
# The stack keeps its answer to "which parts?" as a tag.
_PARTS_TAG = "podium:parts"
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


class Parts(StrEnum):
    """What a stack is made of: Pulumi's plugins and public images, or Podium's offline parts."""

    GENUINE = "genuine"
    OFFLINE = "offline"


def main() -> int:
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts.stack", description=__doc__)
    parser.add_argument("command", choices=("up", "down"))
    parser.add_argument("--stack", default="dev", help="the stack's name (dev)")
    arguments = parser.parse_args()
    with project_workspace() as workspace:
        command = up if arguments.command == "up" else down
        return command(workspace, arguments.stack)


def up(workspace: LocalWorkspace, stack: str) -> int:
    """Brings the stack up, and makes it first where it is new.

    Args:
        workspace: the project.
        stack: the stack's name.

    Returns:
        The exit code of the first command that failed, or 0.

    Raises:
        CommandError: the Pulumi CLI failed.
        subprocess.CalledProcessError: the Docker Engine does not answer.
        SystemExit: the configuration of a new stack is wrong.
    """
    try:
        parts = _parts(workspace, stack)
    except StackNotFoundError:
        workspace.create_stack(stack)
        parts = None
    if parts is None:
        settings = _settings(workspace, stack)
        parts = _choose_parts(workspace, settings)
        _prepare(workspace, stack, parts, settings)
        workspace.set_tag(stack, _PARTS_TAG, parts)
    if parts is Parts.OFFLINE and (code := _run(str(PROJECT_FOLDER / "offline/images/build.sh"))):
        return code
    if code := _run_pulumi(parts, "up", "--stack", stack, "--yes", "--skip-preview"):
        return code
    outputs = {name: output.value for name, output in workspace.stack_outputs(stack).items()}
    print(f"\nKestra:    {outputs['kestraUrl']} as {outputs['kestraUser']}")
    print(f"pgAdmin:   {outputs['pgadminUrl']} as {outputs['pgadminUser']}")
    print(
        f"Passwords: . scripts/env.sh {parts} && pulumi stack output --show-secrets --stack {stack}"
    )
    if "notice" in outputs:
        print(outputs["notice"])
    return 0


def down(workspace: LocalWorkspace, stack: str) -> int:
    """Destroys everything that the stack holds.

    Args:
        workspace: the project.
        stack: the stack's name.

    Returns:
        The exit code of the Pulumi CLI; 0 where there is no such stack.

    Raises:
        CommandError: the Pulumi CLI failed before that.
    """
    try:
        parts = _parts(workspace, stack)
    except StackNotFoundError:
        print(f"There is no stack {stack}: nothing to take away.")
        return 0
    # Its preview finds protected volumes before anything is destroyed.
    return _run_pulumi(parts or Parts.GENUINE, "destroy", "--stack", stack, "--yes")


def _parts(workspace: LocalWorkspace, stack: str) -> Parts | None:
    """Returns what the stack is made of, or None where that is not decided yet."""
    if tag := workspace.list_tags(stack).get(_PARTS_TAG):
        return Parts(tag)
    # What was brought up without this command has no tag, and keeps its parts all the same.
    deployment = workspace.export_stack(stack).deployment or {}
    return Parts.GENUINE if deployment.get("resources") else None


def _settings(workspace: LocalWorkspace, stack: str) -> Settings:
    """Validates the configuration before anything is chosen, pulled or built."""
    config = workspace.get_all_config(stack)
    project = workspace.project_settings().name
    pulumi.runtime.configure(pulumi.runtime.Settings(project=project, stack=stack))
    pulumi.runtime.set_all_config(
        {key: entry.value for key, entry in config.items()},
        [key for key, entry in config.items() if entry.secret],
    )
    try:
        return Settings.load()
    except SettingsError as error:
        sys.exit(str(error))


def _choose_parts(workspace: LocalWorkspace, settings: Settings) -> Parts:
    """Gets the genuine plugins and images, and falls back on the offline parts."""
    print("New stack: looking for Pulumi's plugins and the images.", flush=True)
    images = [settings.postgres_image, settings.kestra_image, settings.pgadmin_image]
    if settings.taxi_folder:
        images.append(settings.files_image)
    # First, because a Docker Engine that does not answer is no reason to go offline.
    missing = [image for image in images if not _has_image(image)]
    try:
        for name in _PLUGINS:
            workspace.install_plugin(name, version(f"pulumi-{name}"))
    except CommandError as error:
        reason = cli_message(error).splitlines()[-1]
    else:
        refused = next((image for image in missing if _run("docker", "pull", image)), None)
        if refused is None:
            return Parts.GENUINE
        reason = f"docker pull {refused} failed"
    print(f"They cannot be had here ({reason}).\nThe stack uses Podium's offline parts.")
    return Parts.OFFLINE


def _has_image(image: str) -> bool:
    command = ["docker", "images", "--quiet", image]
    return bool(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _prepare(workspace: LocalWorkspace, stack: str, parts: Parts, settings: Settings) -> None:
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
        workspace.set_all_config(stack, {key: ConfigValue(value) for key, value in config.items()})


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
        except OSError as error:
            # Of an address on another Docker host nothing can be told from here.
            return error.errno != errno.EADDRINUSE
    return True


def _run_pulumi(parts: Parts, *arguments: str) -> int:
    path = os.environ["PATH"]
    if parts is Parts.OFFLINE:
        path = f"{_DRIVERS}{os.pathsep}{path}"
    return _run("pulumi", *arguments, environment={**os.environ, "PATH": path})


def _run(*command: str, environment: dict[str, str] | None = None) -> int:
    """Runs a command before the user's eyes and returns its exit code."""
    # What was printed so far comes before what the command prints.
    sys.stdout.flush()
    with subprocess.Popen(command, cwd=PROJECT_FOLDER, env=environment) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The command got Ctrl-C too; Pulumi then finishes what it began and keeps the state.
            process.wait()
            raise


if __name__ == "__main__":
    sys.exit(main())
