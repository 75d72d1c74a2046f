"""`podium urls`."""

import click

from cli.output import print_table
from cli.stack import Stack


@click.command()
@click.option("--show-passwords", is_flag=True, help="Show the passwords too.")
@click.pass_obj
def urls(stack: Stack, show_passwords: bool) -> None:
    """Print where the services answer, and with which login."""
    outputs = stack.outputs
    server = f"{outputs['postgresHost']}:{outputs['postgresPort']}"
    warehouse = f"{server}/{outputs['warehouseDatabase']}"
    logins = [
        ("Kestra", stack.page_url("kestra"), "kestra"),
        ("pgAdmin", stack.page_url("pgadmin"), "pgadmin"),
        ("Warehouse, to read", warehouse, "reader"),
        ("Warehouse, to write", warehouse, "etl"),
        ("PostgreSQL's superuser", server, "postgres"),
    ]
    rows = [
        [
            what,
            where,
            outputs[f"{login}User"],
            outputs[f"{login}Password"] if show_passwords else "********",
        ]
        for what, where, login in logins
    ]
    if url := outputs.get("kestraManagementUrl"):
        rows.append(["Kestra's health and metrics", url, "", ""])
    print_table(("What", "Where", "User", "Password"), rows)
    if not show_passwords:
        click.echo(f"Passwords: {stack.podium} urls --show-passwords")
