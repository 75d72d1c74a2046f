"""The pages in a real browser: Kestra's, pgAdmin's and the report."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, HttpCredentials, Page, Request, expect

from bench.months import write_month
from tests.e2e.conftest import Project, log_in_to_pgadmin

_SECONDS = 30
_TAXI, _MONTH = "yellow", "2019-03"
# The first `up` may have to build or pull every image.
pytestmark = [pytest.mark.timeout(1200)]


class _Watched:
    """A page, and all that went wrong on it."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.problems: list[str] = []
        self._origin = origin
        page.set_default_timeout(_SECONDS * 1000)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", self._request)
        page.on(
            "response",
            lambda answer: (
                self.problems.append(f"{answer.status} {answer.url}")
                if answer.status >= 400
                else None
            ),
        )

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def _request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob") and f"{url.scheme}://{url.netloc}" != self._origin:
            self.problems.append(f"request to {request.url}")


@pytest.fixture
def screenshots(request: pytest.FixtureRequest) -> Path | None:
    """The folder for pictures of the pages, if the run is to make them."""
    folder: Path | None = request.config.getoption("screenshots")
    return folder


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Any]:
    """Opens pages in browsers of their own, and fails if anything goes wrong on one."""
    opened: list[_Watched] = []

    def open_at(url: str, **options: Any) -> Page:
        address = urlsplit(url)
        context = browser.new_context(
            viewport={"width": 1200, "height": 800}, color_scheme="light", **options
        )
        opened.append(_Watched(context.new_page(), f"{address.scheme}://{address.netloc}"))
        opened[-1].page.goto(url)
        return opened[-1].page

    yield open_at
    problems = [problem for watched in opened for problem in watched.problems]
    for watched in opened:
        watched.page.context.close()
    assert problems == []


def _picture(page: Page, folder: Path | None, name: str) -> None:
    if folder is not None:
        page.screenshot(path=folder / name, animations="disabled", scale="css")


def _login(outputs: dict[str, Any]) -> HttpCredentials:
    return {"username": outputs["kestraUser"], "password": outputs["kestraPassword"]}


def test_execution_is_started_and_followed_on_the_page_of_kestra(
    project: Project, outputs: dict[str, Any], open_page: Any, screenshots: Path | None
) -> None:
    write_month(project.taxi_folder, _TAXI, _MONTH, 1000)
    login = _login(outputs)
    page: Page = open_page(outputs["kestraPage"], http_credentials=login)
    page.get_by_label("Run zoomcamp/taxi_load", exact=True).click()
    form = page.locator('form[data-flow="zoomcamp/taxi_load"]')
    form.get_by_label("taxi").select_option(_TAXI)
    form.get_by_label("month").fill(_MONTH)
    form.get_by_role("button", name="Start").click()
    # Nothing is reloaded by hand: the page follows the execution to its end.
    expect(page.get_by_role("heading", level=1)).to_have_text(
        re.compile(r"zoomcamp/taxi_load:\s+SUCCESS"), timeout=60_000
    )
    expect(page.get_by_role("row", name=f"month {_MONTH}")).to_be_visible()
    expect(page.get_by_text(re.compile("trips loaded|has not changed")).first).to_be_visible()
    bars = page.locator(".bar")
    widths = bars.evaluate_all("bars => bars.map(bar => bar.getBoundingClientRect().width)")
    assert len(widths) > 3
    assert all(width > 0 for width in widths)
    _picture(page, screenshots, "kestra.png")


def test_wrong_input_is_shown_at_the_form(outputs: dict[str, Any], browser: Browser) -> None:
    # Not watched: chromium logs the answer 422 as an error.
    login = _login(outputs)
    context = browser.new_context(http_credentials=login)
    page = context.new_page()
    page.goto(outputs["kestraPage"])
    page.get_by_label("Run zoomcamp/taxi_load", exact=True).click()
    form = page.locator('form[data-flow="zoomcamp/taxi_load"]')
    form.get_by_label("month").fill("last month")
    form.get_by_role("button", name="Start").click()
    expect(form.get_by_role("alert")).to_contain_text("month")
    context.close()


def test_pgadmin_opens_both_databases_without_a_password(
    outputs: dict[str, Any], open_page: Any, screenshots: Path | None
) -> None:
    page: Page = open_page(outputs["pgadminPage"])
    log_in_to_pgadmin(page, outputs)
    tree = page.locator("#id-object-explorer")
    tree.get_by_text("Podium", exact=True).dblclick()
    for number, database in enumerate(("kestra", "ny_taxi"), start=1):
        tree.get_by_text(database, exact=True).first.dblclick()
        # Only a server that is connected has children.
        expect(tree.get_by_text(re.compile(r"^Databases"))).to_have_count(number)
    _picture(page, screenshots, "pgadmin.png")


def test_report_shows_the_loads_and_requests_nothing(
    project: Project, outputs: dict[str, Any], open_page: Any, screenshots: Path | None
) -> None:
    result = project.podium("report")
    assert result.returncode == 0, result.stdout + result.stderr
    page: Page = open_page(Path(result.stdout.strip()).as_uri())
    expect(page.get_by_role("heading", level=1)).to_have_text("New York taxi trips")
    for plot in page.get_by_role("img").all():
        box = plot.bounding_box()
        assert box is not None
        assert box["height"] > 100
    expect(page.get_by_role("row").filter(has_text="LOADED").first).to_be_visible()
    _picture(page, screenshots, "report.png")
