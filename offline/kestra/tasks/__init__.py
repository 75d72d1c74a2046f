"""The tasks of plugins that Maven does not have: Kestra's engine reads them, Python runs them.

Their properties are the fields of the Java classes in `offline/kestra/engine/java`.
"""

from offline.kestra.tasks import compress, jdbc_duckdb, jdbc_postgresql, serdes
from offline.kestra.tasks.base import Task

TYPES: dict[str, type[Task]] = {
    task.type: task
    for module in (compress, jdbc_duckdb, jdbc_postgresql, serdes)
    for task in module.TASKS
}
