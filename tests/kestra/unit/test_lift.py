"""The library works wherever its folder is copied, and with the states of old stacks."""

import base64
import json
import os
import pickle
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import infra.kestra
from infra.kestra.provider import FlowProvider

_LIBRARY = Path(infra.kestra.__file__).parent
_STATES = Path(__file__).parents[2] / "e2e" / "states"
_PROGRAM = """
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pulumi

from lifted import (
    Connection, DashboardDirectory, Flow, FlowDirectory, KestraError, KeyValue, NamespaceFile,
)
from lifted.provider import FlowProvider, NamespaceProvider


class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        names.append(args.name)
        outputs = {"revision": 1, "registered": True, "written": {"a": {"revision": 1}}}
        return args.name, {**args.inputs, **outputs, "failures": {}}

    def call(self, args):
        return {}


def declare():
    connection = Connection("http://localhost:8080", "admin@example.com", "Secret1234")
    flows = FlowDirectory("flows", connection=connection, path=Path("flows"))
    boards = DashboardDirectory("dashboards", connection=connection, path=Path("dashboards"))
    Flow("flow", connection=connection, source="id: b\\nnamespace: demo\\n")
    KeyValue("key", connection=connection, namespace="demo", key="limit", value="1")
    NamespaceFile("file", connection=connection, namespace="demo", path="a.sql", content="")
    flows.revisions.apply(lambda found: results.append(found))
    boards.registered.apply(lambda found: results.append(found))


names, results = [], []
pulumi.runtime.set_mocks(Mocks())
pulumi.runtime.test(declare)()
assert {"flow", "key", "file", "flows-demo", "loads"} <= set(names), names
assert {"demo/a": 1} in results and {"loads": True} in results, results

login = {"url": "http://localhost:1", "username": "u", "password": "p"}
broken = {**login, "source": "id: b\\nnamespace: demo\\n", "adopt": False}
(failure,) = FlowProvider().check({}, dict(broken)).failures
assert failure.reason == "has no tasks", failure.reason
assert FlowProvider().diff("demo/b", {**login, "digest": "", "revision": 1}, broken).changes
assert NamespaceProvider().check({}, {**login, "flows": {}}).failures == []

others = [name for name in sys.modules if name.partition(".")[0] in ("infra", "tests", "cli")]
assert not others, others
"""


def test_a_copy_under_another_name_declares_resources_and_serves_its_providers(tmp_path: Path):
    shutil.copytree(_LIBRARY, tmp_path / "lifted")
    (tmp_path / "flows/demo").mkdir(parents=True)
    (tmp_path / "flows/demo/a.yaml").write_text("id: a\nnamespace: demo\ntasks: [{id: t}]\n")
    (tmp_path / "dashboards").mkdir()
    (tmp_path / "dashboards/loads.yaml").write_text("id: loads\ntitle: Loads\ncharts: [{id: a}]\n")
    (tmp_path / "program.py").write_text(_PROGRAM)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    # Python puts nothing but the program's folder and site-packages on the path.
    result = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def _old_resources() -> list[Any]:
    return [
        pytest.param(resource, id=f"{path.stem}-{resource['urn'].rpartition('::')[2]}")
        for path in sorted(_STATES.glob("*.json"))
        for resource in json.loads(path.read_text())
        if "__provider" in resource.get("inputs", {})
    ]


@pytest.mark.parametrize("resource", _old_resources())
def test_the_provider_of_an_old_state_loads(resource: dict[str, Any]):
    provider = pickle.loads(base64.b64decode(resource["inputs"]["__provider"]))
    assert isinstance(provider, FlowProvider)
    checked = provider.check(resource["inputs"], dict(resource["inputs"]))
    assert checked.failures == []
    assert not provider.diff(resource["id"], resource["outputs"], checked.inputs).changes


def test_the_package_has_the_pins_that_it_is_tested_with():
    project = tomllib.loads((_LIBRARY / "pyproject.toml").read_text())["project"]
    assert project["dependencies"]
    for pin in project["dependencies"]:
        name, _, pinned = pin.partition("==")
        assert version(name) == pinned
