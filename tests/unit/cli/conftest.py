"""The command line with tools of the test's own."""

from pathlib import Path

import pytest

from tests.unit.cli.command_line import CommandLine


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CommandLine:
    """The command line, and no stack yet."""
    return CommandLine(tmp_path, monkeypatch, capfd)
