"""The commands that README and docs show."""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parents[1]

PAGES = [
    Path(name)
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=_FOLDER,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.splitlines()
]
# Commands that no test runs, each with the reason.
NOT_RUN = {
    r"export DOCKER_HOST=|ssh |\./podium --stack team ": "needs a second Docker host",
    r"docker (rm|volume rm|network rm) |\./podium pulumi stack rm ": "deletes by force",
    r"mkdir orchestra|pulumi new ": "makes another project",
    r"(make \w+ STACK=|\./podium --stack )alice": "needs minutes for the same in another stack",
    r"make (lint|test|test-unit|bench)$": "is what runs the tests, or takes minutes",
    r"\./podium (new|validate|test)( |$)": "has tests of its own",
    r"\./podium run --watch ": "ends by Ctrl-C only",
    r"\./podium schema ": "needs the official Kestra",
    r"\./podium run zoomcamp/taxi_\w+ .*=202": "needs the public files",
    r"sed .*~/Downloads/": "is a file of the reader's own",
    r"\./podium pulumi config set --secret ": "asks for a value",
    r"\./podium (restore|backup --verify) ": "has a test of its own",
    r"docker exec podium-dev-postgres psql ": "ends the sessions of other people",
    r"\./podium pulumi config set warehouseDatabase ": "renames what later commands look at",
}


class Command(NamedTuple):
    """A command of a page and the lines that the page shows below it."""

    text: str
    output: list[str]


def commands(page: Path) -> list[Command]:
    """Returns the commands in the console blocks of a page, without their comments."""
    text = (_FOLDER / page).read_text()
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, *output = part.splitlines()
            found.append(Command(line.partition("  #")[0].strip(), output))
    return found


def is_run(command: Command) -> bool:
    """Returns whether a test has to run a command."""
    return not any(re.match(pattern, command.text) for pattern in NOT_RUN)
