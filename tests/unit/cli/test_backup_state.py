"""The state that a restored stack begins with."""

from __future__ import annotations

import json

from cli.backup.state import generated_secrets
from tests.unit.cli.backups import SALT, state


def test_generated_passwords_move_to_the_other_stack() -> None:
    moved = generated_secrets(state("alice"), "podium", "alice", "bob")
    urns = [item["urn"] for item in moved["deployment"]["resources"]]
    prefix = "urn:pulumi:bob::podium::"
    password = "podium:infra:Postgres$random:index/randomPassword:RandomPassword"
    assert urns == [
        f"{prefix}pulumi:pulumi:Stack::podium-bob",
        f"{prefix}podium:infra:Postgres::postgres",
        f"{prefix}pulumi:providers:random::default",
        f"{prefix}{password}::postgres-password",
    ]
    assert "alice" not in json.dumps(moved)


def test_references_and_secrets_are_kept() -> None:
    moved = generated_secrets(state("alice"), "podium", "alice", "bob")["deployment"]
    component, password = moved["resources"][1], moved["resources"][3]
    assert password["parent"] == component["urn"]
    assert password["provider"] == f"{moved['resources'][2]['urn']}::1"
    assert password["outputs"] == {"result": {"ciphertext": "sealed"}}
    assert moved["secrets_providers"]["state"]["salt"] == SALT


def test_nothing_else_is_left_to_the_restored_stack() -> None:
    moved = generated_secrets(state("alice"), "podium", "alice", "alice")["deployment"]
    assert "pending_operations" not in moved
    assert not [item for item in moved["resources"] if not item["custom"] and "outputs" in item]
    assert not [item for item in moved["resources"] if item["type"].startswith("docker:")]


def test_name_of_the_stack_elsewhere_is_left_alone() -> None:
    exported = state("dev")
    exported["deployment"]["resources"][4]["outputs"]["keepers"] = {"dev": "podium-dev"}
    moved = generated_secrets(exported, "podium", "dev", "bob")["deployment"]
    assert moved["resources"][3]["outputs"]["keepers"] == {"dev": "podium-dev"}
