"""The offline provider for PostgreSQL on a real server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from offline.providers.postgresql import (
    PROVIDER,
    Database,
    DefaultPrivileges,
    Extension,
    Grant,
    GrantRole,
    Role,
    Schema,
)
from offline.tests.provider_host import (
    Deploy,
    Deployed,
    OperationError,
    ProviderHost,
    deploying,
    hosting,
)
from tests.kestra.servers import PostgresServer

PASSWORD = "it's a \\ secret"


@pytest.fixture(scope="module")
def host(postgres: PostgresServer) -> Iterator[ProviderHost]:
    with hosting(
        PROVIDER,
        host=postgres.host,
        port=postgres.port,
        username=postgres.user,
        password=postgres.password,
        sslmode="disable",
    ) as started:
        yield started


@pytest.fixture
def suffix() -> str:
    return secrets.token_hex(4)


@pytest.fixture
def deploy(host: ProviderHost) -> Iterator[Deploy]:
    """Creates resources that are deleted after the test."""
    with deploying(host) as create:
        yield create


@pytest.fixture
def owner(deploy: Deploy, suffix: str) -> str:
    return deploy(Role, name=f"owner_{suffix}", login=True, password=PASSWORD).id


@pytest.fixture
def reader(deploy: Deploy, suffix: str) -> str:
    return deploy(Role, name=f"reader_{suffix}", login=True, password=PASSWORD).id


@pytest.fixture
def database(deploy: Deploy, owner: str, suffix: str) -> str:
    return deploy(Database, name=f"db_{suffix}", owner=owner).id


@pytest.fixture
def schema(deploy: Deploy, database: str, owner: str) -> str:
    return str(
        deploy(Schema, name="trips", database=database, owner=owner, dropCascade=True).outputs[
            "name"
        ]
    )


@pytest.fixture
def on_table(database: str, schema: str, reader: str) -> dict[str, Any]:
    """The inputs of a grant on the tables of the schema."""
    return {
        "database": database,
        "schema": schema,
        "role": reader,
        "objectType": "table",
        "privileges": ["SELECT"],
    }


def value(server: PostgresServer, query: str, *parameters: Any, dbname: str = "postgres") -> Any:
    with server.connect(dbname) as connection:
        row = connection.execute(query, parameters).fetchone()
        return row and row[0]


def execute(server: PostgresServer, dbname: str, *commands: str, user: str | None = None) -> None:
    with server.connect(dbname, user, PASSWORD if user else None) as connection:
        for command in commands:
            connection.execute(command)


def refreshed(host: ProviderHost, resource: Deployed) -> Deployed:
    found = host.refresh(resource)
    assert found
    return found


def test_role(host: ProviderHost, postgres: PostgresServer, deploy: Deploy, suffix: str) -> None:
    group = deploy(Role, name=f"group_{suffix}").id
    inputs = {
        "name": f'Odd "name" {suffix}',
        "login": True,
        "password": PASSWORD,
        "createDatabase": True,
        "connectionLimit": 5,
        "validUntil": "2040-01-01 00:00:00+00",
        "roles": [group],
        "searchPaths": ["trips", "Odd one"],
        "statementTimeout": 60000,
    }
    role = deploy(Role, **inputs)
    assert role.secrets == {"password"}
    assert host.diff(role, inputs).changes == {}
    assert host.diff(refreshed(host, role), inputs).changes == {}
    with postgres.connect(user=role.id, password=PASSWORD) as connection:
        path = connection.execute("SHOW search_path").fetchone()
        assert path == ('trips, "Odd one"',)
    assert value(postgres, "SELECT rolcreatedb FROM pg_roles WHERE rolname = %s", role.id)

    changed = {
        "name": f"plain_{suffix}",
        "login": True,
        "password": "new one",
        "superuser": True,
        "inherit": False,
    }
    assert host.diff(role, changed).replaces == ()
    updated = host.update(role, changed)
    with postgres.connect(user=f"plain_{suffix}", password="new one") as connection:
        connection.execute("CREATE ROLE by_superuser")
        connection.execute("DROP ROLE by_superuser")
    assert host.diff(refreshed(host, updated), changed).changes == {}
    assert updated.outputs["roles"] == updated.outputs["searchPaths"] == []
    assert updated.outputs["statementTimeout"] == 0

    host.delete(updated)
    assert host.refresh(updated) is None


def test_password_that_was_removed_comes_back(
    host: ProviderHost, postgres: PostgresServer, deploy: Deploy, suffix: str
) -> None:
    inputs = {"name": f"role_{suffix}", "login": True, "password": PASSWORD}
    role = deploy(Role, **inputs)
    execute(postgres, "postgres", f"ALTER ROLE role_{suffix} PASSWORD NULL")
    found = refreshed(host, role)
    assert host.diff(found, inputs).changes == {"password": "ADD"}
    host.update(found, inputs)
    postgres.connect(user=role.id, password=PASSWORD).close()


def test_what_a_deleted_role_owned_goes_to_the_superuser(
    host: ProviderHost, postgres: PostgresServer, owner: str, deploy: Deploy, suffix: str
) -> None:
    table = f"owned_{suffix}"
    execute(
        postgres, "postgres", f"CREATE TABLE {table} ()", f"ALTER TABLE {table} OWNER TO {owner}"
    )
    host.delete(Deployed(Role.token, owner, {}, {"name": owner}, frozenset()))
    query = "SELECT tableowner FROM pg_tables WHERE tablename = %s"
    assert value(postgres, query, table) == postgres.user
    execute(postgres, "postgres", f"DROP TABLE {table}")


def test_role_that_is_not_to_be_dropped_stays(
    host: ProviderHost, postgres: PostgresServer, deploy: Deploy, suffix: str
) -> None:
    role = deploy(Role, name=f"kept_{suffix}", skipDropRole=True, skipReassignOwned=True)
    host.delete(role)
    assert host.refresh(role)
    execute(postgres, "postgres", f"DROP ROLE kept_{suffix}")


def test_database(
    host: ProviderHost,
    postgres: PostgresServer,
    deploy: Deploy,
    owner: str,
    reader: str,
    suffix: str,
) -> None:
    inputs = {"name": f"db_{suffix}", "owner": owner, "lcCollate": "C", "lcCtype": "C"}
    database = deploy(Database, **inputs)
    assert {
        "owner": owner,
        "template": "template0",
        "encoding": "UTF8",
        "lcCollate": "C",
        "tablespaceName": "pg_default",
        "connectionLimit": -1,
        "allowConnections": True,
        "isTemplate": False,
    }.items() <= database.outputs.items()
    assert host.diff(database, inputs).changes == {}
    assert (
        value(
            postgres,
            "SELECT count(*) FROM pg_auth_members WHERE pg_get_userbyid(member) = %s",
            postgres.user,
        )
        == 0
    )

    execute(postgres, database.id, "CREATE TABLE t ()", user=owner)
    changed = {
        "name": f"renamed_{suffix}",
        "owner": reader,
        "connectionLimit": 7,
        "isTemplate": True,
        "alterObjectOwnership": True,
        "lcCollate": "C",
        "lcCtype": "C",
    }
    assert host.diff(database, changed).replaces == ()
    updated = host.update(database, changed)
    name = f"renamed_{suffix}"
    query = "SELECT tableowner FROM pg_tables WHERE tablename = 't'"
    assert value(postgres, query, dbname=name) == reader
    assert host.diff(refreshed(host, updated), changed).changes == {}

    with postgres.connect(name) as session:
        host.delete(updated)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert host.refresh(updated) is None


def test_schema(
    host: ProviderHost,
    postgres: PostgresServer,
    deploy: Deploy,
    database: str,
    owner: str,
    reader: str,
) -> None:
    inputs = {"name": "stage", "database": database, "owner": owner}
    schema = deploy(Schema, **inputs)
    assert schema.id == f"{database}.stage"
    assert host.diff(refreshed(host, schema), inputs).changes == {}
    changed = inputs | {"name": "staging", "owner": reader}
    updated = host.update(schema, changed)
    query = "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'staging'"
    assert value(postgres, query, dbname=database) == reader
    assert host.diff(updated, changed).changes == {}
    host.delete(updated)
    assert host.refresh(updated) is None


def test_schema_that_is_there_already_is_taken_over(
    host: ProviderHost, postgres: PostgresServer, deploy: Deploy, database: str, owner: str
) -> None:
    execute(postgres, database, "CREATE SCHEMA there")
    with pytest.raises(OperationError, match="it exists already"):
        deploy(Schema, name="there", database=database, ifNotExists=False)
    assert deploy(Schema, name="there", database=database, owner=owner).outputs["owner"] == owner


def test_schema_with_tables_is_dropped_with_drop_cascade_only(
    host: ProviderHost, postgres: PostgresServer, deploy: Deploy, database: str
) -> None:
    inputs = {"name": "full", "database": database}
    schema = deploy(Schema, **inputs)
    execute(postgres, database, 'CREATE TABLE "full".t ()')
    with pytest.raises(OperationError, match=r"error deleting schema full: .* \(SQLSTATE 2BP01\)"):
        host.delete(schema)
    changed = inputs | {"dropCascade": True}
    assert host.diff(schema, changed).changes == {"dropCascade": "ADD"}
    host.delete(host.update(schema, changed))
    assert host.refresh(schema) is None


def test_extension(
    host: ProviderHost, postgres: PostgresServer, deploy: Deploy, database: str, schema: str
) -> None:
    inputs = {"name": "pg_trgm", "database": database}
    extension = deploy(Extension, **inputs)
    assert extension.id == f"{database}.pg_trgm"
    assert extension.outputs["schema"] == "public"
    assert host.diff(refreshed(host, extension), inputs).changes == {}
    moved = host.update(extension, inputs | {"schema": schema})
    assert refreshed(host, moved).outputs["schema"] == schema
    host.delete(moved)
    assert host.refresh(moved) is None


def test_connect_is_taken_from_public_and_given_to_a_role(
    host: ProviderHost, postgres: PostgresServer, deploy: Deploy, database: str, reader: str
) -> None:
    on_database = {"database": database, "objectType": "database"}
    nobody = on_database | {"role": "public", "privileges": []}
    revoked = deploy(Grant, **nobody)
    assert revoked.id == f"public_{database}_database"
    assert host.diff(refreshed(host, revoked), nobody).changes == {}
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        postgres.connect(database, reader, PASSWORD)
    granted = deploy(Grant, **on_database, role=reader, privileges=["CONNECT"])
    postgres.connect(database, reader, PASSWORD).close()
    execute(postgres, "postgres", f"GRANT TEMPORARY ON DATABASE {database} TO {reader}")
    assert refreshed(host, granted).outputs["privileges"] == ["CONNECT", "TEMPORARY"]
    host.delete(granted)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        postgres.connect(database, reader, PASSWORD)


def test_grant_on_an_empty_schema_sees_later_tables_on_refresh_only(
    host: ProviderHost,
    postgres: PostgresServer,
    deploy: Deploy,
    database: str,
    schema: str,
    reader: str,
    on_table: dict[str, Any],
) -> None:
    grant = deploy(Grant, **on_table)
    usage = on_table | {"objectType": "schema", "privileges": ["USAGE"]}
    assert deploy(Grant, **usage).id == f"{reader}_{database}_{schema}_schema"
    execute(postgres, database, f"CREATE TABLE {schema}.yellow ()")
    assert host.diff(grant, on_table).changes == {}
    found = refreshed(host, grant)
    assert host.diff(found, on_table).changes == {"privileges[0]": "ADD"}
    with pytest.raises(InsufficientPrivilege):
        execute(postgres, database, f"TABLE {schema}.yellow", user=reader)
    updated = host.update(found, on_table)
    execute(postgres, database, f"TABLE {schema}.yellow", user=reader)

    fewer = on_table | {"privileges": ["INSERT"]}
    updated = host.update(updated, fewer)
    with pytest.raises(InsufficientPrivilege):
        execute(postgres, database, f"TABLE {schema}.yellow", user=reader)
    assert host.diff(refreshed(host, updated), fewer).changes == {}


def test_all_privileges(
    host: ProviderHost,
    postgres: PostgresServer,
    deploy: Deploy,
    database: str,
    schema: str,
    on_table: dict[str, Any],
) -> None:
    execute(postgres, database, f"CREATE TABLE {schema}.t ()")
    inputs = on_table | {"privileges": ["ALL"]}
    assert host.diff(refreshed(host, deploy(Grant, **inputs)), inputs).changes == {}


def test_grant_on_named_objects(
    host: ProviderHost,
    postgres: PostgresServer,
    deploy: Deploy,
    database: str,
    schema: str,
    reader: str,
    on_table: dict[str, Any],
) -> None:
    execute(
        postgres,
        database,
        f"CREATE TABLE {schema}.a (x int)",
        f"CREATE TABLE {schema}.b (x int)",
        f"CREATE SEQUENCE {schema}.s",
        f"CREATE FUNCTION {schema}.f(text, int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        f"REVOKE EXECUTE ON FUNCTION {schema}.f(text, int) FROM public",
        f"GRANT UPDATE (x) ON {schema}.a TO {reader}",
    )
    grant = deploy(Grant, **on_table, objects=["a"])
    assert grant.id.endswith("_table_a")
    assert refreshed(host, grant).outputs["privileges"] == ["SELECT"]
    privilege = "SELECT has_{}_privilege(%s, %s, %s)"
    args = (reader, f"{schema}.b", "SELECT")
    assert not value(postgres, privilege.format("table"), *args, dbname=database)
    host.delete(grant)
    args = (reader, f"{schema}.a", "UPDATE")
    assert value(postgres, privilege.format("any_column"), *args, dbname=database)

    sequences = on_table | {"objectType": "sequence", "privileges": ["USAGE"]}
    deploy(Grant, **sequences)
    args = (reader, f"{schema}.s", "USAGE")
    assert value(postgres, privilege.format("sequence"), *args, dbname=database)
    functions = on_table | {
        "objectType": "function",
        "privileges": ["EXECUTE"],
        "objects": ["f(text, int)"],
    }
    deploy(Grant, **functions)
    args = (reader, f"{schema}.f(text, int)", "EXECUTE")
    assert value(postgres, privilege.format("function"), *args, dbname=database)


def test_grant_option(
    postgres: PostgresServer,
    deploy: Deploy,
    database: str,
    schema: str,
    reader: str,
    on_table: dict[str, Any],
) -> None:
    execute(postgres, database, f"CREATE TABLE {schema}.t ()")
    deploy(Grant, **on_table, withGrantOption=True)
    query = "SELECT has_table_privilege(%s, %s, 'SELECT WITH GRANT OPTION')"
    assert value(postgres, query, reader, f"{schema}.t", dbname=database)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"privileges": ["CONNECT"]}, "CONNECT is not an allowed privilege for object type table"),
        ({"schema": None}, "a grant on object type table needs `schema`"),
        ({"objectType": "schema", "objects": ["x"]}, "schema cannot have `objects`"),
        ({"schema": "nowhere"}, 'schema "nowhere" does not exist \\(SQLSTATE 3F000\\)'),
        ({"role": "nobody"}, 'role "nobody" does not exist \\(SQLSTATE 42704\\)'),
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
    ],
)
def test_bad_grants(
    deploy: Deploy, on_table: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    inputs = {k: v for k, v in (on_table | change).items() if v is not None}
    with pytest.raises(OperationError, match=reason):
        deploy(Grant, **inputs)


@pytest.mark.parametrize("gone", ["role", "schema", "database"])
def test_grants_go_with_what_they_are_about(
    host: ProviderHost, deploy: Deploy, on_table: dict[str, Any], owner: str, gone: str
) -> None:
    on_future_tables = {"owner": owner, "privileges": ["SELECT"]}
    for resource in (
        deploy(Grant, **on_table),
        deploy(DefaultPrivileges, **on_table | on_future_tables),
    ):
        missing = Deployed(
            resource.token,
            resource.id,
            resource.inputs,
            resource.outputs | {gone: "gone"},
            resource.secrets,
        )
        assert host.refresh(missing) is None


def test_default_privileges_hold_for_later_tables(
    host: ProviderHost,
    postgres: PostgresServer,
    deploy: Deploy,
    database: str,
    schema: str,
    owner: str,
    reader: str,
    on_table: dict[str, Any],
) -> None:
    deploy(Grant, **on_table | {"objectType": "schema", "privileges": ["USAGE"]})
    inputs = on_table | {"owner": owner}
    defaults = deploy(DefaultPrivileges, **inputs)
    assert defaults.id == f"{reader}_{database}_{schema}_{owner}_table"
    assert host.diff(refreshed(host, defaults), inputs).changes == {}
    execute(postgres, database, f"CREATE TABLE {schema}.later ()", user=owner)
    execute(postgres, database, f"TABLE {schema}.later", user=reader)

    changed = inputs | {"privileges": ["INSERT", "SELECT"]}
    updated = host.update(defaults, changed)
    assert host.diff(refreshed(host, updated), changed).changes == {}
    host.delete(updated)
    execute(postgres, database, f"CREATE TABLE {schema}.much_later ()", user=owner)
    with pytest.raises(InsufficientPrivilege):
        execute(postgres, database, f"TABLE {schema}.much_later", user=reader)
    assert host.refresh(updated) is None


def test_default_privileges_without_schema(
    host: ProviderHost,
    deploy: Deploy,
    on_table: dict[str, Any],
    owner: str,
    database: str,
    reader: str,
) -> None:
    inputs = {k: v for k, v in on_table.items() if k != "schema"} | {"owner": owner}
    defaults = deploy(DefaultPrivileges, **inputs)
    assert defaults.id == f"{reader}_{database}_noschema_{owner}_table"
    assert host.diff(refreshed(host, defaults), inputs).changes == {}


def test_membership(host: ProviderHost, deploy: Deploy, owner: str, reader: str) -> None:
    inputs = {"role": reader, "grantRole": owner, "withAdminOption": True}
    membership = deploy(GrantRole, **inputs)
    assert membership.id == f"{reader}_{owner}_true"
    assert host.diff(refreshed(host, membership), inputs).changes == {}
    host.delete(membership)
    assert host.refresh(membership) is None


def test_wrong_password_is_named(postgres: PostgresServer) -> None:
    server = {"host": postgres.host, "port": postgres.port, "sslmode": "disable"}
    with (
        hosting(PROVIDER, **server, password="no") as host,
        pytest.raises(OperationError, match="password authentication failed for user"),
    ):
        host.create(Role.token, {"name": "r"})


def test_administrator_need_not_be_superuser(
    postgres: PostgresServer, deploy: Deploy, suffix: str
) -> None:
    admin = deploy(
        Role,
        name=f"admin_{suffix}",
        login=True,
        password=PASSWORD,
        createRole=True,
        createDatabase=True,
    ).id
    with hosting(
        PROVIDER,
        host=postgres.host,
        port=postgres.port,
        username=admin,
        password=PASSWORD,
        sslmode="disable",
        superuser=False,
    ) as host:
        owner = host.create(
            Role.token, {"name": f"theirs_{suffix}", "login": True, "password": PASSWORD}
        )
        database = host.create(Database.token, {"name": f"theirs_{suffix}", "owner": owner.id})
        inputs = {"name": "s", "database": database.id, "owner": owner.id}
        schema = host.create(Schema.token, inputs)
        grant = host.create(
            Grant.token,
            {
                "database": database.id,
                "schema": "s",
                "role": "public",
                "objectType": "schema",
                "privileges": ["USAGE"],
            },
        )
        query = "SELECT count(*) FROM pg_auth_members WHERE pg_get_userbyid(member) = %s"
        if value(postgres, "SHOW server_version_num") < "160000":
            # Later servers make the creator of a role a member of it.
            assert value(postgres, query, admin) == 0
        host.delete(grant)
        assert refreshed(host, grant).outputs["privileges"] == []
        for resource in (schema, database, owner):
            host.delete(resource)
            assert host.refresh(resource) is None
