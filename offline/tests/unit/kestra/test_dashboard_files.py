"""The dashboards of the project: they are about flows and tasks that exist."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT_FOLDER = Path(__file__).parents[4]
PATHS = sorted((PROJECT_FOLDER / "dashboards").iterdir())


def ids(value: Any) -> Iterator[str]:
    """Yields every id in a flow: its own and those of its tasks and triggers."""
    if isinstance(value, dict):
        yield from (each for key, each in value.items() if key == "id")
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from ids(each)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_a_dashboard_is_called_as_its_file(path: Path):
    assert path.name == f"{yaml.safe_load(path.read_text())['id']}.yaml"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_a_dashboard_is_about_flows_and_tasks_that_are_there(path: Path):
    for chart in yaml.safe_load(path.read_text())["charts"]:
        asked = {
            each["field"]: each.get("values") or [each["value"]] for each in chart["data"]["where"]
        }
        for namespace in asked["NAMESPACE"]:
            for flow_id in asked["FLOW_ID"]:
                file = PROJECT_FOLDER / "flows" / namespace / f"{flow_id}.yaml"
                assert set(asked.get("TASK_ID", ())) <= set(ids(yaml.safe_load(file.read_text())))
