"""A stack's settings on this machine: the shared ones, and what `up` or the user decided here.

`Pulumi.<stack>.yaml` is the file that may be shared in Git, and nothing here writes to it. Pulumi
reads and writes a local copy instead. A value that changes in the shared file reaches the copy
unless it was changed there too; one that disappears there stays in the copy.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import yaml
from pulumi.automation import LocalWorkspace

from cli import environment
from cli.processes import PROJECT_FOLDER

_FOLDER = ".podium"
_SALT = "encryptionsalt"


def local_file(stack: str) -> Path:
    """Returns the local settings file of a stack, up to date with the shared one."""
    path = _path(stack)
    shared_path = PROJECT_FOLDER / path.name
    seen_path = path.with_suffix(".shared")
    shared, seen, local = _load(shared_path), _load(seen_path), _load(path)
    if shared == seen and (path.exists() or not shared_path.exists()):
        return path
    settings, before = local["config"], seen["config"]
    is_encrypted = any(map(_is_secret, settings.values()))
    added = {
        key: value
        for key, value in shared["config"].items()
        if key not in settings or settings[key] == before.get(key)
    }
    secrets = [key for key, value in added.items() if _is_secret(value)]
    if is_encrypted and secrets and shared.get(_SALT) != local.get(_SALT):
        raise click.ClickException(
            f"{shared_path.name} has secrets that were encrypted with another passphrase than "
            f"those in {path}: {', '.join(secrets)}. Delete them there and set them with "
            f"./podium --stack {stack} pulumi config set --secret <key>"
        )
    path.parent.mkdir(exist_ok=True)
    # The salt, for one, has to fit the encrypted values of this machine.
    rest = shared | local if is_encrypted else local | shared
    path.write_text(yaml.safe_dump(rest | {"config": settings | added}))
    seen_path.write_text(yaml.safe_dump(shared))
    return path


def load(stack: str) -> dict[str, Any]:
    """Returns the settings of a stack that the user or `up` has set, encrypted ones too."""
    return _by_key(local_file(stack))


def load_others(stack: str) -> list[dict[str, Any]]:
    """Returns all settings of each other stack of this project, defaults included."""
    defaults, own = load_defaults(), _path(stack)
    return [defaults | _by_key(path) for path in own.parent.glob("Pulumi.*.yaml") if path != own]


def read_setting(stack: str, key: str) -> str:
    """Returns a setting of a stack that may not exist yet, from the files, without the Pulumi CLI.

    Args:
        stack: the stack.
        key: the setting, which is no secret.
    """
    path = _path(stack)
    return str((load_defaults() | _by_key(PROJECT_FOLDER / path.name) | _by_key(path))[key])


def create_stack(stack: str, content: Mapping[str, Any] | None = None) -> None:
    """Creates a stack that does not exist.

    `pulumi stack init` always writes to the stack's file beside Pulumi.yaml, which is why it gets a
    folder of its own.

    Args:
        stack: the stack.
        content: the content of its local file; what is shared where None.

    Raises:
        CommandError: the Pulumi CLI failed.
    """
    environment.prepare()
    delete_local_file(stack)
    path = local_file(stack)
    with TemporaryDirectory() as folder:
        settings = Path(folder) / path.name
        shutil.copy(PROJECT_FOLDER / "Pulumi.yaml", folder)
        settings.write_text(yaml.safe_dump(dict(content or _load(path))))
        LocalWorkspace(work_dir=folder).create_stack(stack)
        path.parent.mkdir(exist_ok=True)
        shutil.copy(settings, path)


def replace(stack: str, content: Mapping[str, Any]) -> None:
    """Replaces the content of the local file of a stack that exists."""
    # What is shared has been seen then, and does not come back.
    path = local_file(stack)
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(dict(content)))


def delete_local_file(stack: str) -> None:
    """Forgets what was decided on this machine for a stack."""
    path = _path(stack)
    path.unlink(missing_ok=True)
    path.with_suffix(".shared").unlink(missing_ok=True)


def _path(stack: str) -> Path:
    """Returns the local file; Pulumi leaves out the organization in its name too."""
    return PROJECT_FOLDER / _FOLDER / f"Pulumi.{stack.rpartition('/')[2]}.yaml"


def _load(path: Path) -> dict[str, Any]:
    """Returns the content of a file with settings, which need not exist."""
    try:
        content = (yaml.safe_load(path.read_text()) if path.exists() else None) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}. Fix or delete it.") from error
    settings = content.get("config") or {} if isinstance(content, dict) else None
    if not isinstance(settings, dict):
        raise click.ClickException(f"{path} has no mapping of settings below config: fix it.")
    return {**content, "config": settings}


def load_defaults() -> dict[str, Any]:
    """Returns the defaults of all settings."""
    declared = _load(PROJECT_FOLDER / "Pulumi.yaml")["config"]
    return {key: entry["default"] for key, entry in declared.items()}


def _by_key(path: Path) -> dict[str, Any]:
    """Returns the settings in a file by their keys without the project's name."""
    return {key.rpartition(":")[2]: value for key, value in _load(path)["config"].items()}


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and "secure" in value
