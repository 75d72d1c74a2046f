"""Sends the requests that were recorded on Kestra 1.3, and compares the answers with those of 2.0.

The requests are in `../shared/kestra-api-1.3` beside the checkout, in the order in which they were
sent; `../shared/kestra-api-2.0` has what 2.0 answers to most of them. Status, keys and messages are
compared; ids, dates, durations and counts are not. Every difference is listed in the README of
`offline/kestra`, and nothing is listed that is none.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kestra.servers import PASSWORD, ROOT, USERNAME, KestraServer

SHARED = ROOT.parent / "shared"
REQUESTS, ANSWERS = SHARED / "kestra-api-1.3", SHARED / "kestra-api-2.0" / "answers"
README = ROOT / "offline" / "kestra" / "README.md"
_ID = re.compile(r"(?<!\w)\w{18,22}(?!\w)")
_ZIP = "PK\x03\x04"
_LOGIN_FROM = 202  # the recording's requests before it were sent to a server without a login
_WITHOUT_LOGIN = (216, 217, 219, 452, 453)
_SECONDS_AFTER = {140: 1.5, 167: 5}  # for what Kestra does by itself, which was waited for
# Not repeated: streams, which end with an execution; requests of a size that take minutes; and two
# whose answers depend on how far an execution is, and whether a second has passed.
_LEFT_OUT = (136, 202, 347, 410, 428, 429, 430, 431)


@dataclass
class Recording:
    """A request, and the answers of two releases to it.

    Attributes:
        number: its place in the order.
        name: the name of its file.
        method: the method.
        url: the URL, with the ids of the server it was sent to.
        headers: the headers.
        body: the body, or a description of the form that was sent.
        answer_1_3: the body that 1.3 answered with.
        answer_2_0: what 2.0 answered: the status and the body; None if it was not asked.
    """

    number: int
    name: str
    method: str
    url: str
    headers: dict[str, str]
    body: str
    answer_1_3: Any
    answer_2_0: tuple[int, Any] | None

    @classmethod
    def read(cls, path: Path) -> Recording:
        """Reads a recording."""
        request, _, response = path.read_text(errors="replace").partition("<<< RESPONSE")
        head, _, body = request.partition("\n\n")
        _, first, *lines = head.split("\n")
        method, url = first.split(" ", 1)
        answer = None
        if (file := ANSWERS / path.name).exists() and (
            found := re.search(r"\n(\d{3})\n(.*)\Z", file.read_text(errors="replace"), re.DOTALL)
        ):
            answer = int(found[1]), _data(found[2])
        return cls(
            int(path.name.partition("-")[0]),
            path.stem,
            method,
            url,
            dict(line.split(": ", 1) for line in lines if ": " in line),
            body.strip("\n"),
            _data(response.partition("\n\n")[2]),
            answer,
        )


def _data(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip("\n")


def _keys(value: Any, path: str = "") -> set[str]:
    """Returns the keys of an answer by their paths; flows have `draft` since 2.0.0."""
    match value:
        case dict():
            inner = {
                f"{path}.{'jdbc' if key.startswith('jdbc:') else key}": each
                for key, each in value.items()
                if key != "draft"
            }
            return set(inner).union(*(_keys(each, name) for name, each in inner.items()))
        case [_, *_]:
            return {f"{path}[]"}.union(*(_keys(each, f"{path}[]") for each in value))
    return set()


@dataclass
class Replay:
    """Sends recordings to a server, with its ids in the place of the recorded ones."""

    server: KestraServer
    http: httpx.Client
    ids: dict[str, str] = field(default_factory=dict)

    def difference(self, recording: Recording) -> str | None:
        """Sends a request and returns what differs in the answer."""
        answer = self.http.send(self._request(recording))
        found = _data(answer.text)
        self._learn(recording.answer_1_3, found)
        time.sleep(_SECONDS_AFTER.get(recording.number, 0))
        if recording.answer_2_0 is None:
            return None
        status, wanted = recording.answer_2_0
        if answer.status_code != status:
            return f"status {answer.status_code}, not {status}"
        if missing := _keys(wanted) - _keys(found):
            return f"lacks {sorted(missing)[:5]}"
        if more := _keys(found) - _keys(wanted):
            return f"has {sorted(more)[:5]}"
        if not isinstance(wanted, dict | list):
            is_archive = str(found).startswith(_ZIP) and str(wanted).startswith(_ZIP)
            return None if is_archive or wanted == found else f"{found!r:.50}, not {wanted!r:.50}"
        if isinstance(wanted, dict) and "message" in wanted:
            messages = [_ID.sub("ID", str(each["message"])) for each in (found, wanted)]
            if messages[0] != messages[1]:
                return "{!r}, not {!r}".format(*messages)
        return None

    def _request(self, recording: Recording) -> httpx.Request:
        is_management = ":8081" in recording.url
        port = self.server.management_port if is_management else self.server.port
        target = self._with_ids("/" + recording.url.split("/", 3)[3])
        headers = {"Accept-Encoding": "identity", **recording.headers}
        login = re.fullmatch("Basic <(.*)>", headers.get("Authorization", ""))
        given = login[1] if login else f"{USERNAME}:{PASSWORD}"
        is_logged_in = recording.number >= _LOGIN_FROM and recording.number not in _WITHOUT_LOGIN
        if login or (is_logged_in and not is_management):
            headers["Authorization"] = f"Basic {base64.b64encode(given.encode()).decode()}"
        content: dict[str, Any] = {"content": self._with_ids(recording.body).encode()}
        if recording.body.startswith("[multipart"):
            content = {"files": list(_form(recording.body))}
            headers.pop("Content-Type", None)
        request = httpx.Request(
            recording.method, f"http://127.0.0.1:{port}/", headers=headers, **content
        )
        request.url = request.url.copy_with(raw_path=target.encode())  # as it was written
        return request

    def _with_ids(self, text: str) -> str:
        return _ID.sub(lambda found: self.ids.get(found[0], found[0]), text)

    def _learn(self, recorded: Any, found: Any) -> None:
        """Remembers the ids of this server for those that were recorded."""
        match recorded, found:
            case dict(), dict():
                for key in recorded.keys() & found.keys():
                    self._learn(recorded[key], found[key])
            case list(), list():
                for each, other in zip(recorded, found, strict=False):
                    self._learn(each, other)
            case str(), str() if _ID.fullmatch(recorded):
                self.ids.setdefault(recorded, found)


def _form(description: str) -> Iterator[tuple[str, tuple[str | None, bytes]]]:
    """Yields the parts of a form as the recorder sent them to 2.0."""
    for part in re.findall(r"(?<= )[^ =]+=[^ ]*", description):
        name, _, value = part.partition("=")
        if value.startswith("@"):
            yield name, (re.sub("[;=]", " ", value[1:]), b"content")
        else:
            yield name, (None, value.encode())


def _listed() -> set[int]:
    """Returns the recordings whose differences are listed in the README."""
    table = README.read_text().partition("| Recordings |")[2].partition("\n\n")[0]
    return {int(number) for row in table.splitlines()[2:] for number in re.findall(
        r"\d+", row.split("|")[1]
    )}  # fmt: skip


def test_answers_are_those_of_kestra_2_0(server: KestraServer) -> None:
    recordings = sorted(
        map(Recording.read, REQUESTS.glob("[0-9]*.txt")), key=lambda each: each.number
    )
    if not recordings:
        pytest.skip(f"no recordings in {REQUESTS}")
    with httpx.Client(timeout=60) as http:
        replay = Replay(server, http)
        differences = {
            each.number: f"{each.name}: {difference}"
            for each in recordings
            if each.number not in _LEFT_OUT and (difference := replay.difference(each))
        }
    unlisted = [text for number, text in differences.items() if number not in _listed()]
    assert not unlisted, "\n".join(unlisted)
    assert _listed() <= differences.keys(), _listed() - differences.keys()
