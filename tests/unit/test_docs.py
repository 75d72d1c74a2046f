"""README and docs: settings, links and commands are what the project has."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.__main__ import main
from docs.check import language_errors, settings_page
from tests.documentation import NOT_RUN, PAGES, commands
from tests.unit.harness import PROJECT, PROJECT_FOLDER

FIRST_STEPS = Path("docs/first-steps.md")
every_page = pytest.mark.parametrize("page", PAGES, ids=str)


def podium_words(text: str) -> Iterator[list[str]]:
    """Yields the words after ./podium, wherever a text has the command."""
    for found in re.findall(r"\./podium((?: [^\s`|)&,;]+)*)", text):
        yield re.sub(r"--stack \S+", "", found).split()


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", (PROJECT_FOLDER / page).read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_settings_page_is_what_pulumi_yaml_declares() -> None:
    page = settings_page()
    assert (PROJECT_FOLDER / "docs/settings.md").read_text() == page
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(PROJECT["config"])


def test_readme_is_short() -> None:
    assert len((PROJECT_FOLDER / "README.md").read_text().splitlines()) <= 150


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]*)\)", (PROJECT_FOLDER / page).read_text()):
        if link.startswith("http"):
            continue
        target, _, anchor = link.partition("#")
        linked = (page.parent / target) if target else page
        assert (PROJECT_FOLDER / linked).exists(), link
        assert not anchor or anchor in anchors(linked), link


@every_page
def test_targets_of_make_exist(page: Path) -> None:
    makefile = (PROJECT_FOLDER / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    text = (PROJECT_FOLDER / page).read_text()
    named = re.findall(r"(?:`|\$ )make ((?:[a-z0-9-]+ ?)+)", text)
    assert {target for words in named for target in words.split()} <= targets


@every_page
def test_commands_of_podium_exist(page: Path) -> None:
    for words in podium_words((PROJECT_FOLDER / page).read_text()):
        if not words or words[0] in ("--help", "...") or words[0].startswith("--"):
            continue
        command = main.commands[words[0]]
        if isinstance(command, click.Group):
            command = command.commands[words[1]]
        options = {option for param in command.params for option in param.opts}
        takes_any = command.name in ("pulumi", "psql")
        if not takes_any:
            assert {word for word in words if word.startswith("--")} <= options | {"--help"}, words


def test_every_command_of_podium_is_in_the_readme() -> None:
    readme = (PROJECT_FOLDER / "README.md").read_text()
    assert {words[0] for words in podium_words(readme) if words} >= set(main.commands)
    assert all(isinstance(command, click.Command) for command in main.commands.values())


def test_readme_shows_the_commands_and_outputs_of_the_first_steps() -> None:
    steps = commands(FIRST_STEPS)
    for command in commands(Path("README.md")):
        shown = [line for line in command.output if line not in ("...", "")]
        assert shown
        assert set(shown) <= {
            line for step in steps if step.text == command.text for line in step.output
        }


def test_commands_that_no_test_runs_are_still_in_the_docs() -> None:
    shown = [command.text for page in PAGES for command in commands(page)]
    assert all(any(re.match(pattern, text) for text in shown) for pattern in NOT_RUN)


def test_described_flows_exist() -> None:
    folder = PROJECT_FOLDER / "flows"
    described = re.findall(
        r"^\| `(\w+)` \| .* \| .* \|$", (folder / "README.md").read_text(), re.MULTILINE
    )
    assert described
    assert set(described) <= {path.stem for path in folder.glob("*/*.yaml")}


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("a fault of the server", "fault"),  # language: ok
        ("The user is told so.", "told"),  # language: ok
        ("It gives way to readers.", "gives way"),  # language: ok
        ("made of the genuine parts", "genuine"),  # language: ok
        ("by default, and defaults", None),
        ("the JDBC driver", None),
        ("Fault injection  # language: ok", None),
    ],
)
def test_language_check_refuses_words_in_the_sense_of_others(
    tmp_path: Path, line: str, refused: str | None
) -> None:
    (tmp_path / "page.md").write_text(f"Fine.\n{line}\n")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "add", "page.md"], cwd=tmp_path, check=True)
    errors = language_errors(tmp_path)
    assert [error.startswith("page.md:2: write ") for error in errors] == [True] * bool(refused)
    assert all(repr(refused) in error for error in errors)
