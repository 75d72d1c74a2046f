"""The web application: the API with its page, behind the login."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from jpype import JClass
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from offline.kestra.api import (
    dashboards,
    executions,
    flows,
    logs,
    misc,
    namespaces,
    triggers,
)
from offline.kestra.api.routing import API, Call, error, not_allowed, routes
from offline.kestra.config import Config
from offline.kestra.engine.machine import TENANT, Kestra

SERVER_NAME = "podium-kestra"
_RESOURCES = [
    module.route for module in (flows, executions, logs, namespaces, triggers, dashboards, misc)
]
# The resources of the tenant.
_TENANTS = ("dashboards", "executions", "flows", "kv", "logs", "metrics", "namespaces", "triggers")
_LAST = 25  # executions on the page
# What Kestra's own API has and this one has not, so that it can say so: resources, and the last
# parts of paths below the resources that it has.
_MISSING = (
    "apps", "assets", "basicAuth", "blueprints", "mcp-servers",
    "outputs", "plugins", "stats", "taskruns", "tests", "usages",
)  # fmt: skip
_MISSING_ACTIONS = (
    "by-ids", "by-query", "by-triggers", "expressions", "follow-dependencies", "labels", "preview",
    "replay-with-inputs", "revisions", "secrets", "state", "subflows", "to-csv", "validate",
)  # fmt: skip


class _ServerHeader:
    """Marks every answer as this server's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"server", SERVER_NAME.encode())]
            await send(message)

        await self._app(scope, receive, marked)


class _Tenant:
    """Takes the paths of the tenant without its name too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start, _, rest = scope.get("path", "").partition("/api/v1/")
        if not start and rest.partition("/")[0] in _TENANTS:
            scope = {**scope, "path": f"{API}/{rest}"}
        await self._app(scope, receive, send)


class _BasicAuth:
    """Lets in who knows the password; `/ping`, the version and webhooks are open to all."""

    def __init__(self, app: ASGIApp, config: Config) -> None:
        self._app = app
        self._login = f"{config.username}:{config.password}".encode()
        self._closed = bool(config.login_errors)
        self._open = ["/ping", "/api/v1/configs"]
        if self._closed:
            self._open.append("/api/v1/basicAuthValidationErrors")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._lets_in(Request(scope)):
            await self._app(scope, receive, send)
            return
        from_login = Request(scope).headers.get("referer", "").endswith("/login")
        headers = {} if from_login else {"WWW-Authenticate": "Basic"}
        await Response(status_code=401, headers=headers)(scope, receive, send)

    def _lets_in(self, request: Request) -> bool:
        path = request.url.path
        if path in self._open or path.startswith(f"{API}/executions/webhook/"):
            return True
        if path != "/" and not path.startswith(("/api/", "/ui/")):
            return True
        given = request.headers.get("authorization", "")
        token = given.removeprefix("Basic ") if given else request.cookies.get("BASIC_AUTH", "")
        try:
            login = base64.b64decode(token.strip(), validate=True)
        except ValueError:
            return False
        return not self._closed and hmac.compare_digest(login, self._login)


def _pages(kestra: Kestra, settings: Mapping[str, Any]) -> list[Route]:
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(),
    )
    version = misc.version(kestra)

    def page(request: Request) -> Response:
        call = Call(kestra, settings, request)
        every = call.pageable("page").from_(1, _LAST, _newest_first())
        found = executions.repository(kestra).find(every, TENANT, call.filters("EXECUTION"))
        return HTMLResponse(
            templates.get_template("index.html").render(
                version=version,
                api=API,
                flows=kestra.json(flows.repository(kestra).findAll(TENANT)),
                dashboards=dashboards.dashboards(kestra),
                executions=[executions.light(call, each) for each in found],
                total=found.getTotal(),
            )
        )

    def execution(request: Request) -> Response:
        call = Call(kestra, settings, request)
        found = executions.get(call)
        if found is None:
            return error(request, 404, "Not Found")
        lines = kestra.json(logs.of_execution(call))
        return HTMLResponse(
            templates.get_template("execution.html").render(
                version=version, execution=found, logs=lines
            )
        )

    def ui(request: Request) -> Response:
        return RedirectResponse("/")

    place = f"/ui/{TENANT}/executions/{{namespace}}/{{flow}}/{{execution}}"
    return [Route("/", page), Route(place, execution), Route("/ui/{path:path}", ui)]


def _newest_first() -> Any:
    sort = JClass("io.micronaut.data.model.Sort")
    return sort.of(JClass("io.micronaut.data.model.Sort$Order").desc("start_date"))


def application(kestra: Kestra, config: Config) -> Starlette:
    """Returns the application."""
    settings = {"url": config.url, "login_errors": list(config.login_errors)}
    every = routes(kestra, settings, _RESOURCES)

    async def missing(request: Request, _: Exception) -> Response:
        parts = request.url.path.removeprefix("/api/v1/").split("/")
        if parts[0] == TENANT:
            parts = parts[1:]
        elif parts[1:2] and parts[1] in _TENANTS:
            return error(request, 400, "Bad Request: Tenant must be 'main' for OSS version")
        if parts[0] in _MISSING or parts[-1] in _MISSING_ACTIONS:
            wanted = "/".join(parts)
            return error(
                request, 501, f"Not Implemented: Podium's API for Kestra has no `{wanted}`"
            )
        return error(request, 404, "Not Found")

    async def method(request: Request, _: Exception) -> Response:
        return not_allowed(request, every)

    return Starlette(
        routes=[*every, *_pages(kestra, settings)],
        middleware=[
            Middleware(_ServerHeader),
            Middleware(_Tenant),
            Middleware(_BasicAuth, config=config),
        ],
        exception_handlers={404: missing, 405: method},
    )
