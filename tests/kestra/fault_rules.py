"""What happens to which step: the rules of the proxies that make faults."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Fault = TypeVar("Fault")


@dataclass
class _Rule(Generic[Fault]):
    pattern: re.Pattern[str]
    fault: Fault
    occurrences: range
    seen: int = 0


@dataclass
class FaultRules(Generic[Fault]):
    """The rules of one proxy, whose clients come side by side."""

    _rules: list[_Rule[Fault]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, pattern: str, fault: Fault, *, first: int, times: int) -> None:
        """Lets a fault happen from now on.

        Args:
            pattern: a regular expression found in the step.
            fault: what happens.
            first: the first of the matching steps that it happens to, counted from 1.
            times: how many of them it happens to.
        """
        rule = _Rule(re.compile(pattern, re.DOTALL), fault, range(first, first + times))
        with self._lock:
            self._rules.append(rule)

    def clear(self) -> None:
        """Ends all faults."""
        with self._lock:
            self._rules.clear()

    def find(self, step: str) -> Fault | None:
        """Returns the fault that happens to a step, which counts as seen."""
        with self._lock:
            for rule in self._rules:
                if rule.pattern.search(step):
                    rule.seen += 1
                    if rule.seen in rule.occurrences:
                        return rule.fault
        return None
