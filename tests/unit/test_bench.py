"""What benchmarks print of their rounds, and the generated months that they load."""

from __future__ import annotations

import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from bench.comparison import Comparison, Ratios, aim
from bench.months import Dirt, write_month
from tests.taxi_files import read_trips


def test_ratio_is_that_of_rounds_measured_side_by_side() -> None:
    # The machine was three times as slow in the last round, which both sides felt.
    comparison = Comparison("up", "by Docker", [2.0, 4.0, 12.0], [1.0, 1.0, 6.0])
    assert " ".join(str(comparison).split()) == "up 4.00 s by Docker 1.00 s 2.00 (2.00 to 4.00)"


def test_ratio_to_what_differs_from_round_to_round() -> None:
    ratios = Ratios([1.0, 9.0, 4.0], [2.0, 3.0, 4.0])
    assert ratios.median == 1.0
    assert str(ratios).split(maxsplit=1) == ["1.00", "(0.50 to 3.00)"]


def test_round_without_its_baseline_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        str(Comparison("up", "by Docker", [2.0, 4.0], [1.0]))


@pytest.mark.parametrize(("value", "verdict"), [(1.8, "met"), (1.81, "MISSED")])
def test_aim_is_met_at_its_limit(value: float, verdict: str) -> None:
    words = aim("a load, of bare COPY", value, 1.8).split()
    assert words[-5:] == [f"{value:.2f}", "at", "most", "1.80", verdict]


def test_generated_month_holds_what_is_reported_of_it(tmp_path: Path) -> None:
    month = write_month(tmp_path, "green", "2020-07", 30, dirt=Dirt(missing_column="extra"))
    trips = read_trips(month.path)
    assert month.path == tmp_path / "green_tripdata_2020-07.csv.gz"
    assert month.rows == len(trips) == 30
    assert month.total_amount == sum(Decimal(trip["total_amount"]) for trip in trips)
    assert "extra" not in trips[0]


def test_month_that_is_none_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        write_month(tmp_path, "green", "2020-13", 1)
    assert capfd.readouterr().err.endswith("2020-13 is no month: write YYYY-MM\n")
