"""Which Docker host is used, and whether it is this machine."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from cli.docker_host import remote_host, use_context


@pytest.fixture(autouse=True)
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of Docker with two contexts, neither of them in use."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        # Set first, so that what the code sets is removed again.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    add_context(tmp_path, "far", "ssh://docker.example.com")
    add_context(tmp_path, "desktop", "unix:///home/me/.docker/desktop/docker.sock")
    return tmp_path


def add_context(folder: Path, name: str, host: str) -> None:
    """Writes a context as `docker context create` does."""
    meta = folder / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": False}
    content = {"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}
    (meta / "meta.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("url", "remote"),
    [
        ("", False),
        ("unix:///var/run/docker.sock", False),
        ("tcp://127.0.0.1:2375", False),
        ("tcp://localhost:2375", False),
        ("tcp://[::1]:2375", False),
        ("tcp://192.0.2.1:2376", True),
        ("ssh://me@docker.example.com", True),
    ],
)
def test_a_host_is_remote_unless_its_address_is_of_this_machine(
    url: str, monkeypatch: pytest.MonkeyPatch, *, remote: bool
) -> None:
    monkeypatch.setenv("DOCKER_HOST", url)
    assert remote_host() == (url if remote else None)


@pytest.mark.parametrize("name", ["", "default", "desktop", "missing"])
def test_a_context_on_this_machine_changes_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", name)
    use_context()
    assert "DOCKER_HOST" not in os.environ


def test_the_context_in_use_names_the_host(contexts: Path) -> None:
    (contexts / "config.json").write_text(json.dumps({"currentContext": "far"}))
    use_context()
    assert remote_host() == "ssh://docker.example.com"


def test_variables_count_more_than_the_context(
    contexts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    use_context()
    assert remote_host() == "ssh://docker.example.com"
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2376")
    use_context()
    assert remote_host() == "tcp://192.0.2.1:2376"
