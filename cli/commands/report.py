"""`podium report`."""

from pathlib import Path

import click
import psycopg

from cli.commands.open import REPORT
from cli.stack import Stack

_CONNECT_SECONDS = 10


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default=REPORT,
    help="The file to write (build/report.html of the project).",
)
@click.pass_obj
def report(stack: Stack, output: Path) -> None:
    """Write a page with plots of what the warehouse holds."""
    # Plots take a second to import, which no other command has to wait for.
    from report.page import render_page
    from report.warehouse import read_warehouse

    outputs, podium = stack.outputs, stack.podium
    try:
        with psycopg.connect(
            host=outputs["postgresHost"],
            port=outputs["postgresPort"],
            dbname=outputs["warehouseDatabase"],
            user=outputs["readerUser"],
            password=outputs["readerPassword"],
            connect_timeout=_CONNECT_SECONDS,
        ) as connection:
            warehouse = read_warehouse(connection)
    except psycopg.errors.UndefinedTable:
        warehouse = None
    except psycopg.OperationalError as error:
        raise click.ClickException(
            f"The warehouse of stack {stack.name} does not answer ({_first_line(error)}): "
            f"docker start {stack.container_name('postgres')}"
        ) from error
    except psycopg.Error as error:
        raise click.ClickException(
            f"The warehouse of stack {stack.name} is not readable ({_first_line(error)}): "
            f"{podium} up"
        ) from error
    if warehouse is None or not (warehouse.loads or warehouse.months):
        raise click.ClickException(
            f"Nothing was loaded into the warehouse of stack {stack.name} yet: "
            f"{podium} run zoomcamp/taxi_load taxi=yellow month=2019-01"
        )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(render_page(warehouse, stack.name), encoding="utf-8")
    except OSError as error:
        raise click.ClickException(
            f"{output} is not writable ({error.strerror}): name another file with --output"
        ) from error
    click.echo(output)


def _first_line(error: psycopg.Error) -> str:
    return str(error).partition("\n")[0]
