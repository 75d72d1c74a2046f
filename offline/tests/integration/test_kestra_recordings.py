"""Replays what a genuine Kestra 0.20.7 was asked, in order, and compares the answers.

`recordings/kestra-0.20.7.jsonl` holds one recorded request and its answer a line. Nothing is
loosened but what differs from run to run: ids, dates, durations, ports and sizes of the disk; and,
where the server's own order is arbitrary (a folder's entries, a set of errors), the order.
"""

from __future__ import annotations

import base64
import io
import json
import re
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kestra.servers import KestraServer

RECORDINGS = Path(__file__).parent / "recordings" / "kestra-0.20.7.jsonl"
COUNT = 215

_UI = "the web page: the stand-in has its own"
_PAUSE = "the task Pause: the stand-in refuses it"
_SCRIPT = "the script tasks: the stand-in refuses them"
OUT_OF_SCOPE = {
    8: _UI, 9: _UI, 206: _UI, 207: _UI,
    15: "a fault of the genuine server's web framework (refCnt) shows through",
    49: "the server reads while it parses: it minds the kind of `id` before it sees the unfinished"
    " text, which the stand-in minds first",
    57: "the graph of a flow, which only the page draws",
    **dict.fromkeys((*range(153, 159), *range(160, 164)), _PAUSE),
    178: "the list of plugins", 179: "the documentation of a plugin",
    180: "the documentation of a plugin",
    181: "setting up the credentials through the API: Podium gives them in the configuration",
    182: "usage statistics",
    183: "plugin-jdbc of 0.20 shows the deprecated `fetch` beside `fetchType`; 184 runs the flow",
    **dict.fromkeys((185, 186, *range(209, 215)), _SCRIPT),
    198: "metrics for Prometheus",
}  # fmt: skip

_LOG = "  - id: log\n    type: io.kestra.plugin.core.log.Log\n    message: "
HELLO = f'id: hello\nnamespace: demo.measure\ntasks:\n{_LOG}"hi {{{{ execution.id }}}}"\n'
FAILING = (
    "id: failing\nnamespace: demo.measure\ntasks:\n  - id: f\n"
    "    type: io.kestra.plugin.core.execution.Fail\n"
)
JDBC = """\
id: jdbcq
namespace: demo.measure
tasks:
  - id: ddl
    type: io.kestra.plugin.jdbc.postgresql.Queries
    sql: |
      DROP TABLE IF EXISTS public.zz_demo; CREATE TABLE public.zz_demo(id int, name text);
      INSERT INTO public.zz_demo SELECT g, 'n'||g FROM generate_series(1,5) g;
      SELECT count(*) AS c FROM public.zz_demo;
    fetchType: FETCH
  - id: one
    type: io.kestra.plugin.jdbc.postgresql.Query
    sql: SELECT id, name FROM public.zz_demo ORDER BY id
    fetchType: STORE
  - id: tocsv
    type: io.kestra.plugin.serdes.csv.IonToCsv
    from: "{{ outputs.one.uri }}"
  - id: copyin
    type: io.kestra.plugin.jdbc.postgresql.CopyIn
    from: "{{ outputs.tocsv.uri }}"
    table: public.zz_demo
    header: true
    format: CSV
  - id: count
    type: io.kestra.plugin.jdbc.postgresql.Query
    sql: SELECT count(*) AS c FROM public.zz_demo
    fetchType: FETCH_ONE
"""
FILES = {
    "nf.txt": b"file one\n",
    "doc": b"file one\n",
    "imp.yaml": f'id: i1\nnamespace: demo.imp\n\ntasks:\n{_LOG}"hello"\n'.encode(),
}
# The genuine server answers these in an order that has no meaning.
UNORDERED = {102: "fileName", 131: "key", 143: "id"}
# Recorded while an execution that had just been started was still running: the replay asks when it
# has ended, so the state of that one is not compared.
CAUGHT_RUNNING = {142, 143}
SINCE_AUTH = 189  # from here on, the recorded server had basic auth on

_ID = re.compile(r"(?<![\w.])[0-9A-Za-z]{19,22}(?![\w.])")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z")
_DURATION = re.compile(r"PT[\d.HMS]+")
_FILE_NUMBER = re.compile(r"\d{15,}\w*(?=\.)")


def recordings() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RECORDINGS.read_text().splitlines()]


def number(recording: dict[str, Any]) -> int:
    return int(recording["name"].partition("-")[0])


def plain(value: Any, key: str = "") -> Any:
    """The value without what differs from run to run."""
    if isinstance(value, dict):
        return {
            re.sub(r"^jdbc:.*", "<jdbc url>", name): plain(each, name)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [plain(each, key) for each in value]
    if key in ("lastModifiedTime", "creationTime", "total", "free") and isinstance(value, int):
        return value if value < 10_000 else "<number>"
    if not isinstance(value, str):
        return value
    if key in ("duration", "Host"):
        return f"<{key}>"
    if key == "version" and re.match(r"1\d\.\d+", value):
        return "<PostgreSQL>"
    value = value.replace("//ui", "/ui")
    value = re.sub(r"http://127\.0\.0\.1:\d+", "<server>", value)
    return _FILE_NUMBER.sub("<file>", _DATE.sub("<date>", _ID.sub("<id>", value)))


class Replay:
    """Sends recorded requests, with the ids of this run in place of the recorded ones."""

    def __init__(self, server: KestraServer) -> None:
        self.server = server
        self.ids: dict[str, str] = {}
        self.http = httpx.Client(timeout=60)

    def _now(self, text: str) -> str:
        return re.sub(r"\w{18,22}", lambda found: self.ids.get(found[0], found[0]), text)

    def send(self, recording: dict[str, Any]) -> httpx.Response:
        server = self.server
        base = server.base
        if recording.get("management"):
            base = f"http://127.0.0.1:{server.management_port}"
        headers = dict(recording.get("headers", {}))
        if found := re.fullmatch(r"Basic <(.*)>", headers.get("Authorization", "")):
            headers["Authorization"] = f"Basic {base64.b64encode(found[1].encode()).decode()}"
        elif number(recording) > 201 and not recording.get("management"):
            token = base64.b64encode(b"admin@kestra.dev:Kestra1234").decode()
            headers["Authorization"] = f"Basic {token}"
        content: dict[str, Any] = {}
        if "form" in recording or "files" in recording:
            # Files first, as curl writes them; a text part is a file part without a name.
            parts = [(name, (None, value)) for name, value in recording.get("form", {}).items()]
            parts += [
                (field, (name, FILES[name])) for field, name in recording.get("files", {}).items()
            ]
            content["files"] = parts
        elif "body" in recording:
            content["content"] = self._now(recording["body"]).encode()
        path = self._now(recording["path"])
        if number(recording) == 204:
            headers |= {"User-Agent": "curl/7.88.1", "Accept": "*/*"}
            del headers["Authorization"]
        request = httpx.Request(recording["method"], base + path, headers=headers, **content)
        # httpx would tidy up what curl sends as it is.
        request.url = request.url.copy_with(raw_path=path.encode())
        return self.http.send(request)

    def learn(self, recorded: Any, now: Any) -> None:
        """Remember which id of this run stands for which recorded one."""
        if isinstance(recorded, dict) and isinstance(now, dict):
            for name in recorded.keys() & now.keys():
                self.learn(recorded[name], now[name])
        elif isinstance(recorded, list) and isinstance(now, list):
            for left, right in zip(recorded, now, strict=False):
                self.learn(left, right)
        elif isinstance(recorded, str) and isinstance(now, str) and _ID.fullmatch(recorded):
            self.ids.setdefault(recorded, now)

    def wait(self, wanted: int, **query: str) -> None:
        """Until there are so many executions and all have ended."""
        for _ in range(200):
            page = self.http.get(
                f"{self.server.api}/executions/search",
                params={**query, "size": "100"},
                auth=("admin@kestra.dev", "Kestra1234"),
            ).json()
            states = [each["state"]["current"] for each in page["results"]]
            if len(states) >= wanted and not {"CREATED", "RUNNING"} & set(states):
                return
            time.sleep(0.05)
        raise AssertionError(f"executions did not end: {page}")

    def create(self, source: str) -> None:
        self.http.post(
            f"{self.server.api}/flows",
            content=source,
            headers={"Content-Type": "application/x-yaml"},
            auth=("admin@kestra.dev", "Kestra1234"),
        ).raise_for_status()

    def prepare(self, at: int) -> None:
        """What the recorder did between the recordings."""
        match at:
            case 10:
                self.create(HELLO)
                self.http.post(f"{self.server.api}/executions/demo.measure/hello?wait=true")
            case 136 | 142:
                self.wait(2 if at == 136 else 4)
            case 168:
                self.wait(3, flowId="bf")
                time.sleep(0.5)
            case 184:
                database = self.server.database
                self.create(
                    JDBC
                    + "pluginDefaults:\n  - type: io.kestra.plugin.jdbc.postgresql\n    values:\n"
                    f"      url: {database.url}\n      username: {database.server.user}\n"
                    f"      password: {database.server.password}\n"
                )
            case 187:
                self.create(FAILING)
            case 189:
                self.server.stop()
                self.server.auth = True
                self.server.start()
            case 191:  # the recorded server held three flows of tasks that are out of scope
                for name in ("sleep", "shellp", "other"):
                    self.create(f'id: {name}\nnamespace: demo.measure\ntasks:\n{_LOG}"x"\n')
            case 202:
                self.server.stop()
                self.server.start()


def same_order(recording: dict[str, Any], value: Any) -> Any:
    """The value with arbitrary orders made the same."""
    key = UNORDERED.get(number(recording))
    if key and isinstance(value, list):
        return sorted(value, key=lambda each: each[key])
    if key and isinstance(value, dict) and "results" in value:
        return {
            **value,
            "results": sorted(value["results"], key=lambda each: len(json.dumps(each))),
        }
    if isinstance(value, dict) and value.get("_embedded", {}).get("errors"):
        found = sorted(value["_embedded"]["errors"], key=lambda each: str(each["message"]))
        return {**value, "_embedded": {"errors": found}}
    return value


def without_state(value: Any) -> Any:
    results = [
        {name: each[name] for name in each.keys() - {"state", "taskRunList"}}
        for each in value["results"]
    ]
    return {**value, "results": sorted(results, key=json.dumps)}


def compare(replay: Replay, recording: dict[str, Any], response: httpx.Response) -> None:
    assert response.status_code == recording["status"], response.text
    for name, value in recording.get("answer_headers", {}).items():
        assert response.headers.get(name, "").partition("; charset")[0] == value
    if "zip" in recording:
        archive = zipfile.ZipFile(io.BytesIO(response.content))
        assert archive.namelist() == recording["zip"]
        assert archive.read("two.txt") == FILES["nf.txt"]
        return
    if number(recording) == 202:
        assert_events(recording["text"], response.text)
        return
    if "json" not in recording:
        assert response.text.rstrip("\n") == recording.get("text", "")
        return
    storage = str(replay.server.folder / "storage")
    now = json.loads(response.text.replace(storage, "/app/storage"))
    replay.learn(recording["json"], now)
    expected, actual = (plain(same_order(recording, each)) for each in (recording["json"], now))
    if number(recording) in CAUGHT_RUNNING:
        expected, actual = without_state(expected), without_state(actual)
    assert actual == expected


def events(text: str) -> list[tuple[str, Any]]:
    found = re.findall(r"id: (\w+)\ndata: (.*)", text)
    return [(name, plain(json.loads(data))) for name, data in found]


def assert_events(recorded: str, now: str) -> None:
    """The events from when the client came, which is sooner or later, to the end."""
    expected, actual = events(recorded), events(now)
    assert actual[-1][0] == "end"
    assert actual == expected[-len(actual) :]


def test_every_recording_is_replayed_or_out_of_scope() -> None:
    replayed = [number(recording) for recording in recordings()]
    assert sorted([*replayed, *OUT_OF_SCOPE]) == list(range(1, COUNT + 1))


def test_the_answers_are_those_of_the_genuine_server(start_kestra) -> None:
    server = start_kestra(version="0.20.7", auth=False)
    replay = Replay(server)
    differing: list[str] = []
    for recording in recordings():
        replay.prepare(number(recording))
        if number(recording) == 202:
            created = httpx.post(
                f"{server.api}/executions/demo.measure/s1", auth=("admin@kestra.dev", "Kestra1234")
            )
            recorded_id = recording["path"].split("/")[-2]
            replay.ids[recorded_id] = created.json()["id"]
        response = replay.send(recording)
        try:
            compare(replay, recording, response)
        except AssertionError as error:
            differing.append(f"{recording['name']}: {error}")
    if differing:
        pytest.fail("\n\n".join(differing))
