"""`pulumi up` and `pulumi destroy` of the whole stack, beside Docker and Pulumi alone.

The stack is one of its own, of offline parts, in a copy of the project, with its state in a folder
of its own.
"""

import shutil
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import docker
import yaml

from bench.comparison import Comparison, seconds
from bench.containers import Containers, remove_stack
from bench.project import PROJECT_FOLDER, STACK, Project, free_ports
from cli import offline

_PROJECT = yaml.safe_load((PROJECT_FOLDER / "Pulumi.yaml").read_text())


def compare(rounds: int) -> list[Comparison]:
    """Measures by turns the life of a stack and what it is compared with.

    Args:
        rounds: how often each is measured.

    Raises:
        RuntimeError: the Pulumi CLI failed; the message is what it printed.
        TimeoutError: the CLI did not end, or a container did not get healthy.
    """
    first_up = Comparison("first up", "its containers by Docker alone")
    unchanged_up = Comparison("no-op up", "no-op up of an empty program")
    destroy = Comparison("destroy", "its containers by Docker alone")
    with ExitStack() as cleanup:
        client = docker.from_env()
        cleanup.callback(client.close)
        folder = Path(cleanup.enter_context(TemporaryDirectory(prefix="podium-bench-")))
        cleanup.callback(remove_stack, client, STACK)
        platform, empty = _platform(folder), _empty(folder)
        empty.run("up")
        for number in range(1, rounds + 1):
            print(f"Round {number} of {rounds}", flush=True)
            first_up.seconds.append(seconds(lambda: platform.run("up")))
            unchanged_up.seconds.append(seconds(lambda: platform.run("up")))
            unchanged_up.baseline_seconds.append(seconds(lambda: empty.run("up")))
            containers = Containers(client, STACK)
            destroy.seconds.append(seconds(lambda: platform.run("destroy")))
            first_up.baseline_seconds.append(seconds(containers.start))
            destroy.baseline_seconds.append(seconds(lambda: remove_stack(client, STACK)))
    return [first_up, unchanged_up, destroy]


def _platform(folder: Path) -> Project:
    """Returns a copy of this project with ports that are free and a folder without taxi files."""
    copy, taxi_folder = folder / "platform", folder / "taxi"
    others = shutil.ignore_patterns(".*", "Pulumi.*.yaml", "data", "__pycache__")
    shutil.copytree(PROJECT_FOLDER, copy, ignore=others)
    taxi_folder.mkdir()
    keys = [key for key in _PROJECT["config"] if key.endswith("Port")]
    ports = dict(zip(keys, map(str, free_ports(len(keys))), strict=True))
    return Project(copy, {**offline.load_stack().config, **ports, "taxiSource": str(taxi_folder)})


def _empty(folder: Path) -> Project:
    """Returns a project whose program declares nothing."""
    empty = folder / "empty"
    empty.mkdir()
    settings = {"name": "empty", "runtime": _PROJECT["runtime"]}
    (empty / "Pulumi.yaml").write_text(yaml.safe_dump(settings))
    (empty / "__main__.py").write_text("import pulumi\n")
    return Project(empty, {})
