"""Flows, files and key-values as a program of one's own declares them, on the real engine."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Project

pytestmark = [pytest.mark.timeout(1200)]

_STATES = Path(__file__).parent / "states"
_PROJECT = """\
name: resources
runtime:
  name: python
  options:
    toolchain: pip
    virtualenv: .venv
"""
_HEAD = """\
import os
from pathlib import Path
import pulumi
from infra.kestra import Connection, Flow, FlowDirectory, KeyValue, NamespaceFile, Switches
connection = Connection(os.environ["KESTRA_URL"], os.environ["KESTRA_USER"],
                        os.environ["KESTRA_PASSWORD"])
"""


def flow(flow_id: str, namespace: str, message: str = "Hello", task: str = "log.Log") -> str:
    return (
        f"id: {flow_id}\nnamespace: {namespace}\n# Says something.\ntasks:\n"
        f"  - id: log\n    type: io.kestra.plugin.core.{task}\n    message: {message}\n"
    )


@dataclass(frozen=True)
class Program:
    """A program with nothing of Podium but the folder infra, and its stack."""

    folder: Path
    stack: str
    environment: dict[str, str]
    kestra: httpx.Client

    def write(self, text: str) -> None:
        """Replaces the program."""
        (self.folder / "__main__.py").write_text(_HEAD + text)

    def pulumi(self, *arguments: str, fails: bool = False) -> str:
        """Runs the Pulumi CLI and returns all that it prints."""
        result = subprocess.run(
            ["pulumi", *arguments, "--stack", self.stack],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        text = result.stdout + result.stderr
        assert (result.returncode != 0) == fails, text
        assert "Traceback" not in text
        assert self.environment["KESTRA_PASSWORD"] not in text
        return text

    def up(self, *, fails: bool = False) -> str:
        return self.pulumi("up", "--yes", "--skip-preview", fails=fails)

    def source(self, namespace: str, flow_id: str) -> str | None:
        """Returns the text that the server stores, or None where there is no flow."""
        answer = self.kestra.get(f"flows/{namespace}/{flow_id}", params={"source": True})
        return str(answer.json()["source"]) if answer.is_success else None

    def edit(self, method: str, path: str, source: str) -> int:
        """Writes a flow as the browser does, and returns its revision."""
        headers = {"Content-Type": "application/x-yaml"}
        answer = self.kestra.request(method, path, content=source, headers=headers)
        return int(answer.raise_for_status().json()["revision"])


@pytest.fixture(scope="module")
def pulumi_path(project: Project) -> str:
    """The PATH with the Pulumi CLI that the project's command line uses."""
    script = "from cli.environment import prepare; prepare(); import os; print(os.environ['PATH'])"
    return project.run(".venv/bin/python", "-c", script).stdout.strip()


@pytest.fixture
def program(tmp_path: Path, project: Project, outputs: dict[str, Any], pulumi_path: str) -> Any:
    """A program with a stack of its own on the Kestra server of the e2e stack."""
    (tmp_path / "Pulumi.yaml").write_text(_PROJECT)
    (tmp_path / ".venv").symlink_to(project.folder / ".venv")
    shutil.copytree(project.folder / "infra", tmp_path / "infra")
    login = (outputs["kestraUser"], outputs["kestraPassword"])
    with httpx.Client(base_url=f"{outputs['kestraUrl']}/api/v1/main/", auth=login) as kestra:
        program = Program(
            folder=tmp_path,
            stack="resources",
            environment={
                **project.environment,
                "PATH": pulumi_path,
                "KESTRA_URL": outputs["kestraUrl"],
                "KESTRA_USER": outputs["kestraUser"],
                "KESTRA_PASSWORD": outputs["kestraPassword"],
            },
            kestra=kestra,
        )
        program.write("")
        program.pulumi("stack", "init")
        yield program
        program.pulumi("destroy", "--yes", "--skip-preview")
        program.pulumi("stack", "rm", "--yes")


def test_every_resource_lives_and_dies(program: Program) -> None:
    (program.folder / "merge.sql").write_text("SELECT 1;\n")
    program.write(
        f"""
first = Flow("first", connection=connection, source={flow("first", "e2e.one")!r})
NamespaceFile("sql", connection=connection, namespace="e2e.one", path="sql/merge.sql",
              asset=pulumi.FileAsset("merge.sql"))
KeyValue("limit", connection=connection, namespace="e2e.one", key="limit", value="0.01",
         type="NUMBER")
KeyValue("token", connection=connection, namespace="e2e.one", key="token",
         value=pulumi.Output.secret("hidden-token"), ttl="PT1H")
pulumi.export("revision", first.revision)
"""
    )
    program.up()
    assert program.source("e2e.one", "first") == flow("first", "e2e.one")
    kv, files = "namespaces/e2e.one/kv", "namespaces/e2e.one/files"
    assert program.kestra.get(files, params={"path": "/sql/merge.sql"}).text == "SELECT 1;\n"
    assert program.kestra.get(f"{kv}/limit").json()["value"] == 0.01
    assert program.kestra.get(f"{kv}/token").json()["value"] == "hidden-token"
    assert "hidden-token" not in program.pulumi("stack", "export")
    program.pulumi("preview", "--refresh", "--expect-no-changes")

    program.kestra.put(f"{kv}/limit", content="0.5", headers={"Content-Type": "text/plain"})
    program.kestra.delete(files, params={"path": "/sql/merge.sql"})
    program.pulumi("refresh", "--yes", "--skip-preview")
    assert "1 created" in program.up()
    assert program.kestra.get(f"{kv}/limit").json()["value"] == 0.01
    assert program.kestra.get(files, params={"path": "/sql/merge.sql"}).text == "SELECT 1;\n"

    program.write("")
    assert "4 deleted" in program.up()
    assert program.source("e2e.one", "first") is None
    assert program.kestra.get(f"{kv}/limit").status_code == 404


def test_preview_shows_the_property_of_the_task_and_up_a_new_revision(program: Program) -> None:
    def declare(source: str) -> None:
        program.write(f"Flow('greeting', connection=connection, source={source!r})")

    declare(flow("greeting", "e2e.two"))
    program.up()
    declare(flow("greeting", "e2e.two", message="Goodbye"))
    lines = " ".join(program.pulumi("preview", "--diff").split())
    assert '~ tasks : [ ~ [0]: { id : "log" ~ message: "Hello" => "Goodbye"' in lines
    declare(flow("greeting", "e2e.two").replace("something", "anything"))
    text = program.pulumi("preview")
    assert "e2e.two/greeting: only comments or layout change" in text
    assert "+# Says anything." in text
    program.up()
    assert "# Says anything." in str(program.source("e2e.two", "greeting"))


def test_other_id_is_created_before_the_old_one_is_deleted(program: Program) -> None:
    for flow_id in ("before", "after"):
        source = flow(flow_id, "e2e.three")
        program.write(f"Flow('flow', connection=connection, source={source!r})")
        text = program.up()
    assert "1 replaced" in text
    assert program.source("e2e.three", "before") is None
    assert program.source("e2e.three", "after")


def test_preview_finds_what_the_server_would_refuse(program: Program) -> None:
    for source, reason in (
        (flow("wrong", "e2e.four") + "taskz: []\n", 'has the unknown key "taskz"'),
        (flow("kill", "e2e.four"), "which Kestra reserves"),
        (flow("wrong", "e2e.four", task="no.Such"), "io.kestra.plugin.core.no.Such"),
    ):
        program.write(f"Flow('flow', connection=connection, source={source!r})")
        assert reason in program.pulumi("preview", fails=True)
    assert program.source("e2e.four", "wrong") is None


def test_flow_that_exists_is_adopted_only_on_demand(program: Program) -> None:
    def declare(arguments: str) -> None:
        source = flow("taken", "e2e.five", message="Ours")
        program.write(f"Flow('flow', connection=connection, source={source!r}{arguments})")

    program.edit("POST", "flows", flow("taken", "e2e.five", message="Theirs"))
    declare("")
    assert "adopt=True" in program.pulumi("preview", fails=True)
    assert "adopt=True" in program.up(fails=True)
    assert "Theirs" in str(program.source("e2e.five", "taken"))
    declare(", adopt=True")
    text = program.pulumi("preview")
    assert "-    message: Theirs" in text
    assert "+    message: Ours" in text
    program.up()
    assert "Ours" in str(program.source("e2e.five", "taken"))


def test_edit_made_elsewhere_is_not_overwritten_unseen(program: Program) -> None:
    def declare(message: str, arguments: str = "") -> None:
        source = flow("shared", "e2e.six", message)
        program.write(f"Flow('flow', connection=connection, source={source!r}{arguments})")

    declare("First")
    program.up()
    program.edit("PUT", "flows/e2e.six/shared", flow("shared", "e2e.six", "Edited"))
    declare("Second")
    text = program.up(fails=True)
    assert "has revision 2 on the server, but 1 in the state" in text
    assert "overwrite=True" in text
    assert "Edited" in str(program.source("e2e.six", "shared"))
    declare("Second", ", overwrite=True")
    program.up()
    assert "Second" in str(program.source("e2e.six", "shared"))


@pytest.fixture
def write_file(program: Program) -> Callable[[str, str], Path]:
    def write(name: str, text: str) -> Path:
        path = program.folder / "flows" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    program.write("FlowDirectory('flows', connection=connection, path=Path('flows'))")
    return write


def test_directory_follows_its_folder(
    program: Program, write_file: Callable[[str, str], Path]
) -> None:
    one = write_file("e2e.seven/one.yaml", flow("one", "e2e.seven"))
    write_file("e2e.seven/two.yml", flow("two", "e2e.seven"))
    write_file("e2e.seven/files/sql/a.sql", "SELECT 1;\n")
    write_file("e2e.seven/.hidden.yaml", "no flow")
    write_file("e2e.eight/three.yaml", flow("three", "e2e.eight"))
    program.up()
    files = "namespaces/e2e.seven/files"
    assert program.source("e2e.seven", "one") == one.read_text()
    assert program.source("e2e.eight", "three")
    assert program.kestra.get(files, params={"path": "/sql/a.sql"}).text == "SELECT 1;\n"
    program.pulumi("preview", "--refresh", "--expect-no-changes")

    one.unlink()
    program.up()
    assert program.source("e2e.seven", "one") is None
    assert program.source("e2e.seven", "two")


def test_directory_writes_what_is_good_and_names_what_is_not(
    program: Program, write_file: Callable[[str, str], Path]
) -> None:
    write_file("e2e.nine/good.yaml", flow("good", "e2e.nine"))
    bad = write_file("e2e.nine/bad.yaml", flow("bad", "e2e.nine", task="no.Such"))
    text = program.up(fails=True)
    assert "1 of namespace e2e.nine failed; the others were written." in text
    assert "flows/e2e.nine/bad.yaml" in text
    assert program.source("e2e.nine", "good")
    bad.write_text(flow("bad", "e2e.nine"))
    program.up()
    assert program.source("e2e.nine", "bad")


@pytest.mark.parametrize("name", sorted(path.stem for path in _STATES.glob("*.json")))
def test_state_of_an_older_version_is_destroyed(program: Program, name: str) -> None:
    namespace = "e2e.old"
    program.edit("POST", "flows", flow("old", namespace))
    text = (_STATES / f"{name}.json").read_text()
    for old, new in (
        ("http://localhost:28080", program.environment["KESTRA_URL"]),
        ("the-password", program.environment["KESTRA_PASSWORD"]),
        ("urn:pulumi:old::", f"urn:pulumi:{program.stack}::"),
        ("resources-old", f"resources-{program.stack}"),
    ):
        text = text.replace(old, new)
    program.up()
    state = json.loads(program.pulumi("stack", "export"))
    state["deployment"]["resources"] = json.loads(text)
    path = program.folder / "state.json"
    path.write_text(json.dumps(state))
    program.pulumi("stack", "import", "--file", str(path))
    program.pulumi("destroy", "--yes", "--skip-preview")
    assert program.source(namespace, "old") is None
