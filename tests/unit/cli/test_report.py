"""podium report: what is printed if the warehouse does not answer."""

from __future__ import annotations

from tests.unit.cli.command_line import CommandLine, Ended


def test_server_that_does_not_answer_is_named_with_the_fix(command: CommandLine) -> None:
    command.add_stack(tag="official", resources=3)
    command.refusals["reader"] = "connection failed: Connection refused"
    result = command.run("report")
    assert result == Ended(
        1,
        "",
        "Error: The warehouse of stack dev does not answer (connection failed: Connection "
        "refused): docker start podium-dev-postgres\n",
    )
