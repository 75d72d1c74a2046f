"""What a change of a flow waits for before it runs: its validation, and its tests."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import yaml

from bench.comparison import Comparison, aim, seconds

_ROOT = Path(__file__).parents[1]
_FLOW = (_ROOT / "cli/templates/etl.yaml").read_text()
_TESTED = (_ROOT / "cli/templates/hello.yaml").read_text()
_CASE = """\
  - id: case_{0}
    type: io.kestra.core.tests.flow.UnitTest
    fixtures: {{inputs: {{name: "{0}"}}}}
    assertions:
      - {{value: "{{{{ outputs.greeting.value }}}}", equalTo: Hello {0}!}}
"""
_TESTS = 100


def compare(rounds: int) -> Iterator[object]:
    """Measures by turns and yields what there is to print.

    Args:
        rounds: how often each is measured.

    Raises:
        subprocess.CalledProcessError: a command found an error.
    """
    for number in (10, 100, 1000):
        validation = _validated(number, rounds)
        yield validation
    yield aim("seconds to validate 1,000 flows", median(validation.seconds), 2)
    tests = Comparison(f"{_TESTS} tests", "one test, with the engine's start")
    with TemporaryDirectory() as name:
        head = "id: tests\nnamespace: bench\nflowId: hello\ntestCases:\n"
        cases = head + "".join(_CASE.format(index) for index in range(_TESTS))
        _write(Path(name), {"hello": _named(_TESTED, "hello"), "tests/hello": cases})
        for _ in range(rounds):
            tests.seconds.append(seconds(lambda: _podium("test", name)))
            tests.baseline_seconds.append(seconds(lambda: _podium("test", name, "-k", "case_42")))
    yield tests
    each = (median(tests.seconds) - median(tests.baseline_seconds)) / (_TESTS - 1)
    yield aim("seconds for each further test", each, 0.3)


def _validated(number: int, rounds: int) -> Comparison:
    comparison = Comparison(f"{number} flows", "their YAML parsed")
    texts = {f"flow_{index}": _named(_FLOW, f"flow_{index}") for index in range(number)}
    with TemporaryDirectory() as name:
        _write(Path(name), texts)
        for _ in range(rounds):
            comparison.seconds.append(seconds(lambda: _podium("validate", name)))
            comparison.baseline_seconds.append(seconds(lambda: _parse(texts.values())))
    return comparison


def _named(text: str, name: str) -> str:
    return text.replace("flow_id", name).replace("flow_namespace", "bench")


def _write(folder: Path, texts: dict[str, str]) -> None:
    (folder / "bench/tests").mkdir(parents=True)
    for name, text in texts.items():
        (folder / f"bench/{name}.yaml").write_text(text)


def _podium(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "cli", *arguments], cwd=_ROOT, check=True, capture_output=True
    )


def _parse(texts: Iterable[str]) -> None:
    for text in texts:
        yaml.load(text, Loader=yaml.CSafeLoader)
