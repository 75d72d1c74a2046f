"""What is switched in a flow without touching its author's file."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infra.kestra.source import LOADER
from infra.kestra.switches import AS_WRITTEN, Switches
from tests.kestra.unit.flow_texts import texts

FLOW = """\
# Says hello.
id: hello
namespace: demo.team

tasks:
  - id: log
    type: io.kestra.plugin.core.log.Log
    message: "{{ flow.id }}"  # Pebble
"""
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
TRIGGERS_OFF = Switches(triggers_disabled=True)


@pytest.mark.parametrize(("written", "expected"), TRIGGERS.values(), ids=TRIGGERS)
@pytest.mark.parametrize("rest", ["", "# Größe\n\n\nlabels: {triggers: x,  a:  1}   \n"])
@pytest.mark.parametrize("head", ["", "# 🚕 größe\nvariables: {größe: 🚕}\n"])
def test_triggers_are_disabled_and_nothing_else_changes(
    head: str, written: str, expected: str, rest: str
):
    text = head + FLOW + written + rest
    disabled = TRIGGERS_OFF.apply_to(text)
    assert disabled == head + FLOW + expected + rest
    assert TRIGGERS_OFF.apply_to(disabled) == disabled
    parsed = yaml.safe_load(text)
    parsed["triggers"] = [trigger | {"disabled": True} for trigger in parsed["triggers"]]
    assert yaml.safe_load(disabled) == parsed


@pytest.mark.parametrize(
    "rest",
    ["", "triggers:\n", "triggers: []\n", "triggers: ~\n", "triggers: {a: b}\n", "triggers: [a]\n"],
)
def test_a_flow_without_triggers_stays_as_it_is(rest: str):
    assert TRIGGERS_OFF.apply_to(FLOW + rest) == FLOW + rest


def test_triggers_of_a_task_are_not_the_flow_s():
    text = FLOW + "other:\n  triggers:\n    - id: night\n"
    assert TRIGGERS_OFF.apply_to(text) == text


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("id: x\n", "disabled: true\nid: x\n"),
        ("---\n# first\n\nid: x\n", "---\n# first\n\ndisabled: true\nid: x\n"),
        ("{id: x}", "{disabled: true, id: x}"),
        ("id: x\ndisabled: false # for now\n", "id: x\ndisabled: true # for now\n"),
        ("id: x\ndisabled: true\n", "id: x\ndisabled: true\n"),
        ("id: x\ntasks: [{id: a, disabled: false}]", None),
        ("  id: x\n  n: y\n", "  disabled: true\n  id: x\n  n: y\n"),
    ],
)
def test_a_flow_is_disabled(written: str, expected: str | None):
    assert Switches(disabled=True).apply_to(written) == (expected or f"disabled: true\n{written}")


def test_a_flow_is_enabled():
    assert Switches(disabled=False).apply_to("id: x\ndisabled: true # off\n") == (
        "id: x\ndisabled: false # off\n"
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("id: x\n", 'labels: {"env": "größe 🚕"}\nid: x\n'),
        ("labels:\n  a: b # c\n", 'labels:\n  "env": "größe 🚕"\n  a: b # c\n'),
        ("labels:\n  env: b # c\n", 'labels:\n  env: "größe 🚕" # c\n'),
        ("labels: {a: b}\n", 'labels: {"env": "größe 🚕", a: b}\n'),
        ("labels: {}\n", 'labels: {"env": "größe 🚕", }\n'),
        ("labels: []\n", 'labels: [{key: "env", value: "größe 🚕"}, ]\n'),
        ("labels:\nid: x\n", 'labels: {"env": "größe 🚕"}\nid: x\n'),
        ("labels: ~\nid: x\n", 'labels: {"env": "größe 🚕"}\nid: x\n'),
        ("labels: null # none\n", 'labels: {"env": "größe 🚕"} # none\n'),
        (
            "labels:\n- key: a\n  value: b\n",
            'labels:\n- {key: "env", value: "größe 🚕"}\n- key: a\n  value: b\n',
        ),
        (
            "labels:\n  - key: env\n    value: b # c\n",
            'labels:\n  - key: env\n    value: "größe 🚕" # c\n',
        ),
        ("labels: [{key: env}]\n", 'labels: [{value: "größe 🚕", key: env}]\n'),
    ],
)
def test_labels_are_added_or_replaced(written: str, expected: str):
    assert Switches(labels={"env": "größe 🚕"}).apply_to(written) == expected


labels = st.dictionaries(
    st.from_regex(r"[a-z][a-zäö0-9.-]{0,8}", fullmatch=True),
    st.text(
        st.characters(
            exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="\ufeff\ufffe\uffff"
        ),
        max_size=8,
    ),
    max_size=3,
)
switches = st.builds(Switches, st.none() | st.booleans(), st.booleans(), labels)


def document(text: str) -> dict[str, Any]:
    """What a text stands for, with labels as a mapping."""
    parsed: dict[str, Any] = yaml.load(text, Loader=LOADER)
    if isinstance(parsed.get("labels"), list):
        parsed["labels"] = {pair["key"]: pair["value"] for pair in parsed["labels"]}
    return parsed


def switched(parsed: dict[str, Any], switches: Switches) -> dict[str, Any]:
    triggers = (
        [
            trigger | ({"disabled": "true"} if switches.triggers_disabled else {})
            for trigger in parsed["triggers"]
        ]
        if isinstance(parsed.get("triggers"), list)
        else parsed.get("triggers")
    )
    return {
        **parsed,
        **({"triggers": triggers} if "triggers" in parsed else {}),
        **({} if switches.disabled is None else {"disabled": str(switches.disabled).lower()}),
        **(
            {"labels": {**(parsed.get("labels") or {}), **switches.labels}}
            if switches.labels
            else {}
        ),
    }


@given(texts(), switches)
def test_a_switched_flow_is_the_flow_with_the_switch_and_no_other_letter_changes(
    text: str, switches: Switches
):
    result = switches.apply_to(text)
    assert document(result) == switched(document(text), switches)
    assert switches.apply_to(result) == result
    if "disabled" not in text and not switches.labels:
        # Every letter of the author's is still there, in its order.
        letters = iter(result)
        assert all(letter in letters for letter in text)
    assert AS_WRITTEN.apply_to(text) == text


@pytest.mark.parametrize("switches", [Switches(True), TRIGGERS_OFF, Switches(labels={"a": "b"})])
@pytest.mark.parametrize(
    "text",
    [
        "&all\nid: x\ntriggers: [{id: a}]\n",
        "--- &all\nid: x\nlabels: {}\ntriggers: [{id: a}]\n",
        "!!map {id: x, labels: {}, triggers: [{id: a}]}\n",
        "id: x\nlabels: &l {c: d}\nvariables: *l\ntriggers: [{id: a}]\n",
        "id: x\nvariables: &l {c: d}\nlabels: *l\ntriggers: [{id: a}]\n",
        "id: x\nvariables: &t {id: a}\ntriggers: [*t, *t]\n",
        "id: x\nvariables: &t [{id: a}]\ntriggers: *t\n",
        "id: x\ntriggers:\n  - &t\n    id: a\n  - <<: *t\n    id: b\n",
        "id: x\ntriggers:\n  - &t {id: a, disabled: &d false}\n  - {id: b, disabled: *d}\n",
        "id: x\ndisabled: &d false\nvariables: [*d]\n",
        "id: x\ndisabled: |-\n  false\ntriggers:\n  - disabled: >-\n      false\n\n    id: a\n",
        "? id\n: x\n? triggers\n: - ? id\n    : a\n",
        "id: x\nlabels: text\ntriggers: text\n",
        "id: x\nlabels: [a, [b], {c: d}, {key: [e], value: f}]\ntriggers: [[a], b]\n",
        "id: x\ntriggers: {id: a}\nlabels: {a: {b: c}}\n",
        "id: x\r\ntriggers:\r\n  - id: a\r\nlabels:\r\n  c: d\r\n",
        "\ufeffid: x\ntriggers:\n  - id: a\nlabels:\n  c: d\n",
        "id: x\u2028triggers: [{id: a}]\n",
        "id: x\ntriggers: &t\n  - id: a\n    inputs: *t\n",
    ],
)
def test_an_unusual_text_is_switched_as_meant_or_refused(text: str, switches: Switches):
    try:
        result = switches.apply_to(text)
    except ValueError as error:
        assert "cannot be switched" in str(error)
    else:
        assert yaml.load(result, LOADER).items() >= {"id": "x"}.items()
        assert switches.apply_to(result) == result


@pytest.mark.parametrize(
    ("text", "error"), [("id: [", "is not valid YAML"), ("- a", "is not a YAML mapping")]
)
def test_what_is_no_flow_is_not_switched(text: str, error: str):
    with pytest.raises(ValueError, match=error):
        TRIGGERS_OFF.apply_to(text)


@pytest.mark.parametrize("key", ["a: b", "a #", "", "- a", "{", "*a", "a\nb", '"'])
@pytest.mark.parametrize("text", ["id: x\n", "id: x\nlabels: {c: d}\n", "id: x\nlabels:\n  c: d\n"])
def test_any_key_of_a_label_is_kept_or_refused(key: str, text: str):
    try:
        result = Switches(labels={key: "v"}).apply_to(text)
    except ValueError as error:
        assert "cannot be switched" in str(error)
    else:
        assert yaml.load(result, LOADER)["labels"][key] == "v"
