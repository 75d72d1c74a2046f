"""What up and down show of the engine's events."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.cli.command_line import CommandLine

URN = "urn:pulumi:dev::podium::podium:infra:Postgres$docker:index/volume:Volume::postgres-data"


@pytest.fixture
def command(command: CommandLine) -> CommandLine:
    """A stack that is up."""
    command.add_stack(tag="official", resources=3)
    return command


def ended(op: str, urn: str = URN, provider: str = "docker") -> dict[str, Any]:
    return {"resOutputsEvent": {"metadata": {"op": op, "urn": urn, "provider": provider}}}


def diagnostic(severity: str, message: str, **more: Any) -> dict[str, Any]:
    return {"diagnosticEvent": {"severity": severity, "message": message, **more}}


def shown(command: CommandLine, *events: dict[str, Any]) -> str:
    command.set(events=events)
    result = command.run("up")
    assert result.code == 0, result.stderr
    return result.stdout.partition("\nResources:")[0]


@pytest.mark.parametrize(
    ("op", "line"),
    [
        ("create", "+  Volume postgres-data created (0.0 s)\n"),
        ("update", "~  Volume postgres-data updated (0.0 s)\n"),
        ("delete", "-  Volume postgres-data deleted (0.0 s)\n"),
        ("create-replacement", "+- Volume postgres-data replaced (0.0 s)\n"),
        ("replace", ""),
        ("delete-replaced", ""),
        ("same", ""),
    ],
)
def test_each_changed_resource_has_one_line(command: CommandLine, op: str, line: str) -> None:
    assert shown(command, ended(op)) == line


def test_grants_are_left_to_the_summary(command: CommandLine) -> None:
    urn = URN.replace("docker:index/volume:Volume", "postgresql:index/grant:Grant")
    assert shown(command, ended("create", urn)) == ""


def test_components_have_no_line(command: CommandLine) -> None:
    assert shown(command, ended("create", provider="")) == ""


def test_errors_and_warnings_are_shown_with_their_resource(command: CommandLine) -> None:
    events = (diagnostic("error", "no space left\n", urn=URN), diagnostic("warning", "careful"))
    assert shown(command, *events) == (
        "error: Volume postgres-data: no space left\nwarning: careful\n"
    )


def test_what_nobody_needs_to_read_is_not_shown(command: CommandLine) -> None:
    events = (
        diagnostic("debug", "registering resource"),
        diagnostic("info", "waiting", ephemeral=True),
        diagnostic("warning", "using pulumi-resource-docker from $PATH at /bin"),
        diagnostic("error", "an unhandled error: program exited with non-zero exit code: 1"),
    )
    assert shown(command, *events) == ""


def test_taken_port_is_an_error_with_its_fix(command: CommandLine) -> None:
    message = "Bind for 127.0.0.1:5432 failed: port is already allocated"
    urn = URN.replace("volume:Volume", "container:Container").replace("postgres-data", "postgres")
    command.set(events=[diagnostic("error", message, urn=urn)], succeeds=False)
    result = command.run("up")
    assert (result.code, result.stdout) == (255, f"error: Container postgres: {message}\n")
    assert "./podium pulumi config set postgresPort <port>; then ./podium up" in result.stderr


def test_reason_for_a_refused_property_is_shown_without_pulumis_names(
    command: CommandLine,
) -> None:
    message = "x:Namespace resource 'n': property flows[\"a\"] value {<nil>} has a problem: a: bad"
    assert shown(command, diagnostic("error", message)) == "error: a: bad\n"


def test_interruption_says_what_is_waited_for(command: CommandLine) -> None:
    kestra = URN.replace("postgres-data", "kestra-data")
    begun = [
        {"resourcePreEvent": {"metadata": {"op": "create", "urn": urn, "provider": provider}}}
        for urn, provider in ((URN, "docker"), (kestra, "docker"), (URN + "-component", ""))
    ]
    signals = [
        {"stdoutEvent": {"message": f"^C received; {word}"}}
        for word in ("cancelling", "terminating")
    ]
    events = [*begun, ended("create", kestra), *signals]
    assert shown(command, *events).splitlines()[1:] == [
        "Ending as soon as what has begun is done: Volume postgres-data.",
        "Ctrl-C once more ends at once; the next ./podium up removes what that leaves behind.",
    ]


def test_fix_of_a_setting_is_a_command_that_can_be_typed(command: CommandLine) -> None:
    message = "1 setting is invalid\n      pulumi config set kestraPort 8080"
    assert shown(command, diagnostic("error", message)) == (
        "error: 1 setting is invalid\n      ./podium pulumi config set kestraPort 8080\n"
    )


def test_summary_counts_the_changes_and_the_seconds(command: CommandLine) -> None:
    assert "\nResources:\n    + 1 created\n\nDuration: 7s\n" in command.run("up").stdout
    assert "\nResources:\n    - 1 deleted\n\nDuration: 7s\n" in command.run("down").stdout


def test_preview_that_refuses_to_delete_is_an_error(command: CommandLine) -> None:
    script = """
import json, sys
if "destroy" not in sys.argv:
    answer = '{"podium:parts": "official", "deployment": {}}'
    print({"version": "v3.259.0"}.get(sys.argv[1], answer))
    sys.exit()
error = {"severity": "error", "message": "error: volume is protected"}
print(json.dumps({"steps": [], "diagnostics": [error]}, indent=4))
sys.exit("error: preview failed")
"""
    command.replace_tool("pulumi", script)
    result = command.run("down")
    assert result.code == 1
    assert result.stderr == "error: volume is protected\nerror: preview failed\n"
