"""The command line with tools of the test's own."""

from pathlib import Path

import httpx
import pytest

from cli import services
from infra.kestra.client import KestraClient
from tests.unit.cli.command_line import CommandLine
from tests.unit.cli.content_stack import ContentStack


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CommandLine:
    """The command line, and no stack yet."""
    return CommandLine(tmp_path, monkeypatch, capfd)


@pytest.fixture
def stack(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> ContentStack:
    """A stack that is up, with flows, a file and a dashboard."""
    stack = ContentStack(command)

    def connect(*login: str, wait: float) -> KestraClient:
        return KestraClient(*login, wait=wait, transport=httpx.MockTransport(stack.kestra))

    monkeypatch.setattr(services, "KestraClient", connect)
    return stack
