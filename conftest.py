"""What the tests of all rooms share: the servers that they run against, and hypothesis."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from cli import offline

pytest_plugins = ["tests.kestra.servers", "offline.kestra.engine.pytest_plugin"]

# Tests run against the offline parts: their providers and `kestra` from PATH, with this Python.
os.environ["PATH"] = os.pathsep.join([offline.providers_folder(), os.environ["PATH"]])
os.environ["PODIUM_PYTHON"] = sys.executable
os.environ.setdefault("PODIUM_TEST_POSTGRES_IMAGE", offline.load_stack().config["postgresImage"])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--screenshots", type=Path, metavar="FOLDER", help="write the pictures of the docs there"
    )


# The same examples every time, and as many as seconds allow.
settings.register_profile(
    "podium",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("podium")
