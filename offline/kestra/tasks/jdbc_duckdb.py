"""The JDBC plugin for DuckDB: Query and Queries, with DuckDB inside this process.

Source of the properties, the outputs, the messages and the use of files:
github.com/kestra-io/plugin-jdbc, for Kestra 1.3; of the values: github.com/duckdb/duckdb-java.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_float
from datetime import UTC
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4
from zoneinfo import ZoneInfo

import duckdb
from duckdb.sqltypes import DuckDBPyType

from offline.kestra.tasks import jdbc
from offline.kestra.tasks.base import Json, TaskError

_URL = "jdbc:duckdb:"
_EXTENSION = re.compile("[A-Za-z0-9_]+")
_ROWS = 2048  # at once, as DuckDB itself hands them on
_CHUNK = 1 << 20
# What DuckDB's driver makes of types that the plugin does not know.
_UNKNOWN = {
    "blob": "org.duckdb.DuckDBResultSet$DuckDBBlobResult",
    "map": "java.util.LinkedHashMap",
    "time with time zone": "java.time.OffsetTime",
}


def cell(value: Any, kind: DuckDBPyType, zone: ZoneInfo) -> Any:
    """Returns a value of DuckDB as the plugin puts it into outputs.

    Args:
        value: what DuckDB's Python client made of it.
        kind: its type.
        zone: where timestamps without a time zone are taken to be.

    Raises:
        TaskError: if it is JSON but no object.
        TypeError: if the plugin does not know the type.
    """
    if value is None:
        return None
    match kind.id:
        case "hugeint" | "uhugeint" | "ubigint" | "bignum":
            return str(value)
        case "timestamp":
            return jdbc.moment(value.replace(tzinfo=zone))
        case "timestamp_s" | "timestamp_ms" | "timestamp_ns":
            return jdbc.moment(value.replace(tzinfo=UTC).astimezone(zone))
        case "map":
            raise TypeError
        case _ if str(kind) == "JSON":
            parsed = json.loads(value)
            if isinstance(parsed, dict):
                return parsed
            raise TaskError(f"Invalid data type [JSON] with value [{value}]")
    return member(value, kind)


def member(value: Any, kind: DuckDBPyType) -> Any:
    """Returns a member of a list, which the plugin leaves to Jackson.

    Raises:
        TypeError: if the plugin does not know the type.
    """
    if value is None:
        return None
    match kind.id:
        case "timestamp" | "timestamp_s" | "timestamp_ms" | "timestamp_ns":
            return value.isoformat(timespec="milliseconds") + "+00:00"
        case "timestamp with time zone":
            return jdbc.moment(value.astimezone(UTC))
        case "list" | "array":
            inner = _parts(kind)[0][1]
            return [member(each, inner) for each in value]
        case "struct":
            return java_text(value, kind)
        case "map":
            (_, key), (_, inner) = _parts(kind)
            return {java_text(name, key): member(each, inner) for name, each in value.items()}
        case "float" if math.isfinite(value):
            # The shortest number that is the same in single precision.
            texts = (f"{value:.{digits}g}" for digits in range(1, 10))
            return next(float(text) for text in texts if c_float(float(text)).value == value)
    return jdbc.scalar(value)


def java_text(value: Any, kind: DuckDBPyType) -> str:
    """Returns what Java's `toString` makes of a value: all that the plugin shows of a STRUCT.

    Raises:
        TypeError: if it is of a type that is not supported in there.
    """
    if value is None:
        return "null"
    match kind.id:
        case "list" | "array":
            inner = _parts(kind)[0][1]
            return f"[{', '.join(java_text(each, inner) for each in value)}]"
        case "struct":
            pairs = [(name, java_text(value[name], inner)) for name, inner in _parts(kind)]
        case "map":
            (_, key), (_, inner) = _parts(kind)
            pairs = [(java_text(name, key), java_text(each, inner)) for name, each in value.items()]
        case "timestamp" | "timestamp_s" | "timestamp_ms" | "timestamp_ns":
            text = value.isoformat(" ", "microseconds").rstrip("0")
            return f"{text}0" if text.endswith(".") else text
        case "decimal":
            return str(value)
        case "float" | "double" if math.isfinite(value) and value:
            number = Decimal(repr(member(value, kind))).normalize()
            if -3 <= number.adjusted() < 7:
                return repr(float(number))
            digits, _, exponent = f"{number:E}".partition("E")
            return f"{digits if '.' in digits else f'{digits}.0'}E{int(exponent)}"
        case "time" | "timestamp with time zone":
            raise TypeError(kind)
        case _:
            shown = member(value, kind)
            return str(shown).lower() if isinstance(shown, bool) else str(shown)
    return f"{{{', '.join(f'{name}={text}' for name, text in pairs)}}}"


def _parts(kind: Any) -> list[tuple[str, DuckDBPyType]]:
    """Returns the names and types of the parts of a composed type."""
    return list(kind.children)


class _Statements(jdbc.Statements):
    """Statements on a database file in the task's folder, with files beside it.

    Attributes:
        only_absolute: whether a database must be given by its absolute path.
    """

    only_absolute: ClassVar[bool]
    _database: str
    _folder: Path | None

    def run(self) -> Json:
        self._locate(self.context.working_dir())
        if self.property("inputFiles"):
            self.context.write_input_files(self._path(""), self.variables)
        if (uri := self.property("databaseUri")) is not None:
            self._database = str(self._path(f"{uuid4()}.db"))
            with self.context.open(uri) as source, open(self._database, "wb") as sink:
                shutil.copyfileobj(source, sink, _CHUNK)
        files = {name: self._new_file(name) for name in self.property("outputFiles") or ()}
        if files:
            self.variables |= {"outputFiles": files, "temp": files}
        outputs = self.results()
        outputs["outputFiles"] = {
            name: self.context.put(Path(path)) for name, path in files.items()
        }
        if self.property("outputDbFile"):
            outputs["databaseUri"] = self.context.put(self._path(self._database))
        return outputs

    # --- files -----------------------------------------------------------------------------------

    def _locate(self, folder: Path) -> None:
        """Decides where the database is and which folder the files go to.

        Args:
            folder: the task's own.

        Raises:
            TaskError: if the URL is invalid or not supported.
        """
        url = self.property("url")
        if url == _URL:
            self._folder, self._database = folder, str(folder / f"{uuid4()}.db")
            self.variables["workingDir"] = str(folder)
            return
        if re.match(r"jdbc:duckdb:(md:|ducklake:|.*;)", url):
            raise TaskError("MotherDuck, DuckLake and options are not supported in `url`")
        path = Path(url.removeprefix(_URL))
        if not path.is_absolute() and self.only_absolute:
            raise TaskError(
                "The database file path is not valid (Path to database file must be absolute)"
            )
        if not url.strip():
            raise TaskError("Rendered value of `url` is blank.")
        if not url.startswith(_URL):
            raise TaskError("URL scheme is invalid. URL should start with `jdbc:duckdb`")
        self._database = str(path)
        self._folder = path.parent if path.is_absolute() else None
        if self._folder is not None:
            self._folder.mkdir(exist_ok=True)
            self.variables |= {"workingDir": str(self._folder), "dbFilePath": self._database}

    def _path(self, name: str) -> Path:
        """Returns the path of a file in the folder."""
        if self._folder is None:
            raise TaskError("Files are only supported where `url` has the path of a database")
        return self._folder / name

    def _new_file(self, name: str) -> str:
        """Creates the file that the SQL writes an output file to."""
        if name.startswith(("./", "..", "/")):
            raise TaskError(
                f"Invalid outputFile (only relative path is supported) for path '{name}'"
            )
        handle, path = tempfile.mkstemp(".tmp", f"{name}_", self._path(""))
        os.close(handle)
        return path

    # --- statements ------------------------------------------------------------------------------

    @contextmanager
    def session(self, *, autocommit: bool) -> Iterator[jdbc.Execute]:
        try:
            with (
                # A name in SQL must not reach variables of this process.
                duckdb.connect(
                    self._database, config={"python_enable_replacements": False}
                ) as connection,
                self.context.cancellation.breaking(connection.interrupt),
            ):
                self._configure(connection)
                if not autocommit:
                    connection.begin()
                yield partial(self._execute, connection)
                if not autocommit:
                    connection.commit()
        except duckdb.Error as error:
            self.context.cancellation.check()
            raise TaskError(str(error)) from error

    def _configure(self, connection: duckdb.DuckDBPyConnection) -> None:
        if self._folder is not None:
            folder = str(self._folder).replace("'", "''")
            connection.execute(f"SET file_search_path='{folder}'")
        extensions = self.property("communityExtensions")
        if extensions is None:
            # The official plugin brings this one along.
            self.context.log("DEBUG", "The DuckDB extension 'ion' is not here: no Ion files.")
            return
        for extension in extensions:
            if not _EXTENSION.fullmatch(extension):
                self.context.log(
                    "WARN",
                    f"Skipping DuckDB community extension '{extension}' because the name contains "
                    "unsupported characters.",
                )
                continue
            try:
                connection.install_extension(extension, repository="community")
                connection.load_extension(extension)
            except duckdb.Error as error:
                self.context.log(
                    "WARN",
                    f"Failed to install/load DuckDB community extension '{extension}'. "
                    f"Continuing without it. SQLState=null, message={error}",
                )

    def _execute(self, connection: duckdb.DuckDBPyConnection, script: str) -> Iterator[Json] | None:
        self.context.cancellation.check()
        self.context.log("DEBUG", f"Starting query: {script}")
        bound: list[Any] | None = None
        if given := self.property("parameters"):
            script, bound = jdbc.bound(script, given, "?")
        statements = connection.extract_statements(script)
        if not statements:
            raise TaskError("Invalid Input Error: No statements to execute.")
        for statement in statements[:-1]:
            connection.execute(statement)
        relation = connection.sql(statements[-1], params=bound)
        if relation is None:
            return None
        columns = list(zip(relation.columns, relation.types, strict=True))
        if any(kind.id == "interval" for _, kind in columns):
            # Python's intervals have no months: DuckDB writes them itself.
            relation = relation.project(
                ", ".join(
                    f"CAST(#{number} AS VARCHAR)" if kind.id == "interval" else f"#{number}"
                    for number, (_, kind) in enumerate(columns, 1)
                )
            )
        relation.execute()
        return self._rows(relation, columns)

    def _rows(
        self, relation: duckdb.DuckDBPyRelation, columns: list[tuple[str, DuckDBPyType]]
    ) -> Iterator[Json]:
        zone = self.zone()
        while rows := relation.fetchmany(_ROWS):
            self.context.cancellation.check()
            for row in rows:
                cells = {}
                for value, (name, kind) in zip(row, columns, strict=True):
                    try:
                        cells[name] = cell(value, kind, zone)
                    except TypeError as error:
                        raise TaskError(
                            f"Data of type 'class {_UNKNOWN.get(kind.id, error)}' for column "
                            f"'{name}' is not supported, the column type is '{kind}'"
                        ) from error
                yield cells


class Query(_Statements, jdbc.Query):
    """One statement."""

    type = "io.kestra.plugin.jdbc.duckdb.Query"
    only_absolute = False

    def script(self) -> str:
        sql = super().script()
        if self._folder and re.fullmatch(r".*filename\s*=\s*(true|1).*", sql.lower()):
            # As in the plugin: files are shown by their names in the task's folder.
            folder = str(self._folder).replace("/", r"\/")
            inner = re.sub(r";\s*$", "", sql)
            return (
                f"SELECT * REPLACE(regexp_replace(filename, '^{folder}/', '') AS filename) "
                f"FROM ({inner})"
            )
        return sql

    def results(self) -> Json:
        if self.property("afterSQL") is not None and self.property("parameters") is None:
            # DuckDB's driver fails when the plugin executes this a second time.
            raise TaskError("Query to execute was not specified")
        return super().results()


class Queries(_Statements, jdbc.Queries):
    """Several statements, in one transaction unless `transaction` is false."""

    type = "io.kestra.plugin.jdbc.duckdb.Queries"
    only_absolute = True


TASKS = (Query, Queries)
