"""podium new flow: files that pass, and none that are overwritten."""

from pathlib import Path

import pytest

from tests.unit.cli.command_line import ROOT, CommandLine

TEMPLATES = ("hello", "etl", "sql", "python")


@pytest.fixture
def project(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A project without flows."""
    (command.folder / "__main__.py").write_text((ROOT / "__main__.py").read_text())
    monkeypatch.chdir(command.folder)
    return command


def written(project: CommandLine) -> dict[str, str]:
    """The files of flows, by their paths."""
    folder = project.folder / "flows"
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.yaml")
    }


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_new_flow_and_its_tests_have_no_errors(project: CommandLine, template: str) -> None:
    ended = project.run("new", "flow", "demo/my_flow", "--from", template)
    assert ended.code == 0
    assert ended.stdout == (
        "flows/demo/my_flow.yaml\nflows/demo/tests/my_flow.yaml\n"
        "Run its tests: ./podium test --flow demo/my_flow\n"
    )
    files = written(project)
    assert files.keys() == {"demo/my_flow.yaml", "demo/tests/my_flow.yaml"}
    assert not any("flow_id" in text or "flow_namespace" in text for text in files.values())
    ended = project.run("validate")
    assert ended == (0, "", "flows: 1, test files: 1, errors: 0\n")


def test_every_template_can_be_chosen() -> None:
    folder = ROOT / "cli/templates"
    names = {path.name for path in folder.iterdir()}
    assert names == {f"{name}{end}" for name in TEMPLATES for end in (".yaml", ".test.yaml")}


@pytest.mark.parametrize("taken", ["demo/my_flow.yaml", "demo/tests/my_flow.yaml"])
def test_nothing_is_overwritten(project: CommandLine, taken: str) -> None:
    path = project.folder / "flows" / taken
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    ended = project.run("new", "flow", "demo/my_flow")
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == f"Error: {path} exists already: choose another name.\n"
    assert written(project) == {taken: "mine"}


@pytest.mark.parametrize(
    "name", ["hello", "demo/", "/hello", "Demo/hello", "demo/a/b", "../x/y", "demo/pause"]
)
def test_a_name_that_kestra_refuses_is_refused(project: CommandLine, name: str) -> None:
    ended = project.run("new", "flow", name)
    assert ended.code == 2
    assert f'Error: Invalid value: "{name}" must be namespace/id' in ended.stderr
    assert not Path(project.folder, "flows").exists()
