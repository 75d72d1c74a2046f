"""What the stack gives to its flows, as far as the files of the project say it."""

import ast
from dataclasses import dataclass
from pathlib import Path

from cli import offline, stack_settings
from cli.processes import PROJECT_FOLDER
from infra.kestra import major_version

# What flows get from `KestraServerArgs` in `__main__.py`.
_ARGUMENTS = ("variables", "secrets")


@dataclass(frozen=True)
class Given:
    """The names that flows can rely on; None where the program does not list them.

    Attributes:
        variables: what they read as `globals.<name>`.
        secrets: what they read as `secret('<NAME>')`.
    """

    variables: frozenset[str] | None
    secrets: frozenset[str] | None


def flows_folder() -> Path:
    """Returns the folder of the project's flows."""
    return PROJECT_FOLDER / "flows"


def read_given() -> Given:
    """Returns what the program gives to flows, read from its source without running it."""
    names = dict.fromkeys(_ARGUMENTS)
    for node in ast.walk(ast.parse((PROJECT_FOLDER / "__main__.py").read_text())):
        match node:
            case ast.keyword(arg=str(name), value=ast.Dict(keys=keys)) if name in _ARGUMENTS:
                names[name] = frozenset(
                    key.value
                    for key in keys
                    if isinstance(key, ast.Constant) and isinstance(key.value, str)
                )
    return Given(**names)


def kestra_major(stack: str) -> int | None:
    """Returns the major version of Kestra that the image of a stack names, or None.

    Args:
        stack: the name of the stack, which need not exist.
    """
    return major_version(stack_settings.read_setting(stack, "kestraImage"))


def engine_release(stack: str) -> str:
    """Returns the release of Kestra's engine that fits the image of a stack.

    Args:
        stack: the name of the stack, which need not exist.
    """
    releases, major = offline.engine_releases(), kestra_major(stack)
    return next((each for each in releases if each.startswith(f"{major}.")), releases[0])
