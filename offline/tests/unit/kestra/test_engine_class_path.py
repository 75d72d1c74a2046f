"""The class path of Kestra's engine: what is downloaded is what the lock says, or nothing is."""

from __future__ import annotations

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from offline.kestra.engine import classpath
from offline.kestra.engine.classpath import (
    RELEASES,
    SetupError,
    building,
    class_path,
    write_lock,
)

JAR = "io/kestra/core/2.0.0/core-2.0.0.jar"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no program on PATH but those that a test writes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path / "podium"


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of releases with one jar in the lock of 2.0.0."""
    folder = tmp_path / "releases"
    (folder / "2.0.0").mkdir(parents=True)
    digest = hashlib.sha256(b"engine\n").hexdigest()
    (folder / "2.0.0" / "lock").write_text(f"{digest}  {JAR}\n")
    monkeypatch.setattr(classpath, "_FOLDER", folder)
    return folder


def write_maven(tmp_path: Path, script: str) -> None:
    """Puts a Maven on PATH; the script finds the folder for its jars in $folder."""
    program = tmp_path / "bin" / "mvn"
    find_folder = (
        "for argument; do folder=${argument#-DoutputDirectory=}; done\nPATH=/usr/bin:/bin\n"
    )
    program.write_text(f"#!/bin/sh\n{find_folder}{script}\n")
    program.chmod(0o755)


def jar_of(text: str) -> str:
    return f'mkdir -p "$(dirname "$folder/{JAR}")"; echo {text} > "$folder/{JAR}"'


@pytest.mark.parametrize("release", RELEASES)
def test_the_lock_of_a_release_has_a_checksum_for_each_jar(release: str) -> None:
    lines = (classpath._FOLDER / release / "lock").read_text().splitlines()
    paths = [path for digest, path in map(str.split, lines) if len(digest) == 64]
    assert len(set(paths)) == len(lines) > 200
    assert f"io/kestra/core/{release}/core-{release}.jar" in paths


def test_a_jar_that_is_not_the_one_in_the_lock_is_refused(
    cache: Path, releases: Path, tmp_path: Path
) -> None:
    write_maven(tmp_path, jar_of("another"))
    with pytest.raises(SetupError, match=rf"not the ones in the lock: {JAR}"):
        class_path("2.0.0")
    assert not any(path.is_dir() for path in cache.iterdir())


def test_a_jar_that_is_not_in_the_lock_is_refused(
    cache: Path, releases: Path, tmp_path: Path
) -> None:
    write_maven(tmp_path, f'{jar_of("engine")}; touch "$folder/io/more.jar"')
    with pytest.raises(SetupError, match=r"not the ones in the lock: io/more\.jar"):
        class_path("2.0.0")


def test_a_failure_of_maven_is_reported_in_its_words(
    cache: Path, releases: Path, tmp_path: Path
) -> None:
    write_maven(tmp_path, "echo no route to host; exit 1")
    with pytest.raises(SetupError, match=r"Kestra 2\.0\.0 from Maven failed:\nno route to host"):
        class_path("2.0.0")
    assert not any(path.is_dir() for path in cache.iterdir())


def test_a_missing_maven_is_an_error_with_the_fix(
    cache: Path, releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SetupError, match="install it, with `mvn` on PATH"):
        class_path("2.0.0")


@pytest.mark.parametrize(("user", "commands"), [(0, "apt-get"), (1000, "sudo apt-get")])
def test_a_missing_maven_is_installed_from_the_systems_packages(
    cache: Path,
    releases: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    user: int,
    commands: str,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    write_maven(tmp_path, jar_of("another"))
    (tmp_path / "bin" / "mvn").rename(tmp_path / "mvn")
    for name in ("sudo", "apt-get"):
        program = tmp_path / "bin" / name
        program.write_text(
            f"#!/bin/sh\necho {name} $* >>{tmp_path}/calls\n"
            f'[ "{name}" = sudo ] || [ "$2" = update ] || /bin/mv {tmp_path}/mvn {tmp_path}/bin\n'
            f'[ "{name}" = apt-get ] || "$@"\n'
        )
        program.chmod(0o755)
    with pytest.raises(SetupError, match="not the ones in the lock"):
        class_path("2.0.0")
    calls = (tmp_path / "calls").read_text().splitlines()
    first = commands.split()[0]
    assert [call.split()[0] for call in calls] == commands.split() * 2
    assert [call for call in calls if call.startswith(first)][-1].endswith(" maven")


def test_what_is_built_at_the_same_time_is_built_once(cache: Path) -> None:
    cache.mkdir()
    built = []

    def build(_: int) -> None:
        with building(cache / "thing") as path:
            if path:
                time.sleep(0.2)
                path.write_text("built")
                built.append(path)

    with ThreadPoolExecutor() as threads:
        list(threads.map(build, range(4)))
    assert len(built) == 1
    assert (cache / "thing").read_text() == "built"


def test_what_fails_leaves_nothing_half_built(cache: Path) -> None:
    cache.mkdir()
    with pytest.raises(SetupError), building(cache / "thing") as path:
        assert path
        path.mkdir()
        raise SetupError("no space left")
    assert [path.name for path in cache.iterdir()] == ["kestra.lock"]


def test_the_lock_is_written_from_what_maven_resolves(
    cache: Path, releases: Path, tmp_path: Path
) -> None:
    before = (releases / "2.0.0" / "lock").read_text()
    (releases / "2.0.0" / "lock").unlink()
    write_maven(tmp_path, jar_of("engine"))
    write_lock("2.0.0")
    assert (releases / "2.0.0" / "lock").read_text() == before


def test_an_unknown_release_is_refused(cache: Path) -> None:
    with pytest.raises(SetupError, match=r"Kestra 3\.0\.0: no such engine. Available: 2\.0\.0"):
        class_path("3.0.0")
    assert not cache.exists()
