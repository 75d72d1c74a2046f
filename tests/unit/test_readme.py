"""What README.md says of settings, commands and files is so."""

import re
from typing import Any

import pytest

from tests.unit.harness import PROJECT, PROJECT_FOLDER

README = (PROJECT_FOLDER / "README.md").read_text()


def cell(default: Any) -> str:
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{text}`" if text else ""


def test_settings_table_is_what_pulumi_yaml_declares() -> None:
    section = README.split("\n## Settings\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) ?\| (.*) \|$", section, re.MULTILINE)
    assert rows == [
        (key, cell(value["default"]), value["description"])
        for key, value in PROJECT["config"].items()
    ]


def test_every_target_of_the_makefile_is_told_and_no_other() -> None:
    targets = re.findall(
        r"^([a-z0-9-]+):.*## ", (PROJECT_FOLDER / "Makefile").read_text(), re.MULTILINE
    )
    told = re.findall(r"(?:`|\$ )make ([a-z0-9-]+)", README)
    assert set(told) == set(targets) - {"help"}


@pytest.mark.parametrize(
    "page", ["README.md", "flows/README.md", "infra/kestra/README.md", "offline/kestra/README.md"]
)
def test_linked_files_and_headings_are_there(page: str) -> None:
    path = PROJECT_FOLDER / page
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    anchors = {f"#{heading.lower().replace(' ', '-')}" for heading in headings}
    links = re.findall(r"\]\(([^)]*)\)", path.read_text())
    local = [link for link in links if not link.startswith("http")]
    assert not [link for link in local if link not in anchors and not (path.parent / link).exists()]


def test_every_flow_is_told() -> None:
    folder = PROJECT_FOLDER / "flows"
    told = re.findall(
        r"^\| `(\w+)` \| .* \| .* \|$", (folder / "README.md").read_text(), re.MULTILINE
    )
    assert sorted(told) == sorted(path.stem for path in folder.glob("*/*.yaml"))
