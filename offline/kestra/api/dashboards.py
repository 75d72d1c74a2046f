"""Dashboards: `/dashboards`, kept among Kestra's settings; the data of their charts is Kestra's."""

from __future__ import annotations

import re
from typing import Any

from jpype import JClass

from offline.kestra.api.routing import (
    JSON,
    NO_CONTENT,
    YAML,
    Call,
    NotFound,
    Refused,
    Resource,
    illegal,
    invalid,
    parse_yaml,
)
from offline.kestra.engine.machine import TENANT, Kestra

route = Resource()
_PREFIX = "podium.dashboard."
_KIND = "io.kestra.core.models.dashboards.Dashboard"
_CHART = "io.kestra.core.models.dashboards.charts.Chart"


def _settings(kestra: Kestra) -> Any:
    return kestra.bean("core.repositories.SettingRepositoryInterface")


def _valid(call: Call, text: str) -> Any:
    dashboard = parse_yaml(text, _KIND)
    if dashboard.getId() is None:
        raise illegal("Dashboard id is mandatory")
    call.kestra.bean("core.models.validations.ModelValidator").validate(dashboard)
    return dashboard


def _shown(kestra: Kestra, kept: Any) -> dict[str, Any]:
    """Returns a dashboard as the API shows it."""
    text = str(kept["sourceCode"])
    shown: dict[str, Any] = kestra.json(parse_yaml(text, _KIND))
    return (
        {"tenantId": TENANT}
        | shown
        | {
            "deleted": False,
            "created": kept["created"],
            "updated": kept["updated"],
            "sourceCode": text,
        }
    )


def _kept(kestra: Kestra, dashboard: str) -> Any:
    """Returns what is kept of a dashboard, or None."""
    setting = _settings(kestra).findByKey(_PREFIX + dashboard).orElse(None)
    return setting and kestra.json(setting.getValue())


def dashboards(kestra: Kestra) -> list[dict[str, Any]]:
    """Returns all dashboards by their ids."""
    kept = {str(each.getKey()): each.getValue() for each in _settings(kestra).findAll()}
    return [
        _shown(kestra, kestra.json(kept[key])) for key in sorted(kept) if key.startswith(_PREFIX)
    ]


def _save(call: Call, dashboard: str, text: str, created: str | None) -> dict[str, Any]:
    now = str(JClass("java.time.Instant").now())
    value = {"sourceCode": text, "created": created or now, "updated": now}
    data = call.kestra.java(value, "java.util.Map")
    setting = JClass("io.kestra.core.models.Setting").builder().key(_PREFIX + dashboard).value(data)
    _settings(call.kestra).save(setting.build())
    return _shown(call.kestra, value)


@route("GET", "/dashboards")
def search(call: Call) -> Any:
    query = call.query.get("filters[q][EQUALS]", "").lower()
    found = [each for each in dashboards(call.kestra) if query in each["title"].lower()]
    return call.part(found, "searchDashboards")


@route("POST", "/dashboards", (YAML,))
def create(call: Call) -> Any:
    text = call.required("dashboard")
    dashboard = str(_valid(call, text).getId())
    if _kept(call.kestra, dashboard):
        raise invalid("dashboard.id", "Dashboard id already exists")
    return _save(call, dashboard, text, None)


@route("POST", "/dashboards/validate", (YAML,))
def validate(call: Call) -> Any:
    return call.constraints("dashboard", _KIND)


@route("POST", "/dashboards/validate/chart", (YAML,))
def validate_chart(call: Call) -> Any:
    return call.constraints("chart", _CHART)


@route("GET", "/dashboards/{id}")
def get(call: Call) -> Any:
    if (kept := _kept(call.kestra, call.path["id"])) is None:
        return None
    shown = _shown(call.kestra, kept)
    if not re.search(r"(?m)^id:", text := shown["sourceCode"]):
        shown["sourceCode"] = f"id: {shown['id']}\n{text}"
    return shown


@route("PUT", "/dashboards/{id}", (YAML,))
def update(call: Call) -> Any:
    if (kept := _kept(call.kestra, call.path["id"])) is None:
        return None
    text = call.required("dashboard")
    if str(_valid(call, text).getId()) != call.path["id"]:
        raise invalid("dashboard.id", "Illegal dashboard id update")
    return _save(call, call.path["id"], text, kept["created"])


@route("DELETE", "/dashboards/{id}")
def delete(call: Call) -> Any:
    if _kept(call.kestra, call.path["id"]) is None:
        raise Refused(409, f"Illegal state: Dashboard {call.path['id']} doesn't exists")
    key = _PREFIX + call.path["id"]
    _settings(call.kestra).delete(
        JClass("io.kestra.core.models.Setting").builder().key(key).build()
    )
    return NO_CONTENT


# --- the data of charts -------------------------------------------------------------------------


@route("POST", "/dashboards/{id}/charts/{chart}", (JSON,))
def chart_data(call: Call) -> Any:
    kept = _kept(call.kestra, call.path["id"])
    if kept is None:
        raise NotFound
    dashboard = parse_yaml(kept["sourceCode"], _KIND)
    wanted = [each for each in dashboard.getCharts() if each.getId() == call.path["chart"]]
    if not wanted:
        raise NotFound
    return _data(call, wanted[0], dashboard.getTimeWindow(), call.json("globalFilter", dict))


@route("POST", "/dashboards/charts/preview", (JSON,))
def chart_preview(call: Call) -> Any:
    given = call.json("previewRequest", dict)
    if not isinstance(text := given.get("chart"), str):
        raise invalid("previewRequest.chart", "must not be null")
    chart = parse_yaml(text, _CHART)
    window = JClass("io.kestra.core.models.dashboards.TimeWindow").builder().build()
    return _data(call, chart, window, given.get("globalFilter") or {})


def _data(call: Call, chart: Any, window: Any, given: dict[str, Any]) -> Any:
    """Returns what a chart shows of a period, in Kestra's own query."""
    moment, duration = JClass("java.time.ZonedDateTime"), JClass("java.time.Duration")
    start, end, others = None, moment.now(), JClass("java.util.ArrayList")()
    for each in given.get("filters") or ():
        match each.get("field"):
            case "timeRange":
                start = end.minus(duration.parse(each["value"]))
            case "startDate":
                start = moment.parse(each["value"])
            case "endDate":
                end = moment.parse(each["value"])
            case _:
                others.add(call.kestra.java(each, "io.kestra.core.models.QueryFilter"))
    if start is None:
        start = end.minus(window.getDefaultDuration())
    if duration.between(start, end).compareTo(window.getMax()) > 0:
        raise illegal("The queried window is larger than the max allowed one.")
    service = call.kestra.bean("core.services.ChartDataService")
    kpi = JClass("io.kestra.core.models.dashboards.charts.DataChartKPI")
    data = JClass("io.kestra.core.models.dashboards.charts.DataChart")
    if not isinstance(chart, (kpi, data)):
        raise illegal("Only data charts can be generated.")
    chart.getData().updateWhereWithGlobalFilters(others, start, end)
    if isinstance(chart, kpi):
        rows = service.generateKPI(TENANT, chart, start, end)
        return {"results": call.kestra.json(rows), "total": len(rows)}
    pageable = JClass("io.micronaut.data.model.Pageable")
    number, size = given.get("pageNumber"), given.get("pageSize")
    page = pageable.from_(number, size) if number and size else pageable.UNPAGED
    return call.page(service.generate(TENANT, chart, start, end, page))
