"""The rooms of the repository: what each may import, and who uses the door of offline/."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PACKAGES = {"__main__", "bench", "cli", "docs", "infra", "offline", "report", "tests"}
# What a room may import of the repository; the library imports relatively only.
_ALLOWED: dict[str, set[str]] = {
    "__main__.py": {"infra"},
    "bench": {"bench", "cli.backup", "cli.offline", "infra", "offline.kestra.engine"},
    "cli": {"cli", "infra", "report"},
    # The door to offline/, which has one module for other rooms.
    "cli/offline.py": {"cli", "offline.kestra.engine"},
    "conftest.py": {"cli.offline"},
    "docs": set(),
    "flows": set(),
    "infra": {"infra"},
    "infra/kestra": set(),
    "offline": {"offline"},
    "offline/tests": {"offline", "tests.kestra.servers", "tests.taxi_files"},
    "report": {"infra", "report"},
    "tests": _PACKAGES - {"__main__", "offline"},
    "tests/kestra": {"infra.kestra", "tests.kestra"},
}
_DOOR = "cli/offline.py"
_PRODUCT = {"__main__.py", "bench", "cli", "infra", "infra/kestra", "report"}


def errors(path: str, source: str) -> Iterator[str]:
    """What a file imports or names that its room may not.

    Args:
        path: the file, relative to the repository.
        source: its text.
    """
    room = max((room for room in _ALLOWED if f"{path}/".startswith(f"{room}/")), key=len)
    # With this many dots a relative import leaves the room.
    too_many_dots = path.count("/") - room.count("/") + 1
    for node in ast.walk(ast.parse(source)):
        modules: list[str] = []
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), names=names, level=0):
                modules = [f"{module}.{alias.name}" for alias in names]
            case ast.ImportFrom(level=level) if level >= too_many_dots:
                yield f"{path}: a relative import leaves {room}"
            case (
                ast.BinOp(op=ast.Div(), right=ast.Constant(value="offline"))
                | ast.Constant(value=str())
            ) if room in _PRODUCT and path != _DOOR:
                if re.search(r"/ 'offline'|offline/|stack\.yaml", ast.unparse(node)):
                    yield f"{path}: {ast.unparse(node)} belongs into {_DOOR}"
        for module in modules:
            if module.split(".")[0] in _PACKAGES and not any(
                f"{module}.".startswith(f"{allowed}.") for allowed in _ALLOWED[room]
            ):
                yield f"{path}: {room} may not import {module}"


def test_no_room_imports_what_it_may_not() -> None:
    files = [
        path
        for room in _ALLOWED
        for path in ([ROOT / room] if room.endswith(".py") else (ROOT / room).rglob("*.py"))
    ]
    found = [
        error
        for path in sorted(set(files))
        for error in errors(path.relative_to(ROOT).as_posix(), path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("infra/kestra/client.py", "from infra.kestra.errors import KestraError"),
        ("infra/kestra/client.py", "import infra"),
        ("infra/kestra/client.py", "from ..settings import Settings"),
        ("infra/kestra/lifecycle/flow.py", "def f():\n    from ... import settings"),
        ("infra/pgadmin.py", "from cli import output"),
        ("infra/pgadmin.py", "import offline.months"),
        ("report/page.py", "from cli.stack import Stack"),
        ("bench/etl.py", "from offline.months import write_month"),
        ("bench/up.py", "from cli.commands import up"),
        ("cli/stack.py", "import __main__"),
        ("cli/stack.py", "from offline.kestra.engine import running"),
        ("offline/months.py", "from bench import months"),
        ("offline/tests/unit/test_months.py", "from infra.kestra import Flow"),
        ("tests/unit/test_bench.py", "from offline import months"),
        ("tests/kestra/unit/test_client.py", "from tests.unit import harness"),
        ("conftest.py", "from offline import months"),
        ("cli/stack.py", "FOLDER = ROOT / 'offline' / 'bin'"),
        ("bench/up.py", "run(['offline/setup', 'images'])"),
        ("infra/settings.py", "load('stack.yaml')"),
    ],
)
def test_what_a_room_may_not_is_found(path: str, source: str) -> None:
    assert len(list(errors(path, source))) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "infra/kestra/lifecycle/flow.py",
            "from .. import client\nfrom ..errors import KestraError",
        ),
        ("infra/kestra_server.py", "from infra.kestra import Connection"),
        ("cli/offline.py", "FOLDER = ROOT / 'offline'\nopen(FOLDER / 'stack.yaml')"),
        ("cli/stack.py", "from cli import offline\nOFFLINE = 'offline'"),
        ("tests/unit/test_rooms.py", "DOOR = 'offline/setup'"),
    ],
)
def test_what_a_room_may_is_left_alone(path: str, source: str) -> None:
    assert list(errors(path, source)) == []
