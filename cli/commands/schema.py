"""`podium schema`."""

import json

import click

from cli.services import connect_kestra
from cli.stack import Stack

_WAIT_SECONDS = 10.0


@click.command()
@click.pass_obj
def schema(stack: Stack) -> None:
    """Print the JSON schema of flows, with which editors complete and check them.

    It has the tasks of the stack's Kestra, those of its plugins too.
    """
    with connect_kestra(stack, _WAIT_SECONDS) as client:
        click.echo(json.dumps(client.get_flow_schema()))
