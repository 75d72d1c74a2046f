"""podium report: what is printed if the warehouse does not answer."""

from __future__ import annotations

import socket

from tests.unit.cli.command_line import CommandLine, Ended


def test_server_that_does_not_answer_is_named_with_the_fix(command: CommandLine) -> None:
    command.add_stack(tag="official", resources=3)
    with socket.socket() as closed:
        # Bound, and nobody listens.
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        command.set(
            outputs={
                "postgresHost": "127.0.0.1",
                "postgresPort": port,
                "warehouseDatabase": "ny_taxi",
                "readerUser": "reader",
                "readerPassword": "x",
            }
        )
        result = command.run("report")
    assert result == Ended(
        1,
        "",
        "Error: The warehouse of stack dev does not answer (connection failed: connection to "
        f'server at "127.0.0.1", port {port} failed: Connection refused): '
        "docker start podium-dev-postgres\n",
    )
