"""Starts an engine, runs one flow and ends: `python -m offline.kestra.engine.first_run RELEASE`."""

import sys

import jpype

from offline.kestra.engine.engine import Engine

_FLOW = """\
id: first
namespace: first
tasks:
  - {id: log, type: io.kestra.plugin.core.log.Log, message: "{{ execution.id }}"}
"""

if __name__ == "__main__":
    engine = Engine(sys.argv[1])
    engine.run(_FLOW)
    engine.close()
    jpype.java.lang.Runtime.getRuntime().halt(0)  # without waiting for what still runs
