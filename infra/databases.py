"""The databases, schemas and least-privilege roles inside the PostgreSQL server."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

import pulumi
import pulumi_postgresql as postgresql
import pulumi_random as random

from infra.passwords import password
from infra.postgres import Postgres

WAREHOUSE_SCHEMAS = ("staging", "trips", "quality", "reports")
_PUBLIC = "public"
_CATALOG = "pg_catalog"
# Where PostgreSQL lets everybody connect and create temporary tables.
_OTHER_DATABASES = ("postgres", "template1")
# A server has 100 connections by default, 3 of them for superusers. Together these leave 22 to
# Kestra and Pulumi, so that nobody keeps Kestra (about 10) from its database.
_CONNECTION_LIMITS = {"etl": 50, "reader": 15, "pgadmin": 10}
# Milliseconds. An open transaction holds its locks: a load that replaces a month waits for them.
_IDLE_IN_TRANSACTION = dict.fromkeys(("etl", "reader", "pgadmin"), 10 * 60_000)
_STATEMENT = dict.fromkeys(("reader", "pgadmin"), 60 * 60_000)
# Functions that PostgreSQL lets everybody call. Without the first nobody has a large object to
# write to; the others lock out whoever takes the same number, such as a load or a migration.
_CREATE_LARGE_OBJECT = ("lo_creat", "lo_create", "lo_from_bytea")
_ADVISORY_LOCK = tuple(
    f"pg_{way}advisory_{scope}lock{mode}({key})"
    for way in ("", "try_")
    for scope in ("", "xact_")
    for mode in ("", "_shared")
    for key in ("bigint", "integer, integer")
)


@dataclass(frozen=True)
class DatabasesArgs:
    """What the databases need.

    Attributes:
        server: The server; what is declared here disappears with its volume.
        kestra_database: The name of Kestra's database.
        warehouse_database: The name of the database that flows load.
        kestra_role: The role that owns Kestra's database.
        etl_role: The role that writes to the warehouse.
        reader_role: The role that reads the warehouse.
        pgadmin_role: The role that reads both databases.
        etl_password: The password of `etl_role`, or None for a generated one.
        reader_password: The password of `reader_role`, or None for a generated one.
    """

    server: Postgres
    kestra_database: str
    warehouse_database: str
    kestra_role: str
    etl_role: str
    reader_role: str
    pgadmin_role: str
    etl_password: str | None
    reader_password: str | None


@dataclass(frozen=True)
class Login:
    """How a service on the stack's network logs in to a database.

    Attributes:
        address: Host and port of the server, such as postgres:5432.
        database: The name of the database.
        user: The role.
        password: The role's password, a secret.
    """

    address: str
    database: str
    user: str
    password: pulumi.Output[str]

    @property
    def jdbc_url(self) -> str:
        """The URL of the database for JDBC, without the login.

        It has no socketTimeout: a load, or a migration of Kestra, may wait as long as it has to.
        """
        return f"jdbc:postgresql://{self.address}/{quote(self.database)}?tcpKeepAlive=true"


class Databases(pulumi.ComponentResource):
    """Kestra's database and the warehouse, with a role for each kind of user.

    Attributes:
        kestra: The login of the role that owns Kestra's database.
        etl: The login of the role that writes to the warehouse.
        reader: The login of the role that reads the warehouse.
        pgadmin: The logins of the role that reads both databases, one for each.
        names_id: Changes with the name of a database. PostgreSQL renames none that is in use: a
            container that has this in an input is deleted before and created after.
        before_kestra: What Kestra's database needs before Kestra creates its tables there.
        outputs: What the stack exports of it, by the names of the stack's outputs.
    """

    kestra: Login
    etl: Login
    reader: Login
    pgadmin: tuple[Login, ...]
    names_id: pulumi.Output[str]
    before_kestra: Sequence[pulumi.Resource]
    outputs: dict[str, pulumi.Input[str | int]]

    def __init__(
        self, name: str, args: DatabasesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declares databases, schemas, roles and grants.

        Args:
            name: the logical name.
            args: what they need.
            opts: the resource options.
        """
        super().__init__("podium:infra:Databases", name, None, opts)
        # Host and port are plain values: taken from the container they would be unknown whenever
        # it is replaced, and every resource here would show as an update.
        provider = postgresql.Provider(
            name,
            host=args.server.host,
            port=args.server.port,
            username=args.server.user,
            password=args.server.password,
            sslmode=args.server.sslmode,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.server.container]),
        )
        self._opts = pulumi.ResourceOptions(
            parent=self,
            provider=provider,
            depends_on=[args.server.container],
            # All of it is on the volume: when that is deleted too, there is nothing to undo.
            deleted_with=args.server.volume,
        )

        # A new name of a role or database replaces these, but what they stand for is renamed with
        # it: to delete the old ones would fail on the old name. One that is to go for good needs
        # an `up` without any privileges first.
        self._renamed = pulumi.ResourceOptions.merge(
            self._opts, pulumi.ResourceOptions(retain_on_delete=True)
        )
        names = random.RandomId(
            f"{name}-names",
            byte_length=4,
            keepers={"kestra": args.kestra_database, "warehouse": args.warehouse_database},
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.names_id = names.hex
        self._after_names = pulumi.ResourceOptions.merge(
            self._opts, pulumi.ResourceOptions(depends_on=[names])
        )
        self._last_privileges: dict[pulumi.Input[str], pulumi.Resource] = {}

        def login(name: str, database: str, user: str, chosen: str | None = None) -> Login:
            secret = password(f"{name}-role-password", chosen, parent=self)
            return Login(args.server.address, database, user, secret)

        self.kestra = login("kestra", args.kestra_database, args.kestra_role)
        self.etl = login("etl", args.warehouse_database, args.etl_role, args.etl_password)
        self.reader = login(
            "reader", args.warehouse_database, args.reader_role, args.reader_password
        )
        on_warehouse = login("pgadmin", args.warehouse_database, args.pgadmin_role)
        self.pgadmin = (on_warehouse, replace(on_warehouse, database=args.kestra_database))
        kestra = self._role("kestra", self.kestra)
        etl = self._role("etl", self.etl)
        reader = self._role("reader", self.reader)
        pgadmin = self._role("pgadmin", on_warehouse)

        for name in _OTHER_DATABASES:
            self._grant(f"{name}-revoke-public", name, _PUBLIC, "database", [])
        kestra_database = self._database("kestra", args.kestra_database, kestra.name, kestra)
        warehouse = self._database("warehouse", args.warehouse_database, args.server.user, etl)

        self._grant("etl-connect", warehouse, etl.name, "database", ["CONNECT", "TEMPORARY"])
        self._grant("reader-connect", warehouse, reader.name, "database", ["CONNECT"])
        self._grant("pgadmin-connect", warehouse, pgadmin.name, "database", ["CONNECT"])
        self._grant(
            "pgadmin-connect-kestra", kestra_database, pgadmin.name, "database", ["CONNECT"]
        )

        for schema_name in WAREHOUSE_SCHEMAS:
            schema = postgresql.Schema(
                schema_name,
                name=schema_name,
                database=warehouse,
                owner=args.server.user,
                drop_cascade=True,
                opts=self._renamed,
            )
            self._grant(
                f"etl-{schema_name}",
                warehouse,
                etl.name,
                "schema",
                ["CREATE", "USAGE"],
                schema.name,
            )
            for who, role in (("reader", reader), ("pgadmin", pgadmin)):
                self._may_read(f"{who}-{schema_name}", warehouse, role, etl, schema.name)
        self._may_read("pgadmin-kestra", kestra_database, pgadmin, kestra, _PUBLIC)
        self.before_kestra = [self._last_privileges[kestra_database]]

        self.outputs = {
            "kestraDatabase": self.kestra.database,
            "warehouseDatabase": self.etl.database,
            "etlUser": self.etl.user,
            "etlPassword": self.etl.password,
            "readerUser": self.reader.user,
            "readerPassword": self.reader.password,
        }
        self.register_outputs({})

    def _role(self, name: str, login: Login) -> postgresql.Role:
        return postgresql.Role(
            f"{name}-role",
            name=login.user,
            login=True,
            password=login.password,
            connection_limit=_CONNECTION_LIMITS.get(name),
            idle_in_transaction_session_timeout=_IDLE_IN_TRANSACTION.get(name),
            statement_timeout=_STATEMENT.get(name),
            opts=self._opts,
        )

    def _database(
        self, name: str, database_name: str, owner: pulumi.Input[str], writer: postgresql.Role
    ) -> pulumi.Output[str]:
        """Declares a database where only `writer` may lock, and nobody connect unless granted."""
        database = postgresql.Database(
            f"{name}-database", name=database_name, owner=owner, opts=self._after_names
        ).name
        self._grant(f"{name}-revoke-public", database, _PUBLIC, "database", [])
        self._grant(f"{name}-revoke-public-schema", database, _PUBLIC, "schema", [], _PUBLIC)
        functions = (*_CREATE_LARGE_OBJECT, *_ADVISORY_LOCK)
        self._grant(
            f"{name}-revoke-functions", database, _PUBLIC, "function", [], _CATALOG, functions
        )
        execute = ["EXECUTE"]
        self._grant(
            f"{name}-locks", database, writer.name, "function", execute, _CATALOG, _ADVISORY_LOCK
        )
        return database

    def _may_read(
        self,
        name: str,
        database: pulumi.Output[str],
        role: postgresql.Role,
        writer: postgresql.Role,
        schema: pulumi.Input[str],
    ) -> None:
        """Lets a role read what a schema holds and what `writer` will create in it."""
        self._grant(f"{name}-usage", database, role.name, "schema", ["USAGE"], schema)
        self._grant(f"{name}-select", database, role.name, "table", ["SELECT"], schema)
        self._last_privileges[database] = postgresql.DefaultPrivileges(
            f"{name}-select-future",
            database=database,
            role=role.name,
            owner=writer.name,
            schema=schema,
            object_type="table",
            privileges=["SELECT"],
            opts=self._after_privileges(database),
        )

    def _grant(
        self,
        name: str,
        database: pulumi.Input[str],
        role: pulumi.Input[str],
        object_type: str,
        privileges: Sequence[str],
        schema: pulumi.Input[str] | None = None,
        objects: Sequence[str] | None = None,
    ) -> None:
        self._last_privileges[database] = postgresql.Grant(
            name,
            database=database,
            role=role,
            object_type=object_type,
            schema=schema,
            objects=objects,
            privileges=privileges,
            opts=self._after_privileges(database),
        )

    def _after_privileges(self, database: pulumi.Input[str]) -> pulumi.ResourceOptions:
        """Returns the options of privileges in a database: they run one after another.

        PostgreSQL refuses two grants on one object at the same time ("tuple concurrently updated").
        """
        last = self._last_privileges.get(database)
        return pulumi.ResourceOptions.merge(
            self._renamed, pulumi.ResourceOptions(depends_on=[last] if last else None)
        )
