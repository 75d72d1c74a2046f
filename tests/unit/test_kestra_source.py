"""The YAML of flows: parsing, reading a folder, switching triggers off."""

from pathlib import Path

import pytest
import yaml

from infra.kestra.source import FlowSource, FlowSourceError, read_flows

FLOW = """\
# Says hello.
id: hello
namespace: demo.team

tasks:
  - id: log
    type: io.kestra.plugin.core.log.Log
    message: "{{ flow.id }}"  # Pebble
"""


def write(folder: Path, **texts: str) -> Path:
    """Writes flow files; `demo__hello` stands for demo/hello.yaml."""
    for name, text in texts.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def flow(namespace: str, flow_id: str) -> str:
    return f"id: {flow_id}\nnamespace: {namespace}\ntasks: []\n"


def test_parse_finds_namespace_and_id_and_keeps_the_text():
    source = FlowSource.parse(FLOW)
    assert (source.namespace, source.flow_id) == ("demo.team", "hello")
    assert source.key == "demo.team/hello"
    assert source.text == FLOW


@pytest.mark.parametrize("value", ["2026-02-30", "!custom x", "0o9", "12:61", ".inf", "=", "<<"])
def test_parse_leaves_the_reading_of_values_to_the_server(value: str):
    assert FlowSource.parse(f"{FLOW}variables: {{x: {value}}}\n").key == "demo.team/hello"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is no YAML mapping with id, namespace and tasks"),
        ("- id: hello", "is no YAML mapping with id, namespace and tasks"),
        ("hello", "is no YAML mapping with id, namespace and tasks"),
        ("id: hello", 'has no "namespace: <name>" at its top level'),
        ("namespace: demo", 'has no "id: <name>" at its top level'),
        ("id:\nnamespace: demo", 'has no "id: <name>" at its top level'),
        ("id: [hello]\nnamespace: demo", 'has no "id: <name>" at its top level'),
        (
            "id: hello\n  namespace: demo",
            "is no valid YAML: line 2, column 12: mapping values are not allowed here",
        ),
        (
            "id: hello\nnamespace: demo\ntasks: [",
            "is no valid YAML: line 3, column 9: while parsing a flow node, "
            "expected the node content, but found '<stream end>'",
        ),
        (
            "id: hello\nnamespace: demo\nid: other",
            'is no valid YAML: line 3, column 1: the key "id" stands twice',
        ),
        (
            FLOW + "inputs:\n  - {id: a, id: b}",
            'is no valid YAML: line 10, column 13: the key "id" stands twice',
        ),
        (
            "id: hello\n---\nid: other",
            "is no valid YAML: line 2, column 1: "
            "expected a single document in the stream, but found another document",
        ),
        ("a: *b", "is no valid YAML: line 1, column 4: found undefined alias 'b'"),
    ],
)
def test_parse_says_what_is_wrong_and_where(text: str, fault: str):
    with pytest.raises(ValueError) as caught:
        FlowSource.parse(text)
    assert str(caught.value) == fault


def test_flows_are_read_from_namespace_folders_in_order(tmp_path: Path):
    write(
        tmp_path,
        b__one=flow("b", "one"),
        a__two=flow("a", "two"),
        a__one=flow("a", "one"),
        a__größe=flow("a", "größe"),
    )
    assert [item.key for item in read_flows(tmp_path)] == ["a/größe", "a/one", "a/two", "b/one"]


def test_hidden_files_and_other_suffixes_are_left_alone(tmp_path: Path):
    write(tmp_path, demo__hello=flow("demo", "hello"))
    for name in (
        "demo/.draft.yaml",
        ".cache/draft.yaml",
        "demo/hello.yaml~",
        "demo/query.sql",
        "demo/files/nested.yaml",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{")
    assert [item.key for item in read_flows(tmp_path)] == ["demo/hello"]


def test_a_folder_without_flows_has_none(tmp_path: Path):
    assert read_flows(tmp_path) == read_flows(tmp_path / "missing") == []


def test_every_fault_of_every_file_is_told_at_once(tmp_path: Path):
    write(
        tmp_path,
        demo__good=flow("demo", "good"),
        demo__hello=flow("other", "hello"),
        demo__renamed=flow("demo", "former"),
        demo__broken="id: [",
    )
    (tmp_path / "demo/latin.yaml").write_bytes("id: größe".encode("latin-1"))
    with pytest.raises(FlowSourceError) as caught:
        read_flows(tmp_path)
    head, *faults = str(caught.value).splitlines()
    assert head == "4 flow files are wrong; nothing was changed."
    assert faults == [
        f"  {tmp_path}/demo/broken.yaml is no valid YAML: line 1, column 6: "
        "while parsing a flow node, expected the node content, but found '<stream end>'",
        f"  {tmp_path}/demo/hello.yaml describes other/hello: move it to "
        f"{tmp_path}/other/hello.yaml, or name its namespace demo and its id hello",
        f"  {tmp_path}/demo/latin.yaml 'utf-8' codec can't decode byte 0xf6 in position 6: "
        "invalid start byte",
        f"  {tmp_path}/demo/renamed.yaml describes demo/former: move it to "
        f"{tmp_path}/demo/former.yaml, or name its namespace demo and its id renamed",
    ]


TRIGGERS = {
    "block": (
        "triggers:\n  - id: night\n    cron: 0 3 * * *\n",
        "triggers:\n  - disabled: true\n    id: night\n    cron: 0 3 * * *\n",
    ),
    "block, deeply indented, with comments": (
        "triggers:  # all\n-   # first\n    id: night  # late\n    # end\n",
        "triggers:  # all\n-   # first\n    disabled: true\n    id: night  # late\n    # end\n",
    ),
    "flow": ("triggers: [{id: night}]\n", "triggers: [{disabled: true, id: night}]\n"),
    "flow over lines": (
        "triggers:\n  - {\n      id: night\n    }\n",
        "triggers:\n  - {disabled: true, \n      id: night\n    }\n",
    ),
    "quoted": ('"triggers": [{"id": "a"}]\n', '"triggers": [{disabled: true, "id": "a"}]\n'),
    "enabled": (
        "triggers:\n  - id: night\n    disabled: false  # runs\n",
        "triggers:\n  - id: night\n    disabled: true  # runs\n",
    ),
    "enabled by a template": (
        'triggers:\n  - disabled: "{{ x }}"\n    id: night\n',
        "triggers:\n  - disabled: true\n    id: night\n",
    ),
    "neither": (
        "triggers:\n  - disabled:\n    id: night\n",
        "triggers:\n  - disabled: true\n    id: night\n",
    ),
    "several": (
        "triggers:\n  - id: größe\n  - {disabled: false, id: b}\n  - id: c\n    disabled: true\n",
        "triggers:\n  - disabled: true\n    id: größe\n  - {disabled: true, id: b}\n"
        "  - id: c\n    disabled: true\n",
    ),
}


@pytest.mark.parametrize(("written", "expected"), TRIGGERS.values(), ids=TRIGGERS)
@pytest.mark.parametrize("rest", ["", "# Größe\n\n\nlabels: {triggers: x,  a:  1}   \n"])
def test_triggers_are_disabled_and_nothing_else_changes(written: str, expected: str, rest: str):
    source = FlowSource.parse(FLOW + written + rest)
    disabled = source.with_triggers_disabled()
    assert disabled.text == FLOW + expected + rest
    assert disabled.key == source.key
    assert disabled.with_triggers_disabled() == disabled
    parsed = yaml.safe_load(source.text)
    parsed["triggers"] = [trigger | {"disabled": True} for trigger in parsed["triggers"]]
    assert yaml.safe_load(disabled.text) == parsed


@pytest.mark.parametrize("rest", ["", "triggers:\n", "triggers: []\n", "triggers: {a: b}\n"])
def test_a_flow_without_triggers_stays_as_it_is(rest: str):
    source = FlowSource.parse(FLOW + rest)
    assert source.with_triggers_disabled() == source


def test_triggers_of_a_task_are_not_the_flow_s():
    source = FlowSource.parse(FLOW + "other:\n  triggers:\n    - id: night\n")
    assert source.with_triggers_disabled() == source
