"""The passwords with which the stack's roles log in to PostgreSQL."""

import subprocess
from typing import Any

import click
import psycopg
from psycopg.sql import SQL, Identifier, Literal

from cli.output import console
from cli.stack import Stack

_ROLES = ("postgres", "etl", "reader")
_WAIT_SECONDS = 10


def set_password(stack: Stack, user: str, password: str) -> None:
    """Sets the password of a role, as the superuser inside the container, who needs none.

    Raises:
        subprocess.CalledProcessError: PostgreSQL refused.
    """
    statement = SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(user), Literal(password))
    container = stack.container_name("postgres")
    # On standard input, because every user of the machine can read the arguments.
    subprocess.run(
        ["docker", "exec", "-i", container, "psql", "-qU", "postgres", "-h", "/var/run/postgresql"],
        input=statement.as_string(),
        check=True,
        capture_output=True,
        text=True,
    )


def repair_logins(stack: Stack) -> None:
    """Logs in as each role that the stack's outputs name, and sets passwords that are refused.

    PostgreSQL keeps the superuser's password of its first start, and the official plugins record
    the new password of a role also where its update failed.

    Raises:
        click.ClickException: a role cannot log in for another reason.
    """
    outputs = stack.outputs
    for role in _ROLES:
        user, password = outputs[f"{role}User"], outputs[f"{role}Password"]
        reason = _refusal(outputs, user, password)
        if "password authentication failed" in reason:
            set_password(stack, user, password)
            console.print(f"PostgreSQL had another password of {user}: it is set again.")
            reason = _refusal(outputs, user, password)
        if reason:
            raise click.ClickException(f"{user} cannot log in to PostgreSQL: {reason}")


def _refusal(outputs: dict[str, Any], user: str, password: str) -> str:
    """Returns why a role cannot log in, or nothing."""
    try:
        psycopg.connect(
            host=outputs["postgresHost"],
            port=outputs["postgresPort"],
            dbname=outputs["warehouseDatabase"],
            user=user,
            password=password,
            connect_timeout=_WAIT_SECONDS,
        ).close()
    except psycopg.OperationalError as error:
        # Whoever reaches a limit of connections has the right password.
        return "" if "too many" in str(error) else str(error)
    return ""
