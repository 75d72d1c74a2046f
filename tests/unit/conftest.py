"""What most unit tests of the program look at."""

import pytest

from tests.unit.harness import Deployment, deploy


@pytest.fixture(scope="session")
def platform() -> Deployment:
    """The whole platform with the defaults of Pulumi.yaml."""
    return deploy()
