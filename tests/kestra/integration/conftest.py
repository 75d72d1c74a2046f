"""The fixtures of the library's integration tests."""

import pytest

from tests.kestra.servers import KestraServer


@pytest.fixture(scope="module")
def server(shared_kestra: KestraServer) -> KestraServer:
    """The server that the tests of a module share."""
    return shared_kestra
