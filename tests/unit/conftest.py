"""What unit tests share."""

import pytest

from tests.kestra.mocks import Deployment
from tests.unit.harness import deploy


@pytest.fixture(scope="session")
def platform() -> Deployment:
    """The whole platform with the defaults of Pulumi.yaml."""
    return deploy()
