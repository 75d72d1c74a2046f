"""A Docker Engine in memory, as far as the command line looks at it."""

from __future__ import annotations

import io
import tarfile
from types import SimpleNamespace
from typing import Any

from docker.errors import APIError, NotFound

LABELS = ("podium.project=podium", "podium.stack=dev")


class Thing:
    """A container, a network, a volume or an image.

    Attributes:
        done: what was done to it, in order.
        log: the end of its log.
        files: what is in it, by path.
        answers: what commands in it print, by a word of theirs.
    """

    def __init__(
        self,
        id_: str,
        name: str = "",
        *,
        labels: tuple[str, ...] = LABELS,
        status: str = "running",
        networks: tuple[str, ...] = ("podium-dev-network",),
        health: str = "healthy",
        refusal: str = "",
        port: str = "",
    ) -> None:
        self.id, self.name, self.labels, self.status = id_, name or id_, labels, status
        self.done: list[str] = []
        self.log = ""
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, str] = {}
        self.home: Things
        self._refusal = refusal
        # What the next looks find, the last one for good.
        self._healths = ["starting", health]
        self.attrs: dict[str, Any] = {
            "State": {"Health": {"Status": health}, "StartedAt": "2026-01-01T00:00:00Z"},
            "RestartCount": 0,
            "Config": {"Env": ["PGDATA=/data"]},
            "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": port}]}},
            "NetworkSettings": {"Networks": {network: {} for network in networks}},
        }

    def start(self) -> None:
        self.done.append("start")
        if self._refusal:
            raise APIError(self._refusal, explanation=self._refusal)
        self.status = "running"

    def unpause(self) -> None:
        self.done.append("unpause")
        self.status = "running"

    def stop(self, *, timeout: int) -> None:
        self.done.append(f"stop {timeout}")
        self.status = "exited"

    def remove(self, **_: bool) -> None:
        self.done.append("remove")
        self.home.remove(self)

    def logs(self, *, tail: int) -> bytes:
        return "".join(f"line {number}\n" for number in range(1, tail)).encode() + self.log.encode()

    def put_archive(self, path: str, content: bytes) -> None:
        assert path == "/"
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for entry in archive:
                file = archive.extractfile(entry)
                assert file and entry.mode == 0o600
                self.files[f"/{entry.name}"] = file.read()

    def get_archive(self, path: str) -> tuple[list[bytes], None]:
        if path not in self.files:
            raise NotFound(f"no such file: {path}")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            entry = tarfile.TarInfo(path.rpartition("/")[2])
            entry.size = len(self.files[path])
            archive.addfile(entry, io.BytesIO(self.files[path]))
        return [buffer.getvalue()], None

    def exec_run(self, command: list[str]) -> SimpleNamespace:
        words = " ".join(command)
        return SimpleNamespace(
            output="".join(text for word, text in self.answers.items() if word in words).encode()
        )

    def reload(self) -> None:
        self.attrs["State"]["Health"]["Status"] = self._healths[0]
        del self._healths[:-1]


class Things:
    """What the engine has of one kind.

    Attributes:
        created: what was created here, in order, gone or not.
    """

    def __init__(self) -> None:
        self._things: dict[str, Thing] = {}
        self.created: list[Thing] = []

    def add(self, thing: Thing) -> Thing:
        thing.home = self
        self._things[thing.id] = thing
        return thing

    def create(self, *arguments: str, **options: Any) -> Thing:
        """Creates what is not named otherwise by its name alone, and keeps all it was given."""
        name = options.pop("name", arguments[0])
        labels = tuple(f"{key}={value}" for key, value in options.pop("labels").items())
        thing = self.add(Thing(name, labels=labels, status="created"))
        thing.attrs["NetworkSettings"]["Networks"] = {
            options.get("network"): {"IPAddress": "10.0.0.2"}
        }
        thing.attrs["Created"] = {"image": arguments[0], **options}
        self.created.append(thing)
        return thing

    def remove(self, thing: Thing) -> None:
        del self._things[thing.id]

    def get(self, id_: str) -> Thing:
        if id_ not in self._things:
            raise NotFound(f"no such thing: {id_}")
        return self._things[id_]

    def list(self, *, filters: dict[str, list[str]] | None = None, **options: bool) -> list[Thing]:
        # Without the second, a container removed meanwhile is an error.
        assert options in ({}, {"all": True, "ignore_removed": True})
        wanted = set(filters["label"] if filters else ())
        return [thing for thing in self._things.values() if wanted <= set(thing.labels)]


class FakeDocker:
    """A client of the engine."""

    def __init__(self) -> None:
        self.containers, self.networks = Things(), Things()
        self.volumes, self.images = Things(), Things()
