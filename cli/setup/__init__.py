"""The set-up of a machine, as shell scripts: the virtual environment and the Docker Engine."""

import subprocess
from pathlib import Path

import click


def start_docker() -> None:
    """Makes sure that a Docker Engine answers.

    Raises:
        click.exceptions.Exit: none does; the script has said why.
    """
    script = Path(__file__).with_name("docker.sh")
    if code := subprocess.run([str(script)], check=False).returncode:
        raise click.exceptions.Exit(code)
