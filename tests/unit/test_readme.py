"""What README.md says of settings, commands and files is so."""

import re
from typing import Any

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


def test_linked_files_and_headings_are_there() -> None:
    headings = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    anchors = {f"#{heading.lower().replace(' ', '-')}" for heading in headings}
    links = re.findall(r"\]\(([^)]*)\)", README)
    local = [link for link in links if not link.startswith("http")]
    assert local
    assert not [
        link for link in local if link not in anchors and not (PROJECT_FOLDER / link).exists()
    ]
