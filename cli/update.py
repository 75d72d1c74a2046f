"""Runs `pulumi up` and `pulumi destroy`, and shows the engine's events as they come."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import click
from rich.status import Status

from cli.output import cache_folder, console
from cli.processes import PROJECT_FOLDER, interrupts_forwarded
from cli.stack import Parts, Stack

_Event = Mapping[str, Any]
# What a shell adds to the number of the signal that ended a command.
_SIGNALLED = 128
# The engine's operations as Pulumi's own summary calls and marks them.
_OPERATIONS = {
    "create": ("+", "created"),
    "import": ("=", "imported"),
    "update": ("~", "updated"),
    "delete": ("-", "deleted"),
    "replace": ("+-", "replaced"),
    "create-replacement": ("+-", "replaced"),
    "same": ("", "unchanged"),
}
# One step of a replacement is enough; the others are its parts.
_UNSEEN = frozenset({"same", "replace", "delete-replaced", "read", "refresh", "discard"})
# Dozens of each, none of which takes long: the summary counts them.
_QUIET = ("Grant ", "DefaultPrivileges ")
# The notice says that Pulumi uses the offline providers; the program has said why it ended.
_NOISE = ("from $PATH", "program exited with non-zero exit code")

_PORT_TAKEN = ("port is already allocated", "address already in use")
_INTERRUPTED = """\
Ending as soon as what has begun is done: {running}.
Ctrl-C once more ends at once; the next {podium} up removes what that leaves behind."""
# Before the reason for which a provider refuses a property, Pulumi puts names of its own.
_REASON = " has a problem: "


class Outcome(NamedTuple):
    """How an update ended.

    Attributes:
        code: the exit code of the Pulumi CLI, or the one of a command that a signal ended.
        without_port: the services that could not start because their port was taken.
    """

    code: int
    without_port: Collection[str] = ()


def run_update(stack: Stack, parts: Parts | None, command: str, *options: str) -> Outcome:
    """Runs an update before the user's eyes.

    Args:
        stack: the stack.
        parts: which plugins it uses.
        command: up or destroy.
        options: options of the command.
    """
    environment, total = stack.environment(parts), len(stack.resources)
    sys.stdout.flush()
    log = cache_folder() / f"pulumi-{command}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w") as stderr,
        console.status("Starting") as status,
        subprocess.Popen(
            ["pulumi", command, "--stack", stack.name, "--yes", *options, "--json"],
            cwd=PROJECT_FOLDER,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            process_group=0,
        ) as process,
        interrupts_forwarded(process) as signals,
    ):
        assert process.stdout
        progress = _Progress(status, total, stack)
        # After Ctrl-C Pulumi finishes what it began and keeps the state.
        other = progress.follow(process.stdout)
        code = process.wait()
    if code == 0:
        progress.print_summary()
        return Outcome(code)
    if signals:
        return Outcome(_SIGNALLED + signals[0])
    for message in _unshown_errors(other, log.read_text()):
        click.echo(message, err=True)
    return Outcome(code, progress.without_port)


class _Progress:
    """What has happened so far: a line for each changed resource, and a spinner on a terminal.

    Attributes:
        without_port: the services that could not start because their port was taken.
    """

    def __init__(self, status: Status, total: int, stack: Stack) -> None:
        self._status = status
        self._stack = stack
        self._of_total = f" of {total}" if total else ""
        self._done = 0
        self.without_port: set[str] = set()
        self._began: dict[str, float] = {}
        self._running: dict[str, None] = {}
        self._summary: _Event = {}
        self._show: dict[str, Callable[[_Event], None]] = {
            "resourcePreEvent": self._show_begin,
            "resOutputsEvent": self._show_end,
            "resOpFailedEvent": self._show_failure,
            "diagnosticEvent": self._show_diagnostic,
            "stdoutEvent": self._show_interruption,
            "summaryEvent": self._keep_summary,
        }

    def follow(self, lines: Iterable[str]) -> str:
        """Shows events until there are no more, and returns the lines that are none."""
        other = []
        for line in lines:
            if not line.startswith('{"sequence"'):
                other.append(line)
                continue
            for kind, event in json.loads(line).items():
                if kind in self._show:
                    self._show[kind](event)
        return "".join(other)

    def print_summary(self) -> None:
        """Prints what was done, in the words of Pulumi's own summary."""
        console.print("\nResources:")
        changes = self._summary["resourceChanges"] or {}
        for operation, (mark, word) in _OPERATIONS.items():
            if count := changes.get(operation):
                console.print(f"    {mark + ' ' if mark else ''}{count} {word}")
        console.print(f"\nDuration: {self._summary['durationSeconds']}s")

    def _show_begin(self, event: _Event) -> None:
        urn = event["metadata"]["urn"]
        self._began.setdefault(urn, time.monotonic())
        if event["metadata"]["provider"]:
            self._running[urn] = None
        if event["metadata"]["op"] not in _UNSEEN:
            self._status.update(f"{self._done}{self._of_total} resources, now {label(urn)}")

    def _show_end(self, event: _Event) -> None:
        metadata = event["metadata"]
        self._running.pop(metadata["urn"], None)
        self._done += 1
        self._status.update(f"{self._done}{self._of_total} resources")
        # A component has no provider, and nothing to wait for.
        shown = label(metadata["urn"])
        if metadata["op"] in _UNSEEN or not metadata["provider"] or shown.startswith(_QUIET):
            return
        mark, word = _OPERATIONS[metadata["op"]]
        now = time.monotonic()
        seconds = now - self._began.get(metadata["urn"], now)
        console.print(f"{mark:2} {shown} {word} ({seconds:.1f} s)")

    def _show_interruption(self, event: _Event) -> None:
        if "cancelling" not in event["message"]:
            return
        running = ", ".join(map(label, self._running)) or "nothing"
        console.print(_INTERRUPTED.format(running=running, podium=self._stack.podium))

    def _show_failure(self, event: _Event) -> None:
        self._running.pop(event["metadata"]["urn"], None)
        console.print(f"!  {label(event['metadata']['urn'])} failed")

    def _show_diagnostic(self, event: _Event) -> None:
        message = event["message"].rstrip()
        if event["severity"] == "debug" or event.get("ephemeral") or not _is_worth(message):
            return
        if any(text in message for text in _PORT_TAKEN):
            self.without_port.add(event["urn"].rpartition("::")[2])
        message = self._stack.with_podium(message.rpartition(_REASON)[2])
        # Errors name the resource, which no line before them does.
        place = f"{label(event['urn'])}: " if event.get("urn") else ""
        prefix = "" if event["severity"].startswith("info") else f"{event['severity']}: "
        console.print(f"{prefix}{place}{message}", style="red" if prefix == "error: " else None)

    def _keep_summary(self, event: _Event) -> None:
        self._summary = event


def label(urn: str) -> str:
    """Returns the last part of a resource's type, and its name, such as Volume postgres-data."""
    kind, _, name = urn.rpartition("::")
    return f"{kind.rpartition(':')[2]} {name}"


def _is_worth(message: str) -> bool:
    return bool(message.strip()) and not any(noise in message for noise in _NOISE)


def _unshown_errors(preview: str, stderr: str) -> Iterator[str]:
    """Yields the errors of a failed update that came as no event.

    Args:
        preview: what else is on stdout: the preview of `destroy`, one JSON object.
        stderr: what the CLI printed there.
    """
    if preview.strip():
        for diagnostic in json.loads(preview).get("diagnostics") or ():
            if diagnostic["severity"] == "error":
                yield f"error: {diagnostic['message'].strip().removeprefix('error: ')}"
    yield from filter(_is_worth, stderr.splitlines())
