"""What Podium's flows need of Kestra, on its own engine: subflows, failures, scripts, limits."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from offline.kestra.engine import Engine
from offline.tests.executions import messages, outputs, states
from tests.kestra.servers import Database

LOG = "type: io.kestra.plugin.core.log.Log"
RETURN = "type: io.kestra.plugin.core.debug.Return"
FAIL = "type: io.kestra.plugin.core.execution.Fail"
SLEEP = "type: io.kestra.plugin.core.flow.Sleep"
SUBFLOW = "type: io.kestra.plugin.core.flow.Subflow"
PARALLEL = "type: io.kestra.plugin.core.flow.Parallel"
KILL = "type: io.kestra.plugin.core.execution.Exit, state: KILLED"
RUNNER = "taskRunner: {type: io.kestra.plugin.core.runner.Process}"
SCRIPT = f"type: io.kestra.plugin.scripts.python.Script\n    {RUNNER}"
COMMANDS = f"type: io.kestra.plugin.scripts.python.Commands\n    {RUNNER}"


def is_running(pid: str) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().split()[2] != "Z"


def wait_until_ended(file: Path, seconds: float = 20) -> None:
    """Waits until the process whose id is in the file has ended."""
    deadline = time.monotonic() + seconds
    while is_running(file.read_text().strip()):
        assert time.monotonic() < deadline, f"{file.name} still runs"
        time.sleep(0.05)


# --- tasks and failures ---------------------------------------------------------------------------


def test_conditions_choose_what_runs(engine: Engine) -> None:
    execution = engine.run(
        f"""\
id: conditions
namespace: t
inputs:
  - {{id: way, type: STRING, defaults: left}}
tasks:
  - id: if
    type: io.kestra.plugin.core.flow.If
    condition: "{{{{ inputs.way == 'left' }}}}"
    then:
      - {{id: left, {RETURN}, format: "{{{{ inputs.way }}}}"}}
    else:
      - {{id: right, {RETURN}, format: right}}
  - id: parallel
    {PARALLEL}
    tasks:
      - {{id: p1, {SLEEP}, duration: PT0.2S}}
      - {{id: p2, {RETURN}, format: "{{{{ outputs.left.value }}}}!"}}
  - {{id: skipped, {RETURN}, runIf: "{{{{ false }}}}", format: x}}
  - {{id: off, {RETURN}, disabled: true, format: x}}
"""
    )
    assert execution.state == "SUCCESS", messages(execution, "ERROR")
    assert outputs(execution)["p2"] == {"value": "left!"}
    found = states(execution)
    assert found.keys() == {"if", "left", "parallel", "p1", "p2", "skipped"}
    assert found["skipped"] == "SKIPPED"


def test_retry_timeout_allowed_failure_and_error_handlers(engine: Engine) -> None:
    execution = engine.run(
        f"""\
id: robust
namespace: t
tasks:
  - id: again
    {FAIL}
    allowFailure: true
    retry: {{type: constant, interval: PT0.1S, maxAttempts: 3}}
  - id: slow
    {SLEEP}
    duration: PT30S
    timeout: PT0.3S
  - {{id: never, {LOG}, message: x}}
errors:
  - {{id: handler, {LOG}, message: "handled {{{{ flow.id }}}}"}}
finally:
  - {{id: last, {LOG}, message: "at last"}}
"""
    )
    assert execution.state == "FAILED"
    assert states(execution) == {
        "again": "WARNING",
        "slow": "FAILED",
        "handler": "SUCCESS",
        "last": "SUCCESS",
    }
    timeout = "Timeout after 00:00:00.300"
    assert messages(execution, "ERROR") == ["Task failure"] * 3 + [timeout]
    assert messages(execution)[-2:] == ["handled robust", "at last"]


def test_expressions_reach_files_keys_and_secrets(engine: Engine) -> None:
    engine.write_file("t", "a/b.txt", b"from namespace")
    execution = engine.run(
        f"""\
id: reach
namespace: t
tasks:
  - {{id: set, type: io.kestra.plugin.core.kv.Set, key: n, value: "{{{{ 6 * 7 }}}}"}}
  - id: all
    {RETURN}
    format: >-
      {{{{ read('a/b.txt') }}}}, {{{{ kv('n') }}}}, {{{{ kv('x', errorOnMissing=false) ?? 'no' }}}}
  - {{id: secret, {LOG}, message: "it is {{{{ secret('WAREHOUSE_PASSWORD') }}}}."}}
  - {{id: missing, {RETURN}, format: "{{{{ kv('x') }}}}"}}
"""
    )
    assert outputs(execution)["all"] == {"value": "from namespace, 42, no"}
    (line,) = messages(execution)
    assert line.startswith("it is **")
    assert "The key 'x' does not exist in the namespace 't'" in messages(execution, "ERROR")[0]


def test_a_limit_of_one_runs_executions_one_after_the_other(
    engine: Engine, warehouse: Database
) -> None:
    text = """\
id: limited
namespace: t
concurrency: {limit: 1, behavior: QUEUE}
tasks:
  - id: turn
    type: io.kestra.plugin.jdbc.postgresql.Queries
    url: "{{ globals.warehouse }}"
    username: "{{ secret('WAREHOUSE_USERNAME') }}"
    password: "{{ secret('WAREHOUSE_PASSWORD') }}"
    transaction: false
    sql: |
      INSERT INTO turns VALUES ('{{ execution.id }}', clock_timestamp());
      SELECT pg_sleep(0.3);
      UPDATE turns SET ended = clock_timestamp() WHERE id = '{{ execution.id }}';
"""
    with warehouse.connect() as connection, ThreadPoolExecutor(3) as threads:
        connection.execute("CREATE TABLE turns (id text, began timestamptz, ended timestamptz)")
        engine.register(text)
        found = list(threads.map(engine.run, [text] * 3))
        assert [each.state for each in found] == ["SUCCESS"] * 3
        overlaps = connection.execute(
            "SELECT count(*) FROM turns a JOIN turns b "
            "ON a.id <> b.id AND a.began < b.ended AND b.began < a.ended"
        )
        assert overlaps.fetchone() == (0,)


# --- subflows -------------------------------------------------------------------------------------


def test_a_subflow_takes_inputs_and_gives_outputs(engine: Engine) -> None:
    engine.register(
        f"""\
id: child
namespace: t
inputs:
  - {{id: number, type: INT}}
  - {{id: flag, type: BOOL, defaults: false}}
  - {{id: kinds, type: MULTISELECT, values: [a, b, c]}}
tasks:
  - {{id: wait, {SLEEP}, duration: PT0.3S}}
outputs:
  - {{id: double, type: INT, value: "{{{{ inputs.number * 2 }}}}"}}
  - {{id: flag, type: BOOL, value: "{{{{ inputs.flag }}}}"}}
  - {{id: kinds, type: JSON, value: "{{{{ inputs.kinds }}}}"}}
"""
    )
    execution = engine.run(
        f"""\
id: parent
namespace: t
tasks:
  - id: sub
    {SUBFLOW}
    namespace: "{{{{ flow.namespace }}}}"
    flowId: child
    inputs: {{number: 21, flag: true, kinds: [a, c]}}
  - {{id: seen, {RETURN}, format: "{{{{ outputs.sub.outputs.double + 1 }}}}"}}
"""
    )
    assert execution.state == "SUCCESS", messages(execution, "ERROR")
    sub = outputs(execution)["sub"]
    assert sub["state"] == "SUCCESS"
    assert sub["outputs"] == {"double": 42, "flag": True, "kinds": ["a", "c"]}
    assert outputs(execution)["seen"] == {"value": "43"}


@pytest.mark.parametrize(
    ("how", "property_", "ends"),
    [
        ("FAILED", "transmitFailed: true", "FAILED"),
        ("WARNING", "transmitFailed: true", "WARNING"),
        ("WARNING", "allowWarning: true", "SUCCESS"),
        ("FAILED", "allowFailure: true", "WARNING"),
        ("FAILED", "transmitFailed: false", "SUCCESS"),
    ],
)
def test_the_state_of_a_subflow_is_transmitted(
    engine: Engine, how: str, property_: str, ends: str
) -> None:
    engine.register(
        f"""\
id: ending
namespace: t
inputs:
  - {{id: how, type: STRING}}
tasks:
  - {{id: fail, {FAIL}, runIf: "{{{{ inputs.how == 'FAILED' }}}}"}}
  - {{id: warn, {FAIL}, runIf: "{{{{ inputs.how == 'WARNING' }}}}", allowFailure: true}}
"""
    )
    execution = engine.run(
        f"""\
id: transmits
namespace: t
tasks:
  - {{id: sub, {SUBFLOW}, namespace: t, flowId: ending, inputs: {{how: {how}}}, {property_}}}
"""
    )
    assert states(execution)["sub"] == ends
    assert outputs(execution)["sub"]["state"] == how


def test_each_attempt_at_a_subflow_is_a_new_execution(engine: Engine) -> None:
    engine.register(
        f"""\
id: third
namespace: t
tasks:
  - {{id: count, type: io.kestra.plugin.core.kv.Set, key: tries, kvType: NUMBER,
      value: "{{{{ (kv('tries', errorOnMissing=false) ?? 0) + 1 }}}}"}}
  - {{id: fail, {FAIL}, condition: "{{{{ kv('tries') < 3 }}}}"}}
"""
    )
    execution = engine.run(
        f"""\
id: stubborn
namespace: t
tasks:
  - id: sub
    {SUBFLOW}
    namespace: t
    flowId: third
    retry: {{type: constant, interval: PT0.1S, maxAttempts: 3}}
"""
    )
    assert execution.state == "SUCCESS", messages(execution, "ERROR")
    created = [line for line in messages(execution) if line.startswith("Created new execution")]
    assert len(set(created)) == 3


# The engine of 1.3, which runs nothing but tests of flows, leaves the scripts of subflows running.
@pytest.mark.parametrize("release", ["2.0.0"], indirect=True)
def test_a_kill_reaches_the_scripts_of_subflows_and_their_children(
    engine: Engine, tmp_path: Path
) -> None:
    engine.register(
        f"""\
id: leaf
namespace: t
tasks:
  - id: script
    {COMMANDS}
    commands:
      - sleep 300 & echo $! > {tmp_path}/child
      - echo $$ > {tmp_path}/shell
      - wait
"""
    )
    engine.register(
        f"id: mid\nnamespace: t\ntasks:\n  - {{id: s, {SUBFLOW}, namespace: t, flowId: leaf}}\n"
    )
    execution = engine.run(
        f"""\
id: top
namespace: t
tasks:
  - id: both
    {PARALLEL}
    tasks:
      - {{id: sub, {SUBFLOW}, namespace: t, flowId: mid}}
      - id: then
        type: io.kestra.plugin.core.flow.Sequential
        tasks:
          - id: wait
            type: io.kestra.plugin.scripts.shell.Commands
            {RUNNER}
            commands: ["until [ -s {tmp_path}/shell ]; do sleep 0.1; done"]
          - {{id: kill, {KILL}}}
"""
    )
    assert execution.state == "KILLED"
    wait_until_ended(tmp_path / "shell")
    wait_until_ended(tmp_path / "child")


# --- scripts --------------------------------------------------------------------------------------


def test_a_script_takes_expressions_and_gives_values_logs_and_files(engine: Engine) -> None:
    execution = engine.run(
        f"""\
id: script
namespace: t
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
      rows = len(open("{{{{ outputs.made.outputFiles['made.txt'] }}}}").readlines())
      assert open("data/first.txt").read().count("line") == rows
      assert {{{{ inputs.loud }}}} is True
      assert os.environ["WORKING_DIR"] == "{{{{ workingDir }}}}" == os.getcwd()
      print("Hello", os.environ["WHO"], open("second.txt").read())
      print('::{{"outputs": {{"rows": 3, "nested": {{"a": [1, 2]}}}}}}::')
      print('::{{"outputs": {{"more": "x"}}}}::')
      print('::{{"logs": [{{"level": "WARN", "message": "careful"}}]}}::')
      pathlib.Path("out/deep").mkdir(parents=True)
      pathlib.Path("out/deep/a b.txt").write_text("deep")
      pathlib.Path("Ada.csv").write_text("1")
  - id: seen
    {RETURN}
    format: "{{{{ read(outputs.read.outputFiles['out/deep/a b.txt']) }}}}"
"""
    )
    assert execution.state == "SUCCESS", messages(execution, "ERROR")
    found = outputs(execution)
    assert found["read"]["vars"] == {"rows": 3, "nested": {"a": [1, 2]}, "more": "x"}
    assert found["read"]["exitCode"] == 0
    assert found["read"]["outputFiles"].keys() == {"out/deep/a b.txt", "Ada.csv"}
    assert found["seen"] == {"value": "deep"}
    assert messages(execution) == ["Hello Ada of script"]
    assert messages(execution, "WARN") == ["careful"]


def test_a_script_that_fails_keeps_its_outputs(engine: Engine) -> None:
    execution = engine.run(
        f"""\
id: failing
namespace: t
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
    assert execution.state == "FAILED"
    found = outputs(execution)["f"]
    assert (found["exitCode"], found["vars"]) == (1, {"step": 1})
    assert found["outputFiles"].keys() == {"a.txt"}
    error, *ends = messages(execution, "ERROR")
    assert error == "bad failing"
    assert "Command failed with exit code 1" in ends[0]


def test_commands_run_in_one_shell_with_files_of_the_namespace(engine: Engine) -> None:
    for path in ("lib/tool.py", "lib/skip.py", "other.txt"):
        engine.write_file("commands", path, b"print(7)")
    execution = engine.run(
        f"""\
id: commands
namespace: commands
tasks:
  - id: c
    {COMMANDS}
    namespaceFiles: {{include: ["lib/**"], exclude: ["lib/skip.py"]}}
    beforeCommands: [export GREETING=hi]
    commands: [find . -name "*.py" -o -name "*.txt", python lib/tool.py, echo $GREETING]
  - id: first
    {COMMANDS}
    allowFailure: true
    commands: ["false", echo no]
  - id: last
    {COMMANDS}
    failFast: false
    commands: ["false", echo yes]
  - id: noisy
    {SCRIPT}
    script: import sys; print("careful", file=sys.stderr)
  - id: bash
    {COMMANDS}
    interpreter: [/bin/bash, -c]
    commands: ["[[ -n $BASH ]] && echo bash"]
"""
    )
    assert execution.state == "WARNING", messages(execution, "ERROR")
    loaded, *printed = messages(execution)
    assert loaded.startswith("Loaded 1 namespace files")
    assert printed == ["./lib/tool.py", "7", "hi", "yes", "bash"]
    assert outputs(execution)["first"]["exitCode"] == 1
    assert states(execution)["noisy"] == "SUCCESS"
    assert messages(execution, "ERROR")[-1] == "careful"


def test_a_timeout_ends_the_process(engine: Engine, tmp_path: Path) -> None:
    execution = engine.run(
        f"""\
id: late
namespace: t
tasks:
  - id: l
    {COMMANDS}
    timeout: PT1S
    commands: [echo $$ > {tmp_path}/shell, sleep 300]
"""
    )
    assert execution.state == "FAILED"
    assert "Timeout after 00:00:01.000" in messages(execution, "ERROR")
    wait_until_ended(tmp_path / "shell")


def test_secrets_of_a_script_are_masked(engine: Engine, warehouse: Database) -> None:
    execution = engine.run(
        f"id: hush\nnamespace: t\ntasks:\n  - id: h\n    {SCRIPT}\n"
        "    env: {TOKEN: \"{{ secret('WAREHOUSE_PASSWORD') }}\"}\n"
        "    script: import os; print('it is', os.environ['TOKEN'])\n"
    )
    (line,) = messages(execution)
    assert line.startswith("it is **")
    assert warehouse.server.password not in line
