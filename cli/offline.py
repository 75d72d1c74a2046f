"""The only module that uses offline/: its executable `setup` and its data file `stack.yaml`."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from cli.output import cache_folder

if TYPE_CHECKING:
    from offline.kestra.engine import Engine as Engine
    from offline.kestra.engine import Execution as Execution

FOLDER = Path(__file__).parents[1] / "offline"


@dataclass(frozen=True)
class OfflineStack:
    """What a stack of offline parts needs.

    Attributes:
        config: its settings beyond the defaults, such as the images.
        images: all images that can be built here, those of other versions too.
        notice: one sentence on what is official in such a stack and what is Podium's own.
    """

    config: Mapping[str, str]
    images: frozenset[str]
    notice: str

    def images_of(self, settings: Mapping[str, Any]) -> list[str]:
        """Returns the images among a stack's settings that are built here.

        Args:
            settings: the stack's settings by their keys.
        """
        return [settings[key] for key in self.config if settings.get(key) in self.images]


def load_stack() -> OfflineStack:
    """Reads `offline/stack.yaml`."""
    content = yaml.safe_load((FOLDER / "stack.yaml").read_text())
    config = content["config"]
    images = {value for key, value in config.items() if key.endswith("Image")}
    return OfflineStack(config, frozenset(images | {*content["otherImages"]}), content["notice"])


def providers_folder() -> str:
    """Returns the folder that makes Pulumi use the offline providers when it is on PATH."""
    return _setup("path")


def has_engine() -> bool:
    """Returns whether this machine has built the Pulumi CLI, perhaps an older one, before."""
    return any(cache_folder().glob("engine-*/bin"))


def build_engine() -> Path:
    """Builds the Pulumi CLI where it is missing, and returns its folder."""
    return Path(_setup("engine"))


def build_images(images: Sequence[str]) -> None:
    """Builds those of these images that are missing.

    Args:
        images: their references, such as podium-offline/nginx:1.
    """
    if images:
        _setup("images", *(image.rpartition("/")[2] for image in images))


def engine_releases() -> tuple[str, ...]:
    """Returns the releases of Kestra whose engine runs in process, the newest first."""
    from offline.kestra.engine import RELEASES

    return RELEASES


@contextmanager
def running_engine(
    release: str, variables: Mapping[str, str], secrets: Mapping[str, str]
) -> "Iterator[Engine]":
    """Runs Kestra's own engine in a process that ends with the block.

    Args:
        release: one of `engine_releases`.
        variables: what flows see as `globals`.
        secrets: what flows see by `secret('NAME')`.

    Raises:
        click.ClickException: the engine cannot be set up.
    """
    # Other commands need not wait for these imports.
    from offline.kestra.engine import SetupError, running

    click.echo(f"Starting the engine of Kestra {release} ...", err=True)
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(running(release, variables, secrets))
        except SetupError as error:
            raise click.ClickException(str(error)) from error
        yield engine


def _setup(*command: str) -> str:
    """Runs a command of `offline/setup`, which prints its progress and its errors on stderr."""
    result = subprocess.run(
        [str(FOLDER / "setup"), *command], stdout=subprocess.PIPE, text=True, check=False
    )
    if result.returncode:
        raise click.exceptions.Exit(result.returncode)
    return result.stdout.strip()
