"""What tests read of executions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offline.kestra.engine import Execution


def messages(execution: Execution, level: str = "INFO") -> list[str]:
    """The texts of the log at one level."""
    return [line.message for line in execution.logs if line.level == level]


def outputs(execution: Execution) -> dict[str, Mapping[str, Any]]:
    """The outputs of the tasks by their ids."""
    return {run.task: run.outputs for run in execution.task_runs}


def states(execution: Execution) -> dict[str, str]:
    """The states of the tasks by their ids."""
    return {run.task: run.state for run in execution.task_runs}
