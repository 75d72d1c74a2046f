"""Flows as resources, beside plain HTTP calls and beside as many bare components.

Each way makes its flows, looks again with nothing changed, changes one, and deletes all. The
projects hold nothing but `infra/kestra`.
"""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import yaml

from bench.comparison import aim, seconds
from bench.kestra import Kestra, running_kestra
from bench.postgres import running_postgres
from bench.project import PROJECT_FOLDER, Project

_COUNTS = (10, 100, 1000)
# The state is written at every resource: a thousand single flows take minutes.
_SINGLE_FLOWS = int(os.environ.get("BENCH_SINGLE_FLOWS", "100"))
_STEPS = ("first up", "no-op up", "one change", "destroy")
_EMPTY = "empty program"
_HTTP = "plain HTTP"
_COMPONENTS = "components"
_SINGLE = "Flow"
_DIRECTORY = "FlowDirectory"
_PROGRAMS = {
    _EMPTY: "import pulumi\n",
    _COMPONENTS: """\
import pulumi

for number in range({count}):
    pulumi.ComponentResource("bench:index:Component", f"component-{{number}}")
""",
    _SINGLE: """\
from pathlib import Path

from infra.kestra import Connection, Flow

connection = Connection({url!r}, {username!r}, {password!r})
for path in sorted(Path("flows").rglob("*.yaml")):
    Flow(path.stem, connection=connection, source=path.read_text())
""",
    _DIRECTORY: """\
from pathlib import Path

from infra.kestra import Connection, FlowDirectory

connection = Connection({url!r}, {username!r}, {password!r})
FlowDirectory("flows", connection=connection, path=Path("flows"))
""",
}
# About 2 kB with the number and the words filled in.
_TEMPLATE = """\
# Loads one table of the shop; see {words[0]}.
id: flow-{number:04}
namespace: {namespace}
description: |
  Takes the {words[1]} of the day before, keeps what is new
  and writes a line about it.

labels:
  team: {words[2]}
  layer: staging

inputs:
  - id: day
    type: STRING
    defaults: "2024-01-01"

variables:
  table: staging.{words[3]}

tasks:
  - id: announce
    type: io.kestra.plugin.core.log.Log
    message: "Loading {{{{ vars.table }}}} of {{{{ inputs.day }}}}: {words[4]}"
{tasks}"""
_TASK = """
  # {words[0]} and {words[1]} come from different systems.
  - id: merge-{number}
    type: io.kestra.plugin.jdbc.postgresql.Queries
    url: jdbc:postgresql://postgres:5432/warehouse
    username: etl
    password: "{{{{ secret('WAREHOUSE_PASSWORD') }}}}"
    fetchType: NONE
    sql: |
      INSERT INTO shop.{words[0]} (id, {words[1]}, {words[2]}, loaded_at)
      SELECT id, {words[1]}, {words[2]}, now()
      FROM {{{{ vars.table }}}}
      WHERE day = DATE '{{{{ inputs.day }}}}' AND {words[3]} IS NOT NULL
      ON CONFLICT (id) DO UPDATE SET {words[1]} = excluded.{words[1]};
"""

_Seconds = dict[str, float]


@dataclass(frozen=True)
class _Table:
    """What every way took for a number of flows.

    Attributes:
        count: the number of flows.
        source_size: the bytes of their texts.
        rounds: the seconds of each step by way, for each round.
        state_sizes: the bytes of the state by way.
    """

    count: int
    source_size: int
    rounds: list[dict[str, _Seconds]]
    state_sizes: dict[str, int]

    def ratio(self, way: str, step: str, base: str, beyond: str | None = None) -> float:
        """Returns the median of the rounds' ratios, of what a way took beyond another to a base."""
        return median(
            (each[way][step] - (each[beyond][step] if beyond else 0)) / each[base][step]
            for each in self.rounds
        )

    def state_ratio(self, way: str) -> float:
        """Returns the bytes of the state over those of the texts."""
        return self.state_sizes[way] / self.source_size

    def __str__(self) -> str:
        """Returns medians in seconds, and the ratios to what the resources are compared with."""
        lines = [
            f"\n{self.count} flows of {self.source_size / self.count:.0f} bytes",
            _line("", [*_STEPS, "state/source"]),
        ]
        for way, times in self.rounds[0].items():
            cells = [
                f"{median(each[way][step] for each in self.rounds):.2f} s" if step in times else ""
                for step in _STEPS
            ]
            if way not in (_SINGLE, _DIRECTORY):
                lines.append(_line(way, cells))
                continue
            lines += [
                _line(way, [*cells, f"{self.state_ratio(way):.2f}"]),
                _line(f"  beyond {_EMPTY}, of {_HTTP}", self._ratios(way, _HTTP, _EMPTY)),
                _line(f"  of {_COMPONENTS}", self._ratios(way, _COMPONENTS)),
                _line(f"  of {_EMPTY}", self._ratios(way, _EMPTY)),
            ]
        if _SINGLE not in self.rounds[0]:
            lines.append(f"{_SINGLE} is left out; BENCH_SINGLE_FLOWS={self.count} takes it in")
        return "\n".join(lines)

    def _ratios(self, way: str, base: str, beyond: str | None = None) -> list[str]:
        return [
            f"{self.ratio(way, step, base, beyond):.2f}" if step in self.rounds[0][base] else ""
            for step in _STEPS
        ]


def compare(rounds: int) -> Iterator[object]:
    """Measures by turns and yields what there is to print: a table for each number of flows.

    Args:
        rounds: how often each is measured.

    Raises:
        RuntimeError: the Pulumi CLI failed; the message is what it printed.
        httpx.HTTPError: the server refused a plain call.
    """
    tables = {}
    with running_postgres() as database, running_kestra(database) as kestra:
        for count in _COUNTS:
            tables[count] = _measure(kestra, count, rounds)
            yield tables[count]
    yield from _aims(tables)


def _aims(tables: dict[int, _Table]) -> Iterator[str]:
    hundred, thousand = tables[100], tables[1000]
    up, again, change, destroy = _STEPS
    per_flow = [
        median(each[_DIRECTORY][up] - each[_EMPTY][up] for each in table.rounds) / table.count
        for table in (thousand, hundred)
    ]
    yield "\nAims"
    for words, value, limit in (
        (
            f"{_DIRECTORY} of 1000: {up} beyond {_EMPTY}, of {_HTTP}",
            thousand.ratio(_DIRECTORY, up, _HTTP, _EMPTY),
            1.2,
        ),
        (f"  {again}, of {_EMPTY}", thousand.ratio(_DIRECTORY, again, _EMPTY), 2.0),
        (f"  {change}, of {_EMPTY}", thousand.ratio(_DIRECTORY, change, _EMPTY), 2.5),
        (f"  {destroy}, of {_HTTP}", thousand.ratio(_DIRECTORY, destroy, _HTTP), 1.0),
        ("  state, of the source", thousand.state_ratio(_DIRECTORY), 1.3),
        (f"  {up} for each flow, of 100", per_flow[0] / per_flow[1], 1.0),
        (f"{_SINGLE}, 100: {up}, of {_COMPONENTS}", hundred.ratio(_SINGLE, up, _COMPONENTS), 2.2),
    ):
        yield aim(words, value, limit)


def _measure(kestra: Kestra, count: int, rounds: int) -> _Table:
    measured: list[dict[str, _Seconds]] = []
    state_sizes: dict[str, int] = {}
    texts = _texts("bench.http", count)
    ways = [way for way in _PROGRAMS if way != _SINGLE or count <= _SINGLE_FLOWS]
    for number in range(1, rounds + 1):
        print(f"{count} flows, round {number} of {rounds}", flush=True)
        times = {_HTTP: _measure_http(kestra, texts)}
        for way in ways:
            with TemporaryDirectory(prefix="podium-bench-") as folder:
                project = _project(Path(folder) / "project", kestra, way, count)
                times[way], state_sizes[way] = _measure_project(project)
        measured.append(times)
    return _Table(count, sum(map(len, texts.values())), measured, state_sizes)


def _measure_project(project: Project) -> tuple[_Seconds, int]:
    """Returns the seconds of each step, and the bytes of the state."""

    def up() -> None:
        project.run("up")

    first, again = seconds(up), seconds(up)
    state_size = project.state_size()
    path = min((project.folder / "flows").rglob("*.yaml"))
    path.write_text(_changed(path.read_text()))
    times = (first, again, seconds(up), seconds(lambda: project.run("destroy")))
    return dict(zip(_STEPS, times, strict=True)), state_size


def _measure_http(kestra: Kestra, texts: dict[str, str]) -> _Seconds:
    """Makes the same calls one after the other on one connection."""
    with kestra.client() as client:

        def send(method: str, path: str, text: str | None = None) -> None:
            headers = {"Content-Type": "application/x-yaml"}
            client.request(method, path, content=text, headers=headers).raise_for_status()

        def create() -> None:
            for text in texts.values():
                send("POST", "/flows", text)

        def change() -> None:
            path, text = next(iter(texts.items()))
            send("PUT", f"/flows/{path}", _changed(text))

        def delete() -> None:
            for path in texts:
                send("DELETE", f"/flows/{path}")

        up, _, changed, destroy = _STEPS
        return {up: seconds(create), changed: seconds(change), destroy: seconds(delete)}


def _project(folder: Path, kestra: Kestra, way: str, count: int) -> Project:
    (folder / "infra").mkdir(parents=True)
    (folder / "infra" / "kestra").symlink_to(PROJECT_FOLDER / "infra" / "kestra")
    settings = {**vars(kestra), "count": count}
    (folder / "__main__.py").write_text(_PROGRAMS[way].format(**settings))
    project = yaml.safe_load((PROJECT_FOLDER / "Pulumi.yaml").read_text())
    (folder / "Pulumi.yaml").write_text(
        yaml.safe_dump({"name": "flows", "runtime": project["runtime"]})
    )
    for path, text in _texts(f"bench.{way.split()[0].lower()}", count).items():
        file = folder / "flows" / f"{path}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return Project(folder, {})


def _changed(text: str) -> str:
    return text.replace("Loading", "Reloading")


def _texts(namespace: str, count: int) -> dict[str, str]:
    """Returns the texts of flows by namespace and id; the same ones at every run."""
    generator = random.Random(0)

    def words() -> list[str]:
        return ["".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=8)) for _ in range(5)]

    return {
        f"{namespace}/flow-{number:04}": _TEMPLATE.format(
            number=number,
            namespace=namespace,
            words=words(),
            tasks="".join(_TASK.format(number=task, words=words()) for task in range(3)),
        )
        for number in range(count)
    }


def _line(title: str, cells: list[str]) -> str:
    return f"{title:38}" + "".join(f"{cell:>14}" for cell in cells)
