"""What is wrong with a file, and how it is printed."""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from infra.kestra.folder import path_name

_PLACE = re.compile(r"(.*?)\bline (\d+), column (\d+)(?:: )?(.*)", re.DOTALL)


class Format(StrEnum):
    """How findings are printed: for people, for programs, or as annotations of GitHub Actions."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


@dataclass(frozen=True, order=True)
class Finding:
    """What is wrong at one place.

    Attributes:
        file: the path of the file.
        line: the line, from 1.
        column: the column, from 1.
        message: what is wrong, after which the file reads as a sentence's subject.
        level: "error", or "warning" for what works but should be changed.
    """

    file: str
    line: int
    column: int
    message: str
    level: str = "error"

    @classmethod
    def of(
        cls, path: Path, place: tuple[int, int], message: str, level: str = "error"
    ) -> "Finding":
        """Returns a finding whose file is shown relative to the working directory."""
        near = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return cls(path_name(near), *place, message, level)

    @classmethod
    def of_message(cls, path: Path, message: str) -> "Finding":
        """Returns a finding whose message may have its place within."""
        if found := _PLACE.fullmatch(message):
            before, line, column, after = found.groups()
            return cls.of(path, (int(line), int(column)), f"{before}{after}")
        return cls.of(path, (1, 1), message)


def render(findings: Iterable[Finding], format_: Format) -> str:
    """Returns the lines that show findings."""
    match format_:
        case Format.JSON:
            return json.dumps([asdict(finding) for finding in findings], indent=2)
        case Format.GITHUB:
            return "\n".join(
                f"::{each.level} file={_property(each.file)},line={each.line},col={each.column}"
                f"::{_data(each.message)}"
                for each in findings
            )
        case Format.TEXT:
            return "\n".join(
                f"{each.file}:{each.line}:{each.column}: {each.level}: {each.message}"
                for each in findings
            )


# https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions; the escapes
# are those of @actions/core.
def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
