"""The passwords of the stack's roles in PostgreSQL, and of pgAdmin's login."""

import json
import re
import subprocess
from collections.abc import Mapping
from typing import Any

import click
import httpx
import psycopg
from psycopg.sql import SQL, Identifier, Literal

from cli.output import console
from cli.stack import Stack

_ROLES = ("postgres", "etl", "reader")
_WAIT_SECONDS = 10
_REFUSED = "password authentication failed"
# pgAdmin's own command line (https://www.pgadmin.org/docs/pgadmin4/latest/user_management.html),
# which gets its arguments on standard input: every user of the machine can read a process's own.
_PGADMIN_COMMAND = """\
import json, runpy, sys
sys.argv = ["setup.py", *json.loads({arguments!r})]
sys.path.insert(0, "/pgadmin4")
runpy.run_path("/pgadmin4/setup.py", run_name="__main__")
"""
_PGADMIN_TOKEN = re.compile(r'csrfToken&?#?\w*;?": "([^"]+)"')


def _set_password(stack: Stack, user: str, password: str) -> None:
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


def repair_superuser(stack: Stack, outputs: Mapping[str, Any]) -> None:
    """Sets the superuser's password where PostgreSQL refuses the one that the providers will use.

    The server keeps the password of its first start.

    Args:
        stack: the stack.
        outputs: its outputs before the update, with that password.
    """
    user, password = outputs["postgresUser"], outputs["postgresPassword"]
    if _REFUSED in _refusal(outputs, user, password):
        _set_password(stack, user, password)


def repair_logins(stack: Stack) -> None:
    """Logs in as each role and user that the outputs name, and sets passwords that are refused.

    The official plugins record the new password of a role also where its update failed, and
    pgAdmin keeps the password of its first start.

    Raises:
        click.ClickException: a role cannot log in for another reason.
    """
    outputs = stack.outputs
    for role in _ROLES:
        user, password = outputs[f"{role}User"], outputs[f"{role}Password"]
        reason = _refusal(outputs, user, password)
        if _REFUSED in reason:
            _set_password(stack, user, password)
            console.print(f"PostgreSQL had another password of {user}: it is set again.")
            reason = _refusal(outputs, user, password)
        if reason:
            raise click.ClickException(f"{user} cannot log in to PostgreSQL: {reason}")
    if not _is_pgadmin_password(outputs):
        _set_pgadmin_password(stack, outputs["pgadminUser"], outputs["pgadminPassword"])
        console.print("pgAdmin had another password: it is set again.")


def _is_pgadmin_password(outputs: dict[str, Any]) -> bool:
    """Returns whether pgAdmin accepts the password; one that does not answer has no other."""
    login = {"email": outputs["pgadminUser"], "password": outputs["pgadminPassword"]}
    try:
        with httpx.Client(base_url=outputs["pgadminUrl"], timeout=_WAIT_SECONDS) as browser:
            token = _PGADMIN_TOKEN.search(browser.get("/login").text)
            login["csrf_token"] = token[1] if token else ""
            # Behind the gateway the cookie is for TLS only, and the jar keeps it from this port.
            cookies = "; ".join(f"{item.name}={item.value}" for item in browser.cookies.jar)
            answer = browser.post("/authenticate/login", data=login, headers={"Cookie": cookies})
    except httpx.HTTPError:
        return True
    return "/browser" in answer.headers.get("location", "")


def _set_pgadmin_password(stack: Stack, user: str, password: str) -> None:
    # Without --admin the command fails (9.18), and the login is the one of an administrator.
    arguments = json.dumps(["update-user", user, "--admin", "--password", password])
    done = subprocess.run(
        ["docker", "exec", "-i", stack.container_name("pgadmin"), "/venv/bin/python3", "-"],
        input=_PGADMIN_COMMAND.format(arguments=arguments),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise click.ClickException(f"pgAdmin keeps its old password: {reason}")


def _refusal(outputs: Mapping[str, Any], user: str, password: str) -> str:
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
