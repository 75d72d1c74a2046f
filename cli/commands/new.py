"""`podium new flow`."""

import os
from pathlib import Path

import click

from cli.flows.program import flows_folder
from cli.stack import Stack
from infra.kestra.source import FlowSource

_TEMPLATES = Path(__file__).parents[1] / "templates"


@click.group()
def new() -> None:
    """Write the files of something new."""


@new.command()
@click.argument("name", metavar="NAMESPACE/FLOW")
@click.option(
    "--from",
    "template",
    type=click.Choice(["hello", "etl", "sql", "python"]),
    default="hello",
    show_default=True,
    help="What the flow begins with.",
)
@click.pass_obj
def flow(stack: Stack, name: str, template: str) -> None:
    """Write a flow that works, and its tests."""
    namespace, _, flow_id = name.partition("/")
    folder = flows_folder() / namespace
    files = {
        folder / f"{flow_id}.yaml": f"{template}.yaml",
        folder / "tests" / f"{flow_id}.yaml": f"{template}.test.yaml",
    }
    texts = {
        path: (_TEMPLATES / source)
        .read_text()
        .replace("flow_id", flow_id)
        .replace("flow_namespace", namespace)
        for path, source in files.items()
    }
    if errors := FlowSource.errors(next(iter(texts.values()))):
        raise click.BadParameter(
            f'"{name}" must be namespace/id, such as zoomcamp/hello: it {errors[0]}'
        )
    for path in texts:
        if path.exists():
            raise click.ClickException(f"{path} exists already: choose another name.")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        click.echo(os.path.relpath(path))
    click.echo(f"Run its tests: {stack.podium} test --flow {name}")
