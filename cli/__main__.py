"""The command `podium`: `python -m cli`."""

import re
import signal
import subprocess
import sys
from typing import Any

import click
import docker.errors
from pulumi.automation import CommandError, InvalidVersionError, StackNotFoundError

from cli.commands.backup import backup
from cli.commands.demo import demo
from cli.commands.diff import diff
from cli.commands.down import down
from cli.commands.logs import logs
from cli.commands.new import new
from cli.commands.open import open_page
from cli.commands.psql import psql
from cli.commands.pulumi import pulumi
from cli.commands.report import report
from cli.commands.restore import restore
from cli.commands.rotate import rotate
from cli.commands.run import run
from cli.commands.schema import schema
from cli.commands.stacks import stacks
from cli.commands.status import status
from cli.commands.test import test
from cli.commands.up import up
from cli.commands.upgrade import upgrade
from cli.commands.urls import urls
from cli.commands.validate import validate
from cli.commands.watch import watch
from cli.processes import Terminated, raise_terminated
from cli.stack import DEFAULT_STACK, Stack, cli_message
from infra.kestra.client import KestraError

# What a shell reports for a command that ended by Ctrl-C, and by SIGTERM.
_INTERRUPTED = 130
_TERMINATED = 143
# A name that Pulumi and Docker take, which organization and project may precede.
_STACK_NAME = re.compile(r"(?:[a-zA-Z0-9][\w.-]*/){0,2}[a-zA-Z0-9][\w.-]*", re.ASCII)
_NAME_LENGTH = 100


class _Podium(click.Group):
    """Turns what a user can get wrong into one message without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            code = super().invoke(ctx)
        except StackNotFoundError as error:
            stack = ctx.obj
            raise click.ClickException(
                f"There is no stack {stack.name}: {stack.podium} up"
            ) from error
        except CommandError as error:
            raise click.ClickException(cli_message(error)) from error
        except (InvalidVersionError, KestraError) as error:
            raise click.ClickException(str(error)) from error
        except docker.errors.DockerException as error:
            raise click.ClickException(f"The Docker Engine does not answer: {error}") from error
        except subprocess.CalledProcessError as error:
            message = error.stderr.strip()
            if error.cmd[0] != "pulumi":
                message = f"{' '.join(error.cmd)}: {message}"
            message = message.removeprefix("error: ")
            raise click.ClickException(message) from error
        except Terminated:
            raise click.exceptions.Exit(_TERMINATED) from None
        except KeyboardInterrupt:
            raise click.exceptions.Exit(_INTERRUPTED) from None
        # A command returns its exit code; one that returns nothing has succeeded.
        raise click.exceptions.Exit(code or 0)


def _stack_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    if len(name) <= _NAME_LENGTH and _STACK_NAME.fullmatch(name):
        return name
    raise click.BadParameter(
        f'"{name}" must be letters, digits, hyphens, underscores and periods, such as alice'
    )


@click.group(cls=_Podium, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--stack",
    "name",
    metavar="NAME",
    envvar="PODIUM_STACK",
    default=DEFAULT_STACK,
    callback=_stack_name,
    show_default=True,
    show_envvar=True,
    help="The stack to work on.",
)
@click.pass_context
def main(context: click.Context, name: str) -> None:
    """Podium: PostgreSQL, Kestra and pgAdmin on Docker, with ETL flows, as a Pulumi stack."""
    context.obj = Stack(name)


for _command in (
    demo, up, down, run, status, logs, psql, open_page, urls, report, new, validate, test, stacks,
    backup, restore, rotate, upgrade, diff, schema, watch, pulumi,
):  # fmt: skip
    main.add_command(_command)

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, raise_terminated)
    sys.exit(main(prog_name="podium"))
