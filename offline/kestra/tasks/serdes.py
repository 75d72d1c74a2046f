"""The serdes plugin: from Amazon Ion, as the JDBC tasks store rows, to CSV.

Source of the properties and outputs: github.com/kestra-io/plugin-serdes.
"""

from __future__ import annotations

import csv
import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from amazon.ion import simpleion
from amazon.ion.core import Timestamp
from amazon.ion.exceptions import IonException
from amazon.ion.simpleion import IonPyValueModel

from offline.kestra.tasks.base import Json, Task, TaskError

_PLAIN_DATA = (
    IonPyValueModel.MAY_BE_BARE
    | IonPyValueModel.SYMBOL_AS_TEXT
    | IonPyValueModel.STRUCT_AS_STD_DICT
)


def _cell(value: Any) -> Any:
    match value:
        case bool():
            return str(value).lower()
        case Decimal():
            return float(value)
        case Timestamp() if not value.precision.includes_minute:
            return value.date().isoformat()
        case datetime():
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case dict() | list():
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=_cell)
    return value


class IonToCsv(Task):
    """Writes the rows of an Ion file as CSV."""

    type = "io.kestra.plugin.serdes.csv.IonToCsv"

    def run(self) -> Json:
        file = self.context.working_file(".csv")
        with (
            self.context.open(self.property("from")) as source,
            file.open("w", encoding=self.property("charset"), newline="") as sink,
        ):
            writer = csv.writer(
                sink,
                delimiter=self.property("fieldSeparator"),
                quotechar=self.property("textDelimiter"),
                lineterminator=self.property("lineDelimiter"),
                quoting=csv.QUOTE_ALL if self.property("alwaysDelimitText") else csv.QUOTE_MINIMAL,
            )
            header = self.property("header")
            try:
                for row in simpleion.load(
                    source, single_value=False, parse_eagerly=False, value_model=_PLAIN_DATA
                ):
                    self.context.cancellation.check()
                    if header:
                        writer.writerow(row.keys())
                        header = False
                    writer.writerow(_cell(value) for value in row.values())
            except (IonException, AttributeError) as error:
                raise TaskError(f"The file is not a list of Ion structs: {error}") from error
        return {"uri": self.context.put(file)}


TASKS = (IonToCsv,)
