"""podium backup: what it writes, and what it refuses; the checks of a restored stack."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import httpx
import pytest
import yaml
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cli import services
from cli.backup import create, verify
from cli.backup import manifest as parts
from cli.backup.archive import Archive
from cli.backup.streams import read_from, write_to
from cli.backup.verify import OutputFile, Verification, verify_data, verify_kestra
from cli.stack import Stack
from infra.kestra.client import KestraClient
from tests.unit.cli.backups import state
from tests.unit.cli.command_line import CommandLine
from tests.unit.cli.fake_docker import Thing

ROWS = {"trips.yellow_2019_01": 10000, "quality.loads": 3}
ENCRYPTED = "io.kestra.datatype:aes_encrypted"


class FakeServer:
    """A PostgreSQL server whose dumps are short."""

    version = "17.11"
    failing = ""

    @classmethod
    def of(cls, _: Stack) -> FakeServer:
        return cls()

    def sizes(self) -> dict[str, int]:
        return {"ny_taxi": 1000, "kestra": 200, "postgres": 7}

    def reading(self, database: str) -> Any:
        assert database == "ny_taxi"
        return nullcontext((iter([b"PGDMPny_taxi"]), "connection"))

    def read_globals(self) -> Iterator[bytes]:
        yield b"CREATE ROLE etl;"

    def read_database(self, name: str) -> Iterator[bytes]:
        yield b"PGDMP" + name.encode()
        if name == FakeServer.failing:
            raise click.ClickException("docker exec ... failed: pg_dump: error")


@pytest.fixture
def command(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """A stack that is up, whose volumes and databases are small."""
    command.set_state(state("dev")["deployment"]["resources"])
    command.write_settings("dev", kestraPort="8090")
    command.set(outputs=command.outputs | {"kestraDatabase": "kestra"})
    for service in ("postgres", "kestra", "pgadmin"):
        thing = command.docker.containers.add(Thing(f"podium-dev-{service}"))
        thing.image = SimpleNamespace(tags=[f"{service}:1"])  # type: ignore[attr-defined]

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"version": "2.0.0"})

    def client(*login: str, wait: float) -> KestraClient:
        return KestraClient(*login, wait=wait, transport=httpx.MockTransport(answer))

    def read_volume(image: str, volume: str, left_out: Any = ()) -> Iterator[bytes]:
        yield f"{image} {volume} without {len(left_out)}".encode()

    monkeypatch.setattr(FakeServer, "failing", "")
    monkeypatch.setattr(create, "Server", FakeServer)
    monkeypatch.setattr(services, "KestraClient", client)
    monkeypatch.setattr(create, "read_volume", read_volume)
    monkeypatch.setattr(create, "volume_size", lambda *_: 30)
    monkeypatch.setattr(create, "read_pgadmin", lambda name: [name.encode()])
    monkeypatch.setattr(create, "count_rows", lambda _: ROWS)
    return command


def test_backup_has_all_that_the_stack_holds(command: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "backup.tar"
    result = command.run("backup", "--to", str(path))
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout.endswith("0.0 MB, 10,003 rows in 2 tables of the warehouse\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    archive = Archive(path)
    manifest = archive.manifest
    assert (manifest.project, manifest.stack) == ("podium", "dev")
    assert manifest.versions == {"postgres": "17.11", "kestra": "2.0.0"}
    assert manifest.images == {name: f"{name}:1" for name in ("postgres", "kestra", "pgadmin")}
    assert (manifest.rows, manifest.data_size) == (ROWS, 1260)
    read = {name: archive.read(name).decode() for name in parts.PARTS}
    assert yaml.safe_load(read[parts.SETTINGS])["config"] == {"podium:kestraPort": "8090"}
    assert "postgres-password" in read.pop(parts.STATE)
    assert read | {parts.SETTINGS: ""} == {
        parts.SETTINGS: "",
        parts.GLOBALS: "CREATE ROLE etl;",
        parts.WAREHOUSE: "PGDMPny_taxi",
        parts.KESTRA: "PGDMPkestra",
        parts.KESTRA_STORAGE: "postgres:1 podium-dev-kestra-data without 0",
        parts.PGADMIN: "podium-dev-pgadmin",
        parts.PGADMIN_STORAGE: "postgres:1 podium-dev-pgadmin-data without 3",
    }


def test_backup_goes_to_a_folder_of_the_project_and_status_shows_it(command: CommandLine) -> None:
    assert command.run("backup").code == 0
    (path,) = (command.folder / "backups").iterdir()
    assert path.name.startswith("podium-dev-20")
    tag = command.stack["tags"]["podium:backup"]
    assert tag.endswith(f" {path}")
    found = create.last_backup(Stack("dev"))
    assert found
    assert found.path == str(path)
    assert "0 minutes ago" in str(found)


@pytest.mark.parametrize(
    ("hours", "age"), [(0.5, "30 minutes ago"), (5, "5 hours ago"), (75, "3 days ago")]
)
def test_age_of_the_last_backup(hours: float, age: str) -> None:
    created = datetime.now(UTC) - timedelta(hours=hours)
    assert str(create.LastBackup(created, "file.tar")).endswith(f"({age}), file.tar")


def test_failed_dump_leaves_no_file(command: CommandLine, tmp_path: Path) -> None:
    FakeServer.failing = "kestra"
    result = command.run("backup", "--to", str(tmp_path / "new/backup.tar"))
    assert (result.code, result.stderr) == (1, "Error: docker exec ... failed: pg_dump: error\n")
    assert os.listdir(tmp_path / "new") == []
    assert "podium:backup" not in command.stack["tags"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda thing: thing.stop(timeout=1), "pgadmin is exited, and a backup needs all services"),
        (lambda thing: thing.remove(), "pgadmin is missing, and a backup needs all services"),
        (lambda thing: thing.reload(), "pgadmin is starting, and a backup needs all services"),
    ],
)
def test_service_that_does_not_run_is_an_error(
    command: CommandLine, change: Any, reason: str
) -> None:
    change(command.docker.containers.get("podium-dev-pgadmin"))
    assert reason in command.run("backup").stderr
    assert not (command.folder / "backups").exists()


def test_stack_that_is_not_up_is_an_error(command: CommandLine) -> None:
    result = command.run("--stack", "other", "backup")
    assert (result.code, result.stderr) == (
        1,
        "Error: Stack other is not up: ./podium --stack other up\n",
    )


def test_secrets_that_pulumi_cloud_keeps_are_refused(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stack, "deployment", {"secrets_providers": {"type": "service"}})
    result = command.run("backup")
    assert "Pulumi Cloud keeps the key to the secrets of stack dev" in result.stderr
    assert not (command.folder / "backups").exists()


@pytest.mark.parametrize("option", ["--to", "--keep"])
def test_backup_and_its_verification_exclude_each_other(command: CommandLine, option: str) -> None:
    result = command.run("backup", option, "1", "--verify", "b")
    assert "--to, --keep and --verify exclude each other" in result.stderr


def test_backups_beyond_those_to_keep_are_deleted(command: CommandLine) -> None:
    folder = command.folder / "backups"
    folder.mkdir()
    names = [f"podium-dev-2025010{day}T120000Z.tar" for day in (1, 2, 3)]
    others = ["podium-other-20250101T120000Z.tar", "podium-dev-mine.tar"]
    for name in names + others:
        (folder / name).touch()
    assert command.run("backup", "--keep", "2").code == 0
    left = {path.name for path in folder.iterdir()}
    assert left > {names[2], *others}
    assert len(left) == 4


def test_backup_that_fails_deletes_no_other(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stack, "deployment", {"secrets_providers": {"type": "service"}})
    (folder := command.folder / "backups").mkdir()
    for day in (1, 2):
        (folder / f"podium-dev-2025010{day}T120000Z.tar").touch()
    assert command.run("backup", "--keep", "1").code == 1
    assert len(list(folder.iterdir())) == 2


# The programs in the containers


def test_output_of_a_program_is_read() -> None:
    assert b"".join(read_from(["seq", "300000"])).endswith(b"\n300000\n")


def test_failed_program_is_an_error_with_its_end() -> None:
    with pytest.raises(click.ClickException) as error:
        list(read_from(["sh", "-c", "echo half; seq 99 >&2; exit 3"]))
    assert error.value.message.endswith("98\n99")
    assert "\n79\n" not in error.value.message


def test_program_gets_its_input(tmp_path: Path) -> None:
    write_to(["sh", "-c", f"cat >{tmp_path}/got"], iter([b"one", b"two"]))
    assert (tmp_path / "got").read_bytes() == b"onetwo"


def test_program_that_does_not_take_its_input_says_why() -> None:
    chunks = iter([bytes(1 << 20)] * 9)
    with pytest.raises(click.ClickException, match="no space left"):
        write_to(["sh", "-c", "echo no space left >&2; exit 1"], chunks)


def test_input_that_fails_ends_the_program() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise click.ClickException("the archive is damaged")

    begin = time.monotonic()
    with pytest.raises(click.ClickException, match="the archive is damaged"):
        write_to(["sh", "-c", "cat; sleep 20"], chunks())
    assert time.monotonic() - begin < 10


def test_interrupted_read_ends_the_program(tmp_path: Path) -> None:
    script = (
        "from cli.backup.streams import read_from\n"
        "for chunk in read_from(['sh', '-c', 'echo $$; exec sleep 60']): print(chunk, flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[3], stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) != 0


# The checks of a restored stack


def check(action: str, *arguments: Any) -> str:
    """Runs one of the checks and returns its result."""
    verification = Verification()
    verification.check("it", lambda: getattr(verify, action)(*arguments))
    return verification.results["it"]


class Restored:
    """A server with what a test says."""

    def __init__(self, row: Any = None) -> None:
        self._row = row
        self.logins: list[tuple[str, ...]] = []

    def connect(self, _: str) -> Any:
        result = SimpleNamespace(fetchone=lambda: self._row)
        return nullcontext(SimpleNamespace(execute=lambda _: result))

    def log_in(self, *login: str) -> None:
        self.logins.append(login)

    def check(self, databases: list[str]) -> str:
        return f"clean {databases}"


@pytest.mark.parametrize(
    ("found", "result"),
    [
        (ROWS, "10,003 in 2 tables, as in the backup"),
        (ROWS | {"quality.loads": 2}, "FAILED: quality.loads has 2 instead of 3"),
        ({"quality.loads": 3}, "FAILED: trips.yellow_2019_01 has None instead of 10000"),
        (ROWS | {"trips.more": 1}, "FAILED: trips.more has 1 instead of None"),
    ],
)
def test_rows_are_compared(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, int], result: str
) -> None:
    monkeypatch.setattr(verify, "count_rows", lambda _: found)
    assert check("_rows", Restored(), "ny_taxi", ROWS) == result


@pytest.mark.parametrize(
    ("same_key", "result"),
    [(True, "decrypted"), (False, "FAILED: Kestra's key is not the one that encrypted them")],
)
def test_secret_is_decrypted_by_the_key_of_the_server(
    command: CommandLine, same_key: bool, result: str
) -> None:
    key, nonce = os.urandom(32), os.urandom(12)
    sealed = base64.b64encode(nonce + AESGCM(key).encrypt(nonce, b"secret", None)).decode()
    execution = {"inputs": [{"token": {"type": ENCRYPTED, "value": sealed}}]}
    used = base64.b64encode(key if same_key else os.urandom(32)).decode()
    configuration = yaml.safe_dump({"kestra": {"encryption": {"secret-key": used}}})
    container = command.docker.containers.get("podium-dev-kestra")
    container.files["/app/confs/application.yml"] = configuration.encode()
    assert check("_secret", Restored([execution]), "kestra", Stack("dev")) == result


@pytest.mark.parametrize("row", [None, [{"inputs": {"token": "plain"}}]])
def test_stack_without_secrets_says_that_none_was_checked(row: Any) -> None:
    assert check("_secret", Restored(row), "kestra", None).startswith("not checked")


def test_every_role_logs_in(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    role = "postgresql:index/role:Role"
    secret = {"plaintext": '"Secret-2"'}
    resources = [
        {
            "type": role,
            "urn": f"{role}::{name}-role",
            "inputs": {"password": secret},
            "outputs": {"name": name},
        }
        for name in ("reader", "kestra")
    ]
    monkeypatch.setattr(Stack, "export", lambda *_, **__: {"deployment": {"resources": resources}})
    server = Restored()
    assert check("_logins", server, Stack("dev")) == "postgres, kestra, reader"
    assert server.logins == [("ny_taxi", "reader", "Secret-2"), ("kestra", "kestra", "Secret-2")]


def test_all_checks_of_the_data_are_made(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "Server", SimpleNamespace(of=lambda _: Restored()))
    monkeypatch.setattr(verify, "count_rows", lambda _: ROWS)
    databases = {parts.WAREHOUSE: "ny_taxi", parts.KESTRA: "kestra"}
    manifest: Any = SimpleNamespace(databases=databases, rows=ROWS)
    verification = Verification()
    monkeypatch.setattr(Stack, "export", lambda *_, **__: {"deployment": {"resources": []}})
    verify_data(verification, Stack("dev"), manifest)
    assert list(verification.results.values()) == [
        "10,003 in 2 tables, as in the backup",
        "clean ['ny_taxi', 'kestra']",
        "postgres",
        "not checked: no execution has one",
    ]


FILES = [
    OutputFile(name, f"kestra:///{name}.txt", hashlib.sha256(b"content").hexdigest())
    for name in ("purged", "kept")
]


@pytest.mark.parametrize(
    ("content", "files", "result"),
    [
        (b"content", FILES, "7 bytes, as in the backup"),
        (b"other", FILES, "FAILED: kestra:///kept.txt has another content"),
        (b"content", FILES[:1], "not checked: no execution has a file"),
        (b"content", [], "not checked: no execution has a file"),
    ],
)
def test_file_of_an_execution_is_downloaded(
    monkeypatch: pytest.MonkeyPatch, content: bytes, files: list[OutputFile], result: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/executions/kept/file"):
            assert request.url.params["path"] == "kestra:///kept.txt"
            return httpx.Response(200, content=content)
        if request.url.path.endswith("/file"):
            return httpx.Response(404)
        if request.url.path.endswith("/flows/validate"):
            refused = {"constraints": "no such task"} if b"gone" in request.content else {}
            return httpx.Response(200, json=[refused])
        return httpx.Response(200, json={"version": "2.0.0", "results": []})

    def client(*login: str, wait: float) -> KestraClient:
        return KestraClient(*login, wait=wait, transport=httpx.MockTransport(answer))

    monkeypatch.setattr(verify, "KestraClient", client)
    verification = Verification()
    login = ("http://localhost:8080", "me", "secret")
    verify_kestra(verification, login, files, {"a/b": "id: b"})
    assert verification.results == {
        "Kestra": "2.0.0, healthy, login accepted",
        "Output of an execution": result,
        "Flows": "all 1 accepted",
    }
    verify_kestra(verification, login, files, {"a/b": "id: b", "a/c": "type: gone"})
    assert verification.results["Flows"] == "FAILED: a/c: no such task"


def test_kestra_that_does_not_answer_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def client(*login: str, wait: float) -> KestraClient:
        transport = httpx.MockTransport(lambda _: httpx.Response(401, text="no"))
        return KestraClient(*login, wait=0, transport=transport)

    monkeypatch.setattr(verify, "KestraClient", client)
    verification = Verification()
    verify_kestra(verification, ("http://localhost:8080", "me", "secret"), FILES, {"a/b": "id: b"})
    assert verification.failed == ["Kestra", "Output of an execution", "Flows"]
    message = r"differs: Kestra, Output of an execution, Flows\."
    with pytest.raises(click.ClickException, match=message):
        verification.report()
