"""A stack whose content is the same in files, state and on a Kestra of the test's own."""

from __future__ import annotations

from typing import Any

from infra.kestra.content import digest
from tests.kestra.unit.fake_kestra import FakeKestra
from tests.unit.cli.command_line import CommandLine

DASHBOARD = "id: loads\ntitle: Loads\ncharts:\n  - {id: one, type: x}\n"
NAMES = ("kept", "edited", "moved", "both", "gone")


def flow(name: str, text: str = "hello") -> str:
    return f"id: {name}\nnamespace: demo\ntasks:\n  - {{id: say, type: x, message: {text}}}\n"


class ContentStack:
    """A stack whose content is the same in files, state and on the server, until a test edits."""

    def __init__(self, command: CommandLine) -> None:
        self.command = command
        self.kestra = FakeKestra()
        self.flows = command.folder / "flows/demo"
        (self.flows / "files").mkdir(parents=True)
        (command.folder / "__main__.py").touch()
        (command.folder / "dashboards").mkdir()
        (command.folder / "dashboards/loads.yaml").write_text(DASHBOARD)
        self.kestra.dashboards = {"loads": DASHBOARD}
        (self.flows / "files/x.sql").write_bytes(b"SELECT 1\r\n")
        self.kestra.files["demo/x.sql"] = b"SELECT 1\r\n"
        for name in NAMES:
            (self.flows / f"{name}.yaml").write_text(flow(name))
            self.kestra.store(f"demo/{name}", flow(name))
        self.save()

    def save(self) -> None:
        """Makes the state that of an `up` with the flows that the server has now."""
        namespace = {
            "namespace": "demo",
            "written": {
                found["id"]: {"digest": digest(found["source"]), "revision": found["revision"]}
                for found in self.kestra.flows.values()
            },
            "writtenFiles": {"x.sql": digest("SELECT 1\r\n")},
        }
        resources: list[dict[str, Any]] = [
            {"type": "pulumi:pulumi:Stack", "urn": "urn"},
            {"type": "pulumi-python:dynamic/kestra:Namespace", "id": "demo", "outputs": namespace},
            {
                "type": "pulumi-python:dynamic/kestra:Dashboard",
                "id": "loads",
                "outputs": {"digest": digest(DASHBOARD)},
            },
        ]
        self.command.set_state(resources)
