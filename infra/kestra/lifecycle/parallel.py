"""Calls for many flows or files, on several connections at once."""

import threading
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..errors import KestraError, Unavailable

_THREADS = 10

_Key = TypeVar("_Key", bound=Hashable)
_Result = TypeVar("_Result")


def try_each(
    function: Callable[[_Key], _Result], keys: Iterable[_Key]
) -> tuple[dict[_Key, _Result], dict[_Key, KestraError]]:
    """Calls a function for each key and returns its results and its errors.

    Once the server does not answer any more, the rest is not tried: each would wait in vain.
    """
    is_lost = threading.Event()
    results: dict[_Key, _Result] = {}
    errors: dict[_Key, KestraError] = {}

    def attempt(key: _Key) -> None:
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


def for_each(function: Callable[[_Key], _Result], keys: Iterable[_Key]) -> dict[_Key, _Result]:
    """Calls a function for each key and returns its results.

    Raises:
        KestraError: the first error.
    """
    results, errors = try_each(function, keys)
    for error in errors.values():
        raise error
    return results
