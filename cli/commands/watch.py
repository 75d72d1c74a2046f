"""`podium watch`."""

import click

from cli.flows.registering import Registrar
from cli.output import console
from cli.services import connect_kestra
from cli.stack import Stack

# As long as a server takes to restart.
_WAIT_SECONDS = 60.0


@click.command()
@click.argument("namespace", required=False)
@click.pass_obj
def watch(stack: Stack, namespace: str | None) -> None:
    """Register flows, their files and dashboards as they are saved, until Ctrl-C.

    With NAMESPACE only what is in it. An invalid file changes nothing, what somebody else changed
    on the server is left alone, and a deletion is asked for.
    """
    with connect_kestra(stack, _WAIT_SECONDS) as client:
        registrar = Registrar(stack, client, namespace)
        console.print("Waiting for files to be saved; Ctrl-C ends.")
        for _ in registrar.rounds():
            pass
