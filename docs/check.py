"""Checks the language of the project and the page of the settings: `python -m docs.check`."""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

_ROOT = Path(__file__).parents[1]
_SETTINGS_PAGE = _ROOT / "docs/settings.md"
_TABLE = re.compile(r"(?<=<!-- generated from Pulumi.yaml -->\n).*(?=<!-- end -->)", re.DOTALL)

# What to write, and the words that are refused in its place.
_WORDS = {
    "error, problem": r"faults?|faulty",
    "fix, solution": r"mend(?:s|ed|ing)?",
    "official": r"genuine",
    "provider": r"(?:Pulumi'?s?|plugin|docker|postgresql|random|offline) drivers?",
    "is unavailable": r"(?:can|could)(?:not)? be had",
    "log, warn, report, print": r"tells|telling|told|(?:to|and|or|must|should|will) tell",
    "restart, retry, release the lock": r"g(?:i|a)v(?:e|es|ing|en)[ _]way",
    "delete, remove": r"tak(?:e|es|en|ing)[ _]away|took[ _]away",
    "validate, check": r"judg(?:e|es|ed|ing)",
}
_RULES = {
    word: re.compile(rf"(?<![a-z]){pattern}(?![a-z])", re.IGNORECASE)
    for word, pattern in _WORDS.items()
}
# A line that means the word itself.
_EXCEPTION = "language: ok"
_LEFT_OUT = re.compile(
    # Faults are what tests inject.
    r"LICENSE|docs/check\.py|.*\.(?:png|sum|jsonl|json)$|tests/.*(?:fault|proxy).*\.py"
    # What imitates Kestra's engine is to be replaced by the engine itself.
    r"|offline/kestra/|offline/tests/unit/kestra/|offline/tests/integration/test_kestra"
)


def main() -> int:
    """Runs the command line and returns 1 if there are errors."""
    parser = argparse.ArgumentParser(prog="python -m docs.check", description=__doc__)
    parser.add_argument("--write", action="store_true", help="update the page of the settings")
    if parser.parse_args().write:
        _SETTINGS_PAGE.write_text(settings_page())
    errors = language_errors(_ROOT)
    if not _TABLE.search(_SETTINGS_PAGE.read_text()):
        errors.append("docs/settings.md lacks the comments around its table")
    if _SETTINGS_PAGE.read_text() != settings_page():
        errors.append("docs/settings.md is stale: python -m docs.check --write")
    print("\n".join(errors), end="\n" * bool(errors))
    return bool(errors)


def language_errors(folder: Path) -> list[str]:
    """Returns an error for each line of the files tracked by Git that has a refused word.

    Args:
        folder: The checkout.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=folder, capture_output=True, check=True, text=True
    )
    names = [name for name in listed.stdout.split("\0") if name and not _LEFT_OUT.match(name)]
    return [
        f"{name}:{number}: write {word}, not {found[0]!r}"
        for name in names
        if (folder / name).is_file()
        for number, line in enumerate(
            (folder / name).read_text(errors="replace").splitlines(), start=1
        )
        if _EXCEPTION not in line
        for word, rule in _RULES.items()
        if (found := rule.search(line))
    ]


def settings_page() -> str:
    """Returns the page of the settings with the table that Pulumi.yaml declares."""
    declared = yaml.safe_load((_ROOT / "Pulumi.yaml").read_text())["config"]
    rows = [
        f"| `{key}` | {_cell(setting['default'])} | {setting['description']} |\n"
        for key, setting in declared.items()
        if ":" not in key
    ]
    table = "".join(["| Setting | Default | Meaning |\n|---|---|---|\n", *rows])
    return _TABLE.sub(lambda _: table, _SETTINGS_PAGE.read_text())


def _cell(default: Any) -> str:
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    sys.exit(main())
