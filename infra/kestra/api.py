"""A client for the part of Kestra's HTTP API that Podium needs."""

import re
from collections.abc import Mapping
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import httpx
import tenacity

# What a proxy answers in front of a server that does not answer.
_NO_ANSWER = frozenset({502, 503, 504})
# Of these, the one that says that the request did not reach the server.
_NOT_READY = frozenset({503})
# https://kestra.io/docs/migration-guide/0.23.0/tenant-migration-oss
_FIRST_VERSION_WITH_TENANT = (0, 23)
_TENANT = "main"


class KestraError(Exception):
    """Kestra did not do what was asked; the message says what it was and what came back.

    Attributes:
        status: the HTTP status code, or None where no answer came.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        """Keeps the status beside the message."""
        super().__init__(message)
        self.status = status


class KestraClient:
    """Talks to one Kestra server, 0.20 or later.

    Requests that are safe to repeat are repeated while the server does not answer; a request that
    creates something is repeated only where it never reached the server.
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        *,
        wait: float = 180.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Keeps the address; the first request connects.

        Args:
            url: where the server answers, such as http://localhost:8080.
            username: the login.
            password: its password.
            wait: seconds for which an unreachable server is waited for.
            transport: replaces the network in tests.
        """
        self._url = url.rstrip("/")
        self._wait = wait
        self._http = httpx.Client(
            base_url=self._url, auth=(username, password), timeout=30.0, transport=transport
        )

    def __enter__(self) -> Self:
        """Returns the client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the connections."""
        self._http.close()

    @cached_property
    def _root(self) -> str:
        """Returns the path under which the API lies, which has a tenant since 0.23."""
        configs = _json_object(self._request("GET", "/api/v1/configs"))
        version = str(configs.get("version", ""))
        numbers = re.match(r"(\d+)\.(\d+)", version)
        if not numbers:
            raise KestraError(f'{self._url} says "{version}" of its version: is it Kestra?')
        has_tenant = (int(numbers[1]), int(numbers[2])) >= _FIRST_VERSION_WITH_TENANT
        return f"/api/v1/{_TENANT}" if has_tenant else "/api/v1"

    def get_flow(self, namespace: str, flow_id: str) -> dict[str, Any] | None:
        """Returns a flow with its `source` and `revision`, or None where there is none."""
        path = f"{self._root}/flows/{namespace}/{flow_id}"
        response = self._request("GET", path, params={"source": "true"}, accept=(404,))
        return None if response.status_code == 404 else _json_object(response)

    def create_flow(self, source: str) -> dict[str, Any]:
        """Creates the flow that a YAML text describes and returns it.

        Raises:
            KestraError: the server refused it, with its reason; status 422 also where the flow
                exists already.
        """
        return _json_object(self._send_source("POST", f"{self._root}/flows", source))

    def update_flow(self, namespace: str, flow_id: str, source: str) -> dict[str, Any]:
        """Replaces a flow and returns it; an unchanged text keeps the revision."""
        path = f"{self._root}/flows/{namespace}/{flow_id}"
        return _json_object(self._send_source("PUT", path, source))

    def delete_flow(self, namespace: str, flow_id: str) -> None:
        """Deletes a flow; one that is gone already is no error."""
        self._request("DELETE", f"{self._root}/flows/{namespace}/{flow_id}", accept=(404,))

    def validate_flow(self, source: str) -> str | None:
        """Returns what the server finds wrong with a YAML text, or None."""
        response = self._send_source("POST", f"{self._root}/flows/validate", source, repeat=True)
        constraints = [
            str(result["constraints"]).strip()
            for result in _json(response)
            if result.get("constraints")
        ]
        return "\n".join(constraints) or None

    def create_execution(
        self, namespace: str, flow_id: str, inputs: Mapping[str, str]
    ) -> dict[str, Any]:
        """Starts an execution of a flow and returns it.

        Args:
            namespace: the flow's namespace.
            flow_id: the flow's id.
            inputs: the values of its inputs by name.
        """
        path = f"{self._root}/executions/{namespace}/{flow_id}"
        # The server takes multipart forms only.
        form = {name: (None, value) for name, value in inputs.items()}
        return _json_object(self._request("POST", path, files=form or None))

    def get_execution(self, execution_id: str) -> dict[str, Any]:
        """Returns an execution with the states of its tasks."""
        return _json_object(self._request("GET", f"{self._root}/executions/{execution_id}"))

    def get_logs(self, execution_id: str) -> list[dict[str, Any]]:
        """Returns the log of an execution from level INFO on."""
        path = f"{self._root}/logs/{execution_id}"
        lines: list[dict[str, Any]] = _json(self._request("GET", path, params={"minLevel": "INFO"}))
        return lines

    def _send_source(
        self, method: str, path: str, source: str, *, repeat: bool = False
    ) -> httpx.Response:
        return self._request(
            method,
            path,
            content=source.encode(),
            headers={"Content-Type": "application/x-yaml"},
            repeat=repeat,
        )

    def _request(
        self,
        method: str,
        path: str,
        *,
        accept: tuple[int, ...] = (),
        repeat: bool = False,
        **options: Any,
    ) -> httpx.Response:
        """Sends a request and returns the answer.

        Args:
            method: the HTTP method.
            path: the path below the server's URL.
            accept: error status codes that are an answer to the caller.
            repeat: whether this POST may be repeated.
            options: what httpx takes.

        Raises:
            KestraError: no answer in time, or one that says the request failed.
        """
        repeatable = repeat or method != "POST"
        unsent = (httpx.ConnectError, httpx.ConnectTimeout)
        statuses = _NO_ANSWER if repeatable else _NOT_READY
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(httpx.TransportError if repeatable else unsent)
            | tenacity.retry_if_result(lambda answer: answer.status_code in statuses),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
            stop=tenacity.stop_after_delay(self._wait),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        try:
            response: httpx.Response = retrying(self._http.request, method, path, **options)
        except httpx.TransportError as error:
            raise KestraError(
                f"{method} {path}: no answer from {self._url} within {self._wait:.0f} s "
                f"({error or type(error).__name__}); the container's log says why"
            ) from error
        if response.is_success or response.status_code in accept:
            return response
        raise KestraError(
            f"{method} {path}: status {response.status_code}: {_message(response)}",
            response.status_code,
        )


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        request = response.request
        raise KestraError(
            f"{request.method} {request.url}: the answer is no JSON: is it Kestra?"
        ) from error


def _json_object(response: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = _json(response)
    return body


def _message(response: httpx.Response) -> str:
    """Returns the server's own words about a failure."""
    if response.status_code == 401:
        return "the user name or the password is wrong"
    try:
        return str(response.json()["message"]).strip()
    except (ValueError, KeyError, TypeError):
        return response.text.strip()[:200] or response.reason_phrase
