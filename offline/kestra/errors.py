"""What can go wrong with a request, in the classes that the server's error handler knows.

The names are those of the Java exceptions, because their names decide the status and the reason
in the answer (see `offline.kestra.api.errors`).
"""

from __future__ import annotations

from dataclasses import dataclass


class NotFound(Exception):
    """404; the message, if any, follows `Not Found: `."""


class IllegalArgument(Exception):
    """422 `Illegal argument`."""


class IllegalState(Exception):
    """409 `Illegal state`."""


class BadRequest(Exception):
    """400 `Bad Request`."""


class Gone(Exception):
    """410 `Resource has expired`."""


class MissingBody(Exception):
    """422 `Invalid route params`: a body is required and there is none that the route reads."""


class NotSupported(Exception):
    """501: the genuine server has it, the stand-in has not."""


@dataclass(frozen=True)
class Violation:
    """One broken constraint.

    Attributes:
        path: the property's path in the JSON, e.g. `tasks[0].message`.
        message: what is wrong with it.
    """

    path: str
    message: str


class ConstraintViolations(Exception):
    """422 `Invalid entity`: the message and the list of what is broken."""

    def __init__(self, message: str, violations: list[Violation]) -> None:
        super().__init__(message)
        self.violations = violations


def violation(path: str, message: str) -> ConstraintViolations:
    """The one broken constraint that a check in code (not a declared one) found."""
    return ConstraintViolations(f"{path}: {message}", [Violation(path, message)])
