"""The archive of a backup: what is written is read again, and nothing else is."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tarfile
from pathlib import Path

import click
import pytest

from cli.backup.archive import Archive, ArchiveWriter, writing
from cli.backup.manifest import PARTS
from tests.unit.cli.backups import contents, write_backup


def test_archive_gives_back_what_was_written(tmp_path: Path) -> None:
    content, path = contents(kestraPort="8080"), tmp_path / "backup.tar"
    manifest = write_backup(path, content)
    archive = Archive(path)
    assert archive.manifest == manifest
    assert {name: archive.read(name) for name in PARTS} == content
    assert {name: b"".join(archive.check(name)) for name in PARTS} == content
    assert archive.size == sum(map(len, content.values()))
    for name, part in manifest.parts.items():
        assert part.sha256 == hashlib.sha256(content[name]).hexdigest()


def test_archive_is_one_that_tar_reads(tmp_path: Path) -> None:
    content, path = contents(), tmp_path / "backup.tar"
    write_backup(path, content)
    with tarfile.open(path) as tar:
        assert tar.getnames() == [*PARTS, "manifest.json", "manifest.sha256"]
        tar.extractall(tmp_path / "unpacked", filter="data")
    assert {name: (tmp_path / "unpacked" / name).read_bytes() for name in PARTS} == content


@pytest.mark.parametrize("chunks", [[], [b""], [b"a" * 512], [b"a" * 511, b"bc", b"d" * 9000]])
def test_part_of_any_size_is_streamed(tmp_path: Path, chunks: list[bytes]) -> None:
    path = tmp_path / "backup.tar"
    with path.open("w+b") as file:
        writer = ArchiveWriter(file)
        writer.add("part", iter(chunks))
        writer.add("next", [b"x"])
    with tarfile.open(path) as tar:
        part = tar.extractfile("part")
        assert part
        assert part.read() == b"".join(chunks)
        assert tar.getnames() == ["part", "next"]
    assert writer.parts["part"].size == len(b"".join(chunks))


def test_file_has_its_name_once_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new/backup.tar"
    with writing(path, "alice") as file:
        file.write(b"content")
        assert not path.exists()
    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["backup.tar"]


def test_failed_backup_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar"
    with pytest.raises(click.ClickException, match="pg_dump"), writing(path, "alice") as file:
        file.write(b"half")
        raise click.ClickException("pg_dump failed")
    assert os.listdir(tmp_path) == []


def test_full_disk_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar"
    with (
        pytest.raises(click.ClickException, match="cannot be written: No space left on device"),
        writing(path, "alice"),
    ):
        raise OSError(28, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_what_a_killed_backup_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".podium-alice.part").write_bytes(b"left over, and longer")
    with writing(tmp_path / "backup.tar", "alice") as file:
        file.write(b"content")
    assert (tmp_path / "backup.tar").read_bytes() == b"content"
    assert os.listdir(tmp_path) == ["backup.tar"]


def test_two_backups_at_a_time_are_refused(tmp_path: Path) -> None:
    with (tmp_path / ".podium-alice.part").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with (
            pytest.raises(click.ClickException, match="Another backup of the stack"),
            writing(tmp_path / "backup.tar", "alice"),
        ):
            pytest.fail("it began")
        assert (tmp_path / ".podium-alice.part").exists()


def test_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar"
    path.write_bytes(b"another backup")
    with pytest.raises(click.ClickException, match="exists"), writing(path, "alice"):
        pytest.fail("it began")
    assert path.read_bytes() == b"another backup"
