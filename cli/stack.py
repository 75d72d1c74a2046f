"""The stack that a command works on."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Any

import click
from pulumi.automation import CommandError, LocalWorkspace, StackNotFoundError

from cli import environment, offline, stack_settings
from cli.processes import PROJECT_FOLDER

DEFAULT_STACK = "dev"
# Under which Pulumi keeps the answer to "which plugins?".
_PARTS_TAG = "podium:parts"
# How Pulumi exports a secret: as JSON in JSON.
_PLAINTEXT = re.compile(r'"plaintext": ("(?:[^"\\]|\\.)*")')


class Parts(StrEnum):
    """Which plugins a stack uses: Pulumi's official ones, or Podium's offline providers."""

    OFFICIAL = "official"
    OFFLINE = "offline"


class Stack:
    """A stack of the project, which need not exist.

    Attributes:
        name: the stack's name.
    """

    def __init__(self, name: str) -> None:
        """Keeps the name; whatever is asked first prepares the environment."""
        self.name = name

    @property
    def podium(self) -> str:
        """The command line on this stack, for messages that say what to run next."""
        return "./podium" if self.name == DEFAULT_STACK else f"./podium --stack {self.name}"

    @cached_property
    def workspace(self) -> LocalWorkspace:
        """The project in Pulumi's Automation API, with the local settings of the stack."""
        environment.prepare()
        # Every flag of the CLI can be given like this; commands without the flag ignore it.
        settings = str(stack_settings.local_file(self.name))
        return LocalWorkspace(
            work_dir=str(PROJECT_FOLDER),
            env_vars={"PULUMI_OPTION_CONFIG_FILE": settings},
        )

    @cached_property
    def project(self) -> str:
        """The project's name, which begins the names of containers."""
        return str(self.workspace.project_settings().name)

    @property
    def short_name(self) -> str:
        """The name without the organization: the program knows no other."""
        return self.name.rpartition("/")[2]

    @property
    def exists(self) -> bool:
        """Whether Pulumi knows the stack."""
        try:
            self.workspace.list_tags(self.name)
        except StackNotFoundError:
            return False
        return True

    @property
    def parts(self) -> Parts | None:
        """Which plugins the stack uses, or None if that is not decided yet.

        Raises:
            StackNotFoundError: there is no such stack.
        """
        tag = self.workspace.list_tags(self.name).get(_PARTS_TAG)
        if tag:
            # Older versions have another word for official.
            return Parts.OFFLINE if tag == Parts.OFFLINE else Parts.OFFICIAL
        # What was created without this command has no tag, and keeps its parts all the same.
        return Parts.OFFICIAL if self.resources else None

    @parts.setter
    def parts(self, parts: Parts) -> None:
        self.workspace.set_tag(self.name, _PARTS_TAG, parts)

    @cached_property
    def _exported(self) -> dict[str, Any]:
        return self.export()

    @property
    def deployment(self) -> dict[str, Any]:
        """The stack's state as Pulumi exports it, with its secrets encrypted."""
        deployment: dict[str, Any] = self._exported["deployment"]
        return deployment

    @property
    def resources(self) -> list[dict[str, Any]]:
        """The resources in the state, each after those on which it depends."""
        resources: list[dict[str, Any]] = self.deployment.setdefault("resources", [])
        return resources

    @property
    def secrets(self) -> set[str]:
        """The secrets in the state that are text."""
        exported = self._run("stack", "export", "--show-secrets")
        values = (json.loads(json.loads(text)) for text in _PLAINTEXT.findall(exported))
        return {value for value in values if isinstance(value, str) and value}

    def save_deployment(self) -> None:
        """Writes the state as `deployment` has it now."""
        self.import_state(self._exported)

    def export(self, *, show_secrets: bool = False) -> dict[str, Any]:
        """Returns the state as Pulumi has it now, its secrets encrypted unless they are shown."""
        options = ["--show-secrets"] if show_secrets else []
        exported: dict[str, Any] = json.loads(self._run("stack", "export", *options))
        return exported

    def import_state(self, exported: Mapping[str, Any]) -> None:
        """Replaces the state by an exported one."""
        self._run("stack", "import", given=json.dumps(exported))

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """The outputs of the stack, secrets included.

        Raises:
            click.ClickException: the stack is not up, or does not exist.
        """
        try:
            outputs = self.read_outputs()
        except subprocess.CalledProcessError as error:
            if "no stack named" not in error.stderr:
                raise
            outputs = {}
        if not outputs:
            raise self.not_up()
        return outputs

    def read_outputs(self) -> dict[str, Any]:
        """Returns the outputs of the stack as they are now, secrets included, or none."""
        # The Automation API asks the CLI twice: what is a secret, and what is in it.
        outputs: dict[str, Any] = json.loads(
            self._run("stack", "output", "--json", "--show-secrets")
        )
        return outputs

    def page_url(self, service: str) -> str:
        """Returns the URL for a browser of the page of a service that is up: kestra or pgadmin."""
        # The state of a stack that was brought up by an older version has one URL for all.
        return str(self.outputs.get(f"{service}Page") or self.outputs[f"{service}Url"])

    def environment(self, parts: Parts | None) -> dict[str, str]:
        """Returns the environment in which the Pulumi CLI works on this stack.

        Args:
            parts: which plugins the stack uses.
        """
        variables = os.environ | self.workspace.env_vars
        # Pulumi uses an executable on PATH instead of a plugin.
        providers = offline.providers_folder()
        folders = [item for item in variables["PATH"].split(os.pathsep) if item != providers]
        first = [providers] if parts is Parts.OFFLINE else []
        return variables | {"PATH": os.pathsep.join([*first, *folders])}

    def _run(self, *arguments: str, given: str | None = None) -> str:
        """Runs the Pulumi CLI on this stack and returns what it prints."""
        return subprocess.run(
            ["pulumi", *arguments, "--stack", self.name],
            cwd=PROJECT_FOLDER,
            env=os.environ | self.workspace.env_vars,
            input=given,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def with_podium(self, message: str) -> str:
        """Returns a message of the program whose fixes are commands of Podium, to be typed."""
        return message.replace("  pulumi config", f"  {self.podium} pulumi config")

    def not_up(self) -> click.ClickException:
        """Returns the error of a command that needs a stack that is up."""
        return click.ClickException(f"Stack {self.name} is not up: {self.podium} up")

    def container_name(self, service: str) -> str:
        """Returns the name of the container of a service, such as podium-dev-postgres."""
        return f"{self.project}-{self.short_name}-{service}"


def cli_message(error: CommandError) -> str:
    """Returns what the CLI printed; the error's own text has its exit code and output before it."""
    message = str(error).partition("\n stderr: ")[2].strip() or str(error)
    return message.removeprefix("error: ")
