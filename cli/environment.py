"""The environment of everything that the command line runs: Pulumi's CLI, passphrase and login."""

import json
import os
import re
import secrets
import shutil
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

import httpx

from cli import offline
from cli.docker_host import use_context
from cli.output import step
from cli.processes import PROJECT_FOLDER, run_logged

_INSTALLER = "https://get.pulumi.com"


@cache
def prepare() -> None:
    """Prepares this process's environment, which all that it runs inherits.

    A passphrase, a backend and a Pulumi CLI that the user has are kept.

    Raises:
        click.ClickException: there is no Pulumi CLI, and none could be installed or built.
    """
    use_context()
    environment = os.environ
    environment["PODIUM_PYTHON"] = str(PROJECT_FOLDER / ".venv/bin/python")
    environment["PULUMI_SKIP_UPDATE_CHECK"] = "true"
    # Beside the passphrase, even if the user's home in the system is another folder.
    environment.setdefault("PULUMI_HOME", str(_pulumi_home()))
    # Else `pulumi stack rm` deletes the shared settings of the stack.
    environment["PULUMI_OPTION_PRESERVE_CONFIG"] = "true"
    first = [str(PROJECT_FOLDER / ".venv/bin"), str(_pulumi_folder())]
    environment["PATH"] = os.pathsep.join([*first, environment["PATH"]])
    if not {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"} & environment.keys():
        environment["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(_passphrase_file())
    if not (os.environ.get("PULUMI_ACCESS_TOKEN") or backend_url()):
        subprocess.run(["pulumi", "login", "--local"], check=True, capture_output=True, text=True)


def _pulumi_folder() -> Path:
    """Returns the folder of the Pulumi CLI and its Python language host.

    These are the ones on PATH, those of Pulumi's own installer, or, where its download is not
    reachable, those that are built from source.
    """
    installed = _pulumi_home() / "bin"
    on_path = shutil.which("pulumi")
    for folder in (Path(on_path).parent, installed) if on_path else (installed,):
        if _is_complete(folder):
            return folder
    # A machine that has built the CLI once is not asked for the download again.
    if not offline.has_engine():
        try:
            installer = httpx.get(_INSTALLER, follow_redirects=True, timeout=5).raise_for_status()
        except httpx.HTTPError:
            pass
        else:
            release = version("pulumi")
            script = ["sh", "-c", installer.text, "sh", "--version", release, "--no-edit-path"]
            with step(f"Installing the Pulumi CLI {release}"):
                run_logged("pulumi-install", script)
            return installed
    return offline.build_engine()


def _is_complete(folder: Path) -> bool:
    """Returns whether a folder holds a CLI of major version 3 with the language host."""
    if not os.access(folder / "pulumi-language-python", os.X_OK):
        return False
    command = [str(folder / "pulumi"), "version"]
    printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return re.match(r"v3\.", printed) is not None


def _passphrase_file() -> Path:
    """Returns the file of the passphrase that Podium generates, once, for this user."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    path = config / "podium/passphrase"
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    if not path.stat().st_size:
        path.write_text(secrets.token_urlsafe(24) + "\n")
    return path


def backend_url() -> str:
    """Returns the URL of the backend for the state, or nothing where none was chosen."""
    if url := os.environ.get("PULUMI_BACKEND_URL"):
        return url
    credentials = _pulumi_home() / "credentials.json"
    content = json.loads(credentials.read_text()) if credentials.exists() else {}
    return str(content.get("current") or "")


def _pulumi_home() -> Path:
    return Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
