"""What a release of Kestra lacks is found in flows, with its place and what to use instead."""

import pytest

from infra.kestra import major_version
from infra.kestra.releases import release_errors

FLOW = """\
id: hello
namespace: demo
tasks:
  - id: first
    type: {}
    delay: PT1S
"""
CORE = "io.kestra.plugin.core."
LOOP = f"{CORE}flow.Loop"


@pytest.mark.parametrize(
    ("major", "kind", "use"),
    [
        (2, f"{CORE}flow.ForEach", LOOP),
        (2, f"{CORE}flow.EachParallel", LOOP),
        (2, "io.kestra.core.tasks.flows.EachSequential", LOOP),
        (2, "io.kestra.core.tasks.flows.Worker", f"{CORE}flow.WorkingDirectory"),
        (2, "io.kestra.core.tasks.log.Log", f"{CORE}log.Log"),
        (2, "io.kestra.core.tasks.executions.Counts", "io.kestra.plugin.kestra.executions.Count"),
        (2, "io.kestra.core.models.triggers.types.Schedule", f"{CORE}trigger.Schedule"),
        (2, f"{CORE}state.Get", f"{CORE}kv.Get"),
        (2, f"{CORE}condition.Weekend", "when, an expression, in the trigger"),
        (
            2,
            "io.kestra.core.models.conditions.types.WeekendCondition",
            "when, an expression, in the trigger",
        ),
        (1, LOOP, f"{CORE}flow.ForEach"),
    ],
)
def test_type_that_a_release_lacks_is_named_with_its_replacement(
    major: int, kind: str, use: str
) -> None:
    assert list(release_errors(FLOW.format(kind), major)) == [
        ((5, 5), f"has the type {kind}, which Kestra {major} does not have: use {use}")
    ]


@pytest.mark.parametrize(
    ("major", "kind"),
    [
        (2, LOOP),
        (2, f"{CORE}flow.Sequential"),
        (2, f"{CORE}flow.Dag"),
        (2, "io.kestra.core.tasks.scripts.Bash"),
        (2, "io.kestra.plugin.jdbc.duckdb.Query"),
        (1, f"{CORE}flow.ForEach"),
        (1, f"{CORE}flow.Pause"),
        (1, "io.kestra.core.tasks.log.Log"),
    ],
)
def test_type_that_a_release_has_is_left_alone(major: int, kind: str) -> None:
    assert list(release_errors(FLOW.format(kind), major)) == []


def test_properties_that_are_gone_are_named_with_their_replacements() -> None:
    text = f"""\
pluginDefaults: [{{type: {CORE}log.Log, values: {{level: ERROR}}}}]
id: hello
namespace: demo
tasks:
  - {{id: wait, type: {CORE}flow.Pause, delay: PT1S}}
  - {{id: say, type: {CORE}log.Log, delay: PT1S, listeners: x}}
triggers:
  - {{id: next, type: {CORE}trigger.Flow, preconditions: {{id: others}}}}
"""
    assert list(release_errors(text, 2)) == [
        ((1, 1), "has pluginDefaults, which Kestra 2 does not have: use the values in each task"),
        ((5, 56), "has delay, which Kestra 2 does not have: use pauseDuration"),
        ((8, 58), "has preconditions, which Kestra 2 does not have: use dependsOn"),
    ]
    assert list(release_errors(text, 1)) == []


def test_types_are_found_in_tasks_of_tasks_and_in_triggers_but_not_in_texts() -> None:
    text = f"""\
id: hello
namespace: demo
description: "type: {CORE}flow.ForEach"
tasks:
  - id: outer
    type: {CORE}flow.Sequential
    tasks: [{{id: inner, type: {CORE}debug.Echo}}]
triggers:
  - id: daily
    type: {CORE}trigger.Schedule
    conditions:
      - type: {CORE}condition.Not
"""
    assert [place for place, _ in release_errors(text, 2)] == [(7, 25), (12, 9)]


@pytest.mark.parametrize(
    ("image", "major"),
    [
        ("kestra/kestra:v2.0.0", 2),
        ("kestra/kestra:1.3.25-no-plugins", 1),
        ("localhost:5000/kestra/kestra:v1.3@sha256:12", 1),
        ("localhost:5000/kestra", None),
        ("kestra/kestra:latest", None),
        ("kestra/kestra@sha256:12", None),
    ],
)
def test_major_version_is_that_of_the_tag(image: str, major: int | None) -> None:
    assert major_version(image) == major
