"""The serdes plugin: from Amazon Ion, as the JDBC tasks store rows, to CSV.

Source of the properties and outputs: github.com/kestra-io/plugin-serdes.
"""

from __future__ import annotations

import csv

from amazon.ion import simpleion
from amazon.ion.exceptions import IonException

from offline.kestra.keyvalues import ION_AS_PLAIN_DATA, typed
from offline.kestra.pebble import stringify
from offline.kestra.schema import Json, Property
from offline.kestra.tasks.base import Runnable, TaskError


class IonToCsv(Runnable):
    """Write the rows of an Ion file as CSV."""

    type = "io.kestra.plugin.serdes.csv.IonToCsv"
    properties = {
        "from": Property(required=True),
        "header": Property("flag", default=True),
        "fieldSeparator": Property(default=","),
        "lineDelimiter": Property(default="\n"),
        "textDelimiter": Property(default='"'),
        "alwaysDelimitText": Property("flag", default=False),
        "charset": Property(default="UTF-8"),
    }

    def run(self) -> Json:
        file = self.context.working_file(".csv")
        size = 0
        with (
            self.context.storage.open(self.text("from") or "") as source,
            file.open("w", encoding=self.text("charset"), newline="") as sink,
        ):
            writer = csv.writer(
                sink,
                delimiter=self.text("fieldSeparator") or ",",
                quotechar=self.text("textDelimiter") or '"',
                lineterminator=self.text("lineDelimiter") or "\n",
                quoting=csv.QUOTE_ALL if self.flag("alwaysDelimitText") else csv.QUOTE_MINIMAL,
            )
            try:
                for row in simpleion.load(
                    source, single_value=False, parse_eagerly=False, value_model=ION_AS_PLAIN_DATA
                ):
                    self.context.cancellation.check()
                    if size == 0 and self.flag("header"):
                        writer.writerow(row.keys())
                    writer.writerow(stringify(typed(value)[1]) for value in row.values())
                    size += 1
            except (IonException, AttributeError) as error:
                raise TaskError(f"The file is not a list of Ion structs: {error}") from error
        return {"uri": self.context.put_file(file)}


TASKS = (IonToCsv,)
