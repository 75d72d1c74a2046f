"""`podium report`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import psycopg

from cli.commands.open import REPORT
from cli.stack import Stack

if TYPE_CHECKING:
    from report.warehouse import Warehouse

_CONNECT_SECONDS = 10
_POLL_SECONDS = 3


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default=REPORT,
    help="The file to write (build/report.html of the project).",
)
@click.option("--watch", is_flag=True, help="Write it again after each load, until Ctrl-C.")
@click.pass_obj
def report(stack: Stack, output: Path, watch: bool) -> None:
    """Write a page with plots of what the warehouse holds."""
    # Plots take a second to import, which no other command has to wait for.
    from report.page import render_page

    outputs, shown = stack.outputs, None
    while True:
        warehouse = _read(stack, outputs)
        if warehouse is None and not watch:
            raise click.ClickException(
                f"Nothing was loaded into the warehouse of stack {stack.name} yet: "
                f"{stack.podium} run zoomcamp/taxi_load taxi=yellow month=2019-01"
            )
        if warehouse != shown and warehouse is not None:
            page = render_page(warehouse, stack.name, _POLL_SECONDS if watch else None)
            try:
                output.parent.mkdir(parents=True, exist_ok=True)
                output.write_text(page, encoding="utf-8")
            except OSError as error:
                raise click.ClickException(
                    f"{output} is not writable ({error.strerror}): name another file with --output"
                ) from error
            click.echo(output)
            shown = warehouse
        if not watch:
            return
        time.sleep(_POLL_SECONDS)


def _read(stack: Stack, outputs: dict[str, Any]) -> Warehouse | None:
    """Returns what the warehouse holds; None if nothing was loaded."""
    from report.warehouse import read_warehouse

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
        return None
    except psycopg.OperationalError as error:
        raise click.ClickException(
            f"The warehouse of stack {stack.name} does not answer ({_first_line(error)}): "
            f"docker start {stack.container_name('postgres')}"
        ) from error
    except psycopg.Error as error:
        raise click.ClickException(
            f"The warehouse of stack {stack.name} is not readable ({_first_line(error)}): "
            f"{stack.podium} up"
        ) from error
    return warehouse if warehouse.loads or warehouse.months else None


def _first_line(error: psycopg.Error) -> str:
    return str(error).partition("\n")[0]
