"""Between the web framework and the resources: routes, bodies, answers and errors.

An endpoint is a plain function from a `Call` to data, a Java object, or a response; it runs in a
worker thread. What it raises becomes the answer that Kestra's error handler gives
(io.kestra.webserver.controllers.ErrorController).
"""

from __future__ import annotations

import io
import json
import logging
import re
import zipfile
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from jpype import JClass, JException, JObject
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from offline.kestra.engine.machine import TENANT, Kestra

YAML = "application/x-yaml"
JSON = "application/json"
MULTIPART = "multipart/form-data"
TEXT = "text/plain"
OCTETS = "application/octet-stream"
API = f"/api/v1/{TENANT}"
LARGEST = 10 << 20  # bytes of a body that is not a form: Micronaut's default
_LARGEST_INT = (1 << 31) - 1
EMPTY = Response()
NO_CONTENT = Response(status_code=204)
_LOG = logging.getLogger("kestra.api")
# Java's exceptions, the more special ones first: status and beginning of the message.
_FAILURES = (
    ("io.kestra.core.exceptions.InvalidQueryFiltersException", 400, "Invalid query filters"),
    ("io.kestra.core.exceptions.IllegalVariableEvaluationException", 422,
     "Illegal variable evaluation"),
    ("io.kestra.core.exceptions.ResourceExpiredException", 410, "Resource has expired"),
    ("io.kestra.core.exceptions.AlreadyExistsException", 409, "Conflict"),
    ("io.kestra.core.exceptions.ConflictException", 409, "Conflict"),
    ("io.kestra.core.exceptions.NotFoundException", 404, "Not Found"),
    ("io.kestra.core.exceptions.ValidationErrorException", 422, "Invalid entity"),
    ("io.kestra.core.exceptions.InputOutputValidationException", 422, "Invalid entity"),
    ("io.kestra.core.exceptions.KestraRuntimeException", 422, "Invalid entity"),
    ("io.kestra.core.exceptions.InvalidException", 422, "Invalid entity"),
    ("java.util.NoSuchElementException", 404, "Not Found"),
    ("java.io.FileNotFoundException", 404, "Not Found"),
    ("java.lang.IllegalArgumentException", 422, "Illegal argument"),
    ("java.lang.IllegalStateException", 409, "Illegal state"),
)  # fmt: skip
_VIOLATIONS = "jakarta.validation.ConstraintViolationException"


class Refused(Exception):
    """An answer that is an error.

    Args:
        status: the HTTP status.
        message: what is wrong; None for an answer without a body.
        errors: the single errors: `message` and `path`.
    """

    def __init__(
        self, status: int, message: str, errors: list[tuple[str, str]] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errors = errors


class NotFound(Refused):
    """404 with nothing but `Not Found`."""

    def __init__(self) -> None:
        super().__init__(404, "Not Found")


class MissingBody(Refused):
    """422: a body or a part of it is required."""

    def __init__(self, what: str) -> None:
        super().__init__(422, f"Invalid route params: Required {what} not specified")


def invalid(path: str, message: str) -> Refused:
    """A broken constraint that is not declared in a class of Kestra's."""
    return Refused(422, f"Invalid entity: {path}: {message}", [(message, path)])


def illegal(message: str) -> Refused:
    """An argument that is not allowed."""
    return Refused(422, f"Illegal argument: {message}")


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        kestra: what the endpoints work on.
        settings: what is said of the server itself in answers.
        request: the request.
        body: the body; empty for a form.
        form: the form, if the body is one.
    """

    kestra: Kestra
    settings: Mapping[str, Any]
    request: Request
    body: bytes = b""
    form: FormData = field(default_factory=FormData)

    @property
    def path(self) -> dict[str, str]:
        """The values of the path's variables."""
        return self.request.path_params

    @property
    def query(self) -> QueryParams:
        """The query parameters."""
        return self.request.query_params

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    def required(self, name: str) -> str:
        """Returns the body as text, which must not be blank."""
        if not self.text.strip():
            raise MissingBody(f"Body [{name}]")
        return self.text

    def json(self, name: str, kind: type) -> Any:
        """Returns the body as JSON of a kind."""
        try:
            given = json.loads(self.required(name))
        except (ValueError, RecursionError) as error:
            raise Refused(400, f"Invalid JSON: {error}") from error
        if not isinstance(given, kind):
            raise Refused(400, f"Invalid JSON: expected a JSON {kind.__name__}")
        return given

    def parameter(self, name: str) -> str:
        """Returns a query parameter that must be there."""
        if name not in self.query:
            raise Refused(400, f"Bad Request: Required QueryValue [{name}] not specified")
        return self.query[name]

    def flag(self, name: str, default: bool) -> bool:
        """Returns a query parameter that is true or false."""
        return self.query.get(name, str(default)).lower() == "true"

    def number(self, name: str) -> int | None:
        """Returns a query parameter that is a whole number."""
        value = self.query.get(name)
        is_int = value is None or re.fullmatch(r"[-+]?\d{1,10}", value)
        if not is_int or abs(int(value or 0)) > _LARGEST_INT:
            raise Refused(
                400,
                f"Bad Request: Failed to convert argument [{name}] for value [{value}] due to: "
                f'For input string: "{value}"',
            )
        return None if value is None else int(value)

    def optional(self, name: str) -> Any:
        """Returns a query parameter that is a whole number as a Java `Optional`."""
        number = self.number(name)
        return JClass("java.util.Optional").ofNullable(
            None if number is None else JClass("java.lang.Integer").valueOf(number)
        )

    def pageable(self, method: str, repository: Any = None) -> Any:
        """Returns the part of a list that `page`, `size` and `sort` ask for.

        Args:
            method: the name of the endpoint's method in Kestra, for its errors.
            repository: what knows the names by which can be sorted.
        """
        page, size = (self.number(name) for name in ("page", "size"))
        for name, value in (("page", page), ("size", size)):
            if value is not None and value < 1:
                raise invalid(f"{method}.{name}", "must be greater than or equal to 1")
        order = JClass("io.micronaut.data.model.Sort$Order")
        mapping = repository.sortMapping() if hasattr(repository, "sortMapping") else None
        orders = []
        for each in self.query.getlist("sort"):
            name, _, direction = each.partition(":")
            if direction.lower() not in ("asc", "desc"):
                raise illegal(f"Sort must have the form field:asc or field:desc, not {each}")
            if (column := mapping.apply(name) if mapping else name) is None:
                raise illegal(f"Cannot sort by {name}")
            orders.append(order.asc(column) if direction.lower() == "asc" else order.desc(column))
        sort = JClass("io.micronaut.data.model.Sort")
        return JClass("io.micronaut.data.model.Pageable").from_(
            page or 1,  # Kestra counts pages from 1
            size or 10,
            sort.of(JClass("java.util.ArrayList")(orders)) if orders else sort.UNSORTED,
        )

    def filters(self, resource: str) -> Any:
        """Returns `filters[field][OPERATION]=value` as Kestra's filters.

        Args:
            resource: what is searched, such as EXECUTION.
        """
        kind = JClass("io.kestra.core.models.QueryFilter")
        fields = JClass("io.kestra.core.models.QueryFilter$Field")
        operations = JClass("io.kestra.core.models.QueryFilter$Op")
        found = JClass("java.util.ArrayList")()
        nested: dict[tuple[str, str], dict[str, str]] = {}

        def add(name: str, operation: str, value: Any) -> None:
            builder = kind.builder().field(fields.fromString(name))
            found.add(builder.operation(operations.valueOf(operation)).value(value).build())

        for key, value in self.query.multi_items():
            if not (parts := re.fullmatch(r"filters\[([^\]]*)]\[([^\]]*)](?:\[(.+)])?", key)):
                continue
            name, operation, inner = parts.groups()
            if inner:
                nested.setdefault((name, operation), {})[inner] = value
            elif name == "scope":
                scope = JClass("io.kestra.core.models.flows.FlowScope")
                values = [scope.valueOf(each.upper()) for each in value.split(",")]
                add(name, operation, JClass("java.util.ArrayList")(values))
            elif name == "timeRange":
                instant = JClass("java.time.ZonedDateTime").now()
                start = instant.minus(JClass("java.time.Duration").parse(value))
                add("startDate", "GREATER_THAN_OR_EQUAL_TO", start.toString())
            elif operation in ("IN", "NOT_IN"):
                add(name, operation, JClass("java.util.ArrayList")(value.strip("[]").split(",")))
            else:
                add(name, operation, value)
        for (name, operation), pairs in nested.items():
            add(name, operation, JClass("java.util.HashMap")(pairs))
        kind.validateQueryFilters(
            found, JClass("io.kestra.core.models.QueryFilter$Resource").valueOf(resource)
        )
        return found

    def constraints(self, name: str, kind: str) -> dict[str, Any]:
        """Returns what Kestra's validator says of the body.

        Args:
            name: what the body is, for the error where it is missing.
            kind: the full name of the class that the YAML in it describes.
        """
        text = self.required(name)
        result: dict[str, Any] = {"index": 0, "outdated": False}
        try:
            parsed = parse_yaml(text, kind)
            self.kestra.bean("core.models.validations.ModelValidator").validate(parsed)
        except JClass(_VIOLATIONS) as error:
            result["constraints"] = str(error.getMessage())
        return result

    def wait(self, key: Any, name: str, act: Callable[[Any], None]) -> None:
        """Does something and waits until Kestra has done it.

        Args:
            key: whose operations are waited for: an execution's id, or a trigger's uid.
            name: what is done, for the error.
            act: begins it, given the operation's id.
        """
        waiter = self.kestra.bean("core.services.AsyncOperationWaiter")
        try:
            done = waiter.submitAndWait(key, act, JClass("java.time.Duration").ofSeconds(30))
        except JClass("java.util.concurrent.TimeoutException") as error:
            raise Refused(504, "Operation timed out waiting for state transition") from error
        if str(done.outcome()) == "FAILED":
            raise Refused(409, f"Conflict: {name} failed: {done.error()}")

    def part(self, found: list[Any], method: str) -> dict[str, Any]:
        """Returns the page that is asked for of a list that is all here."""
        pageable = self.pageable(method)
        size = int(pageable.getSize())
        start = (int(pageable.getNumber()) - 1) * size
        return {"results": found[start : start + size], "total": len(found)}

    def page(self, found: Any) -> dict[str, Any]:
        """Returns one page of a list as the API shows it."""
        total = found.getTotal() if hasattr(found, "getTotal") else found.getTotalSize()
        content = found.getContent() if hasattr(found, "getContent") else found
        return {"results": self.kestra.json(content), "total": int(total)}


Endpoint = Callable[[Call], Any]


@dataclass(frozen=True)
class _Endpoint:
    function: Endpoint
    consumes: tuple[str, ...] = ()


class Resource:
    """The endpoints below a path.

    Args:
        base: the beginning of all paths.
    """

    def __init__(self, base: str = API) -> None:
        self._base = base
        self.endpoints: dict[str, dict[str, _Endpoint]] = {}

    def __call__(
        self, method: str, path: str, consumes: tuple[str, ...] = ()
    ) -> Callable[[Endpoint], Endpoint]:
        """Makes a function the endpoint of a method and path.

        Args:
            method: the HTTP method.
            path: the path below the resource's.
            consumes: the content types it takes; another one is answered with 415.
        """

        def register(function: Endpoint) -> Endpoint:
            endpoints = self.endpoints.setdefault(self._base + path, {})
            endpoints[method] = _Endpoint(function, consumes)
            return function

        return register


def answer(data: Any, status: int = 200) -> Response:
    """Returns data as a JSON answer."""
    return Response(json.dumps(data, separators=(",", ":")), status, media_type=JSON)


def begun(items: list[Any], act: Callable[[Any, str], Any]) -> Response:
    """Begins one operation on several things, and answers without waiting for its end.

    Args:
        items: the things.
        act: begins it on one of them, given the operation's id.
    """
    operation = str(JClass("io.kestra.core.utils.IdUtils").create())
    for item in items:
        act(item, operation)
    return answer({"operationId": operation, "totalItems": len(items)}, 202)


def archive(name: str, entries: Iterable[tuple[str, str | bytes]]) -> Response:
    """Returns files as a ZIP archive to be saved under a name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for path, content in entries:
            file.writestr(path, content)
    disposition = f'attachment; filename="{name}"'
    return Response(buffer.getvalue(), 200, {"Content-Disposition": disposition}, OCTETS)


def parse_yaml(text: str, kind: str) -> Any:
    """Returns what a YAML text says, as an object of one of Kestra's classes.

    Args:
        text: the YAML.
        kind: the full name of the class.
    """
    return JClass("io.kestra.core.serializers.YamlParser").parse(text, JClass(kind).class_)


def event(name: str, data: Any) -> str:
    """Returns a server-sent event."""
    return f"id: {name}\ndata: {bytes(answer(data).body).decode()}\n\n"


def chunks(stream: Any) -> Iterator[bytes]:
    """Yields what a Java stream has, and closes it."""
    try:
        while data := bytes(stream.readNBytes(1 << 20)):
            yield data
    finally:
        stream.close()


def _href(request: Request) -> str:
    path: str = request.scope.get("raw_path", request.url.path.encode()).decode("ascii", "replace")
    query = request.scope["query_string"].decode("ascii", "replace")
    return f"{path}?{query}" if query else path


def error(
    request: Request, status: int, message: str, errors: list[tuple[str, str]] | None = None
) -> Response:
    """Returns an error in the form of Micronaut's JsonError."""
    link = dict.fromkeys(
        ("href", "templated", "profile", "deprecation", "title", "hreflang", "type", "name")
    )
    reasons: list[Any] = [
        {"message": text, "logref": None, "path": path, "_links": {}, "_embedded": {}}
        for text, path in errors or ()
    ]
    embedded = {} if errors is None else {"errors": reasons}
    return answer(
        {
            "message": message,
            "logref": None,
            "path": None,
            "_links": {"self": link | {"href": _href(request), "templated": False}},
            "_embedded": embedded,
        },
        status,
    )


def _is_a(exception: Any, name: str) -> bool:
    return bool(JClass(name).class_.isInstance(exception))


def failure(request: Request, exception: Any) -> Response:
    """Returns the answer to an exception of Java's."""
    text = str(exception.getMessage() or "")
    if _is_a(exception, "io.kestra.core.exceptions.FlowProcessingException"):
        cause = exception.getCause()
        return failure(request, cause) if cause else error(request, 422, f"Invalid entity: {text}")
    if _is_a(exception, _VIOLATIONS):
        found = exception.getConstraintViolations() or ()
        errors = [(str(each.getMessage()), str(each.getPropertyPath())) for each in found]
        return error(request, 422, f"Invalid entity: {text}", errors)
    if _is_a(exception, "com.fasterxml.jackson.core.JacksonException"):
        return error(request, 422, "Invalid json mapping", [(text, "")])
    for name, status, reason in _FAILURES:
        if _is_a(exception, name):
            return error(request, status, f"{reason}: {text}" if text else reason)
    _LOG.error("%s %s: %s", request.method, request.url.path, exception.stacktrace())
    return error(request, 500, f"Internal server error: {text}")


async def _body(request: Request) -> bytes:
    """Returns the body of a request that is not a form."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise Refused(
                413,
                "Request Entity Too Large: The content length exceeds the maximum allowed content "
                f"length [{LARGEST}]",
            )
    return bytes(body)


def _handler(
    kestra: Kestra, settings: Mapping[str, Any], methods: dict[str, _Endpoint]
) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        endpoint = methods["GET" if request.method == "HEAD" else request.method]
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind and endpoint.consumes and kind not in endpoint.consumes:
            allowed = ", ".join(endpoint.consumes)
            return error(
                request,
                415,
                f"Unsupported Media Type: Content Type [{kind}] not allowed. "
                f"Allowed types: [{allowed}]",
            )
        try:
            if "\0" in unquote(_href(request)):
                raise Refused(400, "Bad Request: NUL is not allowed in a URL")
            if kind == MULTIPART:
                async with request.form() as form:
                    call = Call(kestra, settings, request, form=form)
                    result = await run_in_threadpool(endpoint.function, call)
            else:
                call = Call(kestra, settings, request, await _body(request))
                result = await run_in_threadpool(endpoint.function, call)
            if result is None:
                raise NotFound
            if isinstance(result, JObject):
                result = await run_in_threadpool(kestra.json, result)
        except Refused as refused:
            return error(request, refused.status, str(refused), refused.errors)
        except JException as exception:
            return failure(request, exception)
        except Exception as exception:
            _LOG.exception("%s %s", request.method, request.url.path)
            return error(request, 500, f"Internal server error: {exception}")
        return result if isinstance(result, Response) else answer(result)

    return handle


def routes(kestra: Kestra, settings: Mapping[str, Any], resources: list[Resource]) -> list[Route]:
    """Returns the routes of all resources, the more literal paths first."""
    found = []
    for resource in resources:
        for path, methods in resource.endpoints.items():
            names = [*methods, "HEAD"] if "GET" in methods else list(methods)
            found.append(Route(path, _handler(kestra, settings, methods), methods=names))
    return sorted(found, key=lambda route: [part.startswith("{") for part in route.path.split("/")])


def not_allowed(request: Request, every: list[Route]) -> Response:
    """Returns the answer to a method that a path does not have."""
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
        f"[{_href(request)}]. Allowed methods: [{', '.join(allowed)}]",
    )
