"""The server: everything put together, started and stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import uvicorn
from psycopg_pool import PoolTimeout
from starlette.types import ASGIApp

from offline.kestra import app, states
from offline.kestra.api.routing import Server
from offline.kestra.config import Config
from offline.kestra.context import Services
from offline.kestra.dashboards import Dashboards
from offline.kestra.executor import Executor
from offline.kestra.flows import Flows
from offline.kestra.scheduler import Scheduler
from offline.kestra.storage import Storage
from offline.kestra.store import Store

_LOG = logging.getLogger("kestra.server")


class StartError(Exception):
    """The server cannot start; the message says why."""


class _Uvicorn(uvicorn.Server):
    """Leaves the signals to us: executions are waited for before the API closes."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _web_server(application: ASGIApp, host: str, port: int) -> _Uvicorn:
    return _Uvicorn(
        uvicorn.Config(
            application,
            host=host,
            port=port,
            server_header=False,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
    )


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        StartError: the database or the storage cannot be used.
    """
    try:
        store = Store(config.database)
        storage = Storage(config.storage)
    except (psycopg.Error, PoolTimeout) as error:
        raise StartError(
            f"datasources.postgres.url: cannot use {config.jdbc_url}: {str(error).strip()}"
        ) from error
    except OSError as error:
        raise StartError(f"kestra.storage.local.base-path: {error}") from error
    services = Services(config, store, storage)
    executor = Executor(services)
    scheduler = Scheduler(services, executor)
    flows = Flows(store, config.release, scheduler.flow_changed)
    uuid = store.setting("kestra.server.uuid", states.create_id())
    dashboards = Dashboards(store, config.release.tenant)
    server = Server(config, services, flows, dashboards, executor, scheduler, uuid)
    if config.release.tenant and (config.basic_auth is None or config.basic_auth.errors):
        reasons = config.basic_auth.errors if config.basic_auth else ("no credentials are set",)
        _LOG.error("kestra.server.basic-auth: nobody can log in: %s", "; ".join(reasons))
    executor.recover()
    scheduler.start()
    asyncio.run(_serve(server))
    if executor.busy():
        # What did not end in time is continued by the next server; its threads would hold us up.
        logging.shutdown()
        os._exit(0)
    store.close()


async def _serve(server: Server) -> None:
    config = server.config
    web = [
        _web_server(app.api(server), config.host, config.port),
        _web_server(app.management(config, server.store), config.host, config.management_port),
    ]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.gather(*(each.serve() for each in web))
    _LOG.info(
        "Podium's stand-in for Kestra (this is not Kestra), answering as release %s, on port %s; "
        "management on port %s",
        config.release.version,
        config.port,
        config.management_port,
    )
    await stop.wait()
    _LOG.info("stopping: waiting up to %s s for what runs", config.grace_period)
    server.scheduler.stop()
    await asyncio.to_thread(server.executor.close, config.grace_period)
    for each in web:
        each.should_exit = True
    await serving
