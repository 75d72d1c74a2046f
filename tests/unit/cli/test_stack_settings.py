"""The settings of a stack on this machine: the shared file is read, never written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cli import stack_settings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stack_settings, "PROJECT_FOLDER", tmp_path)
    return tmp_path


def write_shared(folder: Path, **config: Any) -> None:
    (folder / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}))


def change_local(**config: Any) -> None:
    path = stack_settings.local_file("dev")
    content = yaml.safe_load(path.read_text())
    content["config"] |= config
    path.write_text(yaml.safe_dump(content))


def local_settings() -> dict[str, Any]:
    content = yaml.safe_load(stack_settings.local_file("dev").read_text())
    settings: dict[str, Any] = content["config"]
    return settings


def test_local_file_begins_as_a_copy_that_git_ignores(folder: Path) -> None:
    write_shared(folder, port=5432)
    assert local_settings() == {"port": 5432}
    root = Path(stack_settings.__file__).parents[1]
    ignored = (root / ".gitignore").read_text().splitlines()
    assert f"/{stack_settings.local_file('dev').relative_to(folder).parts[0]}/" in ignored


def test_settings_without_a_shared_file_are_written_by_pulumi_only(folder: Path) -> None:
    assert not stack_settings.local_file("dev").exists()
    assert list(folder.iterdir()) == []


def test_setting_that_is_added_to_the_shared_file_is_taken_over(folder: Path) -> None:
    write_shared(folder, port=5432)
    change_local(image="local")
    write_shared(folder, port=5432, name="new")
    assert local_settings() == {"port": 5432, "image": "local", "name": "new"}


def test_setting_that_changes_in_the_shared_file_is_taken_over(folder: Path) -> None:
    write_shared(folder, port=5432)
    change_local(image="local")
    write_shared(folder, port=6543)
    assert local_settings() == {"port": 6543, "image": "local"}


def test_setting_of_this_machine_wins_over_a_change_in_the_shared_file(folder: Path) -> None:
    write_shared(folder, port=5432)
    change_local(port=5433)
    write_shared(folder, port=6543)
    assert local_settings() == {"port": 5433}
    write_shared(folder, port=7654)
    assert local_settings() == {"port": 5433}


def test_setting_that_is_removed_from_the_shared_file_stays(folder: Path) -> None:
    write_shared(folder, port=5432, image="offline")
    stack_settings.local_file("dev")
    write_shared(folder, port=5432)
    assert local_settings() == {"port": 5432, "image": "offline"}


def test_organization_is_not_part_of_the_name_of_the_file(folder: Path) -> None:
    write_shared(folder, port=5432)
    assert stack_settings.local_file("acme/podium/dev") == stack_settings.local_file("dev")


def test_deleted_local_file_begins_anew(folder: Path) -> None:
    write_shared(folder, port=5432)
    change_local(port=5433)
    stack_settings.delete_local_file("dev")
    assert local_settings() == {"port": 5432}


@pytest.mark.parametrize(("value", "salt"), [("plain", "second"), ({"secure": "v1:..."}, "first")])
def test_salt_is_the_one_of_the_encrypted_values(folder: Path, value: Any, salt: str) -> None:
    shared = folder / "Pulumi.dev.yaml"
    shared.write_text("encryptionsalt: first\nconfig: {}\n")
    change_local(password=value)
    shared.write_text("encryptionsalt: second\nconfig: {port: 1}\n")
    content = yaml.safe_load(stack_settings.local_file("dev").read_text())
    assert content == {"encryptionsalt": salt, "config": {"password": value, "port": 1}}


def test_secret_of_another_passphrase_is_refused_by_name(folder: Path) -> None:
    write_shared(folder, port=5432)
    change_local(password={"secure": "v1:local"})
    shared = {"encryptionsalt": "v1:other", "config": {"port": 5432, "key": {"secure": "v1:x"}}}
    (folder / "Pulumi.dev.yaml").write_text(yaml.safe_dump(shared))
    with pytest.raises(click.ClickException, match=r"Pulumi.dev.yaml has secrets .*: key\. Delete"):
        stack_settings.local_file("dev")


def test_empty_list_of_settings_is_none(folder: Path) -> None:
    (folder / "Pulumi.dev.yaml").write_text("config:\n")
    assert local_settings() == {}


@pytest.mark.parametrize("content", ["{broken: [", "just text", "- a", "config: 5", "\udcff"])
@pytest.mark.parametrize("name", ["Pulumi.dev.yaml", ".podium/Pulumi.dev.yaml"])
def test_broken_file_is_named(folder: Path, name: str, content: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(click.ClickException, match=rf"/{name} (cannot be read|has no mapping)"):
        stack_settings.local_file("dev")
