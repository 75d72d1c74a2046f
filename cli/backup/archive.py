"""The file of a backup: a tar archive of compressed parts, with the manifest at its end.

A part is streamed into the archive before its size is known; its header is written afterwards. The
manifest and its SHA-256 come last, so that an archive that lacks them was cut off.
"""

import fcntl
import hashlib
import os
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click
from pydantic import ValidationError

from cli.backup.manifest import PARTS, Manifest, Part

_MANIFEST, _CHECKSUM = "manifest.json", "manifest.sha256"
_NAMES = (*PARTS, _MANIFEST, _CHECKSUM)
_BLOCK = tarfile.BLOCKSIZE
CHUNK = 1 << 20
# A manifest has a line of 100 bytes for each table.
_LARGEST_MANIFEST = 64 << 20


class ArchiveWriter:
    """Writes an archive.

    Attributes:
        parts: what was written so far, by name.
    """

    def __init__(self, file: IO[bytes]) -> None:
        """Keeps the file, which is empty and seekable."""
        self._file = file
        self.parts: dict[str, Part] = {}

    def add(self, name: str, chunks: Iterable[bytes]) -> None:
        """Writes a part.

        Args:
            name: its name.
            chunks: its content.

        Raises:
            OSError: the disk is full, for one.
        """
        header = self._file.tell()
        self._file.write(bytes(_BLOCK))
        size, digest = 0, hashlib.sha256()
        for chunk in chunks:
            self._file.write(chunk)
            size += len(chunk)
            digest.update(chunk)
        self._file.write(bytes(-size % _BLOCK))
        end = self._file.tell()
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        self._file.seek(header)
        self._file.write(member.tobuf(tarfile.GNU_FORMAT))
        self._file.seek(end)
        self.parts[name] = Part(size=size, sha256=digest.hexdigest())

    def finish(self, manifest: Manifest) -> None:
        """Writes the manifest and the end of the archive."""
        text = manifest.model_dump_json(indent=2).encode()
        self.add(_MANIFEST, [text])
        self.add(_CHECKSUM, [hashlib.sha256(text).hexdigest().encode()])
        self._file.write(bytes(2 * _BLOCK))


@contextmanager
def writing(path: Path, stack: str) -> Iterator[IO[bytes]]:
    """Opens a file beside the one that it becomes once the block is complete.

    Args:
        path: the archive, which does not exist yet.
        stack: the stack's name, in the name of the temporary file.

    Raises:
        click.ClickException: the file exists, or cannot be written, or another backup runs.
    """
    if path.exists():
        raise click.ClickException(f"{path} exists: choose another file with --to.")
    temporary = path.with_name(f".podium-{stack}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT, 0o600)
        with open(descriptor, "r+b") as file:
            if not _is_locked(file, temporary):
                raise click.ClickException(
                    f"Another backup of the stack is being written to {path.parent}."
                )
            # What a killed backup left there.
            file.truncate()
            try:
                yield file
                file.flush()
                os.fsync(descriptor)
                temporary.rename(path)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise click.ClickException(
            f"{path} cannot be written: {error.strerror}. Free space, or choose another file "
            "with --to."
        ) from error


def _is_locked(file: IO[bytes], path: Path) -> bool:
    """Locks a file, and returns whether nobody else has it, or has just renamed it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno()))


class Archive:
    """An archive whose members, sizes and manifest are valid; `check` reads the rest of it.

    Attributes:
        path: the file.
        manifest: what it holds.
        size: the bytes of its parts.
    """

    def __init__(self, path: Path) -> None:
        """Reads the members' headers and the manifest.

        Raises:
            click.ClickException: it is no archive of a backup, is not complete, or was altered.
        """
        self.path = path
        self._members: dict[str, tarfile.TarInfo] = {}
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    self._add(member)
        except (tarfile.TarError, ValueError, OverflowError) as error:
            if not self._members:
                raise self.refusal("is no backup of Podium: it is not a tar archive") from error
            raise self.refusal(f"is damaged after {self._last}: {error}") from error
        except OSError as error:
            raise click.ClickException(f"{path} cannot be read: {error.strerror}.") from error
        if missing := [name for name in _NAMES if name not in self._members]:
            raise self.refusal(f"is truncated or damaged: it lacks {', '.join(missing)}")
        self.manifest = self._read_manifest()
        self._check_sizes()
        self.size = sum(part.size for part in self.manifest.parts.values())

    def read(self, name: str) -> bytes:
        """Returns a part, as a whole."""
        return b"".join(self.chunks(name))

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yields the content of a part.

        Raises:
            click.ClickException: the file ends too early.
        """
        member = self._members[name]
        left = member.size
        with self.path.open("rb") as file:
            file.seek(member.offset_data)
            while left:
                chunk = file.read(min(CHUNK, left))
                if not chunk:
                    raise self.refusal(f"is truncated: {name} ends too early")
                left -= len(chunk)
                yield chunk

    def check(self, name: str) -> Iterator[bytes]:
        """Yields the content of a part, and compares its checksum at the end.

        Raises:
            click.ClickException: the part was altered.
        """
        digest = hashlib.sha256()
        for chunk in self.chunks(name):
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != self.manifest.parts[name].sha256:
            raise self.refusal(f"was altered or is damaged: the checksum of {name} is another one")

    def _add(self, member: tarfile.TarInfo) -> None:
        if member.name not in _NAMES:
            raise self.refusal(f'is no backup of Podium: it has a member "{member.name}"')
        if member.name in self._members:
            raise self.refusal(f"was altered: it has {member.name} twice")
        if not member.isreg() or member.issparse() or member.size < 0:
            raise self.refusal(f"was altered: {member.name} is no regular file")
        self._members[member.name] = member

    @property
    def _last(self) -> str:
        return next(reversed(self._members))

    def _read_manifest(self) -> Manifest:
        if self._members[_MANIFEST].size > _LARGEST_MANIFEST or self._members[_CHECKSUM].size != 64:
            raise self.refusal("was altered: its manifest has another size")
        text = self.read(_MANIFEST)
        if hashlib.sha256(text).hexdigest().encode() != self.read(_CHECKSUM):
            raise self.refusal("was altered or is damaged: the checksum of its manifest is wrong")
        try:
            return Manifest.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            if first["loc"] == ("format",):
                raise self.refusal(
                    f"has format {first['input']}, which this version of Podium cannot read: "
                    "restore it with the version that wrote it"
                ) from error
            where = ".".join(map(str, first["loc"]))
            raise self.refusal(f"has an invalid manifest: {where}: {first['msg']}") from error

    def _check_sizes(self) -> None:
        listed = self.manifest.parts
        if set(listed) != set(PARTS):
            raise self.refusal("was altered: its manifest lists other parts than it has")
        for name, part in listed.items():
            if (size := self._members[name].size) != part.size:
                raise self.refusal(f"was altered: {name} has {size} bytes instead of {part.size}")

    def refusal(self, reason: str) -> click.ClickException:
        """Returns the error for an archive that cannot be restored."""
        return click.ClickException(f"{self.path} {reason}. Nothing was changed.")
