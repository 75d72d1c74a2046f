"""`podium up`."""

import shlex
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import click
import pulumi
from pulumi.automation import CommandError, ConfigValue, StackNotFoundError

from cli import offline, ports, setup, stack_settings
from cli.docker_host import check_remote_host
from cli.health import HealthWatch
from cli.logins import repair_logins, repair_superuser
from cli.output import console, step
from cli.processes import run_logged
from cli.releases import check_releases
from cli.repair import repair
from cli.services import health_of, list_containers
from cli.stack import Parts, Stack, cli_message
from cli.update import run_update
from infra.settings import SAMPLE, Settings, SettingsError

_PLUGINS = ("docker", "postgresql", "random")
# Another program may take a port after it was chosen, but hardly three times.
_ATTEMPTS = 3
_PORT_HINT = """\
Another program is using a port of {service}: free it, or choose another one:
{podium} pulumi config set {service}Port <port>; then {podium} up"""


@click.command()
@click.pass_obj
def up(stack: Stack) -> int:
    """Create or update the stack, and set up what it needs."""
    return bring_up(stack)


def bring_up(stack: Stack) -> int:
    """Creates or updates a stack before the user's eyes, and returns the exit code."""
    setup.start_docker()
    try:
        parts = stack.parts
    except StackNotFoundError:
        stack_settings.create_stack(stack.name)
        parts = None
    is_new = parts is None
    before: dict[str, Any] = {}
    if parts is None:
        parts = choose_parts(stack)
    else:
        settings = load_settings(stack)
        before = stack.read_outputs()
        _check_admin_email(stack, before, settings.admin_email)
        check_releases(stack, settings)
        if settings.gateway_ports:
            # It may be the first `up` with a gateway.
            images = {"gatewayImage": settings.gateway_image}
            configure(stack, _available_images(stack, images))
        if settings.postgres_password:
            before["postgresPassword"] = settings.postgres_password
    chosen = stack_settings.load(stack.name)
    offline_stack = offline.load_stack()
    offline_images = offline_stack.images_of(chosen)
    offline.build_images(offline_images)
    repair(stack, parts)
    if before and _is_healthy(stack, "postgres"):
        repair_superuser(stack, before)
    with HealthWatch(stack) as health:
        for _ in range(_ATTEMPTS):
            code, services = run_update(stack, parts, "up", "--skip-preview")
            if not (is_new and services):
                break
            # The ports of the other services are taken by this stack itself.
            settings = load_settings(stack)
            _choose_ports(
                stack, settings, [key for key in settings.ports if key.startswith(tuple(services))]
            )
        if code == 0:
            health.wait_until_steady()
        else:
            health.print_logs()
    for service in services:
        click.echo(_PORT_HINT.format(service=service, podium=stack.podium), err=True)
    if code == 0:
        repair_logins(stack)
        _print_ends(stack)
        if parts is Parts.OFFLINE or offline_images:
            console.print(offline_stack.notice)
    return code


def choose_parts(stack: Stack) -> Parts:
    """Chooses plugins, images and ports of a stack that has nothing yet.

    Raises:
        click.ClickException: a setting is invalid, or an image that the user has set unavailable.
    """
    settings = load_settings(stack)
    parts = _choose_plugins(stack)
    configure(stack, _choose_images(stack, parts, settings))
    _choose_ports(stack, settings, settings.ports)
    stack.parts = parts
    return parts


def _is_healthy(stack: Stack, service: str) -> bool:
    container = list_containers(stack).get(service)
    return container is not None and health_of(container) == "healthy"


def load_settings(stack: Stack, **changes: str) -> Settings:
    """Validates the configuration before anything is chosen, pulled or built.

    Args:
        stack: the stack.
        changes: settings that are to have another value.
    """
    config = dict(stack.workspace.get_all_config(stack.name))
    config |= {f"{stack.project}:{key}": ConfigValue(value) for key, value in changes.items()}
    pulumi.runtime.configure(pulumi.runtime.Settings(project=stack.project, stack=stack.short_name))
    pulumi.runtime.set_all_config(
        {key: entry.value for key, entry in config.items()},
        [key for key, entry in config.items() if entry.secret],
    )
    try:
        settings = Settings.load()
    except SettingsError as error:
        raise click.ClickException(stack.with_podium(str(error))) from error
    check_remote_host(settings, stack.podium)
    return settings


def _check_admin_email(stack: Stack, outputs: Mapping[str, Any], wanted: str) -> None:
    """Refuses another adminEmail than the one with which pgAdmin's volume was created."""
    login = outputs.get("pgadminUser")
    if login and login != wanted:
        container = stack.container_name("pgadmin")
        raise click.ClickException(
            f"adminEmail is {wanted}, but pgAdmin was set up with the login {login} and "
            "keeps it; nothing was changed. Set it back:\n"
            f"  {stack.podium} pulumi config set adminEmail {shlex.quote(login)}\n"
            "Or set up pgAdmin anew, without what was saved in it:\n"
            f"  docker rm -f {container} && docker volume rm {container}-data && "
            f"{stack.podium} pulumi up --refresh --yes"
        )


def _choose_plugins(stack: Stack) -> Parts:
    """Installs Pulumi's official plugins, and chooses the offline providers where that fails."""
    try:
        with step("Downloading Pulumi's plugins"):
            for name in _PLUGINS:
                stack.workspace.install_plugin(name, version(f"pulumi-{name}"))
    except CommandError as error:
        reason = cli_message(error).splitlines()[-1]
        console.print(f"Pulumi's plugins are unavailable ({reason}): offline providers are used.")
        return Parts.OFFLINE
    return Parts.OFFICIAL


def _choose_images(stack: Stack, parts: Parts, settings: Settings) -> dict[str, str]:
    """Pulls the images that are missing, and chooses offline images where that fails.

    Returns:
        The settings that differ from the defaults.

    Raises:
        click.ClickException: an image that the user has set is unavailable.
    """
    images = {f"{service}Image": image for service, image in settings.images.items()}
    if settings.gateway_ports:
        images["gatewayImage"] = settings.gateway_image
    config = _available_images(stack, images)
    if (parts is Parts.OFFLINE or config) and settings.taxi_folder is None:
        config["taxiSource"] = SAMPLE
        console.print("Made-up taxi files are used: set taxiSource to the folder of real ones.")
    if settings.taxi_folder or "taxiSource" in config:
        images["filesImage"] = settings.files_image
        config |= _available_images(stack, {"filesImage": settings.files_image})
    if settings.registry_prefix and config.keys() & images.keys():
        # No mirror has the offline images.
        config = images | config | {"registryPrefix": ""}
    return config


def _available_images(stack: Stack, images: Mapping[str, str]) -> dict[str, str]:
    """Pulls those of these images that are missing.

    Args:
        stack: The stack.
        images: The images by their keys, such as kestraImage.

    Returns:
        The keys of those that are unavailable, with the offline images to use.

    Raises:
        click.ClickException: an image that the user has set is unavailable.
    """
    offline_stack = offline.load_stack()
    set_by_user = stack_settings.load(stack.name)
    config: dict[str, str] = {}
    for key, image in images.items():
        if image in offline_stack.images or is_available(image):
            continue
        if key in set_by_user:
            raise click.ClickException(
                f"{stack.project}:{key} = {image} is neither on this machine nor can it be pulled. "
                f"Pull or load it, or use the default: {stack.podium} pulumi config rm {key}"
            )
        config[key] = offline_stack.config[key]
        console.print(f"The image {image} is unavailable: {config[key]} is used.")
    return config


def is_available(image: str) -> bool:
    """Returns whether an image is on this machine, pulled if it is not."""
    command = ["docker", "images", "--quiet", image]
    if subprocess.run(command, check=True, capture_output=True, text=True).stdout:
        return True
    try:
        with step(f"Pulling the image {image}"):
            run_logged("docker-pull", ["docker", "pull", image])
    except click.ClickException:
        return False
    return True


def _choose_ports(stack: Stack, settings: Settings, keys: Iterable[str]) -> None:
    """Sets those ports of a new stack that are taken to the next free ones."""
    config = {}
    wanted = settings.ports
    with ports.reserving():
        for key, port in ports.choose(stack, settings.bind_address, wanted, keys).items():
            if port != wanted[key]:
                console.print(f"Port {wanted[key]} is taken on this machine: {key} is {port}.")
                config[key] = str(port)
        configure(stack, config)


def configure(stack: Stack, config: Mapping[str, str]) -> None:
    """Sets settings of a stack."""
    if config:
        values = {key: ConfigValue(value) for key, value in config.items()}
        stack.workspace.set_all_config(stack.name, values)


def _print_ends(stack: Stack) -> None:
    """Prints where the services answer, and which do not."""
    outputs = stack.outputs
    console.print(f"\nKestra:    {stack.page_url('kestra')} as {outputs['kestraUser']}")
    console.print(f"pgAdmin:   {stack.page_url('pgadmin')} as {outputs['pgadminUser']}")
    console.print(f"Passwords: {stack.podium} urls --show-passwords")
    for service, container in list_containers(stack).items():
        if container.status != "running":
            console.print(f"{service} is not running: {stack.podium} logs {service}")
