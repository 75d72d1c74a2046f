"""The stand-in for Kestra: scripts in a process."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.kestra.servers import Client, Start, runs, state

RUNNER = "taskRunner: {type: io.kestra.plugin.core.runner.Process}"
SCRIPT = f"type: io.kestra.plugin.scripts.python.Script\n    {RUNNER}"
COMMANDS = f"type: io.kestra.plugin.scripts.python.Commands\n    {RUNNER}"


def test_a_script_takes_expressions_and_gives_values_logs_and_files(client: Client) -> None:
    execution = client.run(
        f"""\
id: script
inputs:
  - {{id: name, type: STRING, defaults: Ada}}
  - {{id: loud, type: BOOL, defaults: true}}
tasks:
  - id: made
    {SCRIPT}
    script: |
      open("made.txt", "w").write("line\\n" * 3)
    outputFiles: ["*.txt"]
  - id: read
    {SCRIPT}
    env: {{WHO: "{{{{ inputs.name }}}}"}}
    inputFiles:
      data/first.txt: "{{{{ outputs.made.outputFiles['made.txt'] }}}}"
      second.txt: "of {{{{ flow.id }}}}"
    outputFiles: [out/**, "{{{{ inputs.name }}}}.csv", missing.txt]
    script: |
      import os, pathlib
      from kestra import Kestra
      rows = len(open("{{{{ outputs.made.outputFiles['made.txt'] }}}}").readlines())
      assert open("data/first.txt").read().count("line") == rows
      assert {{{{ inputs.loud }}}} is True
      assert os.environ["WORKING_DIR"] == "{{{{ workingDir }}}}" == os.getcwd()
      print("Hello", os.environ["WHO"], open("second.txt").read())
      Kestra.outputs({{"rows": rows, "nested": {{"a": [1, None]}}}})
      print('::{{"outputs": {{"more": "x"}}, "logs": [{{"level": "WARN", "message": "told"}}]}}::')
      print("::{{no json}}::")
      print('::{{"outputs": 5}}::')
      pathlib.Path("out/deep").mkdir(parents=True)
      pathlib.Path("out/deep/a b.txt").write_text("deep")
      pathlib.Path("Ada.csv").write_text("1")
  - id: seen
    type: io.kestra.plugin.core.debug.Return
    format: "{{{{ read(outputs.read.outputFiles['out/deep/a b.txt']) }}}}"
"""
    )
    assert state(execution) == "SUCCESS", client.logs(execution)
    outputs = runs(execution)["read"]["outputs"]
    assert outputs["vars"] == {"rows": 3, "nested": {"a": [1, None]}, "more": "x"}
    assert outputs["exitCode"] == 0
    assert outputs["outputFiles"].keys() == {"out/deep/a b.txt", "Ada.csv"}
    assert runs(execution)["seen"]["outputs"] == {"value": "deep"}
    hello, told, *invalid = client.logs(execution)
    assert (hello, told) == ("Hello Ada of script", "told")
    assert [line.partition(" '")[0] for line in invalid] == ["Invalid outputs"] * 2


def test_a_script_that_fails_fails_its_task_and_keeps_its_outputs(client: Client) -> None:
    execution = client.run(
        f"""\
id: failing
tasks:
  - id: f
    {SCRIPT}
    outputFiles: [a.txt]
    script: |
      open("a.txt", "w").write("a")
      print('::{{"outputs": {{"step": 1}}}}::')
      raise SystemExit("bad {{{{ flow.id }}}}")
"""
    )
    assert state(execution) == "FAILED"
    outputs = runs(execution)["f"]["outputs"]
    assert (outputs["exitCode"], outputs["vars"]) == (1, {"step": 1})
    assert outputs["outputFiles"].keys() == {"a.txt"}
    assert client.logs(execution, "ERROR") == [
        "bad failing",
        "io.kestra.core.models.tasks.runners.TaskException: Command failed with exit code 1",
    ]


@pytest.mark.parametrize(("version", "ends"), [("1.3.34", "SUCCESS"), ("0.20.7", "WARNING")])
def test_error_output_is_a_warning_up_to_0_22(
    start_stand_in: Start, version: str, ends: str
) -> None:
    client = Client(start_stand_in(version=version))
    execution = client.run(
        f"id: noisy\ntasks:\n  - id: n\n    {SCRIPT}\n"
        "    script: import sys; print('careful', file=sys.stderr)\n"
    )
    assert state(execution) == ends
    assert client.logs(execution, "ERROR") == ["careful"]


def test_commands_run_in_one_shell_with_files_of_the_namespace(client: Client) -> None:
    for path in ("lib/tool.py", "lib/skip.py", "other.txt"):
        client.http.post(
            "/namespaces/t/files", params={"path": f"/{path}"}, files={"fileContent": b"print(7)"}
        ).raise_for_status()
    execution = client.run(
        f"""\
id: commands
tasks:
  - id: c
    {COMMANDS}
    namespaceFiles: {{include: ["lib/**"], exclude: [skip.py]}}
    beforeCommands: [export GREETING=hi]
    commands: [find . -type f, python lib/tool.py, echo $GREETING]
  - id: first
    {COMMANDS}
    allowFailure: true
    commands: ["false", echo no]
  - id: last
    {COMMANDS}
    failFast: false
    commands: ["false", echo yes]
  - id: bash
    {COMMANDS}
    interpreter: [/bin/bash, -c]
    commands: ["[[ -n $BASH ]] && echo bash"]
"""
    )
    assert state(execution) == "WARNING", client.logs(execution)
    logs = [line for line in client.logs(execution) if "exit code" not in line]
    assert logs == ["./lib/tool.py", "7", "hi", "yes", "bash"]
    assert runs(execution)["first"]["outputs"]["exitCode"] == 1


def test_a_kill_ends_the_process_and_its_children(client: Client, tmp_path: Path) -> None:
    client.create(
        f"""\
id: long
namespace: t
tasks:
  - id: l
    {COMMANDS}
    commands:
      - trap '' TERM
      - sleep 300 & echo $! > {tmp_path}/child
      - echo $$ > {tmp_path}/shell
      - while true; do sleep 0.1; done
"""
    )
    started = client.start("t/long")
    for _ in range(100):
        if (tmp_path / "shell").exists():
            break
        time.sleep(0.05)
    client.http.delete(f"/executions/{started['id']}/kill").raise_for_status()
    client.wait(started["id"], "KILLED", seconds=5)
    for name in ("child", "shell"):
        pid = (tmp_path / name).read_text().strip()
        stat = Path(f"/proc/{pid}/stat")
        assert not stat.exists() or stat.read_text().split()[2] == "Z"


def test_a_timeout_ends_the_process(client: Client) -> None:
    execution = client.run(
        f"id: late\ntasks:\n  - id: l\n    {COMMANDS}\n    timeout: PT0.5S\n"
        "    commands: [sleep 60]\n"
    )
    assert state(execution) == "FAILED"
    assert client.logs(execution, "ERROR") == ["Timeout after 00:00:00.500"]


def test_secrets_of_a_script_are_masked(start_stand_in: Start) -> None:
    client = Client(start_stand_in(secrets={"TOKEN": "very-secret-token"}))
    execution = client.run(
        f"id: hush\ntasks:\n  - id: h\n    {SCRIPT}\n"
        "    env: {TOKEN: \"{{ secret('TOKEN') }}\"}\n"
        "    script: import os; print('it is', os.environ['TOKEN'])\n"
    )
    (line,) = client.logs(execution)
    assert "very-secret-token" not in line
