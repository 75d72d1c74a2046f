"""What is checked before a restore changes anything: archive, passphrase, images and space."""

import hashlib
import io
import json
import re
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import click
import yaml

from cli.backup import manifest as parts
from cli.backup.archive import Archive
from cli.backup.manifest import Manifest
from cli.backup.state import check_passphrase, generated_secrets
from cli.backup.verify import OutputFile
from cli.output import transfer
from cli.services import connect
from cli.stack import Stack

_VOLUMES = (parts.KESTRA_STORAGE, parts.PGADMIN_STORAGE)
# The first bytes of pg_dump's custom format, and of SQLite's.
_BEGINNINGS = {
    parts.WAREHOUSE: b"PGDMP",
    parts.KESTRA: b"PGDMP",
    parts.PGADMIN: b"SQLite format 3\0",
}
# Storage has <tenant>/<namespace>/<flow>/executions/<id>/..., and URIs have no tenant.
_OUTPUT_FILE = re.compile(r"[^/]+(/.+/executions/([^/]+)/.+)")
_FILES, _LARGEST_FILE = 20, 16 << 20
_VERSION = re.compile(r":v?(\d+)(?:\.(\d+))?")
# What databases need beyond their size: the write-ahead log, and sorting for indexes.
_SPARE = 1.2


@dataclass(frozen=True)
class Checked:
    """An archive that can be restored.

    Attributes:
        archive: the archive.
        settings: the content of the stack's settings file.
        state: the state that the stack begins with.
        files: some files that executions have left.
    """

    archive: Archive
    settings: dict[str, Any]
    state: Any
    files: list[OutputFile]


def check_archive(path: Path, stack: Stack) -> Checked:
    """Reads an archive as a whole, and makes sure that the stack can be restored from it.

    Raises:
        click.ClickException: it cannot, with the reason.
    """
    archive = Archive(path)
    manifest = archive.manifest
    if manifest.project != stack.project:
        raise archive.refusal(
            f"is a backup of the project {manifest.project}, and this one is {stack.project}"
        )
    files: list[OutputFile] = []
    with transfer("Checking the backup", archive.size) as count:
        for name in parts.PARTS:
            chunks = count(name, archive.check(name))
            if name in _VOLUMES:
                for file in _check_volume(archive, name, chunks):
                    files.append(file)
            else:
                _check_beginning(archive, name, chunks)
    settings = _load(archive, parts.SETTINGS, yaml.safe_load)
    exported = _load(archive, parts.STATE, json.loads)
    state = generated_secrets(exported, manifest.project, manifest.stack, stack.short_name)
    check_passphrase(settings, state, stack.short_name)
    _check_space(manifest)
    return Checked(archive, settings, state, files)


def check_images(manifest: Manifest, settings: Mapping[str, Any]) -> None:
    """Refuses images that cannot read what the ones in the backup wrote.

    PostgreSQL restores a dump of the same or an older major version. Kestra migrates the database
    of an older release, but not from one major version to the next without its own preparation.

    Args:
        manifest: the backup.
        settings: all settings of the stack, by their keys.

    Raises:
        click.ClickException: an image does not fit.
    """
    for service, version in manifest.versions.items():
        image = str(settings[f"{service}Image"])
        match = _VERSION.search(image)
        if not match:
            continue
        wrote = tuple(int(number) for number in version.split(".")[:2])
        has = tuple(int(number) for number in match.groups(default="999"))
        fits = has[0] >= wrote[0] if service == "postgres" else has[0] == wrote[0] and has >= wrote
        if not fits:
            raise click.ClickException(
                f"The backup is of {service} {version}, which {service}Image = {image} cannot "
                "read. Nothing was changed. Use the version of Podium that made the backup, or "
                "an image of that version."
            )


def _check_beginning(archive: Archive, name: str, chunks: Iterable[bytes]) -> None:
    first = True
    for chunk in chunks:
        if first and not chunk.startswith(_BEGINNINGS.get(name, b"")):
            raise archive.refusal(f"was altered: {name} is of another format")
        first = False
    if first:
        raise archive.refusal(f"was altered: {name} is empty")


def _check_volume(archive: Archive, name: str, chunks: Iterator[bytes]) -> Iterator[OutputFile]:
    """Checks the names in the archive of a volume, and yields some files of executions."""
    found = 0
    try:
        with tarfile.open(fileobj=_Reader(chunks), mode="r|gz") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise archive.refusal(f'was altered: {name} has a member "{member.name}"')
                if member.isdev():
                    raise archive.refusal(f"was altered: {name} has a device, {member.name}")
                match = _OUTPUT_FILE.fullmatch(str(path))
                if match and member.isreg() and found < _FILES and member.size <= _LARGEST_FILE:
                    found += 1
                    content = tar.extractfile(member)
                    assert content
                    digest = hashlib.sha256(content.read()).hexdigest()
                    yield OutputFile(match[2], f"kestra://{match[1]}", digest)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise archive.refusal(f"was altered: {name} cannot be unpacked: {error}") from error
    # What comes after the end of the inner archive belongs to the checksum too.
    for _ in chunks:
        pass


class _Reader(io.RawIOBase):
    """A file whose content comes in chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Returns up to `size` bytes, and nothing at the end."""
        if not self._rest:
            self._rest = next(self._chunks, b"")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def _load(archive: Archive, name: str, parse: Callable[[bytes], Any]) -> dict[str, Any]:
    try:
        content = parse(archive.read(name))
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise archive.refusal(f"was altered: {name} cannot be read: {reason}") from error
    if not isinstance(content, dict):
        raise archive.refusal(f"was altered: {name} has no mapping")
    return content


def _check_space(manifest: Manifest) -> None:
    """Makes sure that databases and volumes fit on the Docker host, where that is this machine."""
    folder = Path(connect().info()["DockerRootDir"])
    needed = int(manifest.data_size * _SPARE)
    if folder.is_dir() and (free := shutil.disk_usage(folder).free) < needed:
        raise click.ClickException(
            f"The backup needs {needed / 1e6:,.0f} MB in {folder}, where {free / 1e6:,.0f} MB are "
            "free. Nothing was changed."
        )
