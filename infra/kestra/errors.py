"""The errors of the library.

KestraError             any error below; its message says what failed and where
├── InvalidContent      a flow, file, dashboard or argument is invalid
├── Conflict            the server has other content, which may not be replaced
├── RequestFailed       the server refused a request or gave no usable answer
│   └── Unavailable     no server took the request in time
└── PartlyWritten       some flows or files of a namespace failed; the others were written

They are run errors of Pulumi: a program that raises one ends with its message, without a traceback.
"""

from typing import Self

import pulumi


class KestraError(pulumi.RunError):
    """The root of the library's errors.

    Attributes:
        status: the HTTP status code of the server's answer, or None without one.
        is_uncertain: whether the server may have done what failed.
    """

    def __init__(
        self, message: str, status: int | None = None, *, is_uncertain: bool = False
    ) -> None:
        super().__init__(message)
        self.status = status
        self.is_uncertain = is_uncertain

    def within(self, place: str) -> Self:
        """Returns the same error with the flow or file in which it occurred before its message."""
        return type(self)(f"{place}: {self}", self.status, is_uncertain=self.is_uncertain)


class InvalidContent(KestraError):
    """A flow, file, dashboard or argument is invalid."""


class Conflict(KestraError):
    """The server has other content, which may not be replaced."""


class RequestFailed(KestraError):
    """The server refused a request or gave no usable answer."""


class Unavailable(RequestFailed):
    """No server took the request in time."""


class PartlyWritten(KestraError):
    """Some flows or files of a namespace failed; the others were written."""
