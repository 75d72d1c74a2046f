"""Dashboards: the shapes of their YAML, and the constraints that are more than one property's.

Source of both: io.kestra.core.models.dashboards, io.kestra.core.validations.validator and
io.kestra.plugin.core.dashboard of Kestra 1.x.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from offline.kestra import schema, source, states
from offline.kestra.errors import (
    ConstraintViolations,
    IllegalArgument,
    IllegalState,
    Violation,
    violation,
)
from offline.kestra.schema import Class, Json, Property, Reader, parsed_duration
from offline.kestra.store import Store

_CHARTS = "io.kestra.plugin.core.dashboard.chart."
_DATA = "io.kestra.plugin.core.dashboard.data."
_MODELS = "io.kestra.core.models.dashboards."
_ID_LINE = re.compile(r"^id:.*$", re.MULTILINE)
_LONGEST_WINDOW = 366 * 24 * 3600.0  # seconds
_FIELDS = {
    "Executions": ("ID", "NAMESPACE", "FLOW_ID", "FLOW_REVISION", "STATE", "DURATION", "LABELS",
                   "START_DATE", "END_DATE"),
    "Flows": ("ID", "NAMESPACE", "REVISION"),
    "Logs": ("NAMESPACE", "FLOW_ID", "EXECUTION_ID", "TASK_ID", "DATE", "TASK_RUN_ID",
             "ATTEMPT_NUMBER", "TRIGGER_ID", "LEVEL", "MESSAGE"),
    "Metrics": ("NAMESPACE", "FLOW_ID", "TASK_ID", "EXECUTION_ID", "TASK_RUN_ID", "TYPE", "NAME",
                "VALUE", "DATE"),
    "Triggers": ("ID", "NAMESPACE", "FLOW_ID", "TRIGGER_ID", "EXECUTION_ID", "NEXT_EXECUTION_DATE",
                 "WORKER_ID"),
}  # fmt: skip
_NAME = Property(required=True, not_blank=True)
_VALUE = {"value": Property("any", required=True)}
_TEXT = {"value": Property(required=True)}
_VALUES = {"values": Property("any", required=True, not_empty=True)}
_FILTERS: Mapping[str, Mapping[str, Property]] = {
    "Contains": _VALUE,
    "EndsWith": _TEXT,
    "EqualTo": _VALUE,
    "GreaterThan": _VALUE,
    "GreaterThanOrEqualTo": _VALUE,
    "In": _VALUES,
    "IsFalse": {},
    "IsNotNull": {},
    "IsNull": {},
    "IsTrue": {},
    "LessThan": _VALUE,
    "LessThanOrEqualTo": _VALUE,
    "NotEqualTo": _VALUE,
    "NotIn": _VALUES,
    "Regex": _TEXT,
    "StartsWith": _TEXT,
}
_ORDER_BY = Class(
    f"{_MODELS}OrderBy",
    {"column": _NAME, "order": Property("enum", values=("ASC", "DESC"), default="ASC")},
    shows_defaults=True,
)


def _filters(fields: tuple[str, ...]) -> Mapping[str, Class]:
    """The filters of data with these fields, by type."""
    field = {"field": Property("enum", required=True, values=fields), "labelKey": Property()}
    found = {
        re.sub("(?<=[a-z])(?=[A-Z])", "_", name).upper(): Class(
            f"{_MODELS}filters.{name}", {**field, "type": Property(), **own}
        )
        for name, own in _FILTERS.items()
    }
    values = Property("objects", required=True, not_empty=True, of=found)
    found["OR"] = Class(f"{_MODELS}filters.Or", {"type": Property(), "values": values})
    return found


def _data(column: Mapping[str, Property], *, kpi: bool = False) -> Property:
    """The data of a chart, of any type.

    Args:
        column: what a column has beside the properties of every column.
        kpi: whether the data is one number, that of a single column.
    """
    classes = {}
    for name, fields in _FIELDS.items():
        if kpi and name == "Triggers":
            continue
        described = Class(
            f"{_MODELS}ColumnDescriptor",
            {
                "field": Property("enum", values=fields),
                "displayName": Property(),
                "agg": Property("enum", values=("AVG", "MAX", "MIN", "SUM", "COUNT")),
                "labelKey": Property(),
                **column,
            },
        )
        columns = Property("object" if kpi else "map", required=True, of=described)
        filters = Property("objects", of=_filters(fields))
        last = {"numerator": filters} if kpi else {"orderBy": Property("objects", of=_ORDER_BY)}
        type_ = f"{_DATA}{name}{'KPI' if kpi else ''}"
        classes[type_] = Class(
            type_, {"type": Property(), "columns": columns, "where": filters, **last}
        )
    return Property("object", required=True, of=classes)


def _enabled(name: str) -> Property:
    of = Class(name, {"enabled": Property("flag", default=True)}, shows_defaults=True)
    return Property("object", default={}, of=of)


def _chart(name: str, options: Mapping[str, Property], **own: Property) -> Class:
    """The class of a chart.

    Args:
        name: the last part of its type.
        options: the `chartOptions` beside those of every chart.
        own: further properties.
    """
    every = {
        "displayName": _NAME,
        "description": Property(),
        "width": Property("whole", default=6, minimum=1, maximum=12),
    }
    chart_options = Class(f"{_CHARTS}{name}Option", {**every, **options}, shows_defaults=True)
    return Class(
        _CHARTS + name,
        {
            "id": Property(required=True, not_blank=True, pattern="^[a-zA-Z0-9][a-zA-Z0-9_-]*"),
            "type": _NAME,
            "chartOptions": Property("object", of=chart_options),
            **own,
        },
    )


_DRAWN = {
    "tooltip": Property("enum", values=("NONE", "ALL", "SINGLE"), default="ALL"),
    "legend": _enabled(f"{_MODELS}charts.LegendOption"),
}
_PIE_STYLE = Property("enum", values=("PIE", "DONUT"), default="DONUT")
_TABLE = {
    name: _enabled(f"{_CHARTS}tables.TableOption${name.capitalize()}Option")
    for name in ("header", "pagination")
}
_ALIGNMENT = Property("enum", values=("LEFT", "RIGHT", "CENTER"), default="LEFT")
_GRAPH_STYLE = Property("enum", values=("LINES", "BARS", "POINTS"))
_MARKDOWN = f"{_CHARTS}mardown.sources."  # as it is spelt there
_MARKDOWN_SOURCES = {
    "Text": Class(f"{_MARKDOWN}Text", {"type": Property(), "content": Property()}),
    "FlowDescription": Class(
        f"{_MARKDOWN}FlowDescription",
        {"type": Property(), "namespace": _NAME, "flowId": _NAME},
    ),
}
_CLASSES = (
    _chart("Bar", {**_DRAWN, "column": _NAME}, data=_data({})),
    _chart(
        "KPI",
        {"numberType": Property("enum", values=("FLAT", "PERCENTAGE"), default="FLAT")},
        data=_data({}, kpi=True),
    ),
    _chart("Markdown", {}, content=Property(), source=Property("object", of=_MARKDOWN_SOURCES)),
    _chart(
        "Pie", {**_DRAWN, "graphStyle": _PIE_STYLE, "colorByColumn": Property()}, data=_data({})
    ),
    _chart("Table", _TABLE, data=_data({"columnAlignment": _ALIGNMENT})),
    _chart(
        "TimeSeries",
        {**_DRAWN, "column": _NAME, "colorByColumn": Property()},
        data=_data({"graphStyle": _GRAPH_STYLE}),
    ),
)
# How many columns may be aggregated, at least and at most.
_AGGREGATIONS = {_CHARTS + "Bar": (1, 1), _CHARTS + "Pie": (1, 1), _CHARTS + "TimeSeries": (1, 2)}
_TIME_WINDOW = Class(
    f"{_MODELS}TimeWindow",
    {
        "default": Property("duration", default="PT720H"),
        "max": Property("duration", default="PT8784H"),
    },
    shows_defaults=True,
)
_DASHBOARD = Class(
    f"{_MODELS}Dashboard",
    {
        "tenantId": Property(),
        "id": _NAME,
        "title": _NAME,
        "description": Property(),
        "timeWindow": Property("object", default={}, of=_TIME_WINDOW),
        "charts": Property("objects", of={each.name: each for each in _CLASSES}),
        "deleted": Property("flag", default=False),
        "created": Property(),
        "updated": Property(),
        "sourceCode": Property(),
    },
    shows_defaults=True,
)
_SERVERS_OWN = ("tenantId", "deleted", "created", "updated", "sourceCode")


class Dashboards:
    """The dashboards of the server.

    Args:
        store: the database.
        tenant: the tenant they belong to.
    """

    def __init__(self, store: Store, tenant: str | None) -> None:
        self._store = store
        self._tenant = tenant

    def report(self, text: str) -> Json:
        """What `POST dashboards/validate` says of a source."""
        result: Json = {"index": 0, "outdated": False}
        try:
            validate(parse(text))
        except ConstraintViolations as error:
            result["constraints"] = str(error)
        return result

    def shown(self, row: Mapping[str, Any]) -> Json:
        """A row of the store as the API shows the dashboard."""
        data = {
            **row["value"],
            "tenantId": self._tenant,
            "created": states.instant(row["created"]),
            "updated": states.instant(row["updated"]),
            "sourceCode": row["source"],
        }
        return schema.shown(data, _DASHBOARD, {})

    def get(self, dashboard_id: str) -> Json | None:
        """A dashboard; its source gets a line with the id where it seems to have none."""
        row = self._store.dashboard(dashboard_id)
        if row is None:
            return None
        data = self.shown(row)
        if not _ID_LINE.search(row["source"]):
            data["sourceCode"] = f"id: {dashboard_id}\n{row['source']}"
        return data

    def create(self, text: str) -> Json:
        """Store a new dashboard.

        Raises:
            ConstraintViolations: it is none, breaks a constraint, or is there already.
            IllegalArgument: it has no id.
        """
        dashboard = parse(text)
        if dashboard.get("id") is None:
            raise IllegalArgument("Dashboard id is mandatory")
        validate(dashboard)
        if self._store.dashboard(dashboard["id"]):
            raise violation("dashboard.id", "Dashboard id already exists")
        return self._save(dashboard, text)

    def update(self, dashboard_id: str, text: str) -> Json | None:
        """Replace a dashboard, unless its source is the same.

        Returns:
            The dashboard; None if there is none to update.

        Raises:
            ConstraintViolations: it is none, breaks a constraint, or is another dashboard.
        """
        previous = self._store.dashboard(dashboard_id)
        if previous is None:
            return None
        dashboard = parse(text)
        if dashboard.get("id") != dashboard_id:
            raise violation("dashboard.id", "Illegal dashboard id update")
        validate(dashboard)
        return self.shown(previous) if previous["source"] == text else self._save(dashboard, text)

    def delete(self, dashboard_id: str) -> None:
        """Delete a dashboard.

        Raises:
            IllegalState: there is none.
        """
        if not self._store.delete_dashboard(dashboard_id):
            raise IllegalState(f"Dashboard {dashboard_id} doesn't exists")

    def _save(self, dashboard: Json, text: str) -> Json:
        kept = {name: value for name, value in dashboard.items() if name not in _SERVERS_OWN}
        return self.shown(self._store.save_dashboard(kept, text))


def parse(text: str) -> Json:
    """Read the source of a dashboard.

    Raises:
        ConstraintViolations: it is not one.
    """
    return Reader({}, "dashboard").read(source.compose(text, "dashboard"), _DASHBOARD)


def validate(dashboard: Json) -> None:
    """Check the constraints of a dashboard.

    Raises:
        ConstraintViolations: all that are broken.
    """
    found = schema.violations(dashboard, _DASHBOARD, {})
    if not found:
        found = [
            (f"{path}: {message}", Violation(path, message)) for path, message in _rules(dashboard)
        ]
    schema.refuse(found)


def _rules(dashboard: Json) -> Iterator[tuple[str, str]]:
    """The constraints that are more than one property's."""
    window = dashboard.get("timeWindow") or {}
    seconds = {name: parsed_duration(text) or 0.0 for name, text in window.items() if text}
    for name, path in (("default", "defaultDuration"), ("max", "max")):
        if seconds.get(name, 0.0) > _LONGEST_WINDOW:
            message = "Time window can't be more than 1 year (366 days)."
            yield f"timeWindow.{path}", message
    if seconds.get("default", 30 * 24 * 3600.0) > seconds.get("max", _LONGEST_WINDOW):
        yield "timeWindow", "Invalid data chart: Default duration can't exceed max duration"
    for index, chart in enumerate(dashboard.get("charts") or ()):
        for kind, problems in (
            ("data", list(_data_problems(chart))),
            ("TimeSeries", list(_time_series_problems(chart))),
        ):
            if problems:
                yield f"charts[{index}]", f"Invalid {kind} chart: {', '.join(problems)}"


def _data_problems(chart: Json) -> Iterator[str]:
    if "data" not in chart:
        return
    data, options = chart["data"], chart.get("chartOptions") or {}
    columns: dict[str, Json] = data["columns"]
    if chart["type"] == f"{_CHARTS}KPI":
        columns = {"": data["columns"]}
        if data["columns"].get("agg") is None:
            yield "Agg on column is required."
    else:
        yield from _column_problems(chart["type"], data, options)
    if any(column.get("field") == "LABELS" for column in columns.values()):
        yield "LABELS column is only supported with an ElasticSearch database."


def _column_problems(chart_type: str, data: Json, options: Json) -> Iterator[str]:
    columns: dict[str, Json] = data["columns"]
    for name in (options.get("column"), options.get("colorByColumn")):
        if name is not None and name not in columns:
            yield (
                f"Column '{name}' is requested by the chart but not present in `data.columns` keys."
            )
    for order in data.get("orderBy") or ():
        if order["column"] not in columns:
            yield (
                f"Column '{order['column']}' is used in `orderBy` but not present in "
                "`data.columns` keys."
            )
    for name, column in columns.items():
        if column.get("field") is None and column.get("agg") != "COUNT":
            yield f"Column '{name}' doesn't have a field to select from."
    count = sum(column.get("agg") is not None for column in columns.values())
    least, most = _AGGREGATIONS.get(chart_type, (0, count))
    if count < least:
        yield f"At least {least} aggregation is needed for {chart_type}."
    if count > most:
        # The server, too, names the least here.
        yield f"At most {least} aggregation can be provided for {chart_type}."
    fields = [column.get("field") for column in columns.values()]
    if count and data["type"] == f"{_DATA}Logs" and "MESSAGE" in fields:
        yield "[MESSAGE] can't be used as or with aggregations."
    used = {(each.get("agg"), each.get("field"), each.get("labelKey")) for each in columns.values()}
    if len(used) < len(columns):
        yield "Fields can only appear once in `data.columns`."


def _time_series_problems(chart: Json) -> Iterator[str]:
    if chart["type"] != f"{_CHARTS}TimeSeries":
        return
    columns = chart["data"]["columns"]
    for name, column in columns.items():
        if column.get("agg") is None and column.get("graphStyle") is not None:
            yield f"Only aggregations can have `graphStyle` specified and {name} is not one."
    styles = [
        column.get("graphStyle") or "LINES" for column in columns.values() if column.get("agg")
    ]
    if len(set(styles)) < len(styles):
        yield "All aggregations must have unique `graphStyle`."
