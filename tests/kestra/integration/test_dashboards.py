"""Dashboards: the API of the offline server, and their lifecycle on servers of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from infra.kestra.errors import KestraError
from infra.kestra.lifecycle.dashboard import lifecycle as dashboard
from tests.kestra.integration import resources
from tests.kestra.integration.resources import Props, stored
from tests.kestra.servers import ROOT, KestraServer

TEXT = (ROOT / "dashboards" / "taxi_loads.yaml").read_text()
OTHER_TEXT = TEXT.replace("title: Taxi loads", "title: Loads of trips")
YAML = {"Content-Type": "application/x-yaml"}


def simple(dashboard_id: str, title: str = "Simple") -> str:
    return f"id: {dashboard_id}\ntitle: {title}\n"


@pytest.fixture
def http(shared_kestra: KestraServer) -> Iterator[httpx.Client]:
    """A client of an API that has no dashboard."""
    with shared_kestra.client() as client:
        for found in client.get("/dashboards", params={"size": 100}).json()["results"]:
            client.delete(f"/dashboards/{found['id']}").raise_for_status()
        yield client


def create(http: httpx.Client, text: str) -> dict[str, Any]:
    answer = http.post("/dashboards", content=text.encode(), headers=YAML)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


# The API


def test_a_dashboard_is_created_shown_replaced_and_deleted(http: httpx.Client) -> None:
    created = create(http, TEXT)
    assert created["sourceCode"] == TEXT
    assert created["tenantId"] == "main"
    assert created["deleted"] is False
    assert created["timeWindow"] == {"default": "PT720H", "max": "PT8784H"}
    assert created["created"] <= created["updated"]
    first = created["charts"][0]
    assert first["chartOptions"] == {
        "displayName": "Successful loads", "width": 4, "numberType": "PERCENTAGE",
    }  # fmt: skip
    assert first["data"]["columns"] == {"field": "ID", "agg": "COUNT"}
    assert http.get("/dashboards/taxi_loads").json() == created

    def put(text: str) -> dict[str, Any]:
        answer = http.put("/dashboards/taxi_loads", content=text, headers=YAML)
        return dict(answer.raise_for_status().json())

    changed = put(OTHER_TEXT)
    assert (changed["title"], changed["sourceCode"]) == ("Loads of trips", OTHER_TEXT)
    assert changed["created"] == created["created"]
    assert changed["updated"] > created["updated"]

    deleted = http.delete("/dashboards/taxi_loads")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert http.get("/dashboards/taxi_loads").status_code == 404
    again = http.delete("/dashboards/taxi_loads")
    assert again.status_code == 409
    assert again.json()["message"] == "Illegal state: Dashboard taxi_loads doesn't exists"
    assert create(http, TEXT)["created"] > created["created"]


def test_defaults_are_shown(http: httpx.Client) -> None:
    created = create(http, simple("plain"))
    assert created["timeWindow"] == {"default": "PT720H", "max": "PT8784H"}
    assert "description" not in created


def test_a_source_without_a_line_for_its_id_gets_one_when_it_is_read(http: httpx.Client) -> None:
    source = "{id: inline, title: Inline}"
    assert create(http, source)["sourceCode"] == source
    assert http.get("/dashboards/inline").json()["sourceCode"] == f"id: inline\n{source}"


def test_dashboards_are_listed_by_page_order_and_title(http: httpx.Client) -> None:
    for dashboard_id, title in (("b", "Loads"), ("c", "All loads"), ("a", "Logs")):
        create(http, simple(dashboard_id, title))

    def ids(**params: Any) -> tuple[list[str], int]:
        found = http.get("/dashboards", params=params).raise_for_status().json()
        return [each["id"] for each in found["results"]], found["total"]

    assert ids() == (["a", "b", "c"], 3)
    assert ids(size=2, page=2) == (["c"], 3)
    assert ids(sort="title:desc") == (["a", "b", "c"], 3)
    assert ids(**{"filters[q][EQUALS]": "LOADS"}) == (["b", "c"], 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: Nameless\n", "Illegal argument: Dashboard id is mandatory"),
        (simple("there"), "Invalid entity: dashboard.id: Dashboard id already exists"),
        ("id: new\n", "Invalid entity: title: must not be "),
        ("id: {", "Invalid entity: Illegal dashboard source: "),
        (simple("new") + "charts: [{type: x.Radar}]\n", "Invalid entity: Invalid type: x.Radar"),
        (" ", "Invalid route params: Required Body [dashboard] not specified"),
    ],
)
def test_what_is_no_new_dashboard_is_refused(http: httpx.Client, text: str, message: str) -> None:
    create(http, simple("there"))
    answer = http.post("/dashboards", content=text, headers=YAML)
    assert answer.status_code == 422
    assert answer.json()["message"].startswith(message)
    assert http.get("/dashboards").json()["total"] == 1


def test_an_update_is_of_a_dashboard_that_is_there_and_stays_itself(http: httpx.Client) -> None:
    assert http.put("/dashboards/a", content=simple("a"), headers=YAML).status_code == 404
    create(http, simple("a"))
    answer = http.put("/dashboards/a", content=simple("b"), headers=YAML)
    assert answer.status_code == 422
    assert answer.json()["message"] == "Invalid entity: dashboard.id: Illegal dashboard id update"
    answer = http.put("/dashboards/a", content="id: a\n", headers=YAML)
    assert answer.status_code == 422
    assert http.get("/dashboards/a").json()["title"] == "Simple"


def test_a_validation_changes_nothing(http: httpx.Client) -> None:
    def validation(text: str) -> dict[str, Any]:
        answer = http.post("/dashboards/validate", content=text, headers=YAML)
        return dict(answer.raise_for_status().json())

    assert validation(TEXT) == {"index": 0, "outdated": False}
    wrong = validation(TEXT.replace("column: date\n", "column: day\n"))
    assert "charts[3]: Invalid data chart: Column 'day' is requested" in wrong["constraints"]
    assert "title: must not be null" in validation("id: a")["constraints"]
    assert http.get("/dashboards").json()["total"] == 0


def test_only_yaml_is_taken(http: httpx.Client) -> None:
    assert http.post("/dashboards", json={"id": "a", "title": "A"}).status_code == 415


def test_a_chart_shows_what_it_asks_for(http: httpx.Client) -> None:
    create(http, TEXT)
    answer = http.post("/dashboards/taxi_loads/charts/failures", json={})
    assert answer.raise_for_status().json() == {"results": [], "total": 0}
    assert http.post("/dashboards/taxi_loads/charts/none", json={}).status_code == 404
    assert http.post("/dashboards/none/charts/failures", json={}).status_code == 404
    assert http.post("/dashboards/charts/preview", json={}).status_code == 422


def test_what_the_offline_server_does_not_support_is_refused_by_name(http: httpx.Client) -> None:
    answer = http.post("/dashboards/taxi_loads/charts/failures/export/to-csv", json={})
    assert answer.status_code == 501
    assert "dashboards/taxi_loads/charts/failures/export/to-csv" in answer.json()["message"]


def test_the_page_names_the_dashboards(shared_kestra: KestraServer, http: httpx.Client) -> None:
    assert "None is registered." in http.get(shared_kestra.base).text
    create(http, TEXT)
    assert "Taxi loads" in http.get(shared_kestra.base).text


def test_dashboards_outlive_the_server(start_kestra: Callable[..., KestraServer]) -> None:
    server = start_kestra()
    with server.client() as http:
        created = create(http, TEXT)
    server.stop()
    server.start()
    with server.client() as http:
        assert http.get("/dashboards/taxi_loads").json() == created
        configs = http.get(f"{server.base}/api/v1/configs").json()
        assert configs["isCustomDashboardsEnabled"] is True


# The resource


def props(server: KestraServer, source: str = TEXT, **changes: object) -> Props:
    return resources.dashboard(server.base, source, **changes)


def preview(olds: Props, news: Props) -> list[str]:
    return [error.reason for error in dashboard.check(olds, {**news, "isPreview": True}).failures]


def test_a_dashboard_is_created_updated_and_deleted(
    shared_kestra: KestraServer, http: httpx.Client
) -> None:
    one = props(shared_kestra)
    assert preview({}, one) == []
    created = dashboard.create(one)
    outs = stored(created.outs)
    assert (created.id, outs["registered"]) == ("taxi_loads", True)
    assert http.get("/dashboards/taxi_loads").json()["sourceCode"] == TEXT
    assert stored(dashboard.read("taxi_loads", outs).outs) == outs
    assert not dashboard.diff("taxi_loads", outs, one).changes

    two = props(shared_kestra, OTHER_TEXT)
    assert dashboard.diff("taxi_loads", outs, two).changes
    outs = stored(dashboard.update("taxi_loads", outs, two).outs)
    assert http.get("/dashboards/taxi_loads").json()["title"] == "Loads of trips"

    # Somebody edits it in the browser.
    http.put("/dashboards/taxi_loads", content=TEXT + "# mine\n", headers=YAML).raise_for_status()
    with pytest.raises(KestraError, match="was changed on the server by somebody else"):
        dashboard.update("taxi_loads", outs, one)
    seen = dashboard.read("taxi_loads", outs)
    assert seen.inputs is not None
    assert seen.inputs["source"] == TEXT + "# mine\n"
    dashboard.update("taxi_loads", stored(seen.outs), one)
    assert http.get("/dashboards/taxi_loads").json()["sourceCode"] == TEXT

    dashboard.delete("taxi_loads", outs)
    dashboard.delete("taxi_loads", outs)
    assert http.get("/dashboards/taxi_loads").status_code == 404
    assert dashboard.read("taxi_loads", outs).id == ""


def test_an_existing_dashboard_is_adopted_only_with_adopt(
    shared_kestra: KestraServer, http: httpx.Client
) -> None:
    create(http, OTHER_TEXT)
    (error,) = preview({}, props(shared_kestra))
    assert "already exists on the server" in error
    with pytest.raises(KestraError, match="already exists on the server"):
        dashboard.create(props(shared_kestra))
    assert preview({}, props(shared_kestra, adopt=True)) == []
    dashboard.create(props(shared_kestra, adopt=True))
    assert http.get("/dashboards/taxi_loads").json()["sourceCode"] == TEXT


def test_a_refusal_of_the_server_names_the_file(
    shared_kestra: KestraServer, http: httpx.Client
) -> None:
    wrong = props(shared_kestra, TEXT.replace("agg: AVG", "agg: MEDIAN"))
    (error,) = preview({}, wrong)
    assert error.startswith("Illegal dashboard source: YAML parsing error: Cannot deserialize")
    assert all(each in error for each in ("AVG", "MAX", "MIN", "SUM", "COUNT"))
    with pytest.raises(KestraError, match=r"^dashboards/taxi_loads\.yaml: POST .* status 422: "):
        dashboard.create(wrong)
