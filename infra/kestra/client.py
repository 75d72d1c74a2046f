"""A client for the part of Kestra's HTTP API that manages content and runs flows."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, unquote

import httpx
import tenacity

from .errors import InvalidContent, KestraError, RequestFailed, Unavailable
from .source import is_same_text

__all__ = ["KestraClient", "KestraError"]

# https://kestra.io/docs/migration-guide/0.23.0/tenant-migration-oss
_FIRST_VERSION_WITH_TENANT = (0, 23)
# Before, the server made up the ids: https://github.com/kestra-io/blueprints/pull/108
_FIRST_VERSION_WITH_DASHBOARD_IDS = (1, 0)
_SECOND_MAJOR_VERSION = (2, 0)
_TENANT = "main"
_CONNECTIONS = 10
# The request did not reach the server, or the server did not act on it.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_REFUSED = frozenset({429, 503})
# A proxy got no answer: the server may have acted on the request or not.
_UNCERTAIN = frozenset({502, 504})
# A server that fails three times on one request fails for good.
_ATTEMPTS = 3
_LONGEST_PAUSE = 30.0
_STREAM_SECONDS = 10.0

# Parts of paths, in a URL or in the query after it, that lead to another one.
_STRAY = re.compile(r"(^|[/\\=])\.{1,2}($|[/\\])|[\x00-\x1f\x7f]")

_Kind = TypeVar("_Kind", dict[str, Any], list[Any])


class KestraClient:
    """A client of one Kestra server, 0.20 or later, for use by several threads.

    A request is retried with growing pauses while the server does not take it, and one that is safe
    to repeat also if its answer is lost.
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
        """Stores the address; the first request connects.

        Args:
            url: the address of the server, such as http://localhost:8080.
            username: the user, an e-mail address.
            password: the user's password.
            wait: seconds to retry while the server is unreachable.
            transport: replaces the network in tests.
        """
        self._url = url.rstrip("/")
        self._wait = wait
        self._http = httpx.Client(
            base_url=self._url,
            auth=(username, password),
            timeout=30.0,
            limits=httpx.Limits(max_connections=_CONNECTIONS),
            transport=transport,
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

    @property
    def version(self) -> str:
        """The version of the server, such as 1.3.0; asked anew, since servers are upgraded."""
        configs = _json(self._request("GET", "/api/v1/configs"), dict)
        return str(configs.get("version", ""))

    @property
    def is_kestra_1(self) -> bool:
        """Whether the server is older than Kestra 2.0; asked anew, as `version`."""
        return self._read_release() < _SECOND_MAJOR_VERSION

    @cached_property
    def _release(self) -> tuple[int, int]:
        """Returns the release that decides the form of requests."""
        return self._read_release()

    def _read_release(self) -> tuple[int, int]:
        """Returns the first two numbers of the version."""
        version = self.version
        numbers = re.match(r"(\d+)\.(\d+)", version)
        if not numbers:
            raise RequestFailed(f'{self._url} has the version "{version}": is it Kestra?')
        return int(numbers[1]), int(numbers[2])

    @property
    def _root(self) -> str:
        """Returns the root path of the API, which has a tenant since 0.23."""
        has_tenant = self._release >= _FIRST_VERSION_WITH_TENANT
        return f"/api/v1/{_TENANT}" if has_tenant else "/api/v1"

    def connect(self) -> None:
        """Waits for the server and logs in.

        Raises:
            RequestFailed: it does not answer in time, is not Kestra, or rejects the login.
        """
        # Since 1.0 the version can be read without a login.
        self._request("GET", f"{self._root}/flows/search", params={"size": 1})

    # Flows

    def list_namespaces(self) -> list[str]:
        """Returns the namespaces that have flows."""
        return _json(self._request("GET", f"{self._root}/flows/distinct-namespaces"), list)

    def list_revisions(self, namespace: str) -> dict[str, int]:
        """Returns the revisions of the flows in a namespace by their ids."""
        flows = _json(self._request("GET", f"{self._root}/flows/{namespace}"), list)
        return {flow["id"]: flow["revision"] for flow in flows}

    def get_flow(self, namespace: str, flow_id: str) -> dict[str, Any] | None:
        """Returns a flow with its `source` and `revision`, or None if it does not exist."""
        path = f"{self._root}/flows/{namespace}/{flow_id}"
        response = self._request("GET", path, params={"source": "true"}, accept=(404,))
        return None if response.status_code == 404 else _json(response, dict)

    def create_flow(self, namespace: str, flow_id: str, source: str) -> dict[str, Any]:
        """Creates the flow that a YAML text describes and returns it.

        If the answer is lost, the server is asked whether the flow exists; if it is created later,
        the next attempt is refused and the server asked again.

        Args:
            namespace: the namespace in the text.
            flow_id: the id in the text.
            source: the text.

        Raises:
            RequestFailed: the server refused it, with its reason.
        """

        def find() -> dict[str, Any] | None:
            found = self.get_flow(namespace, flow_id)
            return found if found and is_same_text(found["source"], source) else None

        return self._create("flows", source, find)

    def update_flow(self, namespace: str, flow_id: str, source: str) -> dict[str, Any]:
        """Replaces a flow and returns it; an unchanged text keeps the revision.

        Raises:
            RequestFailed: the server refused it, with its reason, or does not have the flow.
        """
        path = f"{self._root}/flows/{namespace}/{flow_id}"
        return _json(self._replace(path, source), dict)

    def delete_flow(self, namespace: str, flow_id: str) -> None:
        """Deletes a flow; it is no error if it is gone already."""
        self._request("DELETE", f"{self._root}/flows/{namespace}/{flow_id}", accept=(404,))

    def delete_flows(self, namespace: str, flow_ids: Collection[str]) -> None:
        """Deletes flows in one request; it is no error if some are gone already."""
        flows = [{"namespace": namespace, "id": flow_id} for flow_id in flow_ids]
        path = f"{self._root}/flows/delete/by-ids"
        if self._request("DELETE", path, json=flows, accept=(404,)).status_code == 404:
            # One that is gone makes the server refuse the whole request.
            for flow_id in flow_ids:
                self.delete_flow(namespace, flow_id)

    def get_flow_schema(self) -> dict[str, Any]:
        """Returns the JSON schema of flows, with the tasks of all plugins that the server has."""
        # As the configs, it belongs to no tenant.
        return _json(self._request("GET", "/api/v1/plugins/schemas/flow"), dict)

    def validate_flow(self, source: str) -> dict[str, Any]:
        """Returns the server's validation of a YAML text.

        Its `constraints` is a text if the flow would be refused; `warnings`, `infos` and
        `deprecationPaths` are lists.
        """
        path = f"{self._root}/flows/validate"
        results = _json(self._send_source("POST", path, source, repeatable=True), list)
        return results[0] if results else {}

    # Namespace files and key-values

    def get_file(self, namespace: str, path: str) -> bytes | None:
        """Returns the content of a namespace file, or None if it does not exist."""
        response = self._request("GET", self._file(namespace, path), accept=(404,))
        return None if response.status_code == 404 else response.content

    def put_file(self, namespace: str, path: str, content: bytes) -> None:
        """Writes a namespace file, with the folders above it."""
        self._request(
            "POST",
            self._file(namespace, path),
            # Kestra would unpack a file named *.zip here.
            files={"fileContent": ("file", content)},
            repeatable=True,
        )

    def delete_file(self, namespace: str, path: str) -> None:
        """Deletes a namespace file; it is no error if it is gone already."""
        self._request("DELETE", self._file(namespace, path), accept=(404,))

    def get_key_value(self, namespace: str, key: str) -> dict[str, Any] | None:
        """Returns the `type` and `value` of a key, or None if it does not exist or expired."""
        response = self._request("GET", self._key(namespace, key), accept=(404, 410))
        return _json(response, dict) if response.is_success else None

    def put_key_value(self, namespace: str, key: str, value: str, ttl: str | None) -> None:
        """Sets a key.

        Args:
            namespace: the namespace.
            key: the key.
            value: the value as JSON, or a bare timestamp.
            ttl: its time to live, an ISO 8601 duration such as PT1H, or None for ever.
        """
        # Every version takes text; since 1.1 it is the only form.
        headers = {"Content-Type": "text/plain", **({"ttl": ttl} if ttl else {})}
        self._request("PUT", self._key(namespace, key), content=value.encode(), headers=headers)

    def delete_key_value(self, namespace: str, key: str) -> None:
        """Deletes a key; it is no error if it is gone already."""
        self._request("DELETE", self._key(namespace, key), accept=(404,))

    # Dashboards

    @cached_property
    def has_dashboards(self) -> bool:
        """Whether the server has dashboards, under the ids in their texts."""
        if self._read_release() < _FIRST_VERSION_WITH_DASHBOARD_IDS:
            return False
        path = f"{self._root}/dashboards"
        return self._request("GET", path, params={"size": 1}, accept=(404, 501)).is_success

    def get_dashboard(self, dashboard_id: str) -> str | None:
        """Returns the YAML text of a dashboard, or None if it does not exist."""
        response = self._request("GET", self._dashboard(dashboard_id), accept=(404,))
        return None if response.status_code == 404 else str(_json(response, dict)["sourceCode"])

    def create_dashboard(self, dashboard_id: str, source: str) -> None:
        """Creates the dashboard that a YAML text describes, as `create_flow` does a flow."""

        def find() -> dict[str, Any] | None:
            found = self.get_dashboard(dashboard_id)
            return {"sourceCode": found} if found == source else None

        self._create("dashboards", source, find)

    def update_dashboard(self, dashboard_id: str, source: str) -> None:
        """Replaces a dashboard, as `update_flow` does a flow."""
        self._replace(self._dashboard(dashboard_id), source)

    def delete_dashboard(self, dashboard_id: str) -> None:
        """Deletes a dashboard; it is no error if it is gone already."""
        # Kestra answers with a conflict if it is gone.
        self._request("DELETE", self._dashboard(dashboard_id), accept=(404, 409))

    def validate_dashboard(self, source: str) -> dict[str, Any]:
        """Returns the server's validation of a YAML text, in the form of `validate_flow`."""
        path = f"{self._root}/dashboards/validate"
        return _json(self._send_source("POST", path, source, repeatable=True), dict)

    # Executions

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
        return _json(self._request("POST", path, files=form or None), dict)

    def get_execution(self, execution_id: str) -> dict[str, Any]:
        """Returns an execution with the states of its tasks."""
        return _json(self._request("GET", f"{self._root}/executions/{execution_id}"), dict)

    def get_execution_file(self, execution_id: str, uri: str) -> bytes | None:
        """Returns a file of an execution, or None if the server does not have the execution.

        Args:
            execution_id: the execution's id.
            uri: how outputs name the file, kestra:///...
        """
        path = f"{self._root}/executions/{execution_id}/file"
        response = self._request("GET", path, params={"path": uri}, accept=(404,))
        return None if response.status_code == 404 else response.content

    def follow_execution(self, execution_id: str) -> Iterator[dict[str, Any]]:
        """Yields an execution as the server streams it, at each change of a state.

        Args:
            execution_id: the execution's id.

        Raises:
            httpx.HTTPError: the server is away, refuses, or sends nothing for a while.
        """
        path = f"{self._root}/executions/{execution_id}/follow"
        with self._http.stream("GET", path, timeout=_STREAM_SECONDS) as response:
            for line in response.raise_for_status().iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))

    def last_execution(self, namespace: str, flow_id: str) -> dict[str, Any] | None:
        """Returns the execution of a flow that began last, or None if there is none."""
        query = {"size": "1", "sort": "state.startDate:desc"}
        if self._release < _SECOND_MAJOR_VERSION:
            path, query = "executions", {**query, "namespace": namespace, "flowId": flow_id}
        else:  # where `executions` is not sorted
            path = "executions/search"
            query["filters[namespace][EQUALS]"] = namespace
            query["filters[flowId][EQUALS]"] = flow_id
        found = _json(self._request("GET", f"{self._root}/{path}", params=query), dict)
        return next(iter(found["results"]), None)

    def get_logs(self, execution_id: str) -> list[dict[str, Any]]:
        """Returns the log of an execution from level INFO on."""
        path = f"{self._root}/logs/{execution_id}"
        is_filtered = self._release >= _SECOND_MAJOR_VERSION
        level = "filters[level][GREATER_THAN_OR_EQUAL_TO]" if is_filtered else "minLevel"
        return _json(self._request("GET", path, params={level: "INFO"}), list)

    def _file(self, namespace: str, path: str) -> str:
        return f"{self._root}/namespaces/{namespace}/files?path={quote(path)}"

    def _key(self, namespace: str, key: str) -> str:
        return f"{self._root}/namespaces/{namespace}/kv/{key}"

    def _dashboard(self, dashboard_id: str) -> str:
        return f"{self._root}/dashboards/{quote(dashboard_id, safe='')}"

    def _create(
        self, kind: str, source: str, find: Callable[[], dict[str, Any] | None]
    ) -> dict[str, Any]:
        """Creates a flow or dashboard; `find` looks for it on the server if an answer is lost."""
        attempts = 0
        is_uncertain = False
        while True:
            attempts += 1
            try:
                return _json(self._send_source("POST", f"{self._root}/{kind}", source), dict)
            except RequestFailed as error:
                is_uncertain = is_uncertain or error.is_uncertain
                if is_uncertain and (found := find()):
                    return found
                if not error.is_uncertain or attempts == _ATTEMPTS:
                    raise

    def _replace(self, path: str, source: str) -> httpx.Response:
        """Replaces a flow or dashboard, which is read before every attempt.

        A PUT of one that does not exist can fill the heap of Kestra 1.3, which never answers it.
        """
        return self._send_source("PUT", path, source, before=lambda: self._request("GET", path))

    def _send_source(self, method: str, path: str, source: str, **options: Any) -> httpx.Response:
        return self._request(
            method,
            path,
            content=source.encode(),
            headers={"Content-Type": "application/x-yaml"},
            **options,
        )

    def _request(
        self,
        method: str,
        path: str,
        *,
        accept: tuple[int, ...] = (),
        repeatable: bool = False,
        before: Callable[[], object] = lambda: None,
        **options: Any,
    ) -> httpx.Response:
        """Sends a request and returns the answer.

        `accept` has the error status codes that the caller handles; `repeatable` is whether a POST
        may be repeated if its answer is lost; `before` is called before every attempt.
        """
        if _STRAY.search(plain := _unquoted(path)):
            raise InvalidContent(f"{method} {plain!r}: not sent, as it has an invalid name")

        def attempt() -> httpx.Response:
            before()
            return self._http.request(method, path, **options)

        repeatable = repeatable or method != "POST"
        retrying = tenacity.Retrying(
            retry=_may_retry(repeatable),
            wait=_pause,
            stop=_stop(self._wait),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        try:
            response: httpx.Response = retrying(attempt)
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(
                f"{method} {path}: no answer from {self._url} within {self._wait:.0f} s "
                f"({reason}); see the server's log",
                is_uncertain=not isinstance(error, _UNSENT),
            ) from error
        status = response.status_code
        if (response.is_success or status in accept) and not _is_page(response):
            return response
        kind = Unavailable if status in _REFUSED | _UNCERTAIN else RequestFailed
        raise kind(
            f"{method} {path}: status {status}: {_message(response)}",
            status,
            is_uncertain=response.is_success or (status >= 500 and status not in _REFUSED),
        )


def _unquoted(path: str) -> str:
    """Returns a path without escapes, and without those that it has escaped again."""
    while (plain := unquote(path)) != path:
        path = plain
    return path


def _may_retry(repeatable: bool) -> tenacity.retry_base:
    statuses = _REFUSED | (_UNCERTAIN | {500} if repeatable else frozenset())
    return tenacity.retry_if_exception_type(
        httpx.TransportError if repeatable else _UNSENT
    ) | tenacity.retry_if_result(lambda response: response.status_code in statuses)


def _pause(state: tenacity.RetryCallState) -> float:
    """Returns the seconds until the next attempt: as the server asks, or growing."""
    growing: Callable[[tenacity.RetryCallState], float] = tenacity.wait_random_exponential(
        multiplier=0.2, max=5
    )
    response = _answer(state)
    asked = response.headers.get("Retry-After", "") if response else ""
    return min(float(asked), _LONGEST_PAUSE) if asked.isdecimal() else growing(state)


def _stop(wait: float) -> Callable[[tenacity.RetryCallState], bool]:
    is_late = tenacity.stop_after_delay(wait)

    def stop(state: tenacity.RetryCallState) -> bool:
        response = _answer(state)
        is_error = response is not None and response.status_code == 500
        return is_late(state) or (is_error and state.attempt_number >= _ATTEMPTS)

    return stop


def _answer(state: tenacity.RetryCallState) -> httpx.Response | None:
    return state.outcome.result() if state.outcome and not state.outcome.failed else None


def _json(response: httpx.Response, kind: type[_Kind]) -> _Kind:
    """Returns the body of an answer, which must be of a kind."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, kind):
        return body
    request = response.request
    raise RequestFailed(
        f"{request.method} {request.url}: status {response.status_code}: the answer is not a JSON "
        f"{'object' if kind is dict else 'array'}: is it Kestra?",
        response.status_code,
        is_uncertain=True,
    )


def _is_page(response: httpx.Response) -> bool:
    """Returns whether a proxy answered: Kestra's API has no pages."""
    return str(response.headers.get("Content-Type")).startswith("text/html")


def _message(response: httpx.Response) -> str:
    """Returns the server's own error message."""
    if response.status_code == 401:
        return "the user name or the password is wrong"
    try:
        return str(response.json()["message"]).strip()
    except (ValueError, KeyError, TypeError):
        text = " ".join(re.sub(r"<[^>]*>", " ", response.text).split())[:200]
    if _is_page(response) and response.status_code < 500:
        return f"is it Kestra? It answers with a page: {text}"
    return text or response.reason_phrase
