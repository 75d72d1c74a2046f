"""Archives of backups: a good one, and what can be wrong with one."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.backup import manifest as parts
from cli.backup.archive import ArchiveWriter
from cli.backup.manifest import Manifest

SALT = "v1:salt:v1:nonce:sealed"
OUTPUT_FILE = "./main/zoomcamp/hello/executions/1a/tasks/write/2b/3.txt"


def state(stack: str = "alice", project: str = "podium") -> dict[str, Any]:
    """Returns the state of a stack with a generated password, a volume and a provider."""

    def urn(kind: str, name: str) -> str:
        return f"urn:pulumi:{stack}::{project}::{kind}::{name}"

    root = urn("pulumi:pulumi:Stack", f"{project}-{stack}")
    component = urn("podium:infra:Postgres", "postgres")
    provider = urn("pulumi:providers:random", "default")
    nested = "podium:infra:Postgres$random:index/randomPassword:RandomPassword"
    resources = [
        {"urn": root, "custom": False, "type": "pulumi:pulumi:Stack", "outputs": {"url": "x"}},
        {
            "urn": component,
            "custom": False,
            "type": "podium:infra:Postgres",
            "parent": root,
            "outputs": {"password": "sealed"},
        },
        {"urn": urn("podium:infra:Network", "network"), "custom": False, "type": "podium:infra:N"},
        {"urn": provider, "custom": True, "id": "1", "type": "pulumi:providers:random"},
        {
            "urn": urn(nested, "postgres-password"),
            "custom": True,
            "id": "none",
            "type": "random:index/randomPassword:RandomPassword",
            "outputs": {"result": {"ciphertext": "sealed"}},
            "parent": component,
            "provider": f"{provider}::1",
        },
        {
            "urn": urn("docker:index/volume:Volume", "postgres-data"),
            "custom": True,
            "id": "podium-alice-postgres-data",
            "type": "docker:index/volume:Volume",
            "parent": component,
        },
    ]
    providers = {"type": "passphrase", "state": {"salt": SALT}}
    deployment = {"secrets_providers": providers, "resources": resources}
    return {"version": 3, "deployment": deployment | {"pending_operations": [{"type": "creating"}]}}


def volume(*members: tarfile.TarInfo | str, content: bytes = b"content") -> bytes:
    """Returns the archive of a volume: files by their names, or any other members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, str):
                member = tarfile.TarInfo(member)
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return buffer.getvalue()


def contents(**settings: Any) -> dict[str, bytes]:
    """Returns the parts of a good backup of the stack "alice"."""
    config = {f"podium:{key}": value for key, value in settings.items()}
    return {
        parts.SETTINGS: json.dumps({"encryptionsalt": SALT, "config": config}).encode(),
        parts.STATE: json.dumps(state()).encode(),
        parts.GLOBALS: b"CREATE ROLE etl;\n",
        parts.WAREHOUSE: b"PGDMP" + bytes(5000),
        parts.KESTRA: b"PGDMP" + bytes(700),
        parts.KESTRA_STORAGE: volume(OUTPUT_FILE),
        parts.PGADMIN: b"SQLite format 3\0" + bytes(600),
        parts.PGADMIN_STORAGE: volume("./storage/me/query.sql"),
    }


def write_backup(
    path: Path, content: Mapping[str, bytes] | None = None, **changes: Any
) -> Manifest:
    """Writes an archive and returns its manifest.

    Args:
        path: the file.
        content: its parts.
        changes: what its manifest has otherwise.
    """
    with path.open("w+b") as file:
        writer = ArchiveWriter(file)
        for name, part in (content or contents()).items():
            writer.add(name, [part])
        manifest = Manifest(
            project="podium",
            stack="alice",
            created=datetime(2026, 11, 27, 12, tzinfo=UTC),
            images={"postgres": "postgres:17"},
            versions={"postgres": "17.11", "kestra": "2.0.0"},
            databases={parts.WAREHOUSE: "ny_taxi", parts.KESTRA: "kestra"},
            data_size=1000,
            rows={"trips.yellow_2019_01": 10000},
            parts=dict(writer.parts),
        )
        manifest = manifest.model_copy(update=changes)
        writer.finish(manifest)
    return manifest
