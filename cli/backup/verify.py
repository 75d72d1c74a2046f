"""Whether a restored stack is what was backed up: each check with its result."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import click
import psycopg
import yaml
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cli.backup import manifest as parts
from cli.backup.manifest import Manifest
from cli.backup.parts import Server, count_rows
from cli.output import print_table
from cli.services import list_containers, read_file
from cli.stack import Stack
from infra.kestra.client import KestraClient, KestraError
from infra.kestra_server import CONFIGURATION_FILE

_KESTRA_SECONDS = 60.0
_ROLE = "postgresql:index/role:Role"
_ENCRYPTED = "io.kestra.datatype:aes_encrypted"
# An execution whose inputs or outputs have a secret.
_WITH_SECRET = f"SELECT value FROM executions WHERE value::text LIKE '%{_ENCRYPTED}%' LIMIT 1"
# The last revision of each flow, which for one that was deleted says so.
_FLOWS = """
SELECT namespace || '/' || id, source_code FROM (
  SELECT DISTINCT ON (namespace, id) * FROM flows ORDER BY namespace, id, revision DESC
) AS last WHERE NOT deleted
"""
# AES in Galois/Counter Mode, with these first bytes as its nonce (Kestra's EncryptionService).
_NONCE = 12
_TABLES_SHOWN = 5


class OutputFile(NamedTuple):
    """A file that an execution has left in Kestra's storage.

    Attributes:
        execution: the execution's id.
        uri: how Kestra names the file.
        sha256: its SHA-256, in hexadecimal.
    """

    execution: str
    uri: str
    sha256: str


@dataclass
class Verification:
    """The checks so far.

    Attributes:
        results: what each check came to, by its name.
        failed: the names of those that failed.
    """

    results: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def check(self, name: str, action: Callable[[], str]) -> None:
        """Runs a check, whose errors are its result."""
        try:
            self.results[name] = action()
        except (click.ClickException, KestraError, psycopg.Error) as error:
            text = error.message if isinstance(error, click.ClickException) else str(error)
            self.results[name] = f"FAILED: {text}"
            self.failed.append(name)

    def report(self) -> None:
        """Prints all checks.

        Raises:
            click.ClickException: one has failed.
        """
        print_table(("Check", "Result"), [list(item) for item in self.results.items()])
        if self.failed:
            raise click.ClickException(f"The restored stack differs: {', '.join(self.failed)}.")


def verify_data(verification: Verification, stack: Stack, manifest: Manifest) -> None:
    """Checks the databases, before anything else works on them."""
    server = Server.of(stack)
    warehouse, kestra = (manifest.databases[part] for part in (parts.WAREHOUSE, parts.KESTRA))
    verification.check("Rows of the warehouse", lambda: _rows(server, warehouse, manifest.rows))
    verification.check("pg_amcheck", lambda: server.check([warehouse, kestra]))
    verification.check("Logins of all roles", lambda: _logins(server, stack))
    verification.check("Secrets in executions", lambda: _secret(server, kestra, stack))


def verify_kestra(
    verification: Verification,
    login: Sequence[str],
    files: Sequence[OutputFile],
    flows: Mapping[str, str],
) -> None:
    """Checks a Kestra that runs.

    Args:
        verification: where the results go.
        login: URL, user and password.
        files: files that executions have left.
        flows: the texts of the flows that it holds, by their names.
    """
    url, user, password = login
    with KestraClient(url, user, password, wait=_KESTRA_SECONDS) as client:
        verification.check("Kestra", lambda: _answer(client))
        verification.check("Output of an execution", lambda: _download(client, files))
        verification.check("Flows", lambda: _accept(client, flows))


def read_flows(stack: Stack) -> dict[str, str]:
    """Returns the text of each flow in Kestra's database, by its namespace and id."""
    with Server.of(stack).connect(str(stack.outputs["kestraDatabase"])) as connection:
        return dict(connection.execute(_FLOWS).fetchall())


def _rows(server: Server, database: str, expected: Mapping[str, int]) -> str:
    with server.connect(database) as connection:
        found = count_rows(connection)
    different = [
        f"{table} has {found.get(table)} instead of {expected.get(table)}"
        for table in sorted({*found, *expected})
        if found.get(table) != expected.get(table)
    ]
    if different:
        raise click.ClickException("; ".join(different[:_TABLES_SHOWN]))
    return f"{sum(expected.values()):,} in {len(expected)} tables, as in the backup"


def _logins(server: Server, stack: Stack) -> str:
    """Logs in as each role that the stack has, with its password."""
    outputs = stack.outputs
    users = []
    for item in stack.export(show_secrets=True)["deployment"]["resources"]:
        if item["type"] == _ROLE:
            owns = item["urn"].endswith("::kestra-role")
            database = outputs["kestraDatabase" if owns else "warehouseDatabase"]
            user = item["outputs"]["name"]
            server.log_in(database, user, _plain(item["inputs"]["password"]))
            users.append(user)
    return ", ".join([outputs["postgresUser"], *sorted(users)])


def _plain(value: Any) -> str:
    """Returns a property, which is a JSON text where it is a secret."""
    return str(json.loads(value["plaintext"])) if isinstance(value, dict) else str(value)


def _secret(server: Server, database: str, stack: Stack) -> str:
    """Decrypts a secret of an execution by the key of the server that runs."""
    with server.connect(database) as connection:
        row = connection.execute(_WITH_SECRET).fetchone()
    secret = next(_encrypted(row[0]), None) if row else None
    if secret is None:
        return "not checked: no execution has one"
    container = list_containers(stack)["kestra"]
    configuration = yaml.safe_load(read_file(container, CONFIGURATION_FILE))
    key = base64.b64decode(configuration["kestra"]["encryption"]["secret-key"])
    sealed = base64.b64decode(secret)
    try:
        AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
    except (InvalidTag, ValueError) as error:
        raise click.ClickException("Kestra's key is not the one that encrypted them") from error
    return "decrypted"


def _encrypted(value: Any) -> Iterator[str]:
    """Yields the encrypted values in an execution."""
    if isinstance(value, dict):
        if value.get("type") == _ENCRYPTED:
            yield value["value"]
        for item in value.values():
            yield from _encrypted(item)
    elif isinstance(value, list):
        for item in value:
            yield from _encrypted(item)


def _answer(client: KestraClient) -> str:
    client.connect()
    return f"{client.version}, healthy, login accepted"


def _accept(client: KestraClient, flows: Mapping[str, str]) -> str:
    """Has the server validate flows, which another release may have taken."""
    refused = [
        f"{name}: {reason}"
        for name, text in flows.items()
        if (reason := client.validate_flow(text).get("constraints"))
    ]
    if refused:
        raise click.ClickException("; ".join(refused))
    return f"all {len(flows)} accepted"


def _download(client: KestraClient, files: Sequence[OutputFile]) -> str:
    """Downloads the first file whose execution Kestra still has."""
    for file in files:
        content = client.get_execution_file(file.execution, file.uri)
        if content is None:
            continue
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise click.ClickException(f"{file.uri} has another content")
        return f"{len(content):,} bytes, as in the backup"
    return "not checked: no execution has a file"
