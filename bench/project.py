"""Pulumi projects that exist for a measurement only."""

import os
import secrets
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

PROJECT_FOLDER = Path(__file__).parents[1]
# Of this run only: all that bears this name on the Docker host is removed at the end.
STACK = f"bench-{secrets.token_hex(3)}"
_TIMEOUT_SECONDS = 900


class Project:
    """A Pulumi project with one stack, whose state lies beside it.

    Attributes:
        folder: the folder of the project.
    """

    def __init__(self, folder: Path, config: dict[str, str]) -> None:
        """Makes the stack of a project that is in a folder.

        Args:
            folder: the folder, with Pulumi.yaml and the program.
            config: the settings of the stack.

        Raises:
            RuntimeError: the Pulumi CLI failed; the message is what it printed.
        """
        self.folder = folder
        self._state = folder.with_suffix(".state")
        self._state.mkdir()
        (folder / ".venv").symlink_to(PROJECT_FOLDER / ".venv")
        self._environment = {
            **os.environ,
            "PULUMI_BACKEND_URL": self._state.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": secrets.token_hex(),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        self._pulumi("stack", "init")
        if config:
            pairs = [word for item in config.items() for word in ("--plaintext", "=".join(item))]
            self._pulumi("config", "set-all", *pairs)

    def run(self, command: str) -> None:
        """Runs `up` or `destroy`.

        Raises:
            RuntimeError: the Pulumi CLI failed; the message is what it printed.
            subprocess.TimeoutExpired: it did not end within 15 minutes.
        """
        self._pulumi(command, "--yes", "--skip-preview")

    def state_size(self) -> int:
        """Returns the bytes of the stack's state."""
        (state,) = self._state.glob(f".pulumi/stacks/*/{STACK}.json")
        return state.stat().st_size

    def _pulumi(self, *arguments: str) -> None:
        result = subprocess.run(
            ["pulumi", *arguments, "--stack", STACK],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        if result.returncode:
            raise RuntimeError(result.stdout + result.stderr)


def free_ports(count: int) -> list[int]:
    """Returns loopback ports that are free now.

    Args:
        count: how many.
    """
    with ExitStack() as probes:
        sockets = [
            probes.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [int(probe.getsockname()[1]) for probe in sockets]
