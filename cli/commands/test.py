"""`podium test`."""

import os
from pathlib import Path

import click

from cli import offline
from cli.flows.findings import Format, render
from cli.flows.program import engine_release, flows_folder, read_given
from cli.flows.suites import read_suites
from cli.stack import Stack
from infra.kestra.folder import read_folder


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=flows_folder)
@click.option("--flow", metavar="NAMESPACE/ID", help="Only the tests of this flow.")
@click.option(
    "-k", "expression", metavar="EXPR", help="Only tests whose names match, as pytest's -k."
)
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write JUnit's XML.")
@click.option(
    "--format",
    "format_",
    type=click.Choice([Format.TEXT, Format.GITHUB], case_sensitive=False),
    default=Format.TEXT,
    show_default=True,
    help="github adds annotations of what fails.",
)
@click.pass_obj
def test(
    stack: Stack,
    folder: Path,
    flow: str | None,
    expression: str | None,
    junit: Path | None,
    format_: Format,
) -> int:
    """Run the tests of the flows in FOLDER (flows/ of the project) on Kestra's engine, in process.

    Tests are in <namespace>/tests/*.yaml, in the form of Kestra's own unit tests.
    """
    namespaces = read_folder(folder)
    suites, findings = read_suites(folder, namespaces)
    if findings:
        click.echo(render(findings, format_))
        return 1
    if flow:
        suites = [each for each in suites if f"{each.suite.namespace}/{each.suite.flow_id}" == flow]
    if not suites:
        raise click.ClickException(f"There are no tests of {flow or folder}.")
    # pytest takes a moment to import, which no other command has to wait for.
    import pytest

    from cli.flows.testing import FlowTests

    release, given = engine_release(stack.name), read_given()
    options = [
        "-p", "no:cacheprovider", "--disable-plugin-autoload", "--noconftest", "-c", os.devnull,
        "--rootdir", str(folder), "--capture=no", "--no-header", "-v", "-rN",
    ]  # fmt: skip
    options += ["-k", expression] if expression else []
    options += [f"--junit-xml={junit}"] if junit else []
    # Nothing answers at these names: https://www.rfc-editor.org/rfc/rfc2606
    variables = {name: f"{name}.invalid" for name in given.variables or ()}
    secrets = {name: name for name in given.secrets or ()}
    with offline.running_engine(release, variables, secrets) as engine:
        plugin = FlowTests(engine, suites, namespaces, is_kestra_1=release.startswith("1."))
        code = pytest.main([*options, *(str(each.path) for each in suites)], plugins=[plugin])
    if format_ is Format.GITHUB and plugin.findings:
        click.echo(render(plugin.findings, format_))
    return int(code)
