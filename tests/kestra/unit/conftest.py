"""The fixtures of the library's unit tests."""

from collections.abc import Iterator

import pytest

from tests.kestra.unit.fake_kestra import FakeKestra, serving


@pytest.fixture
def kestra() -> Iterator[FakeKestra]:
    """A server in the same process, which every lifecycle talks to."""
    with serving() as server:
        yield server
