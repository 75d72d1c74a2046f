"""The lifecycles of flows, files and key-values on a server."""

from __future__ import annotations

import time
from itertools import count
from typing import Any

import pytest

from infra.kestra.content import decode, encode
from infra.kestra.errors import KestraError
from infra.kestra.lifecycle.flow import lifecycle as flow
from infra.kestra.lifecycle.key_value import lifecycle as key_value
from infra.kestra.lifecycle.namespace import lifecycle as namespace
from infra.kestra.lifecycle.namespace_file import lifecycle as namespace_file
from infra.kestra.switches import Switches
from tests.kestra.integration import resources
from tests.kestra.integration.resources import Props, stored, text
from tests.kestra.servers import PASSWORD, KestraServer

_BINARY = bytes(range(256))
_numbers = count()


class Browser:
    """Somebody who works in one namespace without Podium."""

    def __init__(self, server: KestraServer) -> None:
        self.http = server.client()
        self.namespace = f"resources.n{next(_numbers)}"

    def write_flow(self, flow_id: str, source: str) -> None:
        headers = {"Content-Type": "application/x-yaml"}
        path = f"/flows/{self.namespace}/{flow_id}"
        if self.http.get(path).status_code == 404:
            self.http.post("/flows", content=source, headers=headers).raise_for_status()
        else:
            self.http.put(path, content=source, headers=headers).raise_for_status()

    def disable(self, flow_id: str) -> None:
        body = [{"namespace": self.namespace, "id": flow_id}]
        self.http.post("/flows/disable/by-ids", json=body).raise_for_status()

    def delete_flow(self, flow_id: str) -> None:
        self.http.delete(f"/flows/{self.namespace}/{flow_id}").raise_for_status()

    def flow(self, flow_id: str) -> dict[str, Any] | None:
        answer = self.http.get(f"/flows/{self.namespace}/{flow_id}", params={"source": True})
        return None if answer.status_code == 404 else dict(answer.raise_for_status().json())

    def source(self, flow_id: str) -> str | None:
        found = self.flow(flow_id)
        return str(found["source"]) if found else None

    def flow_ids(self) -> set[str]:
        return {each["id"] for each in self.http.get(f"/flows/{self.namespace}").json()}

    def write_file(self, path: str, content: bytes) -> None:
        url = f"/namespaces/{self.namespace}/files"
        files = {"fileContent": ("file", content)}
        self.http.post(url, params={"path": path}, files=files).raise_for_status()

    def delete_file(self, path: str) -> None:
        url = f"/namespaces/{self.namespace}/files"
        self.http.delete(url, params={"path": path}).raise_for_status()

    def file(self, path: str) -> bytes | None:
        answer = self.http.get(f"/namespaces/{self.namespace}/files", params={"path": path})
        return None if answer.status_code == 404 else answer.raise_for_status().content

    def set_key(self, key: str, ion: str) -> None:
        path, headers = f"/namespaces/{self.namespace}/kv/{key}", {"Content-Type": "text/plain"}
        self.http.put(path, content=ion, headers=headers).raise_for_status()

    def key(self, key: str) -> dict[str, Any] | None:
        """Returns type and value of a key-value, without when and how often it was set."""
        answer = self.http.get(f"/namespaces/{self.namespace}/kv/{key}")
        if answer.status_code == 404:
            return None
        found = answer.raise_for_status().json()
        return {"type": found["type"], "value": found["value"]}


@pytest.fixture
def browser(server: KestraServer) -> Browser:
    return Browser(server)


def test_a_flow_is_created_updated_and_deleted(server: KestraServer, browser: Browser) -> None:
    name = browser.namespace
    key = f"{name}/a"
    # The text is the author's to the last blank.
    one = resources.flow(
        server.base,
        "# größe 😀\n" + text(name, "a") + "\n\ndescription: |\n  two  \n  lines\n# end",
    )
    result = flow.create(one)
    outs = stored(result.outs)
    assert (result.id, outs["revision"]) == (key, 1)
    assert browser.source("a") == one["source"]
    assert stored(flow.read(key, outs).outs) == outs
    assert not flow.diff(key, outs, one).changes

    two = resources.flow(server.base, text(name, "a", "two"))
    difference = flow.diff(key, outs, two)
    assert (difference.changes, difference.replaces) == (True, [])
    outs = stored(flow.update(key, outs, two).outs)
    assert outs["revision"] == 2
    assert browser.source("a") == two["source"]

    flow.delete(key, outs)
    assert browser.flow("a") is None
    flow.delete(key, outs)


def test_another_id_is_another_flow(server: KestraServer, browser: Browser) -> None:
    name = browser.namespace
    outs = stored(flow.create(resources.flow(server.base, text(name, "a"))).outs)
    news = resources.flow(server.base, text(name, "b"))
    difference = flow.diff(f"{name}/a", outs, news)
    assert difference.replaces == ["source"]
    assert not difference.delete_before_replace
    assert flow.create(news).id == f"{name}/b"
    flow.delete(f"{name}/a", outs)
    assert browser.flow_ids() == {"b"}


def test_what_is_done_to_a_flow_in_the_browser_is_seen_and_put_back(
    server: KestraServer, browser: Browser
) -> None:
    name = browser.namespace
    key = f"{name}/a"
    props = resources.flow(server.base, text(name, "a"))
    outs = stored(flow.create(props).outs)
    for edit in (
        lambda: browser.write_flow("a", text(name, "a", "edited")),
        lambda: browser.disable("a"),
    ):
        edit()
        read = flow.read(key, outs)
        assert read.id == key
        assert read.inputs is not None
        assert read.inputs["source"] == browser.source("a") != props["source"]
        seen = stored(read.outs)
        assert seen["revision"] == outs["revision"] + 1
        assert flow.diff(key, seen, props).changes
        outs = stored(flow.update(key, seen, props).outs)
        assert browser.source("a") == props["source"]
        assert not flow.diff(key, outs, props).changes
    found = browser.flow("a")
    assert found is not None
    assert not found.get("disabled")

    browser.delete_flow("a")
    assert flow.read(key, outs).id == ""
    assert stored(flow.create(props).outs)["revision"] == outs["revision"] + 2
    assert browser.source("a") == props["source"]


def test_an_edit_that_nobody_has_seen_is_not_overwritten(
    server: KestraServer, browser: Browser
) -> None:
    name = browser.namespace
    outs = stored(flow.create(resources.flow(server.base, text(name, "a"))).outs)
    edited = text(name, "a", "edited")
    browser.write_flow("a", edited)
    news = resources.flow(server.base, text(name, "a", "two"))
    with pytest.raises(KestraError) as caught:
        flow.update(f"{name}/a", outs, news)
    assert str(caught.value) == (
        f"flow {name}/a: has revision 2 on the server, but 1 in the state: it was changed on "
        "the server by somebody else. Review the change with pulumi refresh, or replace it with "
        "overwrite=True"
    )
    assert browser.source("a") == edited
    updated = flow.update(f"{name}/a", outs, {**news, "overwrite": True})
    assert stored(updated.outs)["revision"] == 3
    assert browser.source("a") == news["source"]


def test_an_existing_flow_is_adopted_only_with_adopt(
    server: KestraServer, browser: Browser, capfd: pytest.CaptureFixture[str]
) -> None:
    name = browser.namespace
    browser.write_flow("a", text(name, "a", "by hand"))
    props = resources.flow(server.base, text(name, "a"))
    error = (
        "revision 1 already exists on the server with different content. Adopt it with "
        "adopt=True, or delete it there"
    )
    refused = flow.check({}, {**props, "isPreview": True})
    assert [each.reason for each in refused.failures] == [error]
    with pytest.raises(KestraError) as caught:
        flow.create(props)
    assert str(caught.value) == f"flow {name}/a: {error}"

    props["adopt"] = True
    assert flow.check({}, {**props, "isPreview": True}).failures == []
    assert capfd.readouterr().err.endswith(
        f"flow {name}/a: adopts revision 1\n@@ -6,2 +6,2 @@\n"
        "     type: io.kestra.plugin.core.log.Log\n-    message: by hand\n+    message: Hello\n"
    )
    assert stored(flow.create(props).outs)["revision"] == 2
    # What is the same already needs no word.
    assert stored(flow.create({**props, "adopt": False}).outs)["revision"] == 2


def test_a_preview_reports_the_validation_of_the_server(
    server: KestraServer, browser: Browser, capfd: pytest.CaptureFixture[str]
) -> None:
    name = browser.namespace
    wrong = text(name, "a").replace("log.Log", "log.Lag")
    props = resources.flow(server.base, wrong, isPreview=True)
    (failure,) = flow.check({}, props).failures
    assert failure.property == "source"
    assert "Invalid type: io.kestra.plugin.core.log.Lag" in failure.reason

    old = (
        f"id: a\nnamespace: {name}\n"
        "tasks: [{id: get, type: io.kestra.plugin.fs.http.Request, uri: http://localhost}]\n"
    )
    assert flow.check({}, resources.flow(server.base, old, isPreview=True)).failures == []
    assert capfd.readouterr().err == (
        f"flow {name}/a: info: io.kestra.plugin.fs.http.Request is replaced by "
        "io.kestra.plugin.core.http.Request\n"
    )
    assert browser.flow("a") is None


def test_switched_flows_are_what_the_server_takes_them_for(
    server: KestraServer, browser: Browser
) -> None:
    trigger = (
        "triggers:\n  - id: daily\n    type: io.kestra.plugin.core.trigger.Schedule\n"
        "    cron: '0 0 * * *'\n"
    )
    switches = Switches(disabled=True, triggers_disabled=True, labels={"team": "taxi"})
    source = switches.apply_to(text(browser.namespace, "a") + trigger)
    flow.create(resources.flow(server.base, source))
    found = browser.flow("a")
    assert found is not None
    assert found["disabled"]
    assert found["triggers"][0]["disabled"]
    assert found["labels"] == [{"key": "team", "value": "taxi"}]
    assert "# Says something." in found["source"]


def test_a_wrong_password_is_reported_without_its_value(
    server: KestraServer, browser: Browser
) -> None:
    flows = {"a": text(browser.namespace, "a")}
    props = resources.directory(server.base, browser.namespace, flows, password="Wrong-1-word")
    with pytest.raises(KestraError) as caught:
        namespace.create(props)
    message = str(caught.value)
    assert message.endswith("status 401: the user name or the password is wrong")
    assert "Wrong-1-word" not in message


class Folder:
    """A directory of flows with files, and what the state knows of it."""

    def __init__(self, url: str, browser: Browser) -> None:
        self.url = url
        self.browser = browser
        self.flows: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self.outs: Props = {}

    @property
    def props(self) -> Props:
        return resources.directory(self.url, self.browser.namespace, self.flows, self.files)

    def up(self) -> None:
        name = self.browser.namespace
        if not self.outs:
            self.outs = stored(namespace.create(self.props).outs)
        elif namespace.diff(name, self.outs, self.props).changes:
            self.outs = stored(namespace.update(name, self.outs, self.props).outs)
        assert self.outs["failures"] == {}
        assert not namespace.diff(name, self.outs, self.props).changes

    def refresh(self) -> Any:
        result = namespace.read(self.browser.namespace, self.outs)
        assert result.id == self.browser.namespace
        self.outs = stored(result.outs)
        return result

    def check(self) -> None:
        """Makes sure that the server has what the folder has, and nothing else."""
        browser = self.browser
        assert browser.flow_ids() == self.flows.keys()
        assert {flow_id: browser.source(flow_id) for flow_id in self.flows} == self.flows
        for path, content in self.files.items():
            assert browser.file(path) == decode(content)

    def revisions(self) -> dict[str, int]:
        return {flow_id: int(each["revision"]) for flow_id, each in self.outs["written"].items()}


# Up to 20 changed flows are asked for one by one, more in one request.
@pytest.mark.parametrize("size", [4, 24])
def test_a_folder_is_created_updated_and_deleted(
    server: KestraServer, browser: Browser, size: int
) -> None:
    name = browser.namespace
    folder = Folder(server.base, browser)
    folder.flows = {f"f{number:02}": text(name, f"f{number:02}") for number in range(size)}
    folder.files = {"sql/merge.sql": "SELECT 1", "lib/data.zip": encode(_BINARY), "gone.txt": "x"}
    folder.up()
    folder.check()
    assert set(folder.revisions().values()) == {1}
    outs = folder.outs
    assert folder.refresh().inputs is None
    assert folder.outs == outs

    del folder.flows["f00"], folder.files["gone.txt"]
    folder.flows["f01"] = text(name, "f01", "two")
    folder.flows["new"] = text(name, "new")
    folder.files["sql/merge.sql"] = "SELECT 2"
    folder.up()
    folder.check()
    assert browser.file("gone.txt") is None
    revisions = folder.revisions()
    assert revisions.pop("f01") == 2
    assert set(revisions.values()) == {1}

    namespace.delete(name, folder.outs)
    assert browser.flow_ids() == set()
    assert browser.file("sql/merge.sql") is browser.file("lib/data.zip") is None
    namespace.delete(name, folder.outs)


def test_what_is_done_to_a_folder_in_the_browser_is_seen_and_put_back(
    server: KestraServer, browser: Browser
) -> None:
    name = browser.namespace
    folder = Folder(server.base, browser)
    folder.flows = {flow_id: text(name, flow_id) for flow_id in ("a", "b", "c", "d")}
    folder.files = {"a.txt": "a", "b.bin": encode(_BINARY), "c.txt": "c"}
    folder.up()
    browser.write_flow("a", text(name, "a", "edited"))
    browser.disable("b")
    browser.delete_flow("c")
    # What is nobody's is left alone.
    browser.write_flow("other", text(name, "other"))
    browser.write_file("a.txt", _BINARY)
    browser.write_file("other.txt", b"other")
    browser.delete_file("c.txt")

    seen = folder.refresh().inputs
    assert seen["flows"] == {flow_id: browser.source(flow_id) for flow_id in ("a", "b", "d")}
    assert "disabled: true" in seen["flows"]["b"]
    assert seen["files"] == {"a.txt": encode(_BINARY), "b.bin": encode(_BINARY)}
    assert folder.revisions() == {"a": 2, "b": 2, "d": 1}

    folder.up()
    browser.delete_flow("other")
    folder.check()
    assert folder.revisions() == {"a": 3, "b": 3, "c": 3, "d": 1}
    assert browser.file("other.txt") == b"other"


def test_a_folder_goes_to_another_server(server: KestraServer, browser: Browser) -> None:
    folder = Folder(server.base, browser)
    folder.flows = {"a": text(browser.namespace, "a")}
    folder.files = {"a.txt": "a"}
    folder.up()
    # The same server at another address, where nothing is left.
    browser.delete_flow("a")
    browser.delete_file("a.txt")
    folder.url = server.base.replace("127.0.0.1", "localhost")
    folder.up()
    folder.check()


def test_a_folder_adopts_existing_flows_only_with_adopt(
    server: KestraServer, browser: Browser
) -> None:
    name = browser.namespace
    browser.write_flow("a", text(name, "a", "by hand"))
    browser.write_flow("b", text(name, "b"))
    flows = {flow_id: text(name, flow_id) for flow_id in ("a", "b", "c")}
    props = resources.directory(server.base, name, flows)
    failures = namespace.check({}, {**props, "isPreview": True}).failures
    assert [failure.property for failure in failures] == ['flows["a"]']
    assert failures[0].reason.startswith(
        f"flows/{name}/a.yaml: revision 1 already exists on the server"
    )

    refused = stored(namespace.create(props).outs)
    assert refused["failures"].keys() == {"a"}
    assert {key: each["revision"] for key, each in refused["written"].items()} == {"b": 1, "c": 1}
    adopted = stored(namespace.update(name, refused, {**props, "adopt": True}).outs)
    assert adopted["failures"] == {}
    assert browser.source("a") == flows["a"]


@pytest.mark.parametrize(
    "content", ["SELECT 'größe'\r\n".encode(), b"", b"base64: is no marker here", _BINARY]
)
@pytest.mark.parametrize("path", ["sql/merge.sql", "a file with ümlauts & signs.zip"])
def test_a_file_is_created_updated_and_deleted(
    server: KestraServer, browser: Browser, path: str, content: bytes
) -> None:
    props = resources.file(server.base, browser.namespace, path, encode(content))
    outs = stored(namespace_file.create(props).outs)
    assert browser.file(path) == content
    assert namespace_file.read(namespace_file.identity(props), outs).id != ""
    assert not namespace_file.diff(namespace_file.identity(props), outs, props).changes

    browser.write_file(path, b"edited")
    read = namespace_file.read(namespace_file.identity(props), outs)
    assert read.inputs is not None
    assert read.inputs["content"] == "edited"
    assert namespace_file.diff(namespace_file.identity(props), stored(read.outs), props).changes
    outs = stored(
        namespace_file.update(namespace_file.identity(props), stored(read.outs), props).outs
    )
    assert browser.file(path) == content

    browser.delete_file(path)
    assert namespace_file.read(namespace_file.identity(props), outs).id == ""
    outs = stored(namespace_file.create(props).outs)
    namespace_file.delete(namespace_file.identity(props), outs)
    assert browser.file(path) is None
    namespace_file.delete(namespace_file.identity(props), outs)


def test_an_existing_file_is_adopted_only_with_adopt(
    server: KestraServer, browser: Browser
) -> None:
    browser.write_file("a.txt", b"by hand")
    props = resources.file(server.base, browser.namespace, "a.txt", "ours")
    with pytest.raises(KestraError, match="already exists on the server with different content"):
        namespace_file.create(props)
    assert len(namespace_file.check({}, {**props, "isPreview": True}).failures) == 1
    namespace_file.create({**props, "adopt": True})
    assert browser.file("a.txt") == b"ours"
    namespace_file.create(props)


# For each type a value, what the server makes of it, and another value as Ion.
VALUES: dict[str, tuple[str, Any, str]] = {
    "STRING": ('größe 😀 "quoted" \\ 2021-09-01', 'größe 😀 "quoted" \\ 2021-09-01', '"edited"'),
    "NUMBER": ("-12.5", -12.5, "7"),
    "BOOLEAN": ("true", True, "false"),
    "DATETIME": ("2021-09-01T01:02:03Z", "2021-09-01T01:02:03Z", "2022-09-01T01:02:03Z"),
    "DATE": ("2021-09-01", "2021-09-01", "2022-09-01"),
    "DURATION": ("P1DT2H", "PT26H", '"PT1M"'),
    "JSON": ('{"a": [1, "😀", null]}', {"a": [1, "😀", None]}, "[1]"),
}


@pytest.mark.parametrize("type_", VALUES)
def test_a_key_is_created_updated_and_deleted(
    server: KestraServer, browser: Browser, type_: str
) -> None:
    value, meaning, edited = VALUES[type_]
    props = resources.key_value(server.base, browser.namespace, "k", value, type_)
    assert key_value.check({}, {**props, "isPreview": True}).failures == []
    outs = stored(key_value.create(props).outs)
    assert browser.key("k") == {"type": type_, "value": meaning}
    assert stored(key_value.read(key_value.identity(props), outs).outs) == outs
    assert not key_value.diff(key_value.identity(props), outs, props).changes
    key_value.create(props)

    # Another value, and one of another type.
    for ion in (edited, '"PT9H"' if type_ != "DURATION" else "9"):
        browser.set_key("k", ion)
        with pytest.raises(KestraError, match="already exists on the server"):
            key_value.create(props)
        read = key_value.read(key_value.identity(props), outs)
        assert read.id != ""
        assert read.inputs is not None
        found = browser.key("k")
        assert found is not None
        assert read.inputs["type"] == found["type"]
        assert key_value.diff(key_value.identity(props), stored(read.outs), props).changes
        outs = stored(key_value.update(key_value.identity(props), stored(read.outs), props).outs)
        assert browser.key("k") == {"type": type_, "value": meaning}

    key_value.delete(key_value.identity(props), outs)
    assert browser.key("k") is None
    assert key_value.read(key_value.identity(props), outs).id == ""
    key_value.delete(key_value.identity(props), outs)


def test_a_key_is_gone_after_its_time_to_live(server: KestraServer, browser: Browser) -> None:
    props = resources.key_value(server.base, browser.namespace, "k", "v", ttl="PT1S")
    outs = stored(key_value.create(props).outs)
    assert key_value.read(key_value.identity(props), outs).id != ""
    time.sleep(1.1)
    assert key_value.read(key_value.identity(props), outs).id == ""
    key_value.create(props)
    assert browser.key("k") == {"type": "STRING", "value": "v"}
    changed = key_value.diff(key_value.identity(props), outs, {**props, "ttl": "PT1H"})
    assert (changed.changes, changed.replaces) == (True, [])
    assert key_value.diff(key_value.identity(props), outs, {**props, "key": "other"}).replaces == [
        "key"
    ]


def test_no_error_shows_a_secret_value(server: KestraServer, browser: Browser) -> None:
    browser.set_key("k", '"by hand"')
    props = resources.key_value(server.base, browser.namespace, "k", "the secret")
    with pytest.raises(KestraError) as caught:
        key_value.create(props)
    assert "the secret" not in str(caught.value)
    assert PASSWORD not in str(caught.value)
