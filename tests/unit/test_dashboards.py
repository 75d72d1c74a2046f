"""The dashboards of the project, as far as Kestra's page decides what is drawn."""

from typing import Any

import pytest
import yaml

from infra.kestra.folder import dashboard_files
from tests.unit.harness import PROJECT_FOLDER

CHARTS: dict[str, dict[str, Any]] = {
    f"{id_}/{chart['id']}": chart
    for id_, path in dashboard_files(PROJECT_FOLDER / "dashboards").items()
    for chart in yaml.safe_load(path.read_text())["charts"]
}
OVER_TIME = [key for key, chart in CHARTS.items() if chart["type"].endswith(".TimeSeries")]


def test_some_charts_are_drawn_over_time():
    assert {"taxi_loads/rows", "taxi_loads/durations"} <= set(OVER_TIME)


@pytest.mark.parametrize("key", OVER_TIME)
def test_a_chart_over_time_names_its_series(key: str):
    column = CHARTS[key]["data"]["columns"][CHARTS[key]["chartOptions"]["colorByColumn"]]
    assert "agg" not in column


@pytest.mark.parametrize("key", OVER_TIME)
def test_a_second_series_has_the_name_that_gives_it_an_axis(key: str):
    columns = CHARTS[key]["data"]["columns"]
    values = {name for name, column in columns.items() if "agg" in column}
    assert len(values) == 1 or (len(values) == 2 and "duration" in values)
