"""Writes the page: `python -m report [--stack NAME] [--output FILE]`."""

import argparse
import sys
from pathlib import Path

import psycopg

from report.page import render_page
from report.warehouse import read_warehouse
from scripts.pulumi_cli import PROJECT_FOLDER, project_workspace, stack_outputs

_CONNECT_SECONDS = 10


def main() -> int:
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="report", description="Writes a page with plots of what is in the warehouse."
    )
    parser.add_argument("--stack", default="dev", help="the stack's name (dev)")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        default=PROJECT_FOLDER / "build/report.html",
        help="the file to write (build/report.html of the project)",
    )
    arguments = parser.parse_args()
    stack, output = arguments.stack, arguments.output
    with project_workspace() as workspace:
        project = workspace.project_settings().name
        host, port, database, user, password = stack_outputs(
            workspace,
            stack,
            "postgresHost",
            "postgresPort",
            "warehouseDatabase",
            "readerUser",
            "readerPassword",
        )
        try:
            with psycopg.connect(
                host=host,
                port=port,
                dbname=database,
                user=user,
                password=password,
                connect_timeout=_CONNECT_SECONDS,
            ) as connection:
                warehouse = read_warehouse(connection)
        except psycopg.errors.UndefinedTable:
            warehouse = None
        except psycopg.OperationalError as error:
            sys.exit(
                f"The warehouse of stack {stack} does not answer ({_first_line(error)}): "
                f"docker start {project}-{stack}-postgres"
            )
        except psycopg.Error as error:
            sys.exit(
                f"The warehouse of stack {stack} cannot be read ({_first_line(error)}): "
                f"make up STACK={stack}"
            )
        if warehouse is None or not (warehouse.loads or warehouse.months):
            sys.exit(
                f"Nothing was loaded into the warehouse of stack {stack} yet: make up STACK={stack}"
                f" && make run-flow STACK={stack} FLOW=zoomcamp/taxi_load"
                ' INPUTS="taxi=yellow month=2019-01"'
            )
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(render_page(warehouse, stack), encoding="utf-8")
        except OSError as error:
            sys.exit(
                f"{output} cannot be written ({error.strerror}): name another file with --output"
            )
    print(output)
    return 0


def _first_line(error: psycopg.Error) -> str:
    return str(error).partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
