"""A proxy that loses connections to PostgreSQL, or holds them, at chosen steps of its clients.

Source of the messages: chapter "Frontend/Backend Protocol" of PostgreSQL's documentation.
"""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.kestra.fault_rules import FaultRules
from tests.kestra.servers import PostgresServer

_SECONDS = 30  # that anything waits at most
_SESSION = 196608  # the protocol that begins a session; what asks for encryption has other numbers
_READY = re.compile(rb"Z\x00\x00\x00\x05.\Z", re.DOTALL)  # each answer ends so


class Session(socketserver.StreamRequestHandler):
    """One connection of a client."""

    proxy: PostgresProxy

    def handle(self) -> None:
        server = self.proxy.server
        self._keeps_answer = False
        self._is_answered = threading.Event()
        with socket.create_connection((server.host, server.port)) as self._upstream:
            threading.Thread(target=self._answer, daemon=True).start()
            with suppress(OSError):
                for message, step in self._messages():
                    self.proxy.fault_for(step)(self, message)
            self.cut()

    def _messages(self) -> Iterator[tuple[bytes, str]]:
        """What the client sends, each with the step that it is."""
        done, kind = "", b""
        while size := self.rfile.read(4):
            body = self.rfile.read(int.from_bytes(size) - 4)
            step = ""
            match kind:
                case b"Q":
                    step = body[:-1].decode()
                    if step == "COMMIT":
                        step += done
                    done += f"\n{step}"
                case b"d":
                    step = f"CopyData{done}"
                case b"c":
                    step = f"CopyDone{done}"
            yield kind + size + body, step
            if kind or int.from_bytes(body[:4]) == _SESSION:
                kind = self.rfile.read(1)

    def _answer(self) -> None:
        """Passes on what the server sends, or keeps it until an answer is complete."""
        kept = b""
        with suppress(OSError):
            while chunk := self._upstream.recv(1 << 16):
                if not self._keeps_answer:
                    self.connection.sendall(chunk)
                    continue
                kept += chunk
                if _READY.search(kept):
                    self._is_answered.set()
        self.cut()

    def forward(self, message: bytes) -> None:
        """Sends a message, or a part of it, to the server."""
        self._upstream.sendall(message)

    def execute(self, message: bytes) -> None:
        """Has the server do what the message says; the client gets no answer any more."""
        self._keeps_answer = True
        self.forward(message)
        assert self._is_answered.wait(_SECONDS)

    def cut(self) -> None:
        """Ends the connection on both sides."""
        for side in (self.connection, self._upstream):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


Fault = Callable[[Session, bytes], None]


def passes(session: Session, message: bytes) -> None:
    """Nothing happens to the message."""
    session.forward(message)


def drops(session: Session, message: bytes) -> None:
    """The connection is lost before the message reaches the server."""
    session.cut()


def loses_answer(session: Session, message: bytes) -> None:
    """The connection is lost after the server did what was asked, before its answer arrives."""
    session.execute(message)
    session.cut()


def halves(session: Session, message: bytes) -> None:
    """The connection is lost in the middle of the message."""
    session.forward(message[: len(message) // 2])
    session.cut()


class Hold:
    """A fault that stops a client at a step for the time of a block.

    Args:
        then: what happens to the message when the block ends.
        is_executed: whether the server does what was asked at once.
    """

    def __init__(self, then: Fault = passes, *, is_executed: bool = False) -> None:
        self._then, self._is_executed = then, is_executed
        self._reached, self._released = threading.Event(), threading.Event()

    def __call__(self, session: Session, message: bytes) -> None:
        if self._is_executed:
            session.execute(message)
        self._reached.set()
        self._released.wait(_SECONDS)
        self._then(session, message)

    def __enter__(self) -> Self:
        return self

    def wait(self) -> None:
        """Waits until a client is stopped."""
        assert self._reached.wait(_SECONDS), "no client came to this step"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._released.set()


def meets(clients: int) -> Fault:
    """So many clients go on from a step together."""
    barrier = threading.Barrier(clients)

    def fault(session: Session, message: bytes) -> None:
        barrier.wait(_SECONDS)
        session.forward(message)

    return fault


@dataclass
class PostgresProxy:
    """Stands between clients and a server, on a loopback port; gone at the end of its block."""

    server: PostgresServer
    _rules: FaultRules[Fault] = field(default_factory=FaultRules)

    def __enter__(self) -> Self:
        handler = type("Handler", (Session,), {"proxy": self})
        self._listener = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        self._listener.daemon_threads = True
        self._listener.block_on_close = False
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()
        self.port = int(self._listener.server_address[1])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.shutdown()
        self._listener.server_close()

    def inject(self, pattern: str, fault: Fault, *, first: int = 1, times: int = 1) -> None:
        """Lets a fault happen at a step from now on.

        Args:
            pattern: a regular expression found in the step: a statement's SQL, or `COMMIT`,
                `CopyData` or `CopyDone` and, in the lines after, what the session did before.
            fault: what happens.
            first: the first of the matching messages that it happens to, counted from 1.
            times: how many of them it happens to.
        """
        self._rules.add(pattern, fault, first=first, times=times)

    def heal(self) -> None:
        """Ends all faults."""
        self._rules.clear()

    def fault_for(self, step: str) -> Fault:
        return self._rules.find(step) or passes
