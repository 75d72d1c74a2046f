"""HTTP tasks of the core plugin.

Sources of the properties, outputs and messages: io.kestra.plugin.core.http and
io.kestra.core.http.client.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote_plus, urlsplit

import httpx

from offline.kestra.pebble import stringify
from offline.kestra.schema import Class, Json, Property, parsed_duration
from offline.kestra.tasks.base import Runnable, TaskError

_CHUNK = 1 << 20
_PACKAGE = "io.kestra.core.http.client.configurations."
_TIMEOUT = Class(
    _PACKAGE + "TimeoutConfiguration",
    {"connectTimeout": Property("duration"), "readIdleTimeout": Property("duration")},
)
_SSL = Class(
    _PACKAGE + "SslOptions", {"insecureTrustAllCertificates": Property("flag", default=False)}
)
_AUTH = {
    "BASIC": Class(
        _PACKAGE + "BasicAuthConfiguration",
        {"type": Property(), "username": Property(), "password": Property()},
    ),
    "BEARER": Class(
        _PACKAGE + "BearerAuthConfiguration", {"type": Property(), "token": Property()}
    ),
}
_OPTIONS = Class(
    _PACKAGE + "HttpConfiguration",
    {
        "timeout": Property("object", of=_TIMEOUT),
        "proxy": Property("any"),
        "auth": Property("object", of=_AUTH),
        "ssl": Property("object", of=_SSL),
        "followRedirects": Property("flag", default=True),
        "allowFailed": Property("flag", default=False),
        "defaultCharset": Property(default="UTF-8"),
        "logs": Property("any"),
    },
    unsupported=frozenset({"proxy", "logs"}),
)


class _Http(Runnable):
    properties = {
        "uri": Property(required=True),
        "method": Property(default="GET"),
        "body": Property(),
        "formData": Property("any"),
        "contentType": Property(default="application/json"),
        "headers": Property("any"),
        "options": Property("object", of=_OPTIONS),
        "allowFailed": Property("flag", default=False),
    }

    def _option(self, name: str) -> Any:
        return self.context.render((self.given("options") or {}).get(name))

    def _allows_failure(self) -> bool:
        return self.flag("allowFailed") or stringify(self._option("allowFailed")) == "true"

    def _client(self) -> httpx.Client:
        timeout = self._option("timeout") or {}
        context = ssl.create_default_context()
        if stringify((self._option("ssl") or {}).get("insecureTrustAllCertificates")) == "true":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return httpx.Client(
            verify=context,
            trust_env=False,
            follow_redirects=stringify(self._option("followRedirects")) != "false",
            timeout=httpx.Timeout(
                parsed_duration(str(timeout.get("readIdleTimeout", "PT5M"))),
                connect=parsed_duration(str(timeout.get("connectTimeout", "PT30S"))),
            ),
        )

    def _request(self, client: httpx.Client) -> httpx.Request:
        headers = {"Content-Type": self.text("contentType") or ""}
        auth = self._option("auth") or {}
        if auth.get("type") == "BEARER":
            headers["Authorization"] = f"Bearer {auth.get('token', '')}"
        elif auth:
            pair = (auth.get("username") or "", auth.get("password") or "")
            headers["Authorization"] = next(
                httpx.BasicAuth(*pair).auth_flow(httpx.Request("GET", "http://localhost"))
            ).headers["Authorization"]
        form, body = self.rendered("formData"), self.text("body")
        if form and "multipart/form-data" in headers["Content-Type"]:
            raise TaskError("formData: multipart/form-data is not supported by the stand-in")
        if form:
            del headers["Content-Type"]
        for name, value in (self.rendered("headers") or {}).items():
            headers[name] = stringify(value)
        return client.build_request(
            self.text("method") or "GET",
            (self.text("uri") or "").replace(" ", "%20"),
            headers=headers,
            data=form or None,
            content=body.encode() if body is not None and not form else None,
        )

    @contextmanager
    def _response(self) -> Iterator[httpx.Response]:
        """The response, its body not yet read.

        Raises:
            TaskError: no answer, or one that says failure where that is not allowed.
        """
        try:
            with self._client() as client:
                response = client.send(self._request(client), stream=True)
                with self.context.cancellation.breaking(response.close):
                    if response.status_code >= 400 and not self._allows_failure():
                        text = response.read().decode(errors="replace")
                        raise TaskError(
                            f"Failed http request with response code '{response.status_code}'"
                            + (f" and body:\n{text}" if text else "")
                        )
                    try:
                        yield response
                    finally:
                        response.close()
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            self.context.cancellation.check()
            raise TaskError(f"{self.text('uri')}: {error or type(error).__name__}") from error


def _headers(response: httpx.Response) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in response.headers.multi_items():
        headers.setdefault(name, []).append(value)
    return headers


class Download(_Http):
    """Fetch a file into the internal storage, in a stream."""

    type = "io.kestra.plugin.core.http.Download"
    aliases = ("io.kestra.plugin.fs.http.Download",)
    properties = {**_Http.properties, "failOnEmptyResponse": Property("flag", default=True)}

    def run(self) -> Json:
        uri = self.text("uri") or ""
        file = self.context.working_file(PurePosixPath(urlsplit(uri).path).suffix or ".tmp")
        size = 0
        with self._response() as response, file.open("wb") as sink:
            for chunk in response.iter_bytes(_CHUNK):
                self.context.cancellation.check()
                size += sink.write(chunk)
        expected = response.headers.get("content-length")
        if expected and "content-encoding" not in response.headers and int(expected) != size:
            raise TaskError(f"Invalid size, got {size}, expected {expected}")
        if size == 0:
            if self.flag("failOnEmptyResponse") and not self._allows_failure():
                raise TaskError("No response from server")
            self.context.log("WARN", f"File '{uri}' is empty")
        self.context.log("DEBUG", f"File '{uri}' downloaded with size '{size}'")
        name = _file_name(response.headers.get("content-disposition", ""))
        return {
            "uri": self.context.put_file(file, name),
            "code": response.status_code,
            "length": size,
            "headers": _headers(response),
        }


def _file_name(disposition: str) -> str | None:
    """The file name in a Content-Disposition header, fit for a URI."""
    for part in disposition.split(";"):
        key, _, value = part.strip().partition("=")
        if key.startswith("filename") and value:
            plain = value.rpartition("'")[2].strip('"')
            return quote_plus(plain.rpartition("/")[2]) or None
    return None


class Request(_Http):
    """Make a request and keep the answer as an output."""

    type = "io.kestra.plugin.core.http.Request"
    aliases = ("io.kestra.plugin.fs.http.Request",)

    def run(self) -> Json:
        with self._response() as response:
            body = response.read().decode(response.encoding or "utf-8", errors="replace")
        uri = str(response.url)
        self.context.log(
            "DEBUG", f"Request '{uri}' with the response code '{response.status_code}'"
        )
        return {
            "uri": uri,
            "code": response.status_code,
            "headers": _headers(response),
            "body": body,
        }


TASKS = (Download, Request)
