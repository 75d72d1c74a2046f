"""What unit tests share."""

from pathlib import Path

import pytest

from tests.kestra.mocks import Deployment
from tests.unit.command_line import CommandLine
from tests.unit.harness import deploy


@pytest.fixture(scope="session")
def platform() -> Deployment:
    """The whole platform with the defaults of Pulumi.yaml."""
    return deploy()


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CommandLine:
    """The commands of the Makefile with tools of the test's own, and no stack yet."""
    return CommandLine(tmp_path, monkeypatch, capfd)
