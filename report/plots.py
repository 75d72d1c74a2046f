"""The plots of the page: SVG that takes its colours from the style sheet of the page."""

import io
from collections.abc import Sequence
from datetime import date, timedelta
from math import ceil, nan
from typing import Any, NamedTuple, TypeVar
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from report.warehouse import Day, Hour, Load, Month, Zone

# Matplotlib knows no CSS variables: these colours stand for them while it draws.
_INK, _GRID, _YELLOW, _GREEN = "#000001", "#000002", "#000003", "#000004"
_VARIABLES = {_INK: "--ink", _GRID: "--grid", _YELLOW: "--yellow", _GREEN: "--green"}
_SVG = "http://www.w3.org/2000/svg"
ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
_WIDTH = 6.5  # inches
_MONTH_LABELS = 8  # as many as fit side by side
_ROOM_FOR_MONTHS = 6  # the bar of a first month is no wider than that of six

# Matplotlib's defaults and not the user's matplotlibrc, and on top of them:
_styled = context(
    [
        "default",
        {
            "svg.fonttype": "none",  # text stays text
            "text.parse_math": False,  # a zone may be called $x$
            "figure.constrained_layout.use": True,
            "figure.facecolor": "none",
            "font.size": 10.5,
            "text.color": _INK,
            "axes.axisbelow": True,
            "axes.edgecolor": _GRID,
            "axes.facecolor": "none",
            "axes.grid": True,
            "axes.grid.axis": "y",
            "axes.labelcolor": _INK,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "date.converter": "concise",
            "grid.color": _GRID,
            "legend.frameon": False,
            "xtick.labelcolor": _INK,
            "xtick.major.pad": 8,
            "xtick.major.size": 0,
            "ytick.labelcolor": _INK,
            "ytick.major.size": 0,
        },
    ]
)


class _Look(NamedTuple):
    """How a taxi looks; lines that cross differ in more than their colour."""

    label: str
    color: str
    line: str


_LOOKS = {
    "yellow": _Look("Yellow cabs", _YELLOW, "o-"),
    "green": _Look("Green cabs", _GREEN, "s--"),
}
_Row = TypeVar("_Row", Day, Hour, Load, Month)


@_styled
def plot_trips_per_day(days: Sequence[Day]) -> Markup:
    """Draws the trips per day, each taxi with a scale of its own.

    Args:
        days: the trips, at least of one day; a line is broken where days are missing.
    """
    taxis = _by_taxi(days)
    first, last = min(row.day for row in days), max(row.day for row in days)
    calendar = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    sentences = [f"Trips per day from {first} to {last}."]
    figure = Figure(figsize=(_WIDTH, 0.6 + 1.6 * len(taxis)))
    panels = figure.subplots(len(taxis), sharex=True, squeeze=False)[:, 0]
    for axes, (look, rows) in zip(panels, taxis, strict=True):
        trips = {row.day: row.trips for row in rows}
        values = [trips.get(day, nan) for day in calendar]
        axes.plot(calendar, values, color=look.color, label=look.label)
        axes.margins(x=0)  # else the axis shows the month before or after
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_ylabel("trips")
        sentences.append(f"{look.label}: {min(trips.values()):,} to {max(trips.values()):,} a day.")
    figure.align_ylabels()
    return _svg(figure, sentences)


@_styled
def plot_trips_by_hour(hours: Sequence[Hour]) -> Markup:
    """Draws how the trips of each taxi are spread over the day.

    Args:
        hours: the trips, at least of one hour.
    """
    sentences = ["Trips by hour of the day."]
    figure = Figure(figsize=(_WIDTH, 2.8))
    axes = figure.subplots()
    for look, rows in _by_taxi(hours):
        trips = {row.hour: row.trips for row in rows}
        shares = [100 * trips.get(hour, 0) / sum(trips.values()) for hour in range(24)]
        axes.plot(range(24), shares, look.line, color=look.color, label=look.label)
        most, fewest = shares.index(max(shares)), shares.index(min(shares))
        sentences.append(
            f"{look.label}: most from {most} to {most + 1} o'clock, {shares[most]:.1f} %; "
            f"fewest from {fewest} to {fewest + 1} o'clock, {shares[fewest]:.1f} %."
        )
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.set_xticks(range(0, 24, 2))
    axes.set_xlabel("hour in which the trip begins")
    axes.set_ylabel("share of the taxi's trips")
    return _svg(figure, sentences)


@_styled
def plot_monthly_revenue(months: Sequence[Month]) -> Markup:
    """Draws the revenue of each month, one taxi on top of the other.

    Args:
        months: the revenue, at least of one month.
    """
    numbers = [_number(row.month) for row in months]
    calendar = range(min(numbers), max(numbers) + 1)
    tops = [0.0] * len(calendar)
    sentences = ["Revenue of each month."]
    figure = Figure(figsize=(_WIDTH, 2.8))
    axes = figure.subplots()
    for look, rows in _by_taxi(months):
        revenue = {_number(row.month): row.revenue for row in rows}
        heights = [revenue.get(number, 0.0) for number in calendar]
        axes.bar(calendar, heights, bottom=tops, color=look.color, label=look.label)
        tops = [top + height for top, height in zip(tops, heights, strict=True)]
        amounts = ", ".join(f"{row.month:%Y-%m} ${row.revenue:,.0f}" for row in rows)
        sentences.append(f"{look.label}: {amounts}.")
    labelled = calendar[:: ceil(len(calendar) / _MONTH_LABELS)]
    axes.set_xticks(labelled, [f"{number // 12}-{number % 12 + 1:02}" for number in labelled])
    axes.set_xlim(calendar[0] - 0.6, calendar[0] + max(len(calendar), _ROOM_FOR_MONTHS) - 0.4)
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_ylabel("US dollars")
    return _svg(figure, sentences)


@_styled
def plot_revenue_by_zone(zones: Sequence[Zone]) -> Markup:
    """Draws the revenue by zone of pickup, one taxi beside the other.

    Args:
        zones: the zones, at least one, from top to bottom.
    """
    ends = [0.0] * len(zones)
    sentences = [f"Revenue by zone of pickup, the first {len(zones)} zones."]
    figure = Figure(figsize=(_WIDTH, 0.8 + 0.2 * len(zones)))
    axes = figure.subplots()
    for taxi, look in _LOOKS.items():
        lengths = [getattr(zone, taxi) for zone in zones]
        if any(lengths):
            axes.barh(range(len(zones)), lengths, left=ends, color=look.color, label=look.label)
            ends = [end + length for end, length in zip(ends, lengths, strict=True)]
    sentences += [f"{zone.zone}: ${end:,.0f}." for zone, end in zip(zones, ends, strict=True)]
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x")
    axes.set_yticks(range(len(zones)), [zone.zone for zone in zones])
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("US dollars")
    return _svg(figure, sentences)


@_styled
def plot_load_durations(loads: Sequence[Load]) -> Markup:
    """Draws how long each load took, by when it began.

    Args:
        loads: the loads, at least one, each of them finished.
    """
    sentences = ["Duration of the loads."]
    figure = Figure(figsize=(_WIDTH, 2.8))
    axes = figure.subplots()
    for look, rows in _by_taxi(loads):
        seconds = [row.seconds or 0.0 for row in rows]
        # Matplotlib's types leave out what its converters take.
        began: list[Any] = [row.started_at for row in rows]
        axes.plot(began, seconds, look.line, color=look.color, label=look.label)
        sentences.append(f"{look.label}: {min(seconds):.1f} to {max(seconds):.1f} seconds.")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("when the load began (UTC)")
    axes.set_ylabel("seconds")
    return _svg(figure, sentences)


def _by_taxi(rows: Sequence[_Row]) -> list[tuple[_Look, list[_Row]]]:
    """Returns the rows of each taxi that has any, the yellow ones first."""
    taxis = ((look, [row for row in rows if row.taxi == taxi]) for taxi, look in _LOOKS.items())
    return [(look, own) for look, own in taxis if own]


def _number(month: date) -> int:
    return month.year * 12 + month.month - 1


def _svg(figure: Figure, sentences: list[str]) -> Markup:
    """Returns the figure as an element of the page, with an alternative text."""
    figure.legend(loc="outside upper right", ncols=len(_LOOKS))
    text = " ".join(sentences)
    file = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # The salt makes ids the same each time, and different from those of the page's other plots.
    with rc_context({"svg.hashsalt": text}):
        figure.savefig(file, format="svg", metadata=no_metadata)
    svg = ElementTree.fromstring(file.getvalue())
    svg.set("role", "img")
    svg.set("aria-label", text)
    for element in svg.iter():
        # Groups are numbered in each plot anew, and nothing refers to them.
        if element.tag == f"{{{_SVG}}}g":
            element.attrib.pop("id", None)
        if drawn := element.get("style"):
            for color, variable in _VARIABLES.items():
                drawn = drawn.replace(color, f"var({variable})")
            element.set("style", drawn)
    return Markup(ElementTree.tostring(svg, encoding="unicode"))
