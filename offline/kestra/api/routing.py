"""Between the web framework and the resources: routes, bodies, answers and errors.

An endpoint is a plain function from a `Call` to data; it runs in a worker thread. What it raises
becomes the answer that the server's error handler gives (io.kestra.webserver.controllers.
ErrorController).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from offline.kestra import errors, states
from offline.kestra.config import Config
from offline.kestra.context import Services
from offline.kestra.dashboards import Dashboards
from offline.kestra.executor import Executor
from offline.kestra.flows import Flows
from offline.kestra.pebble import RenderError, to_json
from offline.kestra.scheduler import Scheduler
from offline.kestra.states import Json
from offline.kestra.store import Page, Store

YAML = "application/x-yaml"
JSON = "application/json"
MULTIPART = "multipart/form-data"
TEXT = "text/plain"
OCTETS = "application/octet-stream"
_LOG = logging.getLogger("kestra.api")
_REASONS = {
    errors.NotFound: (404, "Not Found"),
    errors.IllegalArgument: (422, "Illegal argument"),
    errors.IllegalState: (409, "Illegal state"),
    errors.BadRequest: (400, "Bad Request"),
    errors.Gone: (410, "Resource has expired"),
    errors.MissingBody: (422, "Invalid route params"),
    errors.NotSupported: (501, "Not Implemented"),
    RenderError: (422, "Illegal variable evaluation"),
}


@dataclass(frozen=True)
class Server:
    """What the endpoints work on."""

    config: Config
    services: Services
    flows: Flows
    dashboards: Dashboards
    executor: Executor
    scheduler: Scheduler
    uuid: str

    @property
    def store(self) -> Store:
        """The database."""
        return self.services.store


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        path: the values of the path's variables.
        body: the body; empty for a form.
        form: the form, if the body is one.
        content_type: without parameters, in lower case; empty if there is none.
    """

    server: Server
    request: Request
    path: dict[str, str]
    content_type: str
    body: bytes = b""
    form: FormData = field(default_factory=FormData)

    @property
    def query(self) -> QueryParams:
        """The query parameters."""
        return self.request.query_params

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            IllegalArgument: it is none.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise errors.IllegalArgument(f"Invalid JSON: {error}") from error

    def objects(self, *names: str) -> list[Json]:
        """The body as a list of JSON objects with text under each of these names.

        Raises:
            IllegalArgument: it is none.
        """
        given = self.json()
        if not isinstance(given, list) or not all(_is_object(each, names) for each in given):
            raise errors.IllegalArgument(
                f"The body must be a list of objects with {', '.join(names)}"
            )
        return given

    def object(self, *names: str) -> Json:
        """The body as a JSON object with text under each of these names.

        Raises:
            IllegalArgument: it is none.
        """
        given: Json = self.json()
        if not _is_object(given, names):
            raise errors.IllegalArgument(f"The body must be an object with {', '.join(names)}")
        return given

    def texts(self, name: str | None = None) -> list[str]:
        """The body, or the member of its object with this name, as a list of texts.

        Raises:
            IllegalArgument: it is none.
        """
        given = self.json() if name is None else self.object().get(name)
        if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
            raise errors.IllegalArgument("The body must hold a list of texts")
        return given

    def flag(self, name: str, default: bool) -> bool:
        """A query parameter that is true or false."""
        value = self.query.get(name)
        return default if value is None else value.lower() == "true"

    def number(
        self, name: str, default: int | None = None, *, least: int | None = None
    ) -> int | None:
        """A query parameter that is a whole number.

        Raises:
            BadRequest: it is no number.
            ConstraintViolations: it is less than `least`.
        """
        value = self.query.get(name)
        if value is None:
            return default
        if not re.fullmatch(r"[-+]?\d+", value):
            raise errors.BadRequest(
                f"Failed to convert argument [{name}] for value [{value}] due to: "
                f'For input string: "{value}"'
            )
        if least is not None and int(value) < least:
            raise errors.violation(f"find.{name}", f"must be greater than or equal to {least}")
        return int(value)

    def page(self, kind: str, default: str) -> Page:
        """The part of a list that `page`, `size` and `sort` ask for.

        Raises:
            IllegalArgument: it cannot be sorted that way, or `filters[...]` are given.
        """
        if unknown := [name for name in self.query if name.startswith("filters[")]:
            raise errors.IllegalArgument(
                f"{unknown[0]} is not supported by the stand-in for Kestra: use the parameters "
                "that came before the filters, such as namespace, flowId, state, labels, q"
            )
        page, size = self.number("page", 1, least=1), self.number("size", 10, least=1)
        try:
            return Page(kind, page or 1, size or 10, self.query.getlist("sort"), default)
        except ValueError as error:
            raise errors.IllegalArgument(str(error)) from error


def _is_object(given: Any, names: tuple[str, ...]) -> bool:
    return isinstance(given, dict) and all(isinstance(given.get(name), str) for name in names)


Endpoint = Callable[[Call], Any]


@dataclass(frozen=True)
class _Endpoint:
    function: Endpoint
    consumes: tuple[str, ...] = ()


class Resource:
    """The endpoints below a path.

    Args:
        tenant: whether the path is below the tenant's, or below `/api/v1` itself.
    """

    def __init__(self, *, tenant: bool = True) -> None:
        self.tenant = tenant
        self.endpoints: dict[str, dict[str, _Endpoint]] = {}

    def __call__(
        self, method: str, path: str, consumes: tuple[str, ...] = ()
    ) -> Callable[[Endpoint], Endpoint]:
        """Make a function the endpoint of a method and path.

        Args:
            consumes: the content types it takes; another one is answered with 415.
        """

        def register(function: Endpoint) -> Endpoint:
            self.endpoints.setdefault(path, {})[method] = _Endpoint(function, consumes)
            return function

        return register


EMPTY = Response()
NO_CONTENT = Response(status_code=204)


def answer(data: Any, status: int = 200) -> Response:
    """Data as a JSON answer."""
    return Response(to_json(data), status, media_type=JSON)


def _href(request: Request) -> str:
    path: str = request.scope.get("raw_path", request.url.path.encode()).decode("ascii", "replace")
    query = request.scope["query_string"].decode("ascii", "replace")
    return f"{path}?{query}" if query else path


def error(
    request: Request, status: int, message: str, broken: list[errors.Violation] | None = None
) -> Response:
    """An error in the form of Micronaut's JsonError."""
    link = dict.fromkeys(
        ("href", "templated", "profile", "deprecation", "title", "hreflang", "type", "name")
    )
    body: Json = {
        "message": message,
        "logref": None,
        "path": None,
        "_links": {"self": link | {"href": _href(request), "templated": False}},
        "_embedded": {},
    }
    if broken is not None:
        body["_embedded"]["errors"] = [
            {
                "message": each.message,
                "logref": None,
                "path": each.path,
                "_links": {},
                "_embedded": {},
            }
            for each in broken
        ]
    return answer(body, status)


def _failure(request: Request, failure: Exception) -> Response:
    if isinstance(failure, errors.ConstraintViolations):
        return error(request, 422, f"Invalid entity: {failure}", failure.violations)
    for kind, (status, reason) in _REASONS.items():
        if isinstance(failure, kind):
            return error(request, status, f"{reason}: {failure}" if str(failure) else reason)
    _LOG.error("%s %s", request.method, request.url.path, exc_info=failure)
    return error(request, 500, f"Internal server error: {failure}")


def _handler(
    server: Server, methods: dict[str, _Endpoint]
) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        endpoint = methods["GET" if request.method == "HEAD" else request.method]
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            if kind and endpoint.consumes and kind not in endpoint.consumes:
                allowed = ", ".join(sorted(endpoint.consumes))
                return error(
                    request,
                    415,
                    f"Unsupported Media Type: Content Type [{kind}] not allowed. "
                    f"Allowed types: [{allowed}]",
                )
            call = Call(server, request, request.path_params, kind)
            if kind == MULTIPART:
                async with request.form() as form:
                    call = Call(server, request, request.path_params, kind, form=form)
                    result = await run_in_threadpool(endpoint.function, call)
            else:
                body = await request.body()
                call = Call(server, request, request.path_params, kind, body)
                result = await run_in_threadpool(endpoint.function, call)
        except Exception as failure:
            return _failure(request, failure)
        if result is None:
            return error(request, 404, "Not Found")
        return result if isinstance(result, Response) else answer(result)

    return handle


def routes(server: Server, resources: list[Resource]) -> list[Route]:
    """The routes of all resources, the more literal paths first."""
    found = []
    for resource in resources:
        base = server.config.release.api if resource.tenant else ""
        for path, methods in resource.endpoints.items():
            names = [*methods, "HEAD"] if "GET" in methods else list(methods)
            found.append(Route(base + path, _handler(server, methods), methods=names))
    return sorted(found, key=lambda route: [part.startswith("{") for part in route.path.split("/")])


def not_allowed(request: Request, every: list[Route]) -> Response:
    """The answer to a method that a path does not have."""
    allowed = sorted(
        {
            method
            for route in every
            if route.matches(request.scope)[0] is not Match.NONE
            for method in route.methods or ()
        }
        - {"HEAD"}
    )
    return error(
        request,
        405,
        f"Method Not Allowed: Method [{request.method}] not allowed for URI "
        f"[{request.url.path}]. Allowed methods: [{', '.join(allowed)}]",
    )


def paged(results: list[Any], total: int) -> Json:
    """One page of a list."""
    return {"results": results, "total": total}


def shown(execution: Json) -> Json:
    """An execution as the API shows it."""
    return states.shown(execution)
