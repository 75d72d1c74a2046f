"""One load by the flow taxi_load, without a server that runs flows.

Tasks, expressions and SQL are the flow's own, so that what is measured is what is run; of the task
types this knows those that the flow has, and no more of them than what works on data.
"""

import json
import resource
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import psycopg
import yaml

from bench.project import PROJECT_FOLDER
from offline.kestra.pebble import evaluate
from offline.kestra.states import create_id

_NAMESPACE_FOLDER = PROJECT_FOLDER / "flows/zoomcamp"
_CHUNK_BYTES = 1 << 20
_Json = dict[str, Any]


@dataclass(frozen=True)
class Load:
    """What a load took.

    Attributes:
        seconds: from the file to the published month.
        peak_memory: the most memory that the loading process held, in bytes.
        task_seconds: the seconds of each task by its id, parallel ones counted as one.
    """

    seconds: float
    peak_memory: int
    task_seconds: Mapping[str, float]


def load(warehouse: str, folder: Path, **inputs: str) -> Load:
    """Loads a month. To be called in a process of its own, whose memory is measured.

    Args:
        warehouse: how psycopg connects to a database with the schemas of the warehouse.
        folder: where the file is.
        inputs: the inputs of the flow; others have their defaults.

    Raises:
        RuntimeError: the flow ended with its task Fail; the message is that task's.
        ValueError: the flow has a type of task that this does not know.
        psycopg.Error: PostgreSQL refused something.
        duckdb.Error: DuckDB refused something.
    """
    with TemporaryDirectory(prefix="podium-bench-etl-") as scratch:
        execution = _Execution(warehouse, folder, inputs, Path(scratch))
        begin = time.perf_counter()
        execution.run()
        seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kibibytes, macOS bytes.
    peak_memory = peak if sys.platform == "darwin" else peak * 1024
    return Load(seconds, peak_memory, execution.task_seconds)


class _Execution:
    def __init__(
        self, warehouse: str, folder: Path, inputs: Mapping[str, str], scratch: Path
    ) -> None:
        self._flow = yaml.safe_load((_NAMESPACE_FOLDER / "taxi_load.yaml").read_text())
        self._warehouse = warehouse
        self._scratch = scratch
        self.task_seconds: dict[str, float] = {}
        execution_id = create_id()
        defaults = {each["id"]: each.get("defaults") for each in self._flow["inputs"]}
        self._variables: _Json = {
            "globals": {"source": str(folder)},
            "vars": self._flow["variables"],
            "inputs": {**defaults, **inputs},
            "outputs": {},
            "execution": {"id": execution_id, "startDate": datetime.now(UTC)},
            "labels": {"system": {"correlationId": execution_id}},
            "read": lambda path: (_NAMESPACE_FOLDER / "files" / path).read_text(),
            "kv": lambda key, **options: None,
        }

    def run(self) -> None:
        self._run_all(self._flow["tasks"])

    def _run_all(self, tasks: list[_Json]) -> None:
        for task in tasks:
            begin = time.perf_counter()
            self._run(task)
            if "then" not in task:
                self.task_seconds[task["id"]] = time.perf_counter() - begin

    def _run(self, task: _Json) -> None:
        self._variables["outputs"][task["id"]] = self._outputs(task)

    def _outputs(self, task: _Json) -> _Json:
        match task["type"].removeprefix("io.kestra.plugin."):
            case "core.http.Download":
                return {"uri": self._render(task["uri"])}
            case "jdbc.duckdb.Query" | "jdbc.duckdb.Queries":
                return self._query_duckdb(task)
            case "jdbc.postgresql.Query" | "jdbc.postgresql.Queries":
                return self._query_postgres(task)
            case "jdbc.postgresql.CopyIn":
                return self._copy_in(task)
            case "core.flow.If":
                holds = self._render(task["condition"])
                self._run_all(task["then"] if holds else task.get("else", []))
            case "core.flow.Parallel":
                with ThreadPoolExecutor() as pool:
                    list(pool.map(self._run, task["tasks"]))
            case "core.execution.Fail":
                raise RuntimeError(self._render(task["errorMessage"]))
            case "core.log.Log" | "core.storage.PurgeCurrentExecutionFiles":
                pass
            case unknown:
                raise ValueError(f"{task['id']}: tasks of type {unknown}")
        return {}

    def _render(self, text: str, **more: Any) -> Any:
        variables = {**self._variables, **more}
        variables["render"] = lambda text: evaluate(text, variables)
        return evaluate(text, variables)

    def _query_duckdb(self, task: _Json) -> _Json:
        folder = self._scratch / task["id"]
        folder.mkdir()
        for name, source in task.get("inputFiles", {}).items():
            content = self._render(source)
            if Path(content).is_absolute():
                (folder / name).symlink_to(content)
            else:
                (folder / name).write_text(content)
        files = {name: str(folder / name) for name in task.get("outputFiles", ())}
        script = self._render(task["sql"], workingDir=str(folder), outputFiles=files)
        with duckdb.connect(folder / "duckdb.db") as connection:
            connection.execute("SET enable_progress_bar = false")
            if task.get("transaction", True):
                script = f"BEGIN; {script}"  # what ends with the connection needs no COMMIT
            result = connection.execute(script)
            names = [name for name, *_ in result.description or ()]
            (row,) = (dict(zip(names, values, strict=True)) for values in result.fetchall())
        return {"row": row, "outputs": [{"row": row}], "outputFiles": files}

    def _query_postgres(self, task: _Json) -> _Json:
        rows = []
        with psycopg.connect(self._warehouse) as connection:
            cursor = connection.execute(self._render(task["sql"]).encode())
            for result in cursor.results():
                if result.description:
                    names = [column.name for column in result.description]
                    rows.append(dict(zip(names, result.fetchone() or (), strict=True)))
        return {"row": rows[-1] if rows else None, "outputs": [{"row": row} for row in rows]}

    def _copy_in(self, task: _Json) -> _Json:
        columns = json.loads(self._render(task["columns"])) if "columns" in task else []
        target = self._render(task["table"]) + (f" ({', '.join(columns)})" if columns else "")
        statement = f"COPY {target} FROM STDIN (FORMAT {task['format']})"
        copy_file(self._warehouse, statement, Path(self._render(task["from"])))
        return {}


def copy_file(database: str, statement: str, path: Path) -> None:
    """Sends a file to PostgreSQL over a connection of its own.

    Args:
        database: how psycopg connects.
        statement: COPY ... FROM STDIN.
        path: the file.
    """
    with (
        psycopg.connect(database) as connection,
        connection.cursor().copy(statement.encode()) as stream,
        path.open("rb") as file,
    ):
        while chunk := file.read(_CHUNK_BYTES):
            stream.write(chunk)
