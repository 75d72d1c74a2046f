"""The task types that the stand-in runs, one module per plugin group."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from offline.kestra.config import Release
from offline.kestra.schema import Class, Json, task_class
from offline.kestra.tasks import (
    compress,
    core,
    flow,
    http,
    jdbc_duckdb,
    jdbc_postgresql,
    scripts,
    serdes,
    subflow,
)
from offline.kestra.tasks.base import Executable, Flowable, Runnable, TaskType

TYPES: Mapping[str, type[Runnable] | type[Flowable] | type[Executable]] = {
    name: task
    for module in (
        core,
        flow,
        subflow,
        http,
        compress,
        jdbc_duckdb,
        jdbc_postgresql,
        scripts,
        serdes,
    )
    for task in module.TASKS
    for name in (task.type, *task.aliases)
}


@cache
def classes(release: Release) -> Mapping[str, Class]:
    """The classes of all task types, by type and older names of types."""
    return {
        name: task_class(task.type, task.properties, task.unsupported, release)
        for name, task in TYPES.items()
    }


__all__ = ["TYPES", "Executable", "Flowable", "Json", "Runnable", "TaskType", "classes"]
