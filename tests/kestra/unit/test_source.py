"""The YAML of flows: how it is read, and what is wrong with it."""

import re
import string

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from infra.kestra.source import (
    LOADER,
    FlowSource,
    find_place,
    flow_errors,
    is_same_document,
    is_same_text,
    load_document,
)
from tests.kestra.unit.flow_texts import DOCUMENTS, texts

FLOW = """\
# Says hello.
id: hello
namespace: demo.team

tasks:
  - id: log
    type: io.kestra.plugin.core.log.Log
    message: "{{ flow.id }}"  # Pebble
"""


def test_parse_finds_namespace_and_id_and_keeps_the_text():
    source = FlowSource.parse(FLOW)
    assert (source.namespace, source.flow_id) == ("demo.team", "hello")
    assert source.key == "demo.team/hello"
    assert source.text == FLOW


@pytest.mark.parametrize("value", ["2026-02-30", "!custom x", "0o9", "12:61", ".inf", "=", "<<"])
def test_parse_leaves_the_reading_of_values_to_the_server(value: str):
    text = f"{FLOW}variables: {{x: {value}}}\n"
    assert FlowSource.parse(text).key == "demo.team/hello"
    assert FlowSource.errors(text) == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "is not a YAML mapping with id, namespace and tasks"),
        ("- id: hello", "is not a YAML mapping with id, namespace and tasks"),
        ("hello", "is not a YAML mapping with id, namespace and tasks"),
        ("id: hello", 'has no "namespace: <name>" at its top level'),
        ("namespace: demo", 'has no "id: <name>" at its top level'),
        ("id:\nnamespace: demo", 'has no "id: <name>" at its top level'),
        ("id: [hello]\nnamespace: demo", 'has no "id: <name>" at its top level'),
        (
            "id: hello\n  namespace: demo",
            "is not valid YAML: line 2, column 12: mapping values are not allowed in this context",
        ),
        (
            "id: hello\nid: other\nnamespace: demo",
            'is not valid YAML: line 2, column 1: the key "id" is duplicate',
        ),
        ("a: *b", "is not valid YAML: line 1, column 4: found undefined alias"),
        (
            "id: Größe\nnamespace: demo",
            'has the id "Größe", which must match [a-zA-Z0-9][a-zA-Z0-9._-]*',
        ),
        (
            "id: hello\nnamespace: Demo",
            'has the namespace "Demo", which must match [a-z0-9][a-z0-9._-]*',
        ),
        (f"id: {'x' * 101}\nnamespace: demo", "has 101 characters in its id, more than 100"),
        (
            "id: pause\nnamespace: demo",
            'has the id "pause", which Kestra reserves',
        ),
    ],
)
def test_parse_and_errors_report_wrong_names_with_their_place(text: str, error: str):
    with pytest.raises(ValueError) as caught:
        FlowSource.parse(text)
    assert str(caught.value) == error
    assert FlowSource.errors(text)[0] == error


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        (FLOW, []),
        (
            "id: hello\nnamespace: demo\ntasks: [",
            [
                "is not valid YAML: line 4, column 1: while parsing a flow node, "
                "did not find expected node content"
            ],
        ),
        (
            f"{FLOW}id: other",
            ['is not valid YAML: line 9, column 1: the key "id" is duplicate'],
        ),
        (
            FLOW + "inputs:\n  - {id: a, id: b}",
            ['is not valid YAML: line 10, column 13: the key "id" is duplicate'],
        ),
        (
            "id: hello\nnamespace: demo\n---\nid: other",
            [
                "is not valid YAML: line 3, column 1: "
                "expected a single document in the stream, but found another document"
            ],
        ),
        ("id: hello\nnamespace: demo", ["has no tasks"]),
        ("id: hello\nnamespace: demo\ntasks: []", ["has no tasks"]),
        (
            FLOW + "task: []\nlabel: x",
            [f'has the unknown key "{key}" at its top level' for key in ("label", "task")],
        ),
        (FLOW + "errors:\n  - id: log", ['has more than one task with the id "log"']),
        (FLOW + "listeners:\n  - tasks: [{id: log}]", ['has more than one task with the id "log"']),
        (FLOW + "afterExecution: [{id: log}]", ['has more than one task with the id "log"']),
        (
            FLOW + "triggers: [{id: a}, {id: a}]\ninputs: [{id: a}, {id: b}, {id: b}]\n"
            "outputs: [{id: c}, {id: c}]",
            [
                'has more than one trigger with the id "a"',
                'has more than one input with the id "b"',
                'has more than one output with the id "c"',
            ],
        ),
        # Each kind is counted by itself.
        (FLOW + "triggers: [{id: log}]\ninputs: [{id: log}]\noutputs: [{id: log}]", []),
        (
            FLOW + "errors: [{id: a.b}]",
            ['has a task with the id "a.b", which must match [a-zA-Z0-9][a-zA-Z0-9_-]*'],
        ),
    ],
)
def test_errors_of_the_content_are_found_without_a_server(text: str, errors: list[str]):
    assert FlowSource.errors(text) == errors


@pytest.mark.parametrize(
    "holder",
    [
        "tasks: [%s]",
        "then: [%s]",
        "else: [%s]",
        "errors: [%s]",
        "finally: [%s]",
        "defaults: [%s]",
        "cases: {a: [%s]}",
        "tasks: [{task: %s}]",
        "tasks: [{id: deeper, tasks: [{id: deepest, then: [%s]}]}]",
    ],
)
def test_a_task_in_a_task_is_found(holder: str):
    text = FLOW + f"errors: [{{id: outer, {holder % '{id: log}'}}}]"
    assert FlowSource.errors(text) == ['has more than one task with the id "log"']


def test_labels_and_other_mappings_with_an_id_are_no_tasks():
    assert FlowSource.errors(FLOW + "labels: {id: log}\nvariables: {tasks: [{id: log}]}") == []


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("namespace: demo\nlabel: x\nid: a b\n", [(3, 1), (2, 1), (1, 1)]),
        (FLOW + "errors:\n  - type: x\n    id: log\n", [(11, 5)]),
        (FLOW + "errors: [{id: a, tasks: [{task: {id: a.b}}]}]\n", [(9, 34)]),
        (FLOW + "triggers: [{id: a}, {id: b}, {id: a}]\n", [(9, 31)]),
        (FLOW + "listeners: [{tasks: [{id: log}]}]\n", [(9, 23)]),
    ],
)
def test_each_error_of_a_flow_has_a_place(text: str, places: list[tuple[int, int]]):
    root, document = load_document(text)
    assert [find_place(root, path) for path, _ in flow_errors(document)] == places


def test_all_errors_are_reported_at_once():
    assert len(FlowSource.errors("id: pause\nnamespace: Demo\nlabel: x\n")) == 4


# https://kestra.io/docs/migration-guide/1.0.0/reserved-flow-ids
RESERVED = (
    *("pause", "resume", "force-run", "change-status", "kill"),
    *("search", "source", "disable", "enable"),
)
letters = string.ascii_letters + string.digits + "._-"
# Names with what is nearly right in them.
names = st.one_of(
    st.text(letters, min_size=1, max_size=12),
    st.text(letters + "äA/ \n", min_size=1, max_size=6),
    st.integers(98, 152).map(lambda length: "a" * length),
    st.sampled_from(RESERVED),
    st.sampled_from(RESERVED).map(str.upper),
)


def is_accepted(flow_id: str, namespace: str) -> bool:
    return bool(
        re.fullmatch("[a-zA-Z0-9][a-zA-Z0-9._-]*", flow_id, re.ASCII)
        and len(flow_id) <= 100
        and flow_id not in RESERVED
        and re.fullmatch("[a-z0-9][a-z0-9._-]*", namespace, re.ASCII)
        and len(namespace) <= 150
    )


@given(names, names, st.booleans())
def test_ids_and_namespaces_are_accepted_exactly_if_kestra_accepts_them(
    flow_id: str, namespace: str, is_quoted: bool
):
    is_plain = all(re.fullmatch(r"[\w.-]*", name) for name in (flow_id, namespace))
    assume(is_quoted or (is_plain and not any(name[0] in "-." for name in (flow_id, namespace))))
    shown = [yaml.dump(name, default_style='"').strip() for name in (flow_id, namespace)]
    written = shown if is_quoted else [flow_id, namespace]
    text = f"id: {written[0]}\nnamespace: {written[1]}\ntasks: [{{id: a}}]\n"
    assert (FlowSource.errors(text) == []) is is_accepted(flow_id, namespace)
    try:
        source = FlowSource.parse(text)
    except ValueError:
        assert not is_accepted(flow_id, namespace)
    else:
        assert is_accepted(flow_id, namespace)
        assert (source.flow_id, source.namespace) == (flow_id, namespace)


@given(texts())
def test_a_flow_keeps_its_text_and_is_called_what_its_yaml_says(text: str):
    document = yaml.load(text, Loader=LOADER)
    source = FlowSource.parse(text)
    assert source.text == text
    assert (source.namespace, source.flow_id) == (document["namespace"], document["id"])


@given(st.text() | st.text("id: names\n-[]{}\"'#&*|>\t\r"))
def test_any_text_is_a_flow_or_has_an_error(text: str):
    errors = FlowSource.errors(text)
    try:
        FlowSource.parse(text)
    except ValueError as error:
        assert str(error) in "; ".join(errors)
    else:
        assert yaml.load(text, Loader=LOADER)["id"] or errors


@pytest.mark.parametrize(
    "text",
    [
        '"id": real\nnamespace: demo\ndescription: "\nid: other\n"\n',
        '{"id": real, namespace: demo, inputs: [{\nid: other\n}]}',
        "description: |\n  id: other\n  namespace: other\nid: real\nnamespace: demo\n",
        "? id\n: real\n? namespace\n: demo\n",
        "--- !!map\nid: real\nnamespace: demo\n...\n",
        "\ufeffid: real\nnamespace: demo\n",
        "id: real\r\nnamespace: demo\r\n",
        "id: &name real\nnamespace: demo\nlabels: {id: *name}\n",
        "id: 'real'\nnamespace: \"\\u0064emo\"\n",
        "description: >\n\n   id: other\n\nid:   real # id: x\nnamespace:\tdemo\n",
        "id:\n  real\nnamespace: demo\n",
    ],
)
def test_what_only_looks_like_an_id_is_none(text: str):
    assert FlowSource.parse(text).key == "demo/real"


@pytest.mark.parametrize("stored", [FLOW, f"revision: 3\n{FLOW}", f"{FLOW}revision: 12"])
def test_the_line_of_the_revision_is_the_server_s(stored: str):
    assert is_same_text(stored, FLOW)
    assert is_same_text(FLOW, stored)
    assert not is_same_text(stored, FLOW + "# changed\n")


@given(DOCUMENTS, DOCUMENTS, st.data())
def test_documents_are_the_same_whatever_their_layout(
    document: dict, other: dict, data: st.DataObject
):
    first, second = data.draw(texts(document)), data.draw(texts(document))
    assert is_same_document(first, second)
    assert is_same_document(first, data.draw(texts(other))) is (
        yaml.load(yaml.dump(document), LOADER) == yaml.load(yaml.dump(other), LOADER)
    )
