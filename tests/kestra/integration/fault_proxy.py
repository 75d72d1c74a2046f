"""A proxy that does to requests what networks, proxies and servers do to them on bad days."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import httpx

from tests.kestra.fault_rules import FaultRules

PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1><hr>nginx</body></html>"


class Exchange(BaseHTTPRequestHandler):
    """One request and its answer."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer goes out in one piece
    proxy: FaultProxy
    body: bytes

    def handle_any(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.proxy.fault_for(self)(self)

    do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - names of the base class

    @property
    def line(self) -> str:
        """Method, path and body."""
        return f"{self.command} {self.path}\n{self.body.decode(errors='replace')}"

    def forward(self) -> httpx.Response:
        """Returns the server's answer; 502 where it gives none, as proxies do."""
        headers = {name: value for name, value in self.headers.items() if name != "Host"}
        try:
            return self.proxy.http.request(
                self.command, self.path, content=self.body, headers=headers
            )
        except httpx.TransportError:
            return httpx.Response(502, html=PAGE.format("502 Bad Gateway"))

    def answer(self, response: httpx.Response, *, length: int | None = None) -> None:
        """Sends an answer, whole or cut off after so many bytes of its body."""
        content = response.content
        self.send_response_only(response.status_code)
        for name in ("Content-Type", "Retry-After"):
            if name in response.headers:
                self.send_header(name, response.headers[name])
        if response.status_code != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:length])
        if length is not None:
            self.cut()

    def cut(self) -> None:
        """Closes the connection."""
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the output of the tests free of requests."""


Fault = Callable[[Exchange], None]


def passes(exchange: Exchange) -> None:
    """Nothing happens to the request."""
    exchange.answer(exchange.forward())


def drops(exchange: Exchange) -> None:
    """The connection is lost before the request reaches the server."""
    exchange.cut()


def loses_answer(exchange: Exchange) -> None:
    """The connection is lost after the server did what was asked."""
    exchange.forward()
    exchange.cut()


def cuts_body(exchange: Exchange) -> None:
    """The connection is lost within the answer, or before it where it has no body."""
    answer = exchange.forward()
    if answer.content:
        exchange.answer(answer, length=len(answer.content) // 2)
    else:
        exchange.cut()


def overtaken(pattern: str, proxy: FaultProxy) -> threading.Event:
    """Holds the first matching request back until another one is answered, as networks may.

    Returns:
        What is set once the first one was answered too, to nobody.
    """
    is_overtaken, has_arrived = threading.Event(), threading.Event()

    def arrives_late(exchange: Exchange) -> None:
        is_overtaken.wait(10)
        loses_answer(exchange)
        has_arrived.set()

    def overtakes(exchange: Exchange) -> None:
        passes(exchange)
        is_overtaken.set()

    proxy.inject(pattern, arrives_late, times=1)
    proxy.inject(pattern, overtakes, times=1)
    return has_arrived


def answers_late(seconds: float) -> Fault:
    """The server does at once what was asked, but its answer takes so many seconds."""

    def fault(exchange: Exchange) -> None:
        exchange.forward()
        time.sleep(seconds)
        exchange.cut()

    return fault


def stalls(seconds: float) -> Fault:
    """Nothing reaches the server, and nothing comes back for so many seconds."""

    def fault(exchange: Exchange) -> None:
        time.sleep(seconds)
        exchange.cut()

    return fault


def says(response: httpx.Response, *, after: bool = False) -> Fault:
    """The proxy gives an answer of its own, before or after the server did what was asked."""

    def fault(exchange: Exchange) -> None:
        if after:
            exchange.forward()
        exchange.answer(response)

    return fault


@dataclass
class FaultProxy:
    """Stands between a client and a server on a loopback port; gone at the end of its block.

    Attributes:
        upstream: the server's address.
        requests: method and path of each request that came, in order.
    """

    upstream: str
    requests: list[str] = field(default_factory=list)
    _rules: FaultRules[Fault] = field(default_factory=FaultRules)

    def __enter__(self) -> Self:
        self.http = httpx.Client(base_url=self.upstream, verify=False, trust_env=False, timeout=20)
        handler = type("Handler", (Exchange,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.block_on_close = False
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def inject(self, pattern: str, fault: Fault, *, first: int = 1, times: int = 1000) -> None:
        """Lets a fault happen to requests from now on.

        Args:
            pattern: a regular expression for the start of method, path and, in a new line, body.
            fault: what happens.
            first: the first of the matching requests that it happens to, counted from 1.
            times: how many of them it happens to.
        """
        self._rules.add(rf"\A(?:{pattern})", fault, first=first, times=times)

    def heal(self) -> None:
        """Ends all faults, and forgets the requests."""
        self._rules.clear()
        self.requests.clear()

    def count(self, pattern: str) -> int:
        """Returns how many requests came whose method and path match from the start."""
        return sum(bool(re.match(pattern, request)) for request in self.requests)

    def fault_for(self, exchange: Exchange) -> Fault:
        self.requests.append(f"{exchange.command} {exchange.path}")
        return self._rules.find(exchange.line) or passes
