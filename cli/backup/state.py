"""The Pulumi state of a backup: what of it belongs to a restored stack, and its passphrase."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import yaml

from cli import environment
from cli.processes import PROJECT_FOLDER

_GENERATED = "random:"
_GENERATOR = "pulumi:providers:random"
_ROOT = "pulumi:pulumi:Stack"


def generated_secrets(exported: Mapping[str, Any], project: str, old: str, new: str) -> Any:
    """Returns a state with nothing but the passwords and keys that were generated.

    `up` creates everything else, and the roles with these passwords.

    Args:
        exported: the state as `pulumi stack export` prints it.
        project: the project's name.
        old: the name of the stack that it is of.
        new: the name of the stack that it will be of.
    """
    # The name is in the URN of each resource, and in the name of the root resource.
    text = json.dumps(exported)
    text = text.replace(f'"urn:pulumi:{old}::{project}::', f'"urn:pulumi:{new}::{project}::')
    text = text.replace(f'::{_ROOT}::{project}-{old}"', f'::{_ROOT}::{project}-{new}"')
    state = json.loads(text)
    resources = {item["urn"]: item for item in state["deployment"]["resources"]}
    kept: set[str] = set()
    for urn, item in resources.items():
        if item["type"].startswith((_GENERATED, _GENERATOR)):
            while urn and urn not in kept:
                kept.add(urn)
                urn = resources[urn].get("parent", "")
    state["deployment"]["resources"] = [
        # What a component and the stack gave is what the next `up` computes.
        item if item["custom"] else {key: item[key] for key in item if key != "outputs"}
        for urn, item in resources.items()
        if urn in kept
    ]
    state["deployment"].pop("pending_operations", None)
    return state


def check_passphrase(settings: Mapping[str, Any], state: Any, stack: str) -> None:
    """Decrypts state and settings in a folder that is deleted afterwards.

    Args:
        settings: the content of the settings file.
        state: the state as it will be imported.
        stack: the name of the stack that it is of.

    Raises:
        click.ClickException: the passphrase is another one, or the state is not valid.
    """
    environment.prepare()
    with TemporaryDirectory() as name:
        folder, backend = Path(name) / "project", Path(name) / "backend"
        folder.mkdir()
        backend.mkdir()
        shutil.copy(PROJECT_FOLDER / "Pulumi.yaml", folder)
        (folder / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump(dict(settings)))
        variables = os.environ | {"PULUMI_BACKEND_URL": backend.as_uri()}
        for command, given in (
            (("init", "--non-interactive"), None),
            (("import",), json.dumps(state)),
            (("export", "--show-secrets"), None),
        ):
            result = subprocess.run(
                ["pulumi", "stack", *command, "--stack", stack],
                cwd=folder,
                env=variables,
                input=given,
                capture_output=True,
                text=True,
                check=False,
            )
            if result.returncode:
                raise _refusal(result.stderr)


def _refusal(message: str) -> click.ClickException:
    if "passphrase" in message:
        return click.ClickException(
            "The passphrase is not the one that encrypted the secrets of this backup; nothing was "
            "changed. Set PULUMI_CONFIG_PASSPHRASE to the passphrase of that stack, or write it to "
            "~/.config/podium/passphrase."
        )
    return click.ClickException(
        f"The state of this backup is refused by Pulumi; nothing was changed: {message.strip()}"
    )
