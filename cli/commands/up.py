"""`podium up`."""

import errno
import shlex
import socket
import subprocess
from collections.abc import Mapping
from importlib.metadata import version

import click
import pulumi
from pulumi.automation import CommandError, ConfigValue, StackNotFoundError

from cli import offline, setup, stack_settings
from cli.output import console, step
from cli.processes import PROJECT_FOLDER, run_logged
from cli.services import list_containers
from cli.stack import Parts, Stack, cli_message
from cli.update import run_update
from infra.settings import Settings, SettingsError

_PLUGINS = ("docker", "postgresql", "random")


@click.command()
@click.pass_obj
def up(stack: Stack) -> int:
    """Create or update the stack, and set up what it needs."""
    setup.start_docker()
    try:
        parts = stack.parts
    except StackNotFoundError:
        stack_settings.create_stack(stack.name)
        parts = None
    if parts is None:
        settings = _load_settings(stack)
        parts = _choose_parts(stack, settings)
        _configure(stack, parts, settings)
        stack.parts = parts
    else:
        _check_admin_email(stack)
    if parts is Parts.OFFLINE:
        offline.build_images()
    code = run_update(stack, parts, "up", "--skip-preview")
    if code == 0:
        _print_ends(stack, parts)
    return code


def _load_settings(stack: Stack) -> Settings:
    """Validates the configuration before anything is chosen, pulled or built."""
    config = stack.workspace.get_all_config(stack.name)
    pulumi.runtime.configure(pulumi.runtime.Settings(project=stack.project, stack=stack.short_name))
    pulumi.runtime.set_all_config(
        {key: entry.value for key, entry in config.items()},
        [key for key, entry in config.items() if entry.secret],
    )
    try:
        return Settings.load()
    except SettingsError as error:
        raise click.ClickException(stack.with_podium(str(error))) from error


def _check_admin_email(stack: Stack) -> None:
    """Refuses another adminEmail than the one with which pgAdmin's volume was created."""
    login = stack.workspace.stack_outputs(stack.name).get("pgadminUser")
    wanted = stack.workspace.get_all_config(stack.name)[f"{stack.project}:adminEmail"].value
    if login and login.value != wanted:
        container = stack.container_name("pgadmin")
        raise click.ClickException(
            f"adminEmail is {wanted}, but pgAdmin was set up with the login {login.value} and "
            "keeps it; nothing was changed. Set it back:\n"
            f"  {stack.podium} pulumi config set adminEmail {shlex.quote(login.value)}\n"
            "Or set up pgAdmin anew, without what was saved in it:\n"
            f"  docker rm -f {container} && docker volume rm {container}-data && "
            f"{stack.podium} pulumi up --refresh --yes"
        )


def _choose_parts(stack: Stack, settings: Settings) -> Parts:
    """Gets the official plugins and images, and falls back on the offline parts."""
    images = [*settings.images.values()]
    if settings.taxi_folder:
        images.append(settings.files_image)
    # First, because a Docker Engine that does not answer is no reason to go offline.
    missing = [image for image in images if not _has_image(image)]
    try:
        with step("Downloading Pulumi's plugins"):
            for name in _PLUGINS:
                stack.workspace.install_plugin(name, version(f"pulumi-{name}"))
    except CommandError as error:
        reason = cli_message(error).splitlines()[-1]
    else:
        for image in missing:
            try:
                with step(f"Pulling the image {image}"):
                    run_logged("docker-pull", ["docker", "pull", image])
            except click.ClickException:
                reason = f"docker pull {image} failed"
                break
        else:
            return Parts.OFFICIAL
    console.print(
        f"Plugins or images are unavailable ({reason}).\nThe stack uses Podium's offline parts."
    )
    return Parts.OFFLINE


def _has_image(image: str) -> bool:
    command = ["docker", "images", "--quiet", image]
    return bool(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _configure(stack: Stack, parts: Parts, settings: Settings) -> None:
    """Sets what a new stack needs beyond the defaults: free ports, and the offline images."""
    config: dict[str, str] = {}
    if parts is Parts.OFFLINE:
        offline_stack = offline.load_stack()
        config |= offline_stack.config
        if settings.taxi_folder is None:
            folder = offline_stack.taxi_folder
            (PROJECT_FOLDER / folder).mkdir(parents=True, exist_ok=True)
            config["taxiSource"] = folder
            console.print(f"Put the taxi files into {folder}, or set taxiSource to their folder.")
    for key, port in _free_ports(settings.bind_address, settings.ports).items():
        if port != (wanted := settings.ports[key]):
            console.print(f"Port {wanted} is taken on this machine: {key} is {port}.")
            config[key] = str(port)
    if config:
        values = {key: ConfigValue(value) for key, value in config.items()}
        stack.workspace.set_all_config(stack.name, values)


def _free_ports(address: str, wanted: Mapping[str, int]) -> dict[str, int]:
    """Returns for each port itself or the next one that is free and not wanted by another."""
    chosen: dict[str, int] = {}
    for key, port in wanted.items():
        others = set(wanted.values()) - {port} | set(chosen.values())
        candidates = (item for item in range(port, 65536) if item not in others)
        chosen[key] = next((item for item in candidates if _is_free(address, item)), port)
    return chosen


def _is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As Docker does: a port whose last connection is just closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            # Of an address on another Docker host nothing is known here.
            return error.errno != errno.EADDRINUSE
    return True


def _print_ends(stack: Stack, parts: Parts) -> None:
    """Prints where the services answer, and what the user should know of them."""
    outputs = stack.outputs
    console.print(f"\nKestra:    {outputs['kestraUrl']} as {outputs['kestraUser']}")
    console.print(f"pgAdmin:   {outputs['pgadminUrl']} as {outputs['pgadminUser']}")
    console.print(f"Passwords: {stack.podium} urls --show-passwords")
    if parts is Parts.OFFLINE:
        console.print(offline.load_stack().notice)
    for service, container in list_containers(stack).items():
        # `up` compares with its state, not with Docker.
        if container.status != "running":
            console.print(f"{service} is not running: docker start {container.name}")
