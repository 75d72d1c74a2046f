"""What a benchmark prints of its rounds."""

from __future__ import annotations

import pytest

from bench.comparison import Comparison


def test_ratio_is_that_of_rounds_measured_side_by_side() -> None:
    # The machine was three times as slow in the last round, which both sides felt.
    comparison = Comparison("up", "by Docker", [2.0, 4.0, 12.0], [1.0, 1.0, 6.0])
    assert " ".join(str(comparison).split()) == "up 4.00 s by Docker 1.00 s 2.00 (2.00 to 4.00)"


def test_round_without_its_baseline_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        str(Comparison("up", "by Docker", [2.0, 4.0], [1.0]))
