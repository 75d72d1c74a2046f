"""Kestra's own engine: validates flows and runs them, without Docker and without an API.

    from offline.kestra.engine import running

    with running("2.0.0", variables={"source": url}, secrets={"TOKEN": token}) as engine:
        (validation,) = engine.validate([text])
        execution = engine.run(text, {"month": "2019-01"})

Flow tests use what this module exports; everything else may change. The tasks that Maven does not
have are in `java`: Kestra reads, validates and renders them as its own, and `tasks.py` runs them.
"""

from offline.kestra.engine.classpath import RELEASES, SetupError
from offline.kestra.engine.engine import (
    Engine,
    EngineError,
    Execution,
    Fixture,
    Log,
    TaskRun,
    Validation,
    running,
)

__all__ = [
    "RELEASES",
    "Engine",
    "EngineError",
    "Execution",
    "Fixture",
    "Log",
    "SetupError",
    "TaskRun",
    "Validation",
    "running",
]
