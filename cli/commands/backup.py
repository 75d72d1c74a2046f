"""`podium backup`."""

from pathlib import Path

import click

from cli.backup.archive import Archive
from cli.backup.create import create, list_backups
from cli.backup.restore import verify
from cli.output import console
from cli.stack import Stack

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--to", metavar="FILE", type=_FILE, help="The archive; by default in backups/.")
@click.option(
    "--keep",
    metavar="NUMBER",
    type=click.IntRange(min=1),
    help="Delete all but the last NUMBER backups of the stack in backups/ afterwards.",
)
@click.option(
    "--verify",
    "verified",
    metavar="FILE",
    type=_FILE,
    help="Restore this archive into a throw-away stack, verify it, and delete the stack.",
)
@click.pass_obj
def backup(stack: Stack, to: Path | None, keep: int | None, verified: Path | None) -> None:
    """Write all that the stack holds into one file, while it runs."""
    if [to, keep, verified].count(None) < 2:
        raise click.UsageError("--to, --keep and --verify exclude each other.")
    if verified:
        name = f"{Archive(verified).manifest.stack}-verify"
        verify(verified, Stack(name))
        console.print(f"{verified} is good: restored, verified and deleted again.")
        return
    path = create(stack, to)
    manifest = Archive(path).manifest
    console.print(
        f"{path}: {path.stat().st_size / 1e6:,.1f} MB, {sum(manifest.rows.values()):,} rows in "
        f"{len(manifest.rows)} tables of the warehouse"
    )
    for old in list_backups(stack)[: -keep if keep else 0]:
        old.unlink()
        console.print(f"{old} is deleted.")
