"""`podium validate`."""

from pathlib import Path

import click

from cli.flows.engine_rules import engine_findings
from cli.flows.findings import Finding, Format, render
from cli.flows.program import engine_release, flows_folder, kestra_major, read_given
from cli.flows.rules import flow_findings, flow_texts, release_findings, release_texts
from cli.flows.suites import read_suites
from cli.stack import Stack
from infra.kestra.folder import scan_folder


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=flows_folder)
@click.option("--engine", is_flag=True, help="Ask Kestra's own validator too, without a server.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(Format, case_sensitive=False),
    default=Format.TEXT,
    show_default=True,
    help="How errors are printed: for people, programs, or as annotations of GitHub.",
)
@click.pass_obj
def validate(stack: Stack, folder: Path, engine: bool, format_: Format) -> int:
    """Check the flows in FOLDER (flows/ of the project) and their tests, without a server."""
    namespaces, errors = scan_folder(folder)
    given, texts = read_given(), flow_texts(namespaces)
    suites, findings = read_suites(folder, namespaces)
    findings += [Finding.of_message(path, message) for path, message in errors]
    for path, text in texts.items():
        findings += flow_findings(path, text, namespaces, given)
    if major := kestra_major(stack.name):
        for path, text in release_texts(namespaces, major).items():
            findings += release_findings(path, text, major)
    if engine:
        release = engine_release(stack.name)
        findings += engine_findings(release_texts(namespaces, int(release[0])), release)
    if lines := render(sorted(findings), format_):
        click.echo(lines)
    count = sum(finding.level == "error" for finding in findings)
    click.echo(f"flows: {len(texts)}, test files: {len(suites)}, errors: {count}", err=True)
    return 1 if count else 0
