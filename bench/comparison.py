"""Two ways to the same end, measured by turns."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median


class Ratios:
    """What was measured of Podium over what was measured of its baseline, round by round.

    Attributes:
        median: the ratio in the middle.
    """

    def __init__(self, own: Sequence[float], baseline: Sequence[float]) -> None:
        """Divides.

        Args:
            own: what was measured of Podium in each round.
            baseline: what was measured of its baseline in the same rounds.

        Raises:
            ValueError: the one was measured more often than the other.
        """
        ratios = [each / other for each, other in zip(own, baseline, strict=True)]
        self.median = median(ratios)
        self._least, self._most = min(ratios), max(ratios)

    def __str__(self) -> str:
        """Returns the ratio in the middle and their range."""
        return f"{self.median:5.2f} ({self._least:.2f} to {self._most:.2f})"


@dataclass
class Comparison:
    """What Podium takes and what its baseline takes.

    Attributes:
        name: what is measured.
        baseline: what it is compared with.
        seconds: how long each round took.
        baseline_seconds: how long each round of the baseline took.
    """

    name: str
    baseline: str
    seconds: list[float] = field(default_factory=list)
    baseline_seconds: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        """Returns one line: both medians, the median of the rounds' ratios and their range."""
        ratios = Ratios(self.seconds, self.baseline_seconds)
        return (
            f"  {self.name:10} {median(self.seconds):6.2f} s   {self.baseline:32} "
            f"{median(self.baseline_seconds):6.2f} s   {ratios}"
        )


def aim(words: str, value: float, limit: float) -> str:
    """Returns a line that says what was aimed at and whether it was met.

    Args:
        words: what was measured, beside what.
        value: the ratio measured.
        limit: what it should be at most.
    """
    verdict = "met" if value <= limit else "MISSED"
    return f"  {words:58} {value:6.2f}   at most {limit:.2f}   {verdict}"


def seconds(action: Callable[[], object]) -> float:
    """Returns how many seconds an action took."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin
