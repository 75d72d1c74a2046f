"""podium rotate: which passwords are generated anew, before the update that uses them."""

from __future__ import annotations

import pytest

from tests.unit.cli.command_line import CommandLine

TYPE = "random:index/randomPassword:RandomPassword"
GENERATED = {
    name: f"urn:pulumi:dev::podium::{TYPE}::{name}"
    for name in (
        "postgres-password",
        "kestra-password",
        "kestra-role-password",
        "pgadmin-password",
        "pgadmin-role-password",
        "etl-role-password",
        "reader-role-password",
    )
}


def has(command: CommandLine, *names: str) -> None:
    """Makes the stack one that has generated these passwords."""
    command.set_state([{"type": TYPE, "urn": GENERATED[name]} for name in names])


def steps(command: CommandLine) -> list[str]:
    """Returns what was replaced, and the update."""
    found = []
    for call in command.calls:
        if call.startswith("pulumi up"):
            words = call.split()
            replaced = [word.rpartition("::")[2] for word in words if "::" in word]
            found.append(" ".join(["up", *replaced]))
    return found


@pytest.mark.parametrize(
    ("logins", "expected"),
    [
        (["etl"], ["up etl-role-password", "up"]),
        (
            ["kestra", "reader"],
            ["up kestra-password kestra-role-password reader-role-password", "up"],
        ),
        (["postgres"], ["up postgres-password", "up"]),
        (["all"], [f"up {' '.join(GENERATED)}", "up"]),
    ],
)
def test_passwords_are_replaced_before_the_update(
    command: CommandLine, logins: list[str], expected: list[str]
) -> None:
    has(command, *GENERATED)
    result = command.run("rotate", *logins)
    assert result.code == 0, result.stderr
    assert steps(command) == expected


def test_password_that_is_set_is_left_to_its_setting(command: CommandLine) -> None:
    has(command, "kestra-role-password", "reader-role-password")
    result = command.run("rotate", "kestra", "reader")
    assert steps(command) == ["up kestra-role-password reader-role-password", "up"]
    assert result.stdout.startswith(
        "Set, not generated: change kestraPassword with ./podium pulumi config set --secret\n"
    )


def test_nothing_generated_is_an_error(command: CommandLine) -> None:
    has(command, "reader-role-password")
    result = command.run("rotate", "postgres")
    assert result.code == 1
    assert result.stderr == "Error: No password is generated; nothing was changed.\n"
    assert steps(command) == []


def test_stack_that_is_not_up_is_an_error(command: CommandLine) -> None:
    command.set_state([])
    assert command.run("rotate", "all").stderr == "Error: Stack dev is not up: ./podium up\n"
