"""podium run: what is shown of an execution as it goes, and with which code it ends."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import yaml

from cli import follow as following
from cli import output, services
from infra.kestra.client import KestraClient
from tests.unit.cli.command_line import CommandLine, Ended

PAGE = "http://localhost:8080/ui/main/executions/zoomcamp/taxi_load/42"
USAGE = """Usage: podium run [OPTIONS] NAMESPACE/FLOW [NAME=VALUE]...

"""


def step(state: str, second: str) -> dict[str, str]:
    return {"state": state, "date": f"2026-01-01T12:00:{second}Z"}


def task(name: str, *steps: dict[str, str]) -> dict[str, Any]:
    state = {"current": steps[-1]["state"], "histories": list(steps)}
    return {"id": f"run-{name}", "taskId": name, "state": state}


def line(task: str, second: str, message: str, level: str = "INFO") -> dict[str, str]:
    run = f"run-{task}"
    moment = f"2026-01-01T12:00:{second}Z"
    return {
        "timestamp": moment,
        "taskId": task,
        "taskRunId": run,
        "level": level,
        "message": message,
    }


FLOW, INPUT = "Invalid value for 'NAMESPACE/FLOW': ", "Invalid value for '[NAME=VALUE]...': "
SOURCE = """
id: taxi_load
namespace: zoomcamp
inputs:
  - {id: taxi, type: SELECT, values: [yellow, green], defaults: yellow, displayName: Taxi}
  - {id: month, type: STRING}
  - {id: note, type: STRING, required: false}
  - {id: force, type: BOOL, defaults: false}
"""


class Server:
    """A Kestra that streams its looks, one change after the other.

    A look of None ends the connection, as a server does that stops; the next look is what
    it answers when it is asked after that, and after as many errors as there are `failures`.
    """

    def __init__(
        self,
        *looks: tuple[str, list[dict[str, Any]], list[dict[str, str]]] | None,
        refusal: str | None = None,
        failures: int = 0,
    ) -> None:
        self.looks = list(looks)
        self.failures = failures
        self.refusal = refusal
        self.inputs = ""
        self.log_requests = 0
        self._lines: list[dict[str, str]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        match request.method, request.url.path:
            case "GET", "/api/v1/configs":
                return httpx.Response(200, json={"version": "1.3.0"})
            case "GET", "/api/v1/main/flows/zoomcamp/taxi_load":
                inputs = yaml.safe_load(SOURCE)["inputs"]
                return httpx.Response(200, json={"inputs": inputs, "source": SOURCE})
            case "POST", "/api/v1/main/executions/zoomcamp/taxi_load":
                if self.refusal:
                    return httpx.Response(422, json={"message": self.refusal})
                self.inputs = request.read().decode()
                created = {"id": "42", "state": {"current": "CREATED"}, "url": PAGE}
                return httpx.Response(200, json=created)
            case "GET", "/api/v1/main/executions/42/follow":
                return httpx.Response(200, content=self._stream())
            case "GET", "/api/v1/main/executions/42" if self.failures:
                self.failures -= 1
                return httpx.Response(500, json={"message": "connection is closed"})
            case "GET", "/api/v1/main/executions/42":
                return httpx.Response(200, json=self._next())
            case "GET", "/api/v1/main/logs/42":
                self.log_requests += 1
                return httpx.Response(200, json=self._lines)
        return httpx.Response(404, json={"message": "Not Found"})

    def _stream(self) -> Iterator[bytes]:
        # What Kestra sends first has no state.
        yield b'id: start\ndata: {"id":"42"}\n\n'
        while self.looks and self.looks[0]:
            yield f"id: progress\ndata: {json.dumps(self._next())}\n\n".encode()
        if self.looks:
            self.looks.pop(0)
            raise httpx.ReadError("connection reset")

    def _next(self) -> dict[str, Any]:
        look = self.looks.pop(0)
        assert look
        state, tasks, self._lines = look
        return {"id": "42", "state": {"current": state}, "taskRunList": tasks or None}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are shown in the zone of the user; for the tests that is UTC."""
    with monkeypatch.context() as context:
        context.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def command(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A stack that is up."""
    monkeypatch.setattr(following, "_LOG_DELAY_SECONDS", 0)
    monkeypatch.setattr(following, "_PAUSE_SECONDS", 0)
    command.add_stack(tag="official", resources=3)
    return command


@pytest.fixture
def follow(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Runs the flow on a server."""

    def run(server: Server, *inputs: str, flow: str = "zoomcamp/taxi_load") -> Ended:
        def client(*login: str, wait: float) -> KestraClient:
            return KestraClient(*login, wait=wait, transport=httpx.MockTransport(server.answer))

        monkeypatch.setattr(services, "KestraClient", client)
        return command.run("run", flow, *inputs)

    return run


def test_tasks_and_lines_are_printed_once_and_in_order(follow: Callable[..., Ended]) -> None:
    created, running = step("CREATED", "01"), step("RUNNING", "01.5")
    lines = [
        line("extract", "01.52", "10 rows"),
        line("extract", "02.001", "done"),
        # Two equal lines of one moment are two lines.
        line("load", "03", "again"),
        line("load", "03", "again"),
    ]
    extracted = task("extract", created, running, step("SUCCESS", "02.001"))
    server = Server(
        ("RUNNING", [], []),
        ("RUNNING", [task("extract", created)], []),
        ("RUNNING", [task("extract", created, running)], lines[:1]),
        ("RUNNING", [extracted, task("load", step("CREATED", "02.001"))], lines),
        ("SUCCESS", [extracted, task("load", step("CREATED", "02"), step("SUCCESS", "04"))], lines),
    )
    result = follow(server, "taxi=yellow", "month=2019-01")
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "zoomcamp/taxi_load: execution 42",
        "12:00:01  extract       INFO  10 rows",
        "12:00:02  extract       INFO  done",
        "12:00:02  extract       SUCCESS (1.0 s)",
        "12:00:03  load          INFO  again",
        "12:00:03  load          INFO  again",
        "12:00:04  load          SUCCESS (2.0 s)",
        "zoomcamp/taxi_load: SUCCESS",
    ]
    assert 'name="taxi"\r\n\r\nyellow\r\n' in server.inputs
    assert 'name="month"\r\n\r\n2019-01\r\n' in server.inputs


def test_value_of_an_input_may_hold_spaces_and_equals_signs(follow: Callable[..., Ended]) -> None:
    server = Server(("SUCCESS", [], []))
    assert follow(server, "note=a = b  c").code == 0
    assert 'name="note"\r\n\r\na = b  c\r\n' in server.inputs


def test_runs_of_a_task_in_a_loop_are_named_apart(follow: Callable[..., Ended]) -> None:
    one, other = (
        {**task("load", step("SUCCESS", second)), "id": value, "value": value}
        for value, second in (("yellow 2019-01", "01"), ("green 2019-01", "02"))
    )
    printed = follow(Server(("SUCCESS", [one, other], []))).stdout.splitlines()
    assert [text.split(maxsplit=1)[1] for text in printed[1:-1]] == [
        "load yellow 2019-01  SUCCESS (0.0 s)",
        "load green 2019-01  SUCCESS (0.0 s)",
    ]


def test_line_of_a_task_waits_for_the_ends_before_it(follow: Callable[..., Ended]) -> None:
    first = task("read", step("RUNNING", "01"))
    ended = task("read", step("RUNNING", "01"), step("SUCCESS", "02"))
    lines = [line("say", "03", "hello")]
    server = Server(
        ("RUNNING", [first], lines),  # the log was asked for after the second task had begun
        ("SUCCESS", [ended, task("say", step("RUNNING", "03"), step("SUCCESS", "04"))], lines),
    )
    assert follow(server).stdout.splitlines()[1:-1] == [
        "12:00:02  read          SUCCESS (1.0 s)",
        "12:00:03  say           INFO  hello",
        "12:00:04  say           SUCCESS (1.0 s)",
    ]


def test_log_is_fetched_only_after_a_change(follow: Callable[..., Ended]) -> None:
    running = [task("load", step("RUNNING", "01"))]
    ended = [task("load", step("SUCCESS", "02"))]
    server = Server(*[("RUNNING", running, [])] * 4, ("SUCCESS", ended, []))
    assert follow(server).code == 0
    assert server.log_requests == 2


def test_restart_of_the_server_is_survived(follow: Callable[..., Ended]) -> None:
    running = task("load", step("RUNNING", "01"))
    lines = [line("load", "01", "half")]
    server = Server(
        ("RUNNING", [running], lines),
        None,
        ("RUNNING", [running], lines),
        ("SUCCESS", [task("load", step("RUNNING", "01"), step("SUCCESS", "09"))], lines),
    )
    assert follow(server) == Ended(
        0,
        "zoomcamp/taxi_load: execution 42\n"
        "12:00:01  load          INFO  half\n"
        "12:00:09  load          SUCCESS (8.0 s)\n"
        "zoomcamp/taxi_load: SUCCESS\n",
        "",
    )


def test_server_whose_database_is_away_is_waited_for(follow: Callable[..., Ended]) -> None:
    server = Server(("RUNNING", [], []), None, ("SUCCESS", [], []), failures=4)
    assert follow(server).code == 0


def test_server_that_stays_away_is_an_error(
    follow: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_AWAY_SECONDS", 0)
    server = Server(("RUNNING", [], []), None, ("SUCCESS", [], []), failures=99)
    result = follow(server)
    assert result.code == 1
    assert result.stderr.endswith("status 500: connection is closed\n")


def test_link_to_another_execution_is_shown_as_text(follow: Callable[..., Ended]) -> None:
    link = '[[link execution="7rQ" flowId="taxi_load" namespace="zoomcamp"]]'
    lines = [line("load", "01", f"Created new execution {link}")]
    shown = follow(Server(("SUCCESS", [task("load", step("SUCCESS", "01"))], lines))).stdout
    assert "INFO  Created new execution zoomcamp/taxi_load 7rQ\n" in shown


def test_error_is_shown_once(follow: Callable[..., Ended]) -> None:
    def error(second: str, message: str, attempt: int = 0) -> dict[str, Any]:
        return line("load", second, message, "ERROR") | {"attemptNumber": attempt}

    lines = [
        error("01", "java.io.IOException: no such file: /x"),
        error("01", "no such file\n/x"),
        error("02", "no such file", attempt=1),
        error("02", "another error", attempt=1),
    ]
    shown = follow(Server(("FAILED", [task("load", step("FAILED", "03"))], lines))).stdout
    assert [text.partition("ERROR  ")[2] for text in shown.splitlines() if "ERROR" in text] == [
        "java.io.IOException: no such file: /x",
        "no such file",
        "another error",
    ]


def test_server_that_streams_no_states_is_asked_for_them(follow: Callable[..., Ended]) -> None:
    server = Server(None, ("RUNNING", [], []), None, ("FAILED", [], []))
    assert follow(server).code == 1


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("SUCCESS", 0),
        ("WARNING", 0),
        ("FAILED", 1),
        ("KILLED", 1),
        ("CANCELLED", 1),
        ("RETRIED", 1),
        ("SKIPPED", 1),
    ],
)
def test_exit_code_says_whether_the_execution_succeeded(
    follow: Callable[..., Ended], state: str, code: int
) -> None:
    server = Server(("PAUSED", [], []), ("RUNNING", [], []), (state, [], []))
    printed = f"zoomcamp/taxi_load: execution 42\nzoomcamp/taxi_load: {state}\n"
    assert follow(server) == Ended(code, printed, "")


def test_ctrl_c_leaves_the_execution_running(
    follow: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: KestraClient, __: str) -> list[dict[str, Any]]:
        raise KeyboardInterrupt

    monkeypatch.setattr(KestraClient, "get_logs", interrupted)
    assert follow(Server(("RUNNING", [], []))) == Ended(
        130,
        f"zoomcamp/taxi_load: execution 42\n\nzoomcamp/taxi_load is still running: {PAGE}\n",
        "",
    )


def test_refused_execution_ends_with_the_words_of_the_server(follow: Callable[..., Ended]) -> None:
    result = follow(Server(refusal="Missing required input: month"))
    assert result.code == 1
    assert result.stderr.endswith("status 422: Missing required input: month\n")


def test_unknown_flow_is_named_with_those_there_are(follow: Callable[..., Ended]) -> None:
    result = follow(Server(), flow="zoomcamp/taxi")
    assert (result.code, result.stderr) == (
        1,
        'Error: There is no flow "zoomcamp/taxi"; there are: zoomcamp/taxi_load\n',
    )


def test_unknown_input_is_named_with_those_there_are(follow: Callable[..., Ended]) -> None:
    result = follow(Server(), "moth=2019-01")
    assert (result.code, result.stderr) == (
        1,
        'Error: zoomcamp/taxi_load has no input "moth"; it has: force, month, note, taxi\n',
    )


INPUTS = """\
Usage: podium run zoomcamp/taxi_load [NAME=VALUE]...

Input  Type            Default   Meaning
taxi   yellow | green  yellow    Taxi
month  STRING          required
note   STRING
force  BOOL            false

"""


def test_help_of_a_flow_lists_the_inputs_of_the_server(follow: Callable[..., Ended]) -> None:
    assert follow(Server(), "--help") == Ended(0, INPUTS, "")


def test_help_of_a_flow_lists_the_inputs_of_the_file_while_the_stack_is_down(
    command: CommandLine,
) -> None:
    command.set(stacks={})
    file = command.folder / "flows/zoomcamp/taxi_load.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(SOURCE)
    assert command.run("run", "zoomcamp/taxi_load", "--help") == Ended(0, INPUTS, "")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "Missing argument 'NAMESPACE/FLOW'."),
        (["load"], FLOW + '"load" must be namespace/id, such as zoomcamp/taxi_load'),
        (["a/b/c"], FLOW + '"a/b/c" must be namespace/id, such as zoomcamp/taxi_load'),
        (["a/b", "2019-01"], INPUT + '"2019-01" must be name=value, such as month=2019-01'),
        (["a/b", "=x"], INPUT + '"=x" must be name=value, such as month=2019-01'),
    ],
)
def test_wrong_words_are_named_with_the_right_ones(
    command: CommandLine, words: list[str], reason: str
) -> None:
    assert command.run("run", *words) == Ended(2, "", f"{USAGE}Error: {reason}\n")


@pytest.mark.parametrize("exists", [True, False])
def test_stack_that_is_not_up_is_named(command: CommandLine, exists: bool) -> None:
    command.set(stacks={})
    if exists:
        command.add_stack(tag="official")
    result = command.run("run", "zoomcamp/taxi_load")
    assert result == Ended(1, "", "Error: Stack dev is not up: ./podium up\n")


def test_server_is_asked_with_the_login_of_the_stack(command: CommandLine) -> None:
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command.set(
            outputs=command.outputs | {"kestraUrl": f"http://127.0.0.1:{server.server_port}"}
        )
        result = command.run("run", "zoomcamp/taxi_load")
        server.shutdown()
    assert result.code == 1
    assert result.stderr == (
        "Error: GET /api/v1/configs: status 401: the user name or the password is wrong\n"
    )
    login = base64.b64encode(b"admin@example.com:Secret-1").decode()
    assert seen == [f"Basic {login}"]


def test_terminal_shows_a_table_and_the_log_below(
    follow: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.console, "_force_terminal", True)
    monkeypatch.setattr(output.console, "_width", 80)
    attempted = {**task("load", step("RUNNING", "01"), step("FAILED", "03")), "attempts": [{}, {}]}
    submitted = task("next", step("CREATED", "03"), step("SUBMITTED", "03"))
    lines = [line("load", "02", f"line {number}") for number in range(30)]
    lines.append(line("load", "02", "x" * 100))
    shown = follow(Server(("FAILED", [attempted, submitted], lines)))
    picture = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.stdout)
    assert re.search(r"Task +. State +. Duration +. Attempts", picture)
    assert re.search(r"load +. FAILED +. 2.0 s +. 2 ", picture)
    assert re.search(r"next +. CREATED", picture)
    assert picture.count("12:00:02  load          INFO  line 0\n") == 1
    assert picture.count("12:00:02  load          INFO  line 29\n") == 1
    assert re.sub(r"\s", "", picture).count("x" * 100) == 1
    assert picture.endswith("zoomcamp/taxi_load: FAILED\n")
    assert shown.code == 1
