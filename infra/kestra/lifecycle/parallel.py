"""Calls for many flows or files, on several connections at once."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..errors import KestraError, Unavailable

_THREADS = 10

_Result = TypeVar("_Result")


def try_each(
    function: Callable[[str], _Result], keys: Iterable[str]
) -> tuple[dict[str, _Result], dict[str, KestraError]]:
    """Calls a function for each key and returns its results and its errors.

    Once the server does not answer any more, the rest is not tried: each would wait in vain.
    """
    is_lost = threading.Event()
    results: dict[str, _Result] = {}
    errors: dict[str, KestraError] = {}

    def attempt(key: str) -> None:
        if is_lost.is_set():
            errors[key] = Unavailable("not tried, since the server stopped answering")
            return
        try:
            results[key] = function(key)
        except KestraError as error:
            errors[key] = error
            if isinstance(error, Unavailable):
                is_lost.set()

    with ThreadPoolExecutor(_THREADS) as pool:
        # The list raises what is not an error of Kestra.
        list(pool.map(attempt, keys))
    return results, errors


def for_each(function: Callable[[str], _Result], keys: Iterable[str]) -> dict[str, _Result]:
    """Calls a function for each key and returns its results.

    Raises:
        KestraError: the first error.
    """
    results, errors = try_each(function, keys)
    for error in errors.values():
        raise error
    return results
