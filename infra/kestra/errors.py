"""What can go wrong with the server, for those too who need no client."""


class KestraError(Exception):
    """Kestra did not do what was asked; the message says what it was and what came back.

    Attributes:
        status: the HTTP status code, or None where no answer came.
        is_uncertain: whether the server may have done it all the same.
    """

    def __init__(
        self, message: str, status: int | None = None, *, is_uncertain: bool = False
    ) -> None:
        """Keeps what the caller may want to know beside the message."""
        super().__init__(message)
        self.status = status
        self.is_uncertain = is_uncertain


class Unavailable(KestraError):
    """No server took the request in the time it was given."""
