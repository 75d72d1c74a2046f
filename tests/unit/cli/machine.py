"""A machine of the test's own: its home folder and its commands."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]


class Machine:
    """A home folder and a PATH with a few commands of the test's own before the system's."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.bin = folder / "bin"
        self.home.mkdir()
        self.bin.mkdir()
        self.environment = {"HOME": str(self.home), "PATH": f"{self.bin}:/usr/bin:/bin"}

    def command(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=30,
        )
