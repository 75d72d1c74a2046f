"""What the stand-in takes for a dashboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from offline.kestra.dashboards import parse, validate
from offline.kestra.errors import ConstraintViolations

CHART = "io.kestra.plugin.core.dashboard.chart."
DATA = "io.kestra.plugin.core.dashboard.data."
DATE, STATE = {"field": "START_DATE"}, {"field": "STATE"}
COUNT = {"agg": "COUNT"}


def chart(kind: str, columns: Any, data: str = "Executions", **options: Any) -> dict[str, Any]:
    return {
        "id": "one",
        "type": CHART + kind,
        "chartOptions": {"displayName": "One", **options},
        "data": {"type": DATA + data, "columns": columns},
    }


def text(*charts: dict[str, Any], **more: Any) -> str:
    return yaml.safe_dump({"id": "loads", "title": "Loads", "charts": list(charts), **more})


def faults(source: str) -> str:
    """What is wrong with a dashboard, in one text."""
    try:
        validate(parse(source))
    except ConstraintViolations as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "source",
    [
        "id: a\ntitle: A\n",
        text(timeWindow={"default": "P7D", "max": "P366D"}, description="d"),
        text(chart("Bar", {"state": STATE, "n": COUNT}, column="state", legend={"enabled": False})),
        text(chart("KPI", {"field": "ID", "agg": "COUNT"}, "FlowsKPI", numberType="PERCENTAGE")),
        text(chart("Pie", {"state": STATE, "n": COUNT}, graphStyle="PIE", colorByColumn="state")),
        text(chart("Table", {"state": {**STATE, "columnAlignment": "RIGHT"}, "date": DATE})),
        text(chart("Table", {"n": COUNT}, pagination={"enabled": False})),
        text(
            chart(
                "TimeSeries",
                {"date": {"field": "DATE"}, "rows": {"field": "VALUE", "agg": "SUM"}},
                "Metrics",
                column="date",
                width=12,
            )
        ),
        text({"id": "m", "type": f"{CHART}Markdown", "content": "# Loads"}),
        text({"id": "m", "type": f"{CHART}Markdown", "source": {"type": "Text", "content": "#"}}),
    ],
)
def test_what_kestra_takes_is_taken(source: str) -> None:
    assert faults(source) == ""


def test_every_filter_is_taken() -> None:
    table = chart("Table", {"state": STATE})
    table["data"]["where"] = [
        *({**STATE, "type": kind, "value": "RUN"} for kind in ("EQUAL_TO", "CONTAINS", "REGEX")),
        *({**STATE, "type": kind, "values": ["FAILED"]} for kind in ("IN", "NOT_IN")),
        *({**STATE, "type": kind} for kind in ("IS_NULL", "IS_TRUE")),
        {"field": "DURATION", "type": "GREATER_THAN_OR_EQUAL_TO", "value": 60},
        {"type": "OR", "values": [{**STATE, "type": "STARTS_WITH", "value": "F"}]},
    ]
    table["data"]["orderBy"] = [{"column": "state", "order": "DESC"}]
    assert faults(text(table)) == ""


def with_data(**data: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(found: dict[str, Any]) -> dict[str, Any]:
        return {**found, "data": {**found["data"], **data}}

    return change


SERIES = chart("TimeSeries", {"date": DATE, "n": COUNT}, column="date")


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("id: a", "title: must not be null"),
        ("title: A", "id: must not be null"),
        ("id: ' '\ntitle: A", "id: must not be blank"),
        ("id: a\ntitle: A\nrows: []", 'Unrecognized field "rows"'),
        ("- a", "Illegal dashboard yaml: Cannot deserialize value"),
        (text(timeWindow={"max": "P367D"}), "timeWindow.max: Time window can't be"),
        (text(timeWindow={"max": "P7D"}), "Default duration can't exceed max duration"),
        (text(timeWindow={"default": "a week"}), "Text cannot be parsed to a Duration"),
        (text({**SERIES, "type": "x.Radar"}), "Invalid type: x.Radar"),
        (text({**SERIES, "id": "-"}), "charts[0].id: must match"),
        (text({**SERIES, "data": None}), "charts[0].data: must not be null"),
        (text(chart("TimeSeries", {"n": COUNT})), "chartOptions.column: must not be null"),
        (text(chart("Bar", {"n": COUNT}, column="n", width=13)), "must be less than or equal"),
        (text(chart("Bar", {"n": COUNT}, column="n", width=0)), "must be greater than or equal to"),
        (text(with_data(type="x.Tasks")(SERIES)), "Invalid type: x.Tasks"),
        (text(chart("Table", {"a": {"field": "VALUE"}})), "not one of the values accepted"),
        (text(chart("Table", {"a": {**STATE, "graphStyle": "BARS"}})), 'field "graphStyle"'),
        (text(chart("Table", {"a": {}})), "Column 'a' doesn't have a field to select from."),
        (
            text(chart("TimeSeries", {"n": COUNT}, column="date")),
            "charts[0]: Invalid data chart: Column 'date' is requested by the chart but not "
            "present in `data.columns` keys.",
        ),
        (
            text(with_data(orderBy=[{"column": "x"}])(SERIES)),
            "Column 'x' is used in `orderBy` but not present in `data.columns` keys.",
        ),
        (
            text(chart("Bar", {"date": DATE}, column="date")),
            f"At least 1 aggregation is needed for {CHART}Bar.",
        ),
        (
            text(chart("Pie", {"a": COUNT, "b": {**STATE, **COUNT}})),
            f"At most 1 aggregation can be provided for {CHART}Pie.",
        ),
        (
            text(chart("TimeSeries", {"date": DATE, "a": COUNT, "b": {**STATE, **COUNT}},
                       column="date")),
            "charts[0]: Invalid TimeSeries chart: All aggregations must have unique `graphStyle`.",
        ),
        (
            text(chart("TimeSeries", {"date": {**DATE, "graphStyle": "BARS"}, "n": COUNT},
                       column="date")),
            "Only aggregations can have `graphStyle` specified and date is not one.",
        ),
        (
            text(chart("Table", {"a": STATE, "b": STATE})),
            "Fields can only appear once in `data.columns`.",
        ),
        (
            text(chart("Bar", {"a": {"field": "MESSAGE"}, "n": COUNT}, "Logs", column="a")),
            "[MESSAGE] can't be used as or with aggregations.",
        ),
        (
            text(chart("Table", {"a": {"field": "LABELS", "labelKey": "team"}})),
            "LABELS column is only supported with an ElasticSearch database.",
        ),
        (text(chart("KPI", {"field": "ID"}, "ExecutionsKPI")), "Agg on column is required."),
        (text(chart("KPI", {"field": "ID"})), f"Invalid type: {DATA}Executions"),
        (text(chart("KPI", {"field": "ID"}, "TriggersKPI")), "Invalid type: "),
        (text(with_data(where=[{"type": "LIKE"}])(SERIES)), "Invalid type: LIKE"),
        (text(with_data(where=[{"type": "IN", "field": "STATE"}])(SERIES)), "must not be null"),
    ],
)  # fmt: skip
def test_what_kestra_refuses_is_refused(source: str, fault: str) -> None:
    assert fault in faults(source)
