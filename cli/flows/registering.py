"""Registers flows, namespace files and dashboards as soon as their files are saved.

What is saved is written to the server at once, and recorded in the state by `pulumi up` when
nothing was saved for a while: it finds on the server what it would write, and leaves that.
"""

import time
from collections.abc import Collection, Iterator
from pathlib import Path

import click

from cli.flows.contents import Item, read_files, read_server, read_state
from cli.flows.findings import Finding, Format, render
from cli.flows.program import flows_folder, kestra_major, read_given
from cli.flows.rules import flow_findings, release_findings, release_texts
from cli.output import console
from cli.processes import PROJECT_FOLDER
from cli.stack import Stack
from cli.update import run_update
from infra.kestra.client import KestraClient, KestraError
from infra.kestra.content import decode, digest
from infra.kestra.errors import Conflict, InvalidContent
from infra.kestra.folder import scan_folder
from infra.kestra.lifecycle.base import constraints
from infra.kestra.lifecycle.flow import write_flow
from infra.kestra.source import FlowSource

_PAUSE_SECONDS = 0.1
# Without a change, until the state is brought up to date.
_QUIET_SECONDS = 2.0
_TARGETS = ("**kestra:Namespace::*", "**kestra:Dashboard::*")
_Stamps = dict[Path, tuple[int, int]]


class Registrar:
    """Writes what was saved to the server, and then to the state.

    Args:
        stack: the stack, which is up.
        client: its server.
        namespace: the only namespace to look at; all, and dashboards, if None.
    """

    def __init__(self, stack: Stack, client: KestraClient, namespace: str | None) -> None:
        self._stack = stack
        self._client = client
        self._namespace = namespace
        self._is_kestra_1 = client.is_kestra_1
        self._known = self._wanted(dict(read_state(stack)))
        self._kept: set[Item] = set()
        self._is_behind = False

    def rounds(self) -> Iterator[Collection[Item]]:
        """Yields what was written after each save, for as long as it is asked; at first at once."""
        stamps: _Stamps = {}
        quiet_since = time.monotonic()
        try:
            while True:
                if (now := _stamps()) != stamps:
                    stamps = now
                    yield self._register()
                    quiet_since = time.monotonic()
                elif self._is_behind and time.monotonic() - quiet_since > _QUIET_SECONDS:
                    self._record()
                time.sleep(_PAUSE_SECONDS)
        finally:
            if self._is_behind:
                self._record()

    def _register(self) -> list[Item]:
        """Writes what differs from what was written last, unless a file is invalid."""
        try:
            files = self._wanted(read_files(self._stack, is_kestra_1=self._is_kestra_1))
        except InvalidContent as error:
            click.echo(str(error), err=True)
            return []
        if errors := self._findings():
            click.echo(render(errors, Format.TEXT), err=True)
            return []
        self._kept -= files.keys()
        self._delete(self._known.keys() - files.keys() - self._kept)
        changed = [item for item in files if self._known.get(item) != digest(files[item])]
        # Flows may read the files, so these come first.
        return [item for item in sorted(changed) if self._write(item, files[item])]

    def _findings(self) -> list[Finding]:
        namespaces, _ = scan_folder(flows_folder())
        major, given = kestra_major(self._stack.name), read_given()
        findings = []
        for path, text in release_texts(namespaces, 1 if self._is_kestra_1 else 2).items():
            if self._namespace in (None, path.parent.name):
                findings += flow_findings(path, text, namespaces, given)
                findings += release_findings(path, text, major) if major else []
        return sorted(findings)

    def _write(self, item: Item, text: str) -> bool:
        """Writes content and returns whether it was written."""
        begin = time.monotonic()
        try:
            there = read_server(self._client, item)
            if there is not None and digest(there) not in (self._known.get(item), digest(text)):
                raise Conflict("was changed on the server by somebody else: see ./podium diff")
            if there != text:
                _put(self._client, item, text, is_new=there is None)
        except KestraError as error:
            click.echo(f"{item}: {error}", err=True)
            return False
        self._known[item] = str(digest(text))
        self._is_behind = True
        console.print(f"{item}: registered ({time.monotonic() - begin:.1f} s)")
        return True

    def _delete(self, gone: Collection[Item]) -> None:
        """Has `up` delete what has no file any more, if the user agrees."""
        for item in sorted(gone):
            if click.confirm(f"{item} has no file any more. Delete it on the server?"):
                del self._known[item]
                self._is_behind = True
            else:
                self._kept.add(item)

    def _record(self) -> None:
        """Brings the state up to date."""
        self._is_behind = False
        if self._kept:
            click.echo(
                f"The state is updated by {self._stack.podium} up, which deletes what has no file."
            )
            return
        options = [word for target in _TARGETS for word in ("--target", target)]
        # It fails where other resources have pending changes that rename them.
        if run_update(self._stack, self._stack.parts, "up", "--skip-preview", *options).code:
            click.echo(f"The state was not updated: {self._stack.podium} up", err=True)

    def _wanted(self, contents: dict[Item, str]) -> dict[Item, str]:
        return {
            item: text
            for item, text in contents.items()
            if self._namespace in (None, item.namespace)
        }


def _put(client: KestraClient, item: Item, text: str, *, is_new: bool) -> None:
    match item.kind:
        case "flow":
            flow = FlowSource.parse(text)
            write_flow(client, flow, None, adopt=True, overwrite=True, may_exist=not is_new)
        case "file":
            client.put_file(item.namespace, item.name, decode(text))
        case _:
            if errors := constraints(client.validate_dashboard(text)):
                raise InvalidContent(f"is refused: {errors[0]}")
            (client.create_dashboard if is_new else client.update_dashboard)(item.name, text)


def _stamps() -> _Stamps:
    """Returns when the files were changed, with their sizes."""
    stamps = {}
    for folder in (flows_folder(), PROJECT_FOLDER / "dashboards"):
        for path in folder.rglob("*"):
            try:
                found = path.stat()
            except FileNotFoundError:
                continue  # an editor's temporary file
            stamps[path] = found.st_mtime_ns, found.st_size
    return stamps
