"""Expressions: what Kestra's Pebble does and Jinja would not."""

from __future__ import annotations

import re
from typing import Any

import pytest

from offline.kestra.pebble import RenderError, evaluate, stringify

VARIABLES: dict[str, Any] = {
    "inputs": {"taxi": "yellow", "n": 3, "no": False, "list": [1, 2], "null": None},
    "vars": {"columns": {"yellow": ["a", "b"]}},
    "globals": {"source": "http://x/{taxi}/{month}"},
    "outputs": {"q": {"outputs": [{"row": {"y": 5}}], "items": 7}},
    "fail": lambda: 1 / 0,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain {text}", "plain {text}"),
        ("{{ inputs.taxi }}", "yellow"),
        ("{{ inputs.n }}", 3),
        ("n={{ inputs.n }}", "n=3"),
        ("{{ vars.columns[inputs.taxi] }}", ["a", "b"]),
        ("({{ vars.columns[inputs.taxi] }})", '(["a","b"])'),
        ("{{ globals.source | replace({'{taxi}': inputs.taxi}) }}", "http://x/yellow/{month}"),
        ("{{ 'a1b22' | replace({'[0-9]+': '#'}, regexp=true) }}", "a#b#"),
        ("{{ 'ab' | replace({'(a)(b)': '$2$1'}, regexp=true) }}", "ba"),
        ("{{ outputs.q.outputs[0].row.y }}", 5),
        ("{{ outputs.q.items }}", 7),
        ("{{ outputs['q'].outputs | length }}", 1),
        ("{{ nope ?? 'd' }}", "d"),
        ("{{ a.b.c ?? inputs.n }}", 3),
        ("{{ inputs.null ?? 'd' }}", "d"),
        ("{{ inputs.n ?? fail() }}", 3),
        ("{{ nope | default('d') | upper }}", "D"),
        ("{{ inputs.taxi == 'yellow' ? 'Y' : 'G' }}", "Y"),
        ("{{ inputs.n > 5 ? 'big' : inputs.n > 2 ? 'middle' : 'small' }}", "middle"),
        ("{{ inputs.no }}", False),
        ("is {{ inputs.no }}", "is false"),
        ("{{ inputs.null }}", None),
        ("[{{ inputs.null }}]", "[]"),
        ("{{ inputs.list contains 2 }}", True),
        ("{{ inputs.taxi equals 'green' }}", False),
        ("{{ 'a' ~ inputs.n ~ 'b' }}", "a3b"),
        ("{% if inputs.n == 2 %}two{% elseif inputs.n == 3 %}three{% endif %}", "three"),
        ("{% for x in inputs.list %}{{ loop.index }}{{ x }}{% endfor %}", "0112"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("{{ inputs.taxi is empty }}", False),
        ("{{ null is null }}", True),
        ("{{ '2024-01-05' | date('yyyy/MM/dd') }}", "2024/01/05"),
        ("{{ '2024-01-31' | dateAdd(1, 'MONTHS') | date('yyyy-MM-dd') }}", "2024-02-29"),
        ("{{ '2024-01-05' | date }}", "2024-01-05T00:00:00.000000Z"),
        ("{{ '2024-01-05T23:00:00-05:00' | date('sql_seq') }}", "2024-01-06 04:00:00"),
        ("{{ '2024-07-05T23:00' | date('iso_sec', 'Europe/Paris') }}", "2024-07-05T23:00:00+02:00"),
        ("{{ '2024-03-15' | dateAdd(-1, 'MONTHS', 'yyyy-MM') }}", "2024-02"),
        ("{{ '2024-03-15' | dateAdd(1, 'HALF_DAYS') }}", "2024-03-15T12:00:00.000000Z"),
        ("{{ trigger.date ?? '2024-05-06' | date('yyyy-MM') }}", "2024-05"),
        ("{{ (inputs.nope ?? '2024-05-06') | date('yyyy-MM') }}", "2024-05"),
        ("{{ 'a,b,,' | split(',') }}", ["a", "b"]),
        ("{{ 'a,b,c' | split(',', 2) }}", ["a", "b,c"]),
        ("{{ '' | split(',') }}", [""]),
        ("{{ 'x' | substringAfter('.') }}[{{ 'x' | substringBefore('.') }}]", "[x]"),
        ("{{ 'x.csv.gz' | substringBefore('.') }}", "x"),
        ("{{ 'x.csv.gz' | substringAfterLast('.') }}", "gz"),
        ("{{ 'text' | md5 }}", "1cb251ec0d568de6a929b520c4aed8d1"),
        ("line\n", "line\n"),
    ],
)
def test_evaluates(text: str, value: Any) -> None:
    result = evaluate(text, VARIABLES)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ nope }}", "Unable to find `nope` used in the expression `{{ nope }}` at line 1"),
        ("{{ inputs.nope.deep }}", "Unable to find `nope`"),
        ("ok\n{{ inputs.nope }}", "at line 2"),
        ("{{ inputs.taxi.__class__ }}", "Unable to find `__class__`"),
        ("{{ inputs.taxi | nope }}", "No filter named 'nope'"),
        ("{{ inputs.taxi", "unexpected end of template"),
        ("{{ 'x' | date('yyyy') }}", "could not be parsed as a date"),
        ("{{ 'x' | date('rfc_1123_date_time') }}", "`rfc_1123_date_time` is not supported"),
        ("{{ '2024-01-05' | dateAdd(1, 'MOONS') }}", "No enum constant java.time.temporal.Chro"),
        ("{{ fail() }}", "division by zero"),
    ],
)
def test_tells_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(RenderError, match=re.escape(message)):
        evaluate(text, VARIABLES)


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (None, ""), ({"a": [1, None]}, '{"a":[1,null]}'), (1.5, "1.5")],
)
def test_text_of_values(value: Any, text: str) -> None:
    assert stringify(value) == text
