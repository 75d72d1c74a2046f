"""IonToCsv without Kestra: values, and files that are not rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from offline.kestra.tasks.base import TaskError
from offline.kestra.tasks.serdes import IonToCsv
from offline.tests.task_context import TaskContext

DEFAULTS = {
    "from": "rows.ion",
    "header": True,
    "fieldSeparator": ",",
    "lineDelimiter": "\n",
    "textDelimiter": '"',
    "charset": "UTF-8",
}


def csv_of(folder: Path, ion: str, **properties: Any) -> str:
    context = TaskContext(folder)
    context.properties = {**DEFAULTS, **properties}
    (context.stored / "rows.ion").write_text(ion)
    return context.text(IonToCsv(context).run()["uri"])


@pytest.mark.parametrize(
    ("ion", "shown"),
    [
        ("true", "true"),
        ("null", '""'),
        ("42", "42"),
        ("1.50", "1.5"),
        ('"a,b"', '"a,b"'),
        ("2024-01-02", "2024-01-02"),
        ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05.000Z"),
        ("{a: [1, null]}", '"{""a"":[1,null]}"'),
    ],
)
def test_values(tmp_path: Path, ion: str, shown: str) -> None:
    assert csv_of(tmp_path, f"{{v: {ion}}}") == f"v\n{shown}\n"


def test_properties_decide_the_form(tmp_path: Path) -> None:
    form = {"header": False, "fieldSeparator": ";", "textDelimiter": "'", "lineDelimiter": "\r\n"}
    assert csv_of(tmp_path, "{a: 1, b: x} {a: 2, b: 'y;z'}", **form) == "1;x\r\n2;'y;z'\r\n"


def test_what_is_no_list_of_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="The file is not a list of Ion structs"):
        csv_of(tmp_path, "{a: 1} 2")
