"""Two ways to the same end, measured by turns."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median


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
        pairs = zip(self.seconds, self.baseline_seconds, strict=True)
        ratios = sorted(own / baseline for own, baseline in pairs)
        return (
            f"  {self.name:10} {median(self.seconds):6.2f} s   {self.baseline:32} "
            f"{median(self.baseline_seconds):6.2f} s   "
            f"{median(ratios):5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def seconds(action: Callable[[], object]) -> float:
    """Returns how many seconds an action took."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin
