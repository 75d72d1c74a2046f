"""podium restore: what is refused before anything is touched, and the order of what is done."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import pytest

from cli.backup import checks, restore
from cli.backup import manifest as parts
from cli.backup.archive import ArchiveWriter
from cli.backup.checks import check_archive, check_images
from cli.stack import Stack
from tests.unit.cli.backups import OUTPUT_FILE, contents, volume, write_backup
from tests.unit.cli.command_line import CommandLine
from tests.unit.cli.fake_docker import LABELS, Thing

Damage = Callable[[Path], Any]


@pytest.fixture
def command(command: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandLine:
    """The command line with a Docker host on which there is space, and the right passphrase."""
    monkeypatch.setattr(command.docker, "info", lambda: {"DockerRootDir": str(tmp_path)}, False)
    monkeypatch.setattr(checks, "check_passphrase", lambda *_: None)
    return command


def acting(command: CommandLine) -> list[str]:
    """Returns what the tools were asked to change."""
    reading = (
        "pulumi version",
        "pulumi stack tag ls",
        "pulumi stack export",
        "pulumi stack output",
    )
    return [call for call in command.calls if not call.startswith(reading)]


# Archives that are no good backup


def with_parts(**changed: bytes | None) -> Damage:
    """Writes an archive that is consistent, but whose parts are others; None leaves one out."""

    def damage(path: Path) -> None:
        content: dict[str, Any] = contents()
        for key, value in changed.items():
            content[getattr(parts, key)] = value
        write_backup(path, {name: part for name, part in content.items() if part is not None})

    return damage


def with_manifest(**changes: Any) -> Damage:
    """Writes an archive with another manifest, whose own checksum is right."""
    return lambda path: write_backup(path, **changes)


def with_manifest_text(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Writes an archive with a manifest that no version of Podium writes."""

    def damage(path: Path) -> None:
        manifest = json.loads(write_backup(path).model_dump_json())
        changed = change(manifest)
        text = json.dumps(manifest if changed is None else changed).encode()
        with path.open("w+b") as file:
            writer = ArchiveWriter(file)
            for name, part in contents().items():
                writer.add(name, [part])
            writer.add("manifest.json", [text])
            writer.add("manifest.sha256", [hashlib.sha256(text).hexdigest().encode()])
            file.write(bytes(1024))

    return damage


def with_member(name: str, **attributes: Any) -> Damage:
    """Writes an archive with another member before its own."""

    def damage(path: Path) -> None:
        write_backup(path)
        good, member = path.read_bytes(), tarfile.TarInfo(name)
        for key, value in attributes.items():
            setattr(member, key, value)
        path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + good)

    return damage


def cut(end: Callable[[Path], int]) -> Damage:
    """Writes an archive that ends too early."""

    def damage(path: Path) -> None:
        write_backup(path)
        path.write_bytes(path.read_bytes()[: end(path)])

    return damage


def flipped(name: str, offset: int) -> Damage:
    """Writes an archive of which one bit is another one."""

    def damage(path: Path) -> None:
        write_backup(path)
        content = bytearray(path.read_bytes())
        content[data_of(path, name) + offset] ^= 1
        path.write_bytes(content)

    return damage


def data_of(path: Path, name: str) -> int:
    with tarfile.open(path) as tar:
        return tar.getmember(name).offset_data


def foreign_tar(path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("README.md")
        tar.addfile(member, io.BytesIO())


def compressed(path: Path) -> None:
    write_backup(path)
    path.write_bytes(gzip.compress(path.read_bytes()))


def swapped(path: Path) -> None:
    """Exchanges two parts, each of which is good."""
    content = contents()
    content[parts.WAREHOUSE], content[parts.KESTRA] = (
        content[parts.KESTRA],
        content[parts.WAREHOUSE],
    )
    manifest = write_backup(path)
    write_backup(path, content, parts=manifest.parts)


def device() -> tarfile.TarInfo:
    member = tarfile.TarInfo("./disk")
    member.type = tarfile.BLKTYPE
    return member


def edited_part(field: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["parts"][parts.GLOBALS].update({field: value})


BAD: dict[str, tuple[Damage, str]] = {
    "an empty file": (lambda path: path.touch(), "not a tar archive"),
    "a text": (lambda path: path.write_text("a backup\n" * 999), "not a tar archive"),
    "zeros": (lambda path: path.write_bytes(bytes(20480)), "it lacks settings.yaml, state.json"),
    "another archive": (foreign_tar, 'no backup of Podium: it has a member "README.md"'),
    "a compressed archive": (compressed, "not a tar archive"),
    "cut in the first header": (cut(lambda _: 300), "not a tar archive"),
    "cut in a part": (cut(lambda path: data_of(path, parts.WAREHOUSE) + 99), "is damaged after"),
    "cut between parts": (cut(lambda path: data_of(path, parts.KESTRA) - 512), "it lacks kestra"),
    "without its manifest": (cut(lambda path: data_of(path, "manifest.json") - 512), "it lacks"),
    "cut in its manifest": (cut(lambda path: data_of(path, "manifest.json") + 9), "is damaged"),
    "a flipped bit in a dump": (flipped(parts.WAREHOUSE, 4999), "checksum of warehouse.dump"),
    "a flipped bit in the state": (flipped(parts.STATE, 30), "checksum of state.json"),
    "a flipped bit in the manifest": (flipped("manifest.json", 20), "checksum of its manifest"),
    "a flipped bit in a header": (flipped(parts.KESTRA, -300), "it lacks kestra.dump"),
    "two parts exchanged": (swapped, "warehouse.dump has"),
    "without a part": (with_parts(GLOBALS=None), "it lacks globals.sql"),
    "an empty part": (with_parts(GLOBALS=b""), "globals.sql is empty"),
    "a part twice": (with_member(parts.STATE), "has state.json twice"),
    "a path upwards": (with_member("../../etc/passwd"), 'a member "../../etc/passwd"'),
    "an absolute path": (with_member("/etc/passwd"), 'a member "/etc/passwd"'),
    "a link for a part": (
        with_member(parts.SETTINGS, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "settings.yaml is no regular file",
    ),
    "a manifest that is no JSON": (with_manifest_text(lambda _: "text"), "an invalid manifest"),
    "a manifest that lacks a field": (with_manifest_text(lambda m: m.pop("rows") and None), "rows"),
    "a field that is unknown": (with_manifest_text(lambda m: m.update(extra=1)), "extra"),
    "a later format": (with_manifest_text(lambda m: m.update(format=2)), "has format 2"),
    "another size": (with_manifest_text(edited_part("size", 5)), "instead of 5"),
    "another checksum": (
        with_manifest_text(edited_part("sha256", "0" * 64)),
        "checksum of globals.sql",
    ),
    "another project": (with_manifest(project="orchestra"), "of the project orchestra"),
    "a dump as SQL": (with_parts(WAREHOUSE=b"CREATE TABLE"), "warehouse.dump is of another format"),
    "a volume with a path upwards": (
        with_parts(KESTRA_STORAGE=volume("./../../etc/passwd")),
        'a member "./../../etc/passwd"',
    ),
    "a volume with an absolute path": (
        with_parts(PGADMIN_STORAGE=volume("/etc/passwd")),
        'a member "/etc/passwd"',
    ),
    "a volume with a device": (with_parts(PGADMIN_STORAGE=volume(device())), "a device"),
    "a volume that is no archive": (
        with_parts(KESTRA_STORAGE=b"files"),
        "kestra-storage.tar.gz cannot be unpacked",
    ),
    "a volume that was cut": (
        with_parts(KESTRA_STORAGE=volume("./file", content=bytes(range(256)) * 99)[:-400]),
        "kestra-storage.tar.gz cannot be unpacked",
    ),
    "settings that are none": (with_parts(SETTINGS=b"- a list"), "settings.yaml has no mapping"),
    "a state that is none": (with_parts(STATE=b"{"), "state.json cannot be read"),
    "a newer PostgreSQL": (
        with_manifest(versions={"postgres": "18.1"}),
        "postgresImage = postgres:17 cannot read",
    ),
    "an older major version of Kestra": (
        with_manifest(versions={"kestra": "1.3.25"}),
        "of kestra 1.3.25, which kestraImage = kestra/kestra:v2.0.0 cannot read",
    ),
    "a newer Kestra": (with_manifest(versions={"kestra": "2.1.0"}), "of kestra 2.1.0"),
    "more than the disk has": (with_manifest(data_size=10**18), "MB are free"),
}


@pytest.mark.parametrize(("damage", "reason"), BAD.values(), ids=BAD.keys())
def test_bad_archive_is_refused_before_anything_is_touched(
    command: CommandLine, tmp_path: Path, damage: Damage, reason: str
) -> None:
    path = tmp_path / "backup.tar"
    damage(path)
    result = command.run("restore", str(path))
    assert result.code == 1
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert acting(command) == []
    assert not (command.folder / ".podium").exists()


def test_missing_archive_is_refused(command: CommandLine) -> None:
    result = command.run("restore", "/no/such/file.tar")
    assert (result.code, result.stderr) == (
        1,
        "Error: /no/such/file.tar cannot be read: No such file or directory.\n",
    )


def test_wrong_passphrase_is_refused(
    command: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise click.ClickException("The passphrase is not the one")

    monkeypatch.setattr(checks, "check_passphrase", refuse)
    write_backup(path := tmp_path / "backup.tar")
    assert "The passphrase is not the one" in command.run("restore", str(path)).stderr
    assert acting(command) == []


def test_good_archive_names_files_of_executions(command: CommandLine, tmp_path: Path) -> None:
    write_backup(path := tmp_path / "backup.tar", contents(kestraPort="8090"))
    checked = check_archive(path, Stack("dev"))
    assert checked.settings["config"] == {"podium:kestraPort": "8090"}
    assert checked.state["deployment"]["resources"][0]["urn"].startswith("urn:pulumi:dev::podium::")
    (file,) = checked.files
    assert (file.execution, file.uri) == ("1a", f"kestra://{OUTPUT_FILE.removeprefix('./main')}")
    assert file.sha256 == hashlib.sha256(b"content").hexdigest()


@pytest.mark.parametrize(
    ("service", "version", "image"),
    [
        ("postgres", "17.11", "postgres:17"),
        ("postgres", "17.11", "postgres:18-alpine"),
        ("postgres", "17.11", "registry.example.com:5000/postgres@sha256:" + "0" * 64),
        ("kestra", "2.0.0", "kestra/kestra:v2.0.3"),
        ("kestra", "2.0.0", "kestra/kestra:v2.1.0"),
        ("kestra", "2.4.1", "kestra/kestra:latest"),
        ("kestra", "1.3.25", "kestra/kestra:v1.3"),
    ],
)
def test_image_of_the_same_or_a_newer_release_fits(
    tmp_path: Path, service: str, version: str, image: str
) -> None:
    manifest = write_backup(tmp_path / "backup.tar", versions={service: version})
    check_images(manifest, {f"{service}Image": image})


# The stack that is restored


class Steps:
    """What a restore does, in order; a test says which of it fails or is interrupted."""

    def __init__(self, command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.fails: dict[str, BaseException] = {}
        self.codes: dict[str, int] = {}
        self._command = command
        for name in ("create", "choose_parts", "_load_pgadmin", "_load", "verify_data"):
            monkeypatch.setattr(restore, name, self._step(name))
        for name in ("verify_kestra", "bring_up", "tear_down"):
            monkeypatch.setattr(restore, name, self._step(name))
        monkeypatch.setattr(restore, "read_flows", lambda _: {})

    def _step(self, name: str) -> Callable[..., Any]:
        def step(*arguments: Any, **_: Any) -> Any:
            self.done.append(name)
            if name in self.fails:
                raise self.fails.pop(name)
            if name == "bring_up":
                resources = [{"type": "pulumi-python:dynamic/resource:Resource", "urn": "flows"}]
                arguments[0].import_state({"deployment": {"resources": resources}})
            return Path("saved.tar") if name == "create" else self.codes.get(name, 0)

        return step


@pytest.fixture
def steps(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Steps:
    """What a restore does, none of which reaches a server."""
    return Steps(command, monkeypatch)


@pytest.fixture
def backup(tmp_path: Path) -> str:
    """A good backup."""
    write_backup(path := tmp_path / "backup.tar", contents(kestraPort="8090"))
    return str(path)


CREATED = ["choose_parts", "_load_pgadmin", "bring_up", "_load", "verify_data", "bring_up"]
VERIFIED = [*CREATED, "verify_kestra"]


def test_new_stack_gets_settings_and_secrets_before_it_comes_up(
    command: CommandLine, steps: Steps, backup: str
) -> None:
    result = command.run("restore", backup)
    assert (result.code, result.stderr) == (0, "")
    assert "Stack dev is restored and verified." in result.stdout
    assert steps.done == VERIFIED
    assert "kestraPort: '8090'" in (command.folder / ".podium/Pulumi.dev.yaml").read_text()
    assert acting(command)[:3] == [
        "pulumi stack init dev",
        "pulumi stack tag set podium:restore unfinished --stack dev",
        "pulumi stack import --stack dev",
    ]
    assert command.stack["tags"]["podium:restore"] == "finished"
    # The second `up` compares what the servers hold with the program.
    assert [item.get("initErrors") for item in command.stack["resources"]] == [None]


def test_stack_that_holds_something_is_refused(
    command: CommandLine, steps: Steps, backup: str
) -> None:
    command.add_stack(tag="official", resources=3, kestraPort="8080")
    before = command.stack
    result = command.run("restore", backup)
    assert result.code == 1
    assert "Stack dev is not empty; nothing was changed." in result.stderr
    assert "--replace" in result.stderr
    assert (steps.done, command.stack) == ([], before)


def test_replaced_stack_is_backed_up_before_it_is_deleted(
    command: CommandLine, steps: Steps, backup: str
) -> None:
    command.add_stack(tag="official", resources=3)
    result = command.run("restore", backup, "--replace")
    assert (result.code, result.stderr) == (0, "")
    assert steps.done == ["create", "tear_down", *VERIFIED]
    assert "What is replaced is in saved.tar" in result.stdout


def test_stack_without_a_backup_is_not_replaced(
    command: CommandLine, steps: Steps, backup: str
) -> None:
    command.add_stack(tag="official", resources=3)
    before = command.stack
    steps.fails["create"] = click.ClickException("kestra is unhealthy")
    assert "kestra is unhealthy" in command.run("restore", backup, "--replace").stderr
    assert (steps.done, command.stack) == (["create"], before)


def test_empty_stack_is_restored_without_a_backup(
    command: CommandLine, steps: Steps, backup: str
) -> None:
    command.add_stack(tag="official", resources=0, kestraPort="8080")
    assert command.run("restore", backup).code == 0
    assert steps.done == ["tear_down", *VERIFIED]
    assert "kestraPort: '8090'" in (command.folder / ".podium/Pulumi.dev.yaml").read_text()


@pytest.mark.parametrize("step", ["choose_parts", "bring_up", "_load", "verify_data"])
def test_interrupted_restore_begins_anew_without_replace(
    command: CommandLine, steps: Steps, backup: str, step: str
) -> None:
    steps.fails[step] = KeyboardInterrupt()
    assert command.run("restore", backup).code == 130
    assert command.stack["tags"]["podium:restore"] == "unfinished"
    steps.done.clear()
    assert command.run("restore", backup).code == 0
    # What was half restored is nobody's data.
    assert steps.done == ["tear_down", *VERIFIED]
    assert command.stack["tags"]["podium:restore"] == "finished"
    assert "is not empty" in command.run("restore", backup).stderr


def test_interrupted_replacement_is_not_backed_up_again(
    command: CommandLine, steps: Steps, backup: str
) -> None:
    command.add_stack(tag="official", resources=3)
    steps.fails["tear_down"] = KeyboardInterrupt()
    assert command.run("restore", backup, "--replace").code == 130
    steps.done.clear()
    assert command.run("restore", backup, "--replace").code == 0
    assert steps.done == ["tear_down", *VERIFIED]


def test_what_a_killed_restore_left_on_docker_is_removed(
    command: CommandLine, steps: Steps, backup: str
) -> None:
    command.add_stack(tag="official", resources=0)
    stacks = {"dev": command.stack | {"tags": {"podium:restore": "unfinished"}}}
    command.set(stacks=stacks)
    for kind in ("containers", "volumes", "networks"):
        things = getattr(command.docker, kind)
        things.add(Thing("podium-dev-left"))
        things.add(Thing("other", labels=("podium.project=podium", "podium.stack=other")))
    assert command.run("restore", backup).code == 0
    for kind in ("containers", "volumes", "networks"):
        filters = {"label": list(LABELS)}
        assert getattr(command.docker, kind).list(filters=filters) == []
        assert getattr(command.docker, kind).get("other")


def test_things_of_a_stack_that_pulumi_does_not_know_are_refused(
    command: CommandLine, steps: Steps, backup: str
) -> None:
    command.docker.volumes.add(Thing("podium-dev-postgres-data"))
    result = command.run("restore", backup, "--replace")
    assert "but Docker has podium-dev-postgres-data; nothing was changed" in result.stderr
    assert steps.done == []


def test_protected_volumes_are_not_replaced(
    command: CommandLine, steps: Steps, backup: str
) -> None:
    kind = "docker:index/volume:Volume"
    command.set_state([{"type": kind, "urn": f"{kind}::postgres-data", "protect": True}])
    command.docker.volumes.add(Thing("podium-dev-postgres-data"))
    result = command.run("restore", backup, "--replace")
    assert "postgres-data are protected; nothing was changed" in result.stderr
    assert steps.done == []


def test_stack_that_does_not_come_up_can_be_restored_again(
    command: CommandLine, steps: Steps, backup: str
) -> None:
    steps.codes["bring_up"] = 1
    result = command.run("restore", backup)
    assert result.stderr == "Error: Stack dev did not come up: restore it once more.\n"
    assert command.stack["tags"]["podium:restore"] == "unfinished"


def test_failed_check_fails_the_restore(
    command: CommandLine, steps: Steps, backup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_difference(verification: Any, *_: object) -> None:
        def fail() -> str:
            raise click.ClickException("trips.yellow has 1 instead of 2")

        verification.check("Rows of the warehouse", fail)

    monkeypatch.setattr(restore, "verify_data", find_difference)
    result = command.run("restore", backup)
    assert result.code == 1
    assert "FAILED: trips.yellow has 1 instead of 2" in result.stdout
    assert result.stderr == "Error: The restored stack differs: Rows of the warehouse.\n"
    assert command.stack["tags"]["podium:restore"] == "unfinished"


def test_folder_of_another_machine_is_left_out(
    command: CommandLine, steps: Steps, tmp_path: Path
) -> None:
    write_backup(path := tmp_path / "backup.tar", contents(taxiSource="/no/such/folder"))
    result = command.run("restore", str(path))
    assert "taxiSource = /no/such/folder does not exist here" in result.stdout
    assert "taxiSource" not in (command.folder / ".podium/Pulumi.dev.yaml").read_text()


# The throw-away stack


@pytest.fixture
def isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Kestra on a network of its own."""
    monkeypatch.setattr(restore, "_isolated", lambda _: nullcontext("http://172.18.0.3:8080"))


THROWN_AWAY = [*CREATED[:-1], "verify_kestra", "tear_down"]


def test_verified_backup_leaves_no_stack(
    command: CommandLine, steps: Steps, backup: str, isolated: None
) -> None:
    result = command.run("backup", "--verify", backup)
    assert (result.code, result.stderr) == (0, "")
    assert f"{backup} is good" in result.stdout
    assert steps.done == THROWN_AWAY
    assert "pulumi stack init alice-verify" in command.calls
    assert "pulumi stack rm --yes alice-verify" in command.calls
    assert not list((command.folder / ".podium").glob("*alice-verify*"))


@pytest.mark.parametrize("step", ["choose_parts", "bring_up", "_load", "verify_kestra"])
def test_verification_that_fails_leaves_no_stack(
    command: CommandLine, steps: Steps, backup: str, isolated: None, step: str
) -> None:
    steps.fails[step] = click.ClickException("no")
    result = command.run("backup", "--verify", backup)
    assert (result.code, result.stderr) == (1, "Error: no\n")
    assert steps.done[-1] == "tear_down"
    assert "pulumi stack rm --yes alice-verify" in command.calls


def test_throw_away_stack_runs_no_schedule(
    command: CommandLine,
    steps: Steps,
    backup: str,
    isolated: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings: list[str] = []
    path = command.folder / ".podium/Pulumi.alice-verify.yaml"
    monkeypatch.setattr(restore, "choose_parts", lambda _: settings.append(path.read_text()))
    assert command.run("backup", "--verify", backup).code == 0
    for line in ("schedulesEnabled: 'false'", "kestraDockerSocket: 'false'"):
        assert f"podium:{line}" in settings[0]


def test_stack_of_that_name_is_not_thrown_away(
    command: CommandLine, steps: Steps, backup: str, isolated: None
) -> None:
    resource = {"type": "pulumi:pulumi:Stack", "urn": "urn"}
    stack = {"tags": {}, "config": {}, "resources": [resource], "pending_operations": []}
    command.set(stacks={"alice-verify": stack})
    result = command.run("backup", "--verify", backup)
    assert "Stack alice-verify is not empty; nothing was changed" in result.stderr
    assert steps.done == []
