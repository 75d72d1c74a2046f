"""The `postgresql` package: roles, databases, schemas, extensions and privileges of a server.

Follows pulumi-postgresql 3.18 (terraform-provider-postgresql 1.27, postgresql/resource_*.go).
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from threading import BoundedSemaphore
from typing import Any, ClassVar, LiteralString

import psycopg
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal
from typing_extensions import override

from offline.providers.schema import Boolean, Integer, List, Set, String, Table, Values
from offline.providers.server import Provider, ProviderError, Resource, serve

Connection = psycopg.Connection[TupleRow]

_PUBLIC = "public"

_CONFIG: Table = {
    "host": String(env="PGHOST"),
    "port": Integer(env="PGPORT", default=5432),
    "database": String(env="PGDATABASE", default="postgres"),
    "username": String(env="PGUSER", default="postgres"),
    "password": String(env="PGPASSWORD", secret=True),
    "superuser": Boolean(env="PGSUPERUSER", default=True),
    # The official plugin's client library takes this where libpq would take `prefer`.
    "sslmode": String(env="PGSSLMODE", default="require"),
    "sslrootcert": String(),
    "connectTimeout": Integer(env="PGCONNECT_TIMEOUT", default=180, minimum=-1),
    "maxConnections": Integer(default=20, minimum=-1),
}

_PRIVILEGES = {
    "database": ("CREATE", "CONNECT", "TEMPORARY"),
    "schema": ("CREATE", "USAGE"),
    "table": ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"),
    "sequence": ("USAGE", "SELECT", "UPDATE"),
    "function": ("EXECUTE",),
    "procedure": ("EXECUTE",),
    "routine": ("EXECUTE",),
    "type": ("USAGE",),
}
_MAINTAIN_SINCE = 170000
_FORCE_DROP_SINCE = 130000
_SET_OPTION_SINCE = 160000

# How the system catalogs abbreviate object types.
_CATALOG_TYPES = {
    "table": "r",
    "sequence": "S",
    "function": "f",
    "routine": "f",
    "type": "T",
    "schema": "n",
}


class _PostgresResource(Resource):
    """A resource type of the PostgreSQL server."""

    @contextmanager
    def connection(self, action: str, database: str | None = None) -> Iterator[Connection]:
        """Open a transaction, committed at the end, and word the errors.

        Args:
            action: what is attempted, e.g. `create role x`.
            database: the database to connect to, that of the provider by default.

        Raises:
            ProviderError: the server is not reachable or refused.
        """
        with self._connect(database) as connection, _reporting(action), connection.transaction():
            yield connection

    @contextmanager
    def autocommit(self, action: str) -> Iterator[Connection]:
        """Open a connection for commands that no transaction may hold, see `connection`."""
        with self._connect(None) as connection, _reporting(action):
            yield connection

    @override
    def read(self, resource_id: str, state: Values) -> tuple[str, Values] | None:
        action = f"reading {resource_id}"
        database = state.get("database")
        with self.connection(action) as connection:
            if database is None:
                found = self.find(connection, state)
                return None if found is None else (resource_id, found)
            if not _exists(connection, "pg_database", "datname", database):
                return None
        with self.connection(action, database) as connection:
            found = self.find(connection, state)
            return None if found is None else (resource_id, found)

    @abstractmethod
    def find(self, connection: Connection, state: Values) -> Values | None:
        """Look the resource up in the database it is in.

        Args:
            connection: a connection to the database.
            state: its properties when last seen.

        Returns:
            Its properties, None where it is gone.
        """

    def found(self, connection: Connection, state: Values) -> Values:
        """Look a resource up that has to be there, see `find`.

        Raises:
            ProviderError: it is not there.
        """
        found = self.find(connection, state)
        if found is None:
            raise ProviderError(f"{self.token}: it disappeared while it was worked on")
        return found

    @property
    def username(self) -> str:
        """The role that the provider logs in as."""
        return str(self.config["username"])

    @contextmanager
    def _connect(self, database: str | None) -> Iterator[Connection]:
        config = self.config
        host, port = config.get("host", "localhost"), config["port"]
        with _slots(config["maxConnections"]):
            try:
                connection = psycopg.connect(
                    host=host,
                    port=port,
                    dbname=database or config["database"],
                    user=config["username"],
                    password=config.get("password"),
                    sslmode=config["sslmode"],
                    sslrootcert=config.get("sslrootcert"),
                    connect_timeout=config["connectTimeout"],
                    fallback_application_name="Pulumi",
                    autocommit=True,
                )
            except psycopg.Error as error:
                reason = _one_line(error).rpartition("failed: ")[2]
                raise ProviderError(
                    f"error connecting to PostgreSQL server {host}:{port}: {reason}"
                ) from error
            with connection:
                yield connection


class Role(_PostgresResource):
    """A role, with or without login."""

    token = "postgresql:index/role:Role"
    table: ClassVar[Table] = {
        "name": String(autonamed=True),
        "password": String(secret=True),
        "encryptedPassword": Boolean(default=True),
        "validUntil": String(default="infinity"),
        "connectionLimit": Integer(default=-1, minimum=-1),
        "superuser": Boolean(default=False),
        "createDatabase": Boolean(default=False),
        "createRole": Boolean(default=False),
        "inherit": Boolean(default=True),
        "login": Boolean(default=False),
        "replication": Boolean(default=False),
        "bypassRowLevelSecurity": Boolean(default=False),
        "roles": Set(String()),
        "searchPaths": List(String()),
        "statementTimeout": Integer(minimum=0),
        "idleInTransactionSessionTimeout": Integer(minimum=0),
        "assumeRole": String(),
        "skipDropRole": Boolean(default=False),
        "skipReassignOwned": Boolean(default=False),
    }

    # Property -> option of CREATE ROLE (negated by NO) and column of pg_roles.
    _FLAGS: ClassVar[Mapping[str, tuple[LiteralString, LiteralString]]] = {
        "superuser": ("SUPERUSER", "rolsuper"),
        "createDatabase": ("CREATEDB", "rolcreatedb"),
        "createRole": ("CREATEROLE", "rolcreaterole"),
        "inherit": ("INHERIT", "rolinherit"),
        "login": ("LOGIN", "rolcanlogin"),
        "replication": ("REPLICATION", "rolreplication"),
        "bypassRowLevelSecurity": ("BYPASSRLS", "rolbypassrls"),
    }
    # Property -> configuration parameter of the role.
    _SETTINGS: ClassVar[Mapping[str, LiteralString]] = {
        "statementTimeout": "statement_timeout",
        "idleInTransactionSessionTimeout": "idle_in_transaction_session_timeout",
        "assumeRole": "role",
    }

    @override
    def create(self, planned: Values) -> tuple[str, Values]:
        name = planned["name"]
        with self.connection(f"creating role {name}") as connection:
            _run(connection, "CREATE ROLE {} WITH {}", name, self._options(planned, planned))
            self._grant_and_set(connection, {}, planned)
            return name, self.found(connection, planned)

    @override
    def update(self, resource_id: str, old: Values, planned: Values) -> Values:
        name = planned["name"]
        with self.connection(f"updating role {name}") as connection:
            _lock_role(connection, old["name"])
            if name != old["name"]:
                _run(connection, "ALTER ROLE {} RENAME TO {}", old["name"], name)
            changed = {key: value for key, value in planned.items() if value != old.get(key)}
            if "name" in changed and planned.get("password"):
                # PostgreSQL forgets an MD5 password when the role is renamed.
                changed["password"] = planned["password"]
            options = self._options(planned, changed)
            if options.as_string():
                _run(connection, "ALTER ROLE {} WITH {}", name, options)
            for granted in _memberships(connection, name):
                _run(connection, "REVOKE {} FROM {}", granted, name)
            self._grant_and_set(connection, old, planned)
            return self.found(connection, planned)

    @override
    def delete(self, resource_id: str, state: Values) -> None:
        name = state["name"]
        with self.connection(f"deleting role {name}") as connection:
            _lock_role(connection, name)
            if not state.get("skipReassignOwned"):
                with _roles_granted(connection, [name]):
                    _run(connection, "REASSIGN OWNED BY {} TO {}", name, self.username)
                    _run(connection, "DROP OWNED BY {}", name)
            if not state.get("skipDropRole"):
                _run(connection, "DROP ROLE {}", name)

    def _options(self, planned: Values, changed: Values) -> Composed:
        """The options of CREATE or ALTER ROLE for the changed properties."""
        options: list[Composable] = []
        if password := changed.get("password"):
            if password.upper() == "NULL":
                options.append(SQL("PASSWORD NULL"))
            else:
                encrypted = SQL("ENCRYPTED" if planned["encryptedPassword"] else "UNENCRYPTED")
                options.append(SQL("{} PASSWORD {}").format(encrypted, Literal(password)))
        if until := changed.get("validUntil"):
            options.append(SQL("VALID UNTIL {}").format(Literal(until)))
        if "connectionLimit" in changed:
            options.append(SQL("CONNECTION LIMIT {}").format(Literal(changed["connectionLimit"])))
        for name, (option, _) in self._FLAGS.items():
            if name in changed:
                options.append(SQL(option if changed[name] else f"NO{option}"))
        return SQL(" ").join(options)

    def _grant_and_set(self, connection: Connection, old: Values, planned: Values) -> None:
        name = planned["name"]
        for role in planned.get("roles", []):
            _run(connection, "GRANT {} TO {}", role, name)
        path: Composable = SQL("DEFAULT")
        if paths := planned.get("searchPaths"):
            path = SQL(", ").join(Identifier(part) for part in paths)
        _run(connection, "ALTER ROLE {} SET search_path TO {}", name, path)
        for prop, parameter in self._SETTINGS.items():
            value = planned.get(prop)
            if value == old.get(prop):
                continue
            if value:
                _run(connection, "ALTER ROLE {} SET {} TO {}", name, parameter, Literal(value))
            else:
                _run(connection, "ALTER ROLE {} RESET {}", name, parameter)

    @override
    def find(self, connection: Connection, state: Values) -> Values | None:
        columns = [column for _, column in self._FLAGS.values()]
        row = connection.execute(
            SQL(
                "SELECT rolconnlimit, COALESCE(rolvaliduntil::text, 'infinity'), rolconfig, {} "
                "FROM pg_roles WHERE rolname = %s"
            ).format(SQL(", ").join(map(Identifier, columns))),
            [state["name"]],
        ).fetchone()
        if row is None:
            return None
        settings = dict(setting.split("=", 1) for setting in row[2] or [])
        paths = settings.get("search_path")
        found = {
            "connectionLimit": row[0],
            "validUntil": row[1],
            "encryptedPassword": True,
            "roles": _memberships(connection, state["name"]),
            "searchPaths": [part.strip('"') for part in paths.split(", ")] if paths else [],
            "statementTimeout": int(settings.get("statement_timeout", 0)),
            "idleInTransactionSessionTimeout": int(
                settings.get("idle_in_transaction_session_timeout", 0)
            ),
            "assumeRole": settings.get("role", ""),
        }
        found |= dict(zip(self._FLAGS, row[3:], strict=True))
        if state.get("password") and found["login"] and self.config["superuser"]:
            found["password"] = self._password(connection, state["name"], state["password"])
        return state | found

    def _password(self, connection: Connection, name: str, password: str) -> str:
        """The password the role has, as far as its digest shows."""
        (superuser,) = _row(
            connection, "SELECT rolsuper FROM pg_roles WHERE rolname = CURRENT_USER"
        )
        if not superuser:
            raise ProviderError(
                f"could not read role password from Postgres as connected user {self.username} is "
                "not a superuser: set `superuser=False` on the provider to leave it unread"
            )
        (digest,) = _row(
            connection,
            "SELECT COALESCE(passwd, '') FROM pg_shadow WHERE usename = %s",
            name,
        )
        if password.startswith(("md5", "SCRAM-SHA-256")):
            return str(digest)
        md5 = hashlib.md5((password + name).encode(), usedforsecurity=False).hexdigest()
        # What a SCRAM digest was made of is not looked into.
        same = digest == f"md5{md5}" or digest.startswith("SCRAM-SHA-256")
        return password if same else str(digest)


class Database(_PostgresResource):
    """A database."""

    token = "postgresql:index/database:Database"
    table: ClassVar[Table] = {
        "name": String(autonamed=True),
        "owner": String(computed=True),
        "template": String(computed=True, replaces=True),
        "encoding": String(computed=True, replaces=True),
        "lcCollate": String(computed=True, replaces=True),
        "lcCtype": String(computed=True, replaces=True),
        "tablespaceName": String(computed=True),
        "connectionLimit": Integer(default=-1, minimum=-1),
        "allowConnections": Boolean(default=True),
        "isTemplate": Boolean(computed=True),
        "alterObjectOwnership": Boolean(default=False),
    }

    # Property -> option of CREATE and ALTER DATABASE.
    _OPTIONS: ClassVar[Mapping[str, LiteralString]] = {
        "allowConnections": "ALLOW_CONNECTIONS",
        "connectionLimit": "CONNECTION LIMIT",
        "isTemplate": "IS_TEMPLATE",
    }

    @override
    def create(self, planned: Values) -> tuple[str, Values]:
        name = planned["name"]
        with (
            self.autocommit(f"creating database {name}") as connection,
            self._owner_granted(connection, planned.get("owner")),
        ):
            options = [
                SQL("OWNER {}").format(Identifier(planned.get("owner") or self.username)),
                _option("TEMPLATE", planned.get("template", "template0"), Identifier),
                _option("ENCODING", planned.get("encoding", "UTF8"), Literal),
                _option("LC_COLLATE", planned.get("lcCollate"), Literal),
                _option("LC_CTYPE", planned.get("lcCtype"), Literal),
                _option("TABLESPACE", planned.get("tablespaceName"), Identifier),
                *(
                    SQL("{} {}").format(SQL(option), Literal(planned.get(prop, False)))
                    for prop, option in self._OPTIONS.items()
                ),
            ]
            _run(connection, "CREATE DATABASE {} {}", name, SQL(" ").join(options))
            return name, self.found(connection, planned)

    @override
    def update(self, resource_id: str, old: Values, planned: Values) -> Values:
        name, owner = planned["name"], planned["owner"]
        changed = {key for key in planned if planned[key] != old.get(key)}
        if "name" in changed:
            with self.autocommit(f"renaming database {old['name']}") as connection:
                _run(connection, "ALTER DATABASE {} RENAME TO {}", old["name"], name)
        if "owner" in changed and planned["alterObjectOwnership"]:
            with (
                self.connection(f"reassigning objects in database {name}", name) as connection,
                _roles_granted(connection, [old["owner"], owner]),
            ):
                _run(connection, "REASSIGN OWNED BY {} TO {}", old["owner"], owner)
        with self.autocommit(f"updating database {name}") as connection:
            if "owner" in changed:
                with self._owner_granted(connection, owner):
                    _run(connection, "ALTER DATABASE {} OWNER TO {}", name, owner)
            if "tablespaceName" in changed:
                tablespace = planned["tablespaceName"]
                _run(connection, "ALTER DATABASE {} SET TABLESPACE {}", name, tablespace)
            for prop, option in self._OPTIONS.items():
                if prop in changed:
                    value = Literal(planned[prop])
                    _run(connection, "ALTER DATABASE {} {} {}", name, SQL(option), value)
            return self.found(connection, planned)

    @override
    def delete(self, resource_id: str, state: Values) -> None:
        name = state["name"]
        with (
            self.autocommit(f"deleting database {name}") as connection,
            self._owner_granted(connection, state.get("owner")),
        ):
            if state.get("isTemplate"):
                _run(connection, "ALTER DATABASE {} IS_TEMPLATE false", name)
            _run(connection, "ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = %s AND pid <> pg_backend_pid()",
                [name],
            )
            force = connection.info.server_version >= _FORCE_DROP_SINCE
            _run(connection, "DROP DATABASE {} {}", name, SQL("WITH (FORCE)" if force else ""))

    @contextmanager
    def _owner_granted(self, connection: Connection, owner: str | None) -> Iterator[None]:
        """Make the provider's role a member of the owner: only members may give ownership.

        A lock keeps concurrent operations from revoking each other's membership.
        """
        if not owner:
            yield
            return
        connection.execute(
            "SELECT pg_advisory_lock(oid::bigint) FROM pg_roles WHERE rolname = %s",
            [self.username],
        )
        granted = _grant_membership(connection, owner, self.username)
        try:
            yield
        finally:
            if granted:
                _revoke_membership(connection, owner, self.username)

    @override
    def find(self, connection: Connection, state: Values) -> Values | None:
        row = connection.execute(
            "SELECT pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, "
            "d.datctype, t.spcname, d.datconnlimit, d.datallowconn, d.datistemplate "
            "FROM pg_database d JOIN pg_tablespace t ON d.dattablespace = t.oid "
            "WHERE d.datname = %s",
            [state["name"]],
        ).fetchone()
        if row is None:
            return None
        columns = (
            "owner",
            "encoding",
            "lcCollate",
            "lcCtype",
            "tablespaceName",
            "connectionLimit",
            "allowConnections",
            "isTemplate",
        )
        template = state.get("template") or "template0"
        return state | {"template": template} | dict(zip(columns, row, strict=True))


class Schema(_PostgresResource):
    """A schema of a database."""

    token = "postgresql:index/schema:Schema"
    table: ClassVar[Table] = {
        "name": String(autonamed=True),
        "database": String(computed=True, replaces=True),
        "owner": String(computed=True),
        "ifNotExists": Boolean(default=True),
        "dropCascade": Boolean(default=False),
    }

    @override
    def create(self, planned: Values) -> tuple[str, Values]:
        name, owner = planned["name"], planned.get("owner")
        database = planned.setdefault("database", self.config["database"])
        with self.connection(f"creating schema {name}", database) as connection:
            database_owner = _database_owner(connection)
            with _roles_granted(connection, {database_owner, owner or database_owner}):
                if not _exists(connection, "pg_namespace", "nspname", name):
                    authorization = _option("AUTHORIZATION", owner, Identifier)
                    _run(connection, "CREATE SCHEMA {} {}", name, authorization)
                elif not planned["ifNotExists"]:
                    raise ProviderError(f"error creating schema {name}: it exists already")
                elif owner:
                    _run(connection, "ALTER SCHEMA {} OWNER TO {}", name, owner)
            return f"{database}.{name}", self.found(connection, planned)

    @override
    def update(self, resource_id: str, old: Values, planned: Values) -> Values:
        name = planned["name"]
        with self.connection(f"updating schema {name}", planned["database"]) as connection:
            if name != old["name"]:
                _run(connection, "ALTER SCHEMA {} RENAME TO {}", old["name"], name)
            if planned["owner"] != old["owner"]:
                _run(connection, "ALTER SCHEMA {} OWNER TO {}", name, planned["owner"])
            return self.found(connection, planned)

    @override
    def delete(self, resource_id: str, state: Values) -> None:
        name = state["name"]
        with self.connection(f"deleting schema {name}", state["database"]) as connection:
            if not _exists(connection, "pg_namespace", "nspname", name):
                return
            with _roles_granted(connection, [state["owner"]]):
                mode = SQL("CASCADE" if state.get("dropCascade") else "RESTRICT")
                _run(connection, "DROP SCHEMA {} {}", name, mode)

    @override
    def find(self, connection: Connection, state: Values) -> Values | None:
        row = connection.execute(
            "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = %s",
            [state["name"]],
        ).fetchone()
        return None if row is None else state | {"owner": row[0]}


class Extension(_PostgresResource):
    """An extension of a database."""

    token = "postgresql:index/extension:Extension"
    table: ClassVar[Table] = {
        "name": String(autonamed=True, replaces=True),
        "database": String(computed=True, replaces=True),
        "schema": String(computed=True),
        "version": String(computed=True),
        "createCascade": Boolean(default=False),
        "dropCascade": Boolean(default=False),
    }

    @override
    def create(self, planned: Values) -> tuple[str, Values]:
        name = planned["name"]
        database = planned.setdefault("database", self.config["database"])
        with self.connection(f"creating extension {name}", database) as connection:
            options = [
                _option("SCHEMA", planned.get("schema"), Identifier),
                _option("VERSION", planned.get("version"), Identifier),
                SQL("CASCADE" if planned["createCascade"] else ""),
            ]
            _run(connection, "CREATE EXTENSION IF NOT EXISTS {} {}", name, SQL(" ").join(options))
            return f"{database}.{name}", self.found(connection, planned)

    @override
    def update(self, resource_id: str, old: Values, planned: Values) -> Values:
        name = planned["name"]
        with self.connection(f"updating extension {name}", planned["database"]) as connection:
            if planned["schema"] != old["schema"]:
                _run(connection, "ALTER EXTENSION {} SET SCHEMA {}", name, planned["schema"])
            if planned["version"] != old["version"]:
                _run(connection, "ALTER EXTENSION {} UPDATE TO {}", name, planned["version"])
            return self.found(connection, planned)

    @override
    def delete(self, resource_id: str, state: Values) -> None:
        name = state["name"]
        with self.connection(f"deleting extension {name}", state["database"]) as connection:
            mode = SQL("CASCADE" if state.get("dropCascade") else "RESTRICT")
            _run(connection, "DROP EXTENSION {} {}", name, mode)

    @override
    def find(self, connection: Connection, state: Values) -> Values | None:
        row = connection.execute(
            "SELECT n.nspname, e.extversion FROM pg_extension e "
            "JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = %s",
            [state["name"]],
        ).fetchone()
        return None if row is None else state | {"schema": row[0], "version": row[1]}


class Grant(_PostgresResource):
    """The privileges of a role on a database, a schema, or the objects of a schema."""

    token = "postgresql:index/grant:Grant"
    delete_before_replace = True
    table: ClassVar[Table] = {
        "role": String(required=True, replaces=True),
        "database": String(required=True, replaces=True),
        "schema": String(replaces=True),
        "objectType": String(
            required=True,
            replaces=True,
            choices=(
                "database",
                "schema",
                "table",
                "sequence",
                "function",
                "procedure",
                "routine",
            ),
        ),
        "objects": Set(String(), replaces=True),
        "privileges": Set(String(), required=True),
        "withGrantOption": Boolean(default=False, replaces=True),
    }

    @override
    def create(self, planned: Values) -> tuple[str, Values]:
        outputs = self._apply(planned, planned)
        scope = [] if planned["objectType"] == "database" else [planned["schema"]]
        parts = [planned["role"], planned["database"], *scope, planned["objectType"]]
        return "_".join(parts + sorted(planned.get("objects", []))), outputs

    @override
    def update(self, resource_id: str, old: Values, planned: Values) -> Values:
        return self._apply(old, planned)

    @override
    def delete(self, resource_id: str, state: Values) -> None:
        with self._locked(state, "revoking") as connection:
            connection.execute(self._revoke(state))

    def _apply(self, old: Values, planned: Values) -> Values:
        """Revoke what was granted before and grant what is planned, in one transaction."""
        object_type = planned["objectType"]
        if object_type != "database" and not planned.get("schema"):
            raise ProviderError(f"a grant on object type {object_type} needs `schema`")
        if object_type in ("database", "schema") and planned.get("objects"):
            raise ProviderError(f"a grant on object type {object_type} cannot have `objects`")
        with self._locked(planned, "granting") as connection:
            _check_privileges(connection, planned)
            connection.execute(self._revoke(old))
            if planned["privileges"]:
                _run(
                    connection,
                    "GRANT {} ON {} TO {} {}",
                    _keywords(planned["privileges"]),
                    self._target(planned),
                    planned["role"],
                    SQL("WITH GRANT OPTION" if planned["withGrantOption"] else ""),
                )
        with self.connection("reading privileges", planned["database"]) as connection:
            return self.found(connection, planned)

    @contextmanager
    def _locked(self, state: Values, doing: str) -> Iterator[Connection]:
        """A transaction in which nobody else changes privileges of the role."""
        action = f"{doing} {state['objectType']} privileges of {state['role']}"
        with self.connection(action, state["database"]) as connection:
            _lock_role(connection, state["role"])
            if state["objectType"] == "database":
                connection.execute(
                    "SELECT pg_advisory_xact_lock(oid::bigint) FROM pg_database WHERE datname = %s",
                    [state["database"]],
                )
            with _roles_granted(connection, _owners(connection, state)):
                yield connection

    @classmethod
    def _revoke(cls, state: Values) -> Composed:
        # Named objects lose the privileges that are known, so that grants on columns survive.
        named = state.get("objects") and state["privileges"]
        return SQL("REVOKE {} ON {} FROM {}").format(
            _keywords(state["privileges"]) if named else SQL("ALL PRIVILEGES"),
            cls._target(state),
            Identifier(state["role"]),
        )

    @staticmethod
    def _target(state: Values) -> Composable:
        object_type, schema = state["objectType"], state.get("schema", "")
        if object_type == "database":
            return SQL("DATABASE {}").format(Identifier(state["database"]))
        if object_type == "schema":
            return SQL("SCHEMA {}").format(Identifier(schema))
        keyword = object_type.upper()
        if objects := state.get("objects"):
            names = SQL(", ").join(_qualified(schema, name) for name in objects)
            return SQL("{} {}").format(SQL(keyword), names)
        return SQL("ALL {}S IN SCHEMA {}").format(SQL(keyword), Identifier(schema))

    @override
    def find(self, connection: Connection, state: Values) -> Values | None:
        if not _role_and_schema_exist(connection, state):
            return None
        object_type = state["objectType"]
        grantee = _role_oid(connection, state["role"])
        rows: Iterable[tuple[str, list[str] | None]]
        if object_type in ("database", "schema"):
            table, column = (
                ("pg_database", "dat") if object_type == "database" else ("pg_namespace", "nsp")
            )
            rows = connection.execute(
                SQL(
                    "SELECT {name}, (SELECT array_agg(privilege_type) FROM aclexplode({acl}) "
                    "WHERE grantee = %s) FROM {table} WHERE {name} = %s"
                ).format(
                    name=Identifier(f"{column}name"),
                    acl=Identifier(f"{column}acl"),
                    table=Identifier(table),
                ),
                [grantee, state[object_type]],
            )
        elif object_type in ("function", "procedure", "routine"):
            rows = connection.execute(
                "SELECT p.proname, (SELECT array_agg(privilege_type) FROM aclexplode(p.proacl) "
                "WHERE grantee = %s) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
                "WHERE n.nspname = %s",
                [grantee, state["schema"]],
            )
        else:
            rows = connection.execute(
                "SELECT c.relname, (SELECT array_agg(privilege_type) FROM aclexplode(c.relacl) "
                "WHERE grantee = %s) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname = %s AND c.relkind = %s",
                [grantee, state["schema"], _CATALOG_TYPES[object_type]],
            )
        objects = state.get("objects")
        for name, granted in rows:
            if objects and name not in objects:
                continue
            # One object with other privileges than wanted is enough to plan an update.
            if not _same_privileges(connection, granted or [], state):
                return state | {"privileges": sorted(granted or [])}
        return state


class DefaultPrivileges(_PostgresResource):
    """The privileges of a role on what another role will create."""

    token = "postgresql:index/defaultPrivileges:DefaultPrivileges"
    table: ClassVar[Table] = {
        "role": String(required=True, replaces=True),
        "database": String(required=True, replaces=True),
        "owner": String(required=True, replaces=True),
        "schema": String(replaces=True),
        "objectType": String(
            required=True,
            replaces=True,
            choices=("table", "sequence", "function", "routine", "type", "schema"),
        ),
        "privileges": Set(String(), required=True),
        "withGrantOption": Boolean(default=False, replaces=True),
    }

    @override
    def create(self, planned: Values) -> tuple[str, Values]:
        parts = ("role", "database", "schema", "owner", "objectType")
        resource_id = "_".join(planned.get(part) or "noschema" for part in parts)
        return resource_id, self._apply(planned)

    @override
    def update(self, resource_id: str, old: Values, planned: Values) -> Values:
        return self._apply(planned)

    @override
    def delete(self, resource_id: str, state: Values) -> None:
        with self._locked(state) as connection:
            connection.execute(self._alter(state, SQL("REVOKE ALL"), SQL("FROM")))

    def _apply(self, planned: Values) -> Values:
        if planned["objectType"] == "schema" and planned.get("schema"):
            raise ProviderError("default privileges on object type schema cannot have `schema`")
        if planned["withGrantOption"] and planned["role"].lower() == _PUBLIC:
            raise ProviderError("withGrantOption cannot be true for role 'public'")
        with self._locked(planned) as connection:
            _check_privileges(connection, planned)
            connection.execute(self._alter(planned, SQL("REVOKE ALL"), SQL("FROM")))
            if planned["privileges"]:
                grant = SQL("GRANT {}").format(_keywords(planned["privileges"]))
                query = self._alter(planned, grant, SQL("TO"))
                option = SQL("WITH GRANT OPTION" if planned["withGrantOption"] else "")
                _run(connection, "{} {}", query, option)
            found = self.find(connection, planned)
        if found is None:
            raise ProviderError(
                f"the default privileges of {planned['role']} on what {planned['owner']} creates "
                "are what PostgreSQL gives anyway: it keeps no record of them"
            )
        return found

    @contextmanager
    def _locked(self, state: Values) -> Iterator[Connection]:
        action = f"altering default privileges of {state['role']}"
        with self.connection(action, state["database"]) as connection:
            _lock_role(connection, state["owner"])
            with _roles_granted(connection, [state["owner"]]):
                yield connection

    @staticmethod
    def _alter(state: Values, action: Composable, preposition: Composable) -> Composed:
        schema = state.get("schema")
        return SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} {} {} ON {}S {} {}").format(
            Identifier(state["owner"]),
            SQL("IN SCHEMA {}").format(Identifier(schema)) if schema else SQL(""),
            action,
            SQL(state["objectType"].upper()),
            preposition,
            Identifier(state["role"]),
        )

    @override
    def find(self, connection: Connection, state: Values) -> Values | None:
        if not _role_and_schema_exist(connection, state):
            return None
        (granted,) = _row(
            connection,
            "SELECT array_agg(a.privilege_type) FROM pg_default_acl d, aclexplode(d.defaclacl) a "
            "WHERE d.defaclobjtype = %s AND a.grantee = %s AND pg_get_userbyid(a.grantor) = %s "
            "AND d.defaclnamespace = "
            "COALESCE((SELECT oid FROM pg_namespace WHERE nspname = %s), 0)",
            _CATALOG_TYPES[state["objectType"]],
            _role_oid(connection, state["role"]),
            state["owner"],
            state.get("schema"),
        )
        if not granted and state["privileges"]:
            return None
        if _same_privileges(connection, granted or [], state):
            return state
        return state | {"privileges": sorted(granted)}


class GrantRole(_PostgresResource):
    """The membership of a role in another one."""

    token = "postgresql:index/grantRole:GrantRole"
    table: ClassVar[Table] = {
        "role": String(required=True, replaces=True),
        "grantRole": String(required=True, replaces=True),
        "withAdminOption": Boolean(default=False, replaces=True),
    }

    @override
    def create(self, planned: Values) -> tuple[str, Values]:
        role, granted = planned["role"], planned["grantRole"]
        with self.connection(f"granting role {granted} to {role}") as connection:
            _run(connection, "REVOKE {} FROM {}", granted, role)
            _run(
                connection,
                "GRANT {} TO {} {}",
                granted,
                role,
                SQL("WITH ADMIN OPTION" if planned["withAdminOption"] else ""),
            )
        admin = str(planned["withAdminOption"]).lower()
        return f"{role}_{granted}_{admin}", planned

    @override
    def delete(self, resource_id: str, state: Values) -> None:
        with self.connection(f"revoking role {state['grantRole']}") as connection:
            _run(connection, "REVOKE {} FROM {}", state["grantRole"], state["role"])

    @override
    def find(self, connection: Connection, state: Values) -> Values | None:
        row = connection.execute(
            "SELECT admin_option FROM pg_auth_members "
            "WHERE pg_get_userbyid(member) = %s AND pg_get_userbyid(roleid) = %s",
            [state["role"], state["grantRole"]],
        ).fetchone()
        return None if row is None else state | {"withAdminOption": row[0]}


@cache
def _slots(limit: int) -> AbstractContextManager[object]:
    """What at most `limit` operations can hold at a time, any number where it is not positive."""
    return BoundedSemaphore(limit) if limit > 0 else nullcontext()


@contextmanager
def _reporting(action: str) -> Iterator[None]:
    """Word the errors of the server in one line."""
    try:
        yield
    except psycopg.Error as error:
        raise ProviderError(f"error {action}: {_one_line(error)}") from error


def _one_line(error: psycopg.Error) -> str:
    if error.diag.message_primary:
        return f"{error.diag.message_primary} (SQLSTATE {error.sqlstate})"
    return str(error).splitlines()[0]


def _run(connection: Connection, command: LiteralString, *parts: str | Composable) -> None:
    """Execute a command; the texts among its parts are identifiers."""
    quoted = [Identifier(part) if isinstance(part, str) else part for part in parts]
    connection.execute(SQL(command).format(*quoted))


def _row(connection: Connection, query: Any, *parameters: Any) -> TupleRow:
    """The only row of a query.

    Raises:
        ProviderError: there is none: what is read was removed meanwhile.
    """
    row = connection.execute(query, parameters).fetchone()
    if row is None:
        raise ProviderError(f"not found: {', '.join(map(str, parameters))}")
    return row


def _exists(connection: Connection, catalog: str, column: str, name: str) -> bool:
    query = SQL("SELECT 1 FROM {} WHERE {} = %s").format(Identifier(catalog), Identifier(column))
    return connection.execute(query, [name]).fetchone() is not None


def _role_and_schema_exist(connection: Connection, state: Values) -> bool:
    role, schema = state["role"], state.get("schema")
    return (role == _PUBLIC or _exists(connection, "pg_roles", "rolname", role)) and (
        state["objectType"] == "database"
        or not schema
        or _exists(connection, "pg_namespace", "nspname", schema)
    )


def _role_oid(connection: Connection, role: str) -> int:
    """The OID that access control lists know a role by; PUBLIC is 0 there."""
    if role == _PUBLIC:
        return 0
    (oid,) = _row(connection, "SELECT oid FROM pg_roles WHERE rolname = %s", role)
    return int(oid)


def _memberships(connection: Connection, role: str) -> list[str]:
    """The roles that a role is a member of."""
    rows = connection.execute(
        "SELECT DISTINCT pg_get_userbyid(roleid) FROM pg_auth_members "
        "WHERE pg_get_userbyid(member) = %s ORDER BY 1",
        [role],
    )
    return [row[0] for row in rows]


def _is_member(connection: Connection, role: str, member: str) -> bool:
    query = (
        "SELECT 1 FROM pg_auth_members "
        "WHERE pg_get_userbyid(roleid) = %s AND pg_get_userbyid(member) = %s"
    )
    if connection.info.server_version >= _SET_OPTION_SINCE:
        query += " AND set_option"
    return connection.execute(SQL(query), [role, member]).fetchone() is not None


def _grant_membership(connection: Connection, role: str, member: str) -> bool:
    """Make a role a member of another; False where it is already."""
    if role == member or _is_member(connection, role, member):
        return False
    _run(connection, "GRANT {} TO {}", role, member)
    return True


def _revoke_membership(connection: Connection, role: str, member: str) -> bool:
    """End a membership; False where there is none."""
    if role == member or not _is_member(connection, role, member):
        return False
    _run(connection, "REVOKE {} FROM {}", role, member)
    return True


@contextmanager
def _roles_granted(connection: Connection, roles: Iterable[str]) -> Iterator[None]:
    """Lend the connected role the given ones, which it needs if it is no superuser."""
    user, superuser = _row(
        connection, "SELECT rolname, rolsuper FROM pg_roles WHERE rolname = CURRENT_USER"
    )
    if superuser:
        yield
        return
    lent, parted = [], []
    for role in roles:
        (is_superuser,) = _row(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = %s", role)
        if is_superuser:
            continue
        # PostgreSQL forbids circular memberships.
        if _revoke_membership(connection, user, role):
            parted.append(role)
        if _grant_membership(connection, role, user):
            lent.append(role)
    yield
    for role in lent:
        _revoke_membership(connection, role, user)
    for role in parted:
        if _exists(connection, "pg_roles", "rolname", role):
            _grant_membership(connection, user, role)


def _database_owner(connection: Connection) -> str:
    """The owner of the database that is connected to."""
    query = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    return str(_row(connection, query)[0])


def _owners(connection: Connection, state: Values) -> list[str]:
    """The roles that own what a grant is about."""
    if state["objectType"] == "database":
        return []
    rows = connection.execute(
        "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = %(schema)s UNION "
        "SELECT tableowner FROM pg_tables WHERE schemaname = %(schema)s AND %(objects)s",
        {"schema": state["schema"], "objects": state["objectType"] != "schema"},
    )
    owners = {row[0] for row in rows}
    if "pg_database_owner" in owners:
        owners.remove("pg_database_owner")
        owners.add(_database_owner(connection))
    return sorted(owners)


def _lock_role(connection: Connection, role: str) -> None:
    """Keep others from changing a role or its members until the transaction ends."""
    connection.execute("SET LOCAL statement_timeout = 0")
    connection.execute(
        "SELECT pg_advisory_xact_lock(oid::bigint) FROM pg_roles WHERE rolname = %s", [role]
    )
    connection.execute(
        "SELECT pg_advisory_xact_lock(member::bigint) FROM pg_auth_members "
        "WHERE pg_get_userbyid(roleid) = %s",
        [role],
    )


def _allowed_privileges(connection: Connection, object_type: str) -> tuple[str, ...]:
    allowed = _PRIVILEGES[object_type]
    if object_type == "table" and connection.info.server_version >= _MAINTAIN_SINCE:
        allowed += ("MAINTAIN",)
    return allowed


def _check_privileges(connection: Connection, planned: Values) -> None:
    allowed = ("ALL", *_allowed_privileges(connection, planned["objectType"]))
    for privilege in planned["privileges"]:
        if privilege not in allowed:
            raise ProviderError(
                f"{privilege} is not an allowed privilege for object type "
                f"{planned['objectType']}: use {', '.join(allowed)}"
            )


def _same_privileges(connection: Connection, granted: Sequence[str], state: Values) -> bool:
    wanted = set(state["privileges"])
    if "ALL" in wanted:
        wanted = set(_allowed_privileges(connection, state["objectType"]))
    return set(granted) == wanted


def _keywords(privileges: Sequence[str]) -> Composable:
    return SQL(", ").join(SQL(privilege) for privilege in privileges)


def _qualified(schema: str, name: str) -> Composable:
    """An object with its schema; a function may have its argument types in parentheses."""
    base, parenthesis, arguments = name.partition("(")
    qualified = Identifier(schema, base)
    return SQL("{}{}").format(qualified, SQL(parenthesis + arguments))


def _option(keyword: str, value: str | None, quote: Any) -> Composable:
    """An option of a CREATE command: nothing, DEFAULT, or a quoted value."""
    if not value:
        return SQL("")
    quoted = SQL("DEFAULT") if value.upper() == "DEFAULT" else quote(value)
    return SQL("{} {}").format(SQL(keyword), quoted)


PROVIDER = Provider(
    "postgresql",
    "3.18.2",
    _CONFIG,
    [Role, Database, Schema, Extension, Grant, DefaultPrivileges, GrantRole],
)

if __name__ == "__main__":
    serve(PROVIDER)
