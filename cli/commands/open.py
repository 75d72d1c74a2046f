"""`podium open`."""

import webbrowser

import click

from cli.processes import PROJECT_FOLDER
from cli.stack import Stack

REPORT = PROJECT_FOLDER / "build/report.html"


@click.command("open")
@click.argument("page", type=click.Choice(["kestra", "pgadmin", "report"]), default="kestra")
@click.pass_obj
def open_page(stack: Stack, page: str) -> None:
    """Open a page in the browser: Kestra's, pgAdmin's, or the report."""
    if page != "report":
        url = stack.page_url(page)
    elif REPORT.exists():
        url = REPORT.as_uri()
    else:
        raise click.ClickException(f"There is no report: {stack.podium} report")
    click.echo(url)
    webbrowser.open(url)
