"""`podium pulumi`."""

from itertools import pairwise

import click
from pulumi.automation import StackNotFoundError

from cli import stack_settings
from cli.processes import run_command
from cli.stack import Stack


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    short_help="Run the Pulumi CLI on the stack: podium pulumi preview --diff",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def pulumi(stack: Stack, arguments: tuple[str, ...]) -> int:
    """Run the Pulumi CLI on the stack, with its environment and local settings."""
    stack = Stack(_named_stack(arguments) or stack.name)
    if arguments[:2] == ("stack", "rename"):
        raise click.ClickException(
            "Containers and volumes have the name of their stack: a renamed stack would replace "
            "them, data and all. Create another stack instead."
        )
    if arguments[:2] == ("stack", "init") and not {"-h", "--help"} & set(arguments):
        return _create(stack, arguments[2:])
    try:
        parts = stack.parts
    except StackNotFoundError:
        parts = None
        # Passwords of volumes have to be set before the first `up`.
        if arguments[:1] == ("config",):
            stack_settings.create_stack(stack.name)
    environment = stack.environment(parts) | {"PULUMI_STACK": stack.name}
    code = run_command("pulumi", *arguments, environment=environment)
    if code == 0 and arguments[:2] == ("stack", "rm"):
        stack_settings.delete_local_file(stack.name)
    return code


def _create(stack: Stack, arguments: tuple[str, ...]) -> int:
    """Creates a stack, named by the only argument or as ever."""
    if len(arguments) > 1 or any(word.startswith("-") for word in arguments):
        raise click.ClickException("`podium pulumi stack init` takes the name of the stack only.")
    stack = Stack(*arguments) if arguments else stack
    if stack.exists:
        raise click.ClickException(f"The stack {stack.name} already exists.")
    stack_settings.create_stack(stack.name)
    click.echo(f"Created the stack {stack.name}.")
    return 0


def _named_stack(arguments: tuple[str, ...]) -> str | None:
    """Returns the stack that the arguments name themselves, or None."""
    for word, following in pairwise((*arguments, "")):
        if word in ("--stack", "-s"):
            return following
        if word.startswith("--stack="):
            return word.partition("=")[2]
        if word.startswith("-s") and len(word) > 2:
            return word[2:]
    # `pulumi stack rm NAME` takes it without a flag.
    return (
        next((word for word in arguments[2:] if word and word[0] != "-"), None)
        if arguments[:2] == ("stack", "rm")
        else None
    )
