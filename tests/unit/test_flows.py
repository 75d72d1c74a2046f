"""The flows of the project, as far as they can be checked without a server."""

import csv
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from cli.flows.program import read_given
from cli.flows.rules import flow_findings, flow_texts
from cli.flows.suites import read_suites
from infra.kestra.folder import read_folder
from infra.kestra.releases import release_errors
from tests.unit.harness import PROJECT_FOLDER

NAMESPACES = read_folder(PROJECT_FOLDER / "flows")
FLOWS = {flow.key: flow for item in NAMESPACES.values() for flow in item.flows.values()} | {
    f"{flow.key}.kestra-1": flow
    for item in NAMESPACES.values()
    for flow in item.kestra_1_flows.values()
}
DOCUMENTS: dict[str, dict[str, Any]] = {
    key: yaml.safe_load(flow.text) for key, flow in FLOWS.items()
}
SQL = PROJECT_FOLDER / "flows/zoomcamp/files/sql"
SECRET_NAME = re.compile(r"pass(word|wd|phrase)|secret|token|credential|api_?key", re.IGNORECASE)
EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)

every_flow = pytest.mark.parametrize("key", FLOWS)


def entries(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yields every scalar with the name under which it stands."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from entries(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from entries(item, name)
    else:
        yield name, value


def test_every_yaml_file_is_a_flow_in_the_folder_of_its_namespace():
    folder = PROJECT_FOLDER / "flows"
    files = {
        path.relative_to(folder).with_suffix("").as_posix()
        for path in folder.rglob("*.y*ml")
        if path.parent.name != "tests"
    }
    assert files == set(FLOWS)
    assert "zoomcamp/taxi_load" in files


def test_flows_of_the_course_fit_after_one_command():
    script = PROJECT_FOLDER / "docs/from-the-course.sed"
    flow = """\
id: load
namespace: zoomcamp
variables:
  staging_table: "public.{{inputs.taxi}}_staging"
  table: "public.{{inputs.taxi}}"
inputs:
  - {id: taxi, type: STRING}
tasks:
  - id: merge
    type: io.kestra.plugin.core.flow.If
    condition: "{{ inputs.taxi == 'green' }}"
    then:
      - id: green_merge
        type: io.kestra.plugin.jdbc.postgresql.Queries
        sql: INSERT INTO {{render(vars.table)}} SELECT * FROM {{render(vars.staging_table)}};

pluginDefaults:
  - type: io.kestra.plugin.jdbc.postgresql
    values:
      password: root

triggers:
  - {id: monthly, type: io.kestra.plugin.core.trigger.Schedule, cron: "@monthly"}
"""
    command = ["sed", "-E", "-f", str(script)]
    changed = subprocess.run(command, input=flow, check=True, capture_output=True, text=True).stdout
    document = yaml.safe_load(changed)
    assert document.keys() == yaml.safe_load(flow).keys() - {"pluginDefaults"}
    assert document["variables"] == {
        "staging_table": "staging.{{inputs.taxi}}_staging",
        "table": "trips.{{inputs.taxi}}",
    }
    login = yaml.safe_load((PROJECT_FOLDER / "flows/zoomcamp/zones_load.yaml").read_text())
    login = login["tasks"][3]["tasks"][0]
    (task,) = document["tasks"][0]["then"]
    for key in ("url", "username", "password"):
        assert task.pop(key) == login[key]
    assert task == yaml.safe_load(flow)["tasks"][0]["then"][0]
    assert list(release_errors(changed, 2)) == []


def test_the_texts_for_kestra_1_and_2_differ_in_the_loop_only():
    (older,) = (key for key in FLOWS if key.endswith(".kestra-1"))
    text = FLOWS[older].text.replace("flow.ForEach", "flow.Loop")
    assert (
        text.replace("taskrun.value", "item.value") == FLOWS[older.removesuffix(".kestra-1")].text
    )


@every_flow
def test_a_flow_describes_itself_and_names_each_task_once(key: str):
    document = DOCUMENTS[key]
    assert document["description"].strip()
    ids = [task["id"] for task in (*document["tasks"], *document.get("errors", []))]
    assert len(set(ids)) == len(ids)


def test_nothing_is_wrong_with_flows_and_their_tests_as_far_as_that_shows_without_a_server():
    suites, findings = read_suites(PROJECT_FOLDER / "flows", NAMESPACES)
    for path, text in flow_texts(NAMESPACES).items():
        findings += flow_findings(path, text, NAMESPACES, read_given())
    assert findings == []
    tested = {f"{each.suite.namespace}/{each.suite.flow_id}" for each in suites}
    assert tested == {key for key in FLOWS if not key.endswith(".kestra-1")}


@every_flow
def test_a_flow_holds_no_credentials(key: str):
    for name, value in entries(DOCUMENTS[key]):
        fixed = EXPRESSION.sub("", str(value))
        assert not (SECRET_NAME.search(name) and fixed), f"{name}: {value}"
        # user:password@host, or a password as a parameter of a URL.
        assert not re.search(r"//[^/\s]*:[^/\s]*@|password=", fixed), f"{name}: {value}"


@every_flow
def test_a_flow_uses_only_the_secrets_and_globals_that_the_stack_gives(key: str):
    text = FLOWS[key].text
    assert set(re.findall(r"secret\('(\w+)'\)", text)) <= {
        "WAREHOUSE_USERNAME",
        "WAREHOUSE_PASSWORD",
    }
    assert set(re.findall(r"globals\.(\w+)", text)) <= {
        *("source", "warehouse", "retention"),
    }


def tasks_below(parent: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yields every task with the flow or task that holds it."""
    for key in ("tasks", "then", "else", "errors", "finally", "afterExecution"):
        for task in parent.get(key, ()):
            yield task, parent
            yield from tasks_below(task)


@every_flow
def test_what_works_in_the_warehouse_is_repeated_and_nothing_else_but_subflows(key: str):
    for task, parent in tasks_below(DOCUMENTS[key]):
        in_warehouse = task["type"].startswith("io.kestra.plugin.jdbc.postgresql.")
        subflow = task["type"] == "io.kestra.plugin.core.flow.Subflow"
        assert in_warehouse <= ("retry" in task) <= (in_warehouse or subflow), task["id"]
        if "retry" in task:
            # https://github.com/kestra-io/kestra/issues/18909
            assert parent["type"] == "io.kestra.plugin.core.flow.Parallel", task["id"]
            assert {"maxAttempts", "maxDuration"} & task["retry"].keys()


def test_every_file_that_a_flow_reads_is_there():
    for item in NAMESPACES.values():
        texts = [flow.text for flow in item.flows.values()]
        sql = {name: text for name, text in item.files.items() if name.startswith("sql/")}
        texts += sql.values()
        named = {name for text in texts for name in re.findall(r"read\('([^']*\.\w+)'\)", text)}
        assert named <= item.files.keys()
        assert sql.keys() <= named


def test_yellow_and_green_trips_differ_in_their_columns_only():
    taxis = DOCUMENTS["zoomcamp/taxi_load"]["inputs"][0]["values"]
    assert taxis == ["yellow", "green"]
    # Only what lists the columns, and what creates a table of them, knows the two apart.
    for path in SQL.iterdir():
        named = re.search("|".join(taxis), path.read_text())
        assert bool(named) == (path.name in ("columns.sql", "schema.sql")), path
    for task in DOCUMENTS["zoomcamp/taxi_load"]["tasks"][1:]:
        assert not re.search("|".join(taxis), yaml.safe_dump(task))


@pytest.mark.parametrize("taxi", ["yellow", "green"])
def test_a_list_of_columns_says_how_each_is_read(taxi: str):
    columns = list(csv.DictReader((SQL.parent / f"columns/{taxi}.csv").read_text().splitlines()))
    for name in ("header", "column"):
        names = [column[name].lower() for column in columns]
        assert len(set(names)) == len(names)
    assert {column["type"] for column in columns} == {"integer", "numeric", "timestamp", "text"}
    assert {column["required"] for column in columns} == {"value", "column", "no"}
    # The SQL relies on these, whatever else there is.
    assert {"pickup_at", "pickup_location_id", "total_amount"} <= {
        column["column"] for column in columns if column["required"] == "value"
    }


def test_a_schedule_that_was_off_makes_up_for_the_last_day_only():
    schedules = {
        f"{key}/{trigger['id']}": trigger.get("recoverMissedSchedules")
        for key, document in DOCUMENTS.items()
        for trigger in document.get("triggers", ())
        if trigger["type"].endswith(".Schedule")
    }
    assert schedules == {"zoomcamp/taxi_schedule/monthly": "LAST", "system/purge/daily": "LAST"}
