"""A pytest plugin: Kestra's own engine for the tests of flows, without an import of this room."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def running_engine() -> Callable[..., Any]:
    """The context manager `offline.kestra.engine.running`."""
    from offline.kestra.engine import running

    return running
