"""The server: Kestra's engine with Podium's API, started and stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn
from jpype import JException

from offline.kestra.config import Config
from offline.kestra.engine.machine import Kestra

RELEASE = "2.0.0"
_LOG = logging.getLogger("kestra.server")


class StartError(Exception):
    """The server cannot start; the message says why."""


class _Uvicorn(uvicorn.Server):
    """Leaves the signals to us: running tasks are waited for before the API closes."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(config: Config) -> int:
    """Serves until SIGTERM or SIGINT, or until Kestra ends itself.

    Returns:
        The exit status: 1 if Kestra ended itself.

    Raises:
        StartError: Kestra does not start.
    """
    try:
        # -Xrs leaves the signals to Python.
        options = ("-Xrs", "-DLOG_LEVEL=WARN", *shlex.split(os.environ.get("JAVA_OPTS", "")))
        kestra = Kestra(RELEASE, config.properties, options)
    except JException as error:
        cause = error
        while cause.getCause() is not None:
            cause = cause.getCause()
        raise StartError(f"Kestra cannot start: {cause.toString()}") from error
    if config.login_errors:
        reasons = "; ".join(config.login_errors)
        _LOG.error("kestra.server.basic-auth: nobody can log in: %s", reasons)
    return asyncio.run(_serve(kestra, config))


async def _serve(kestra: Kestra, config: Config) -> int:
    from offline.kestra.app import application  # which needs the Java machine

    web = _Uvicorn(
        uvicorn.Config(
            application(kestra, config),
            host=config.host,
            port=config.port,
            server_header=False,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.create_task(web.serve())
    kestra.serve_health()
    _LOG.info(
        "Kestra %s's own engine; its API and page on port %s are Podium's", RELEASE, config.port
    )
    while not stop.is_set() and kestra.is_running and not serving.done():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1)
    ended = not stop.is_set()
    _LOG.info("stopping: running tasks get their time")
    await asyncio.to_thread(kestra.close)
    web.should_exit = True
    await serving
    return int(ended)
