"""The two web applications: the API with its page, and the management port."""

from __future__ import annotations

import base64
import hmac
import re
import shutil
from pathlib import Path
from typing import Any

import psycopg
from jinja2 import Environment, FileSystemLoader, select_autoescape
from psycopg_pool import PoolTimeout
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from offline.kestra import states
from offline.kestra.api import dashboards, executions, flows, logs, misc, namespaces, triggers
from offline.kestra.api.routing import Server, answer, error, not_allowed, routes
from offline.kestra.config import Config
from offline.kestra.store import Conditions, Page, Store

SERVER_NAME = "podium-kestra-stand-in"
_RESOURCES = [module.route for module in (flows, executions, logs, namespaces, triggers, misc)]
_PAGE_SIZE = 25
# What the genuine server has and the stand-in has not, so that it can say so: resources, and the
# last parts of paths below the resources that it has.
_GENUINE = (
    "apps", "basicAuth", "blueprints", "cluster", "kv", "metrics", "plugins", "stats", "taskruns",
    "templates", "tests", "usages",
)  # fmt: skip
_GENUINE_ACTIONS = (
    "by-ids", "by-query", "change-status", "eval", "follow", "force-run", "graph", "labels",
    "pause", "preview", "resume", "secrets", "state", "subflows", "unqueue",
)  # fmt: skip


class _ServerHeader:
    """Marks every answer as the stand-in's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"], (b"server", SERVER_NAME.encode())
                ]  # fmt: skip
            await send(message)

        await self._app(scope, receive, marked)


class _BasicAuth:
    """Lets in who knows the password; `/ping` and webhooks are open to all."""

    def __init__(self, app: ASGIApp, config: Config) -> None:
        self._app = app
        self._config = config
        tenant = config.release.tenant
        self._open = {"/ping"}
        if tenant:  # so that a client can find out the version before it logs in
            self._open |= {"/api/v1/configs"}
            if config.basic_auth is None or config.basic_auth.errors:
                self._open |= {"/api/v1/basicAuthValidationErrors"}
        self._webhooks = f"{config.release.api}/executions/webhook/"
        self._challenge = "Basic" if tenant else "Basic realm=Kestra"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            known = self._is_known(request)
        except ValueError:
            # Release 0.20 lets the decoder's error through.
            strange = re.search(r"[^0-9A-Za-z+/=]", _token(request))
            fault = (
                f"Illegal base64 character {ord(strange[0]):x}"
                if strange
                else "Input byte array has wrong 4-byte ending unit"
            )
            await error(request, 422, f"Illegal argument: {fault}")(scope, receive, send)
            return
        if known:
            await self._app(scope, receive, send)
        else:
            refusal = Response(status_code=401, headers={"WWW-Authenticate": self._challenge})
            await refusal(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        if self._config.basic_auth is None and self._config.release.tenant is None:
            return True
        return path in self._open or path.startswith(self._webhooks)

    def _is_known(self, request: Request) -> bool:
        """Whether the request has the right credentials.

        Raises:
            ValueError: they are not base64, in release 0.20.
        """
        auth = self._config.basic_auth
        if auth is None or auth.errors:
            return False
        if not request.headers.get("authorization", "").startswith("Basic "):
            return False
        try:
            given = base64.b64decode(_token(request), validate=True)
        except ValueError:
            if self._config.release.tenant is None:
                raise
            return False
        return hmac.compare_digest(given, f"{auth.username}:{auth.password}".encode())


def _token(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Basic ").strip()


def _page(server: Server) -> Route:
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(),
    )

    def page(request: Request) -> Response:
        found, total = server.store.executions(
            Conditions(), Page("executions", 1, _PAGE_SIZE, [], "start_date DESC")
        )
        kept, _ = server.store.dashboards(Conditions(), Page("dashboards", 1, _PAGE_SIZE, [], "id"))
        return HTMLResponse(
            templates.get_template("index.html").render(
                version=server.config.release.version,
                api=server.config.release.api,
                flows=server.store.flows_of(None),
                dashboards=kept,
                executions=[states.shown(execution) for execution in found],
                total=total,
            )
        )

    return Route("/", page)


def api(server: Server) -> Starlette:
    """The application of the main port."""
    # Release 0.20 has no dashboards with PostgreSQL.
    has_dashboards = server.config.release.tenant is not None
    every = routes(server, [*_RESOURCES, *([dashboards.route] if has_dashboards else [])])
    genuine = (*_GENUINE, *(["dashboards"] if has_dashboards else []))
    prefix = f"{server.config.release.api}/"

    async def missing(request: Request, _: Exception) -> Response:
        parts = request.url.path.removeprefix(prefix).split("/")
        if parts[0] in genuine or parts[-1] in _GENUINE_ACTIONS:
            wanted = "/".join(parts)
            return error(
                request, 501, f"Not Implemented: the stand-in for Kestra has no `{wanted}`"
            )
        return error(request, 404, "Not Found")

    async def method(request: Request, _: Exception) -> Response:
        return not_allowed(request, every)

    def ui(request: Request) -> Response:
        return RedirectResponse("/")

    return Starlette(
        routes=[*every, _page(server), Route("/ui/{path:path}", ui)],
        middleware=[Middleware(_ServerHeader), Middleware(_BasicAuth, config=server.config)],
        exception_handlers={404: missing, 405: method},
    )


def management(config: Config, store: Store) -> Starlette:
    """The application of the management port: the health of the parts."""

    def part(details: Any = None, status: str = "UP") -> dict[str, Any]:
        shown = {"name": "kestra", "status": status}
        return shown if details is None else shown | {"details": details}

    def health(request: Request) -> Response:
        disk = shutil.disk_usage(config.storage)
        threshold = 10 * 1024 * 1024  # bytes, Micronaut's default
        try:
            version = store.server_version()
            database = part({"database": "PostgreSQL", "version": version})
        except (psycopg.Error, PoolTimeout) as failure:
            database = part({"error": f"{type(failure).__name__}: {failure}"}, "DOWN")
        space = {"total": disk.total, "free": disk.free, "threshold": threshold}
        status = database["status"] if disk.free >= threshold else "DOWN"
        details = {
            "compositeDiscoveryClient()": part({"services": {}}),
            "diskSpace": part(space, "UP" if disk.free >= threshold else "DOWN"),
            "service": part(),
            "jdbc": part({config.jdbc_url: database}, database["status"]),
        }
        return answer(part(details, status), 200 if status == "UP" else 503)

    def liveness(request: Request) -> Response:
        return answer(part({}, "UNKNOWN"))

    def info(request: Request) -> Response:
        return answer({})

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/health/readiness", health),
            Route("/health/liveness", liveness),
            Route("/info", info),
        ],
        middleware=[Middleware(_ServerHeader)],
    )
