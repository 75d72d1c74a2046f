"""The page of the report: what it holds, and that it needs nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, fromstring

import matplotlib
import pytest

from report.page import render_page
from report.plots import plot_trips_by_hour
from report.warehouse import Day, Hour, Load, Month, Outside, Reject, Warehouse, Zone

SVG = "http://www.w3.org/2000/svg"
JANUARY, FEBRUARY, APRIL = date(2019, 1, 1), date(2019, 2, 1), date(2019, 4, 1)
NOTHING = Warehouse([], [], [], [], [], has_zones=False, outside=[], rejects=[])


def days(taxi: str, month: date, count: int, trips: int) -> list[Day]:
    return [Day(taxi, month + timedelta(days=number), trips + number) for number in range(count)]


def load(state: str = "LOADED", **changes: Any) -> Load:
    began = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Load("4Dsd3n5i", began, "yellow", JANUARY, state, 1000, 990, 10, 1.26)._replace(
        **changes
    )


FULL = Warehouse(
    # March is missing.
    days=[
        *days("green", JANUARY, 31, 10),
        *days("yellow", JANUARY, 31, 1000),
        *days("yellow", FEBRUARY, 28, 2000),
        *days("yellow", APRIL, 30, 3000),
    ],
    hours=[Hour("green", 6, 30), Hour("green", 18, 10), Hour("yellow", 18, 7)],
    months=[
        Month("green", JANUARY, 775, 5_000.0),
        Month("yellow", JANUARY, 31_465, 10_000.0),
        Month("yellow", FEBRUARY, 56_378, 20_000.0),
        Month("yellow", APRIL, 90_435, 30_000.4),
    ],
    zones=[Zone("JFK Airport", 50_000.0, 1_000.0), Zone("Astoria", 100.0, 4_000.0)],
    loads=[
        load(),
        load("FAILED", load_id="7Hq", rows_loaded=None, seconds=None),
        load(taxi="green", seconds=3.0),
        load("UNCHANGED", seconds=0.1),
    ],
    has_zones=True,
    outside=[Outside("yellow", JANUARY, 1200), Outside("yellow", APRIL, 34)],
    rejects=[Reject("yellow", "too <few> fields", 1500), Reject("green", "no pickup", 2)],
)


class Page(HTMLParser):
    """What a browser makes of the page."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__()
        self.text = render_page(warehouse, "dev")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = " ".join(re.sub(r"<style.*?</style>|<[^>]+>", " ", self.text).split())
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    @property
    def plots(self) -> list[Element]:
        return [fromstring(svg) for svg in re.findall("<svg .*?</svg>", self.text, re.DOTALL)]

    def plot(self, beginning: str) -> Element:
        """Returns the one plot whose alternative text begins so."""
        (plot,) = (plot for plot in self.plots if alternative(plot).startswith(beginning))
        return plot


def alternative(plot: Element) -> str:
    return plot.attrib["aria-label"]


def texts(plot: Element) -> list[str]:
    return [element.text or "" for element in plot.iter(f"{{{SVG}}}text")]


def drawn(plot: Element, kind: str, color: str) -> list[str]:
    """Returns the outlines that have this color as their fill or stroke, without the legend's."""
    paths = plot.iterfind(f".//{{{SVG}}}path[@clip-path]")
    return [path.attrib["d"] for path in paths if f"{kind}: var({color})" in path.attrib["style"]]


class Box(NamedTuple):
    """Where a bar is, from left to right and from top to bottom."""

    left: float
    right: float
    top: float
    bottom: float

    @classmethod
    def of(cls, outline: str) -> Box:
        points = re.findall(r"[ML] (\S+) (\S+)", outline)
        places, levels = ([float(value) for value in axis] for axis in zip(*points, strict=True))
        return cls(min(places), max(places), min(levels), max(levels))

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


def bars(plot: Element, color: str) -> list[Box]:
    return [Box.of(outline) for outline in drawn(plot, "fill", color)]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(FULL)


def test_page_loads_nothing(page: Page) -> None:
    assert not {tag for tag, _ in page.tags} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "image",
    }
    for _, attributes in page.tags:
        assert not attributes.keys() & {"src", "href"}
        assert (attributes.get("xlink:href") or "#").startswith("#")
    assert set(re.findall(r"url\((.)", page.text)) == {"#"}
    assert "@import" not in page.text


def test_ids_are_one_of_a_kind_and_what_refers_to_one_finds_it(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"#(?:[mp][0-9a-f]+)", page.text)) == {f"#{name}" for name in ids}


def test_plots_of_one_layout_have_ids_of_their_own() -> None:
    morning, evening = (plot_trips_by_hour([Hour("yellow", hour, 1)]) for hour in (6, 18))
    ids = [set(re.findall(r'id="(.*?)"', plot)) for plot in (morning, evening)]
    assert ids[0] and ids[1] and not ids[0] & ids[1]


def test_every_plot_says_in_words_what_it_shows(page: Page) -> None:
    assert {plot.attrib["role"] for plot in page.plots} == {"img"}
    assert [alternative(plot) for plot in page.plots] == [
        "Trips per day from 2019-01-01 to 2019-04-30. Yellow cabs: 1,000 to 3,029 a day. "
        "Green cabs: 10 to 40 a day.",
        "Revenue by zone of pickup, the first 2 zones. JFK Airport: $51,000. Astoria: $4,100.",
        "Trips by hour of the day. Yellow cabs: most from 18 to 19 o'clock, 100.0 %; fewest from "
        "0 to 1 o'clock, 0.0 %. Green cabs: most from 6 to 7 o'clock, 75.0 %; fewest from 0 to 1 "
        "o'clock, 0.0 %.",
        "Revenue of each month. Yellow cabs: 2019-01 $10,000, 2019-02 $20,000, 2019-04 $30,000. "
        "Green cabs: 2019-01 $5,000.",
        "Duration of the loads. Yellow cabs: 1.3 to 1.3 seconds. Green cabs: 3.0 to 3.0 seconds.",
    ]


def test_every_plot_has_a_legend(page: Page) -> None:
    for plot in page.plots:
        assert {"Yellow cabs", "Green cabs"} <= set(texts(plot))


def test_legend_leaves_out_a_taxi_that_is_not_loaded() -> None:
    yellow = replace(
        FULL,
        days=[row for row in FULL.days if row.taxi == "yellow"],
        hours=[row for row in FULL.hours if row.taxi == "yellow"],
        months=[row for row in FULL.months if row.taxi == "yellow"],
        zones=[row._replace(green=0.0) for row in FULL.zones],
        loads=[row for row in FULL.loads if row.taxi == "yellow"],
    )
    plots = Page(yellow).plots
    assert len(plots) == 5
    assert not [plot for plot in plots if "Green cabs" in texts(plot)]


def test_line_is_broken_where_months_are_missing(page: Page) -> None:
    plot = page.plot("Trips per day")
    (yellow,) = drawn(plot, "stroke", "--yellow")
    (green,) = drawn(plot, "stroke", "--green")
    assert (yellow.count("M"), green.count("M")) == (2, 1)


def test_lines_of_the_taxis_differ_in_more_than_color(page: Page) -> None:
    lines = page.plot("Trips by hour").iterfind(f".//{{{SVG}}}path[@clip-path]")
    dashed = {
        color: "stroke-dasharray" in line.attrib["style"]
        for line in lines
        for color in ("--yellow", "--green")
        if color in line.attrib["style"]
    }
    assert dashed == {"--yellow": False, "--green": True}


def test_bars_are_as_long_as_the_revenue_and_end_to_end(page: Page) -> None:
    months = page.plot("Revenue of each month")
    yellow, green = bars(months, "--yellow"), bars(months, "--green")
    unit = yellow[0].height / 2
    assert [bar.height / unit for bar in yellow] == pytest.approx([2, 4, 0, 6], abs=1e-3)
    assert [bar.height / unit for bar in green] == pytest.approx([1, 0, 0, 0], abs=1e-3)
    assert [bar.bottom for bar in green] == pytest.approx([bar.top for bar in yellow])
    zones = page.plot("Revenue by zone")
    yellow, green = bars(zones, "--yellow"), bars(zones, "--green")
    unit = yellow[0].width / 500
    assert [bar.width / unit for bar in yellow] == pytest.approx([500, 1], abs=1e-1)
    assert [bar.width / unit for bar in green] == pytest.approx([10, 40], abs=1e-1)
    assert [bar.left for bar in green] == pytest.approx([bar.right for bar in yellow])


@pytest.mark.parametrize("count", [1, 9, 120])
def test_months_are_labelled_as_far_as_there_is_room(count: int) -> None:
    months = [
        Month("yellow", date(2009 + number // 12, number % 12 + 1, 1), 1, 1.0)
        for number in range(count)
    ]
    plot = Page(replace(NOTHING, months=months)).plot("Revenue of each month")
    labels = [text for text in texts(plot) if re.fullmatch(r"\d{4}-\d\d", text)]
    assert labels[0] == "2009-01"
    assert min(count, 4) <= len(labels) <= 8


def test_names_of_zones_are_text() -> None:
    names = ["<script>alert(1)</script>", "A & B", "$x_1$", "x $ y", "\"'>", "&lt;"]
    page = Page(replace(FULL, zones=[Zone(name, 1.0, 1.0) for name in names]))
    plot = page.plot("Revenue by zone")
    assert set(names) <= set(texts(plot))
    assert alternative(plot).endswith(" ".join(f"{name}: $2." for name in names))
    assert "script" not in {tag for tag, _ in page.tags}


def test_same_contents_give_the_same_page_whatever_the_users_own_style(page: Page) -> None:
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.fonttype": "path"}):
        assert Page(FULL).text == page.text


def test_colors_are_defined_and_stand_out_in_light_and_dark(page: Page) -> None:
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w{6})", block))
        for block in re.findall(r":root \{(.*?)\}", page.text, re.DOTALL)
    )
    assert set(re.findall(r"var\(--(\w+)\)", page.text)) == light.keys() == dark.keys()
    # https://www.w3.org/TR/WCAG22: 1.4.11 Non-text Contrast, 1.4.3 Contrast (Minimum)
    for scheme in (light, dark):
        paper = scheme["paper"]
        assert min(contrast(scheme[name], paper) for name in ("yellow", "green")) >= 3
        assert min(contrast(scheme[name], paper) for name in ("ink", "muted", "alarm")) >= 4.5
        # They differ in lightness too.
        assert contrast(scheme["yellow"], scheme["green"]) >= 2
    assert "#00000" not in page.text


def contrast(one: str, other: str) -> float:
    def luminance(color: str) -> float:
        channels = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
        linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return sum(
            weight * channel
            for weight, channel in zip((0.2126, 0.7152, 0.0722), linear, strict=True)
        )

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_totals_of_each_taxi_are_in_words(page: Page) -> None:
    assert (
        "Yellow cabs, 2019-01 to 2019-04, 3 months loaded: 178,278 trips, $60,000 "
        "Green cabs, 2019-01 to 2019-01, 1 month loaded: 775 trips, $5,000"
    ) in page.words
    assert "Without 1,234 trips that are dated outside the month of their file." in page.words


def test_failed_load_is_marked(page: Page) -> None:
    assert (
        "2026-01-02 03:04:05 yellow 2019-01 LOADED 1,000 990 10 1.3 4Dsd3n5i "
        "2026-01-02 03:04:05 yellow 2019-01 ✗ FAILED 1,000 \u2013 10 \u2013 7Hq"
    ) in page.words
    assert [attributes.get("class") for tag, attributes in page.tags if tag == "tr"] == [
        *[None] * 5,
        None,
        None,
        "failed",
        None,
        None,
    ]


def test_problems_of_the_data_are_counted_by_their_reason(page: Page) -> None:
    assert (
        "Taxi Problem Lines yellow Rejected: too &lt;few&gt; fields 1,500 "
        "green Rejected: no pickup 2 "
        "yellow Dated outside 2019-01, the month of the file 1,200 "
        "yellow Dated outside 2019-04, the month of the file 34"
    ) in page.words
    clean = Page(replace(FULL, outside=[], rejects=[]))
    assert "No line was rejected, and no trip is dated outside" in clean.words


def test_page_reloads_itself_only_if_it_is_watched(page: Page) -> None:
    assert 'http-equiv="refresh"' not in page.text
    assert '<meta http-equiv="refresh" content="3">' in render_page(FULL, "dev", 3)


def test_duration_is_drawn_of_loads_that_have_loaded(page: Page) -> None:
    loads = [load(seconds=seconds) for seconds in (1.0, 3.0, 9.0)]
    loads = [
        row._replace(started_at=row.started_at + timedelta(hours=n)) for n, row in enumerate(loads)
    ]
    plot = Page(replace(NOTHING, loads=loads)).plot("Duration of the loads")
    (line,) = drawn(plot, "stroke", "--yellow")
    points = [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", line)]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1)
    assert (y1 - y2) / (y0 - y1) == pytest.approx(3, abs=1e-3)


def test_where_all_loads_failed_the_page_has_no_plot() -> None:
    page = Page(replace(NOTHING, loads=[load("FAILED")]))
    assert not page.plots
    assert "No trips are loaded." in page.words
    assert "✗ FAILED" in page.words


def test_where_zones_are_not_loaded_the_page_says_how_to_load_them() -> None:
    page = Page(replace(FULL, zones=[Zone("Unknown", 1.0, 1.0)], has_zones=False))
    assert len(page.plots) == 4
    assert (
        "The names of the zones are not loaded: ./podium --stack dev run zoomcamp/zones_load"
    ) in page.words


def test_page_of_a_year_is_of_moderate_size() -> None:
    year = replace(
        FULL, days=[*days("yellow", JANUARY, 365, 200_000), *days("green", JANUARY, 365, 9_000)]
    )
    assert len(Page(year).text.encode()) < 150_000
