"""What the tests of all rooms share: the servers that they run against, and hypothesis."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.kestra.servers"]

# The same examples every time, and as many as seconds allow.
settings.register_profile(
    "podium",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("podium")
