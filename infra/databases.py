"""The databases, schemas and least-privilege roles inside the PostgreSQL server."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker
import pulumi_postgresql as postgresql

from infra.passwords import password

WAREHOUSE_SCHEMAS = ("staging", "trips", "quality", "reports")
_PUBLIC = "public"


@dataclass(frozen=True)
class DatabasesArgs:
    """What the databases need.

    Attributes:
        host: the host name under which the Docker host is reached.
        port: the published port of the server.
        superuser: the superuser's name.
        superuser_password: the superuser's password.
        server: the container of the server.
        volume: the volume of the server; what is declared here disappears with it.
        kestra_database: the name of Kestra's database.
        warehouse_database: the name of the database that flows load.
        kestra_role: the role that owns Kestra's database.
        etl_role: the role that writes to the warehouse.
        reader_role: the role that reads the warehouse.
        pgadmin_role: the role that reads both databases.
        etl_password: the password of `etl_role`, or None for a generated one.
        reader_password: the password of `reader_role`, or None for a generated one.
    """

    host: str
    port: int
    superuser: str
    superuser_password: pulumi.Input[str]
    server: docker.Container
    volume: docker.Volume
    kestra_database: str
    warehouse_database: str
    kestra_role: str
    etl_role: str
    reader_role: str
    pgadmin_role: str
    etl_password: str | None
    reader_password: str | None


class Databases(pulumi.ComponentResource):
    """Kestra's database and the warehouse, with a role for each kind of user.

    Attributes:
        kestra_password: the password of the role that owns Kestra's database.
        etl_password: the password of the role that writes to the warehouse.
        reader_password: the password of the role that reads the warehouse.
        pgadmin_password: the password of the role that reads both databases.
    """

    kestra_password: pulumi.Output[str]
    etl_password: pulumi.Output[str]
    reader_password: pulumi.Output[str]
    pgadmin_password: pulumi.Output[str]

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
        # Host and port come from the settings: taken from the container they would be unknown
        # whenever it is replaced, and every resource here would show as an update.
        provider = postgresql.Provider(
            name,
            host=args.host,
            port=args.port,
            username=args.superuser,
            password=args.superuser_password,
            sslmode="disable",
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.server]),
        )
        self._opts = pulumi.ResourceOptions(
            parent=self,
            provider=provider,
            depends_on=[args.server],
            # All of it lives on the volume: where that goes too there is nothing to undo.
            deleted_with=args.volume,
        )

        self._last_grant: list[pulumi.Resource] = []

        self.kestra_password = password("kestra-role-password", None, parent=self)
        self.etl_password = password("etl-role-password", args.etl_password, parent=self)
        self.reader_password = password("reader-role-password", args.reader_password, parent=self)
        self.pgadmin_password = password("pgadmin-role-password", None, parent=self)
        kestra = self._role("kestra", args.kestra_role, self.kestra_password)
        etl = self._role("etl", args.etl_role, self.etl_password)
        reader = self._role("reader", args.reader_role, self.reader_password)
        pgadmin = self._role("pgadmin", args.pgadmin_role, self.pgadmin_password)

        kestra_database = self._database("kestra", args.kestra_database, kestra.name)
        warehouse = self._database("warehouse", args.warehouse_database, args.superuser)

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
                database=warehouse.name,
                owner=args.superuser,
                drop_cascade=True,
                opts=self._opts,
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

        self.register_outputs({})

    def _role(self, name: str, role_name: str, role_password: pulumi.Input[str]) -> postgresql.Role:
        return postgresql.Role(
            f"{name}-role", name=role_name, login=True, password=role_password, opts=self._opts
        )

    def _database(
        self, name: str, database_name: str, owner: pulumi.Input[str]
    ) -> postgresql.Database:
        """Declares a database that nobody may connect to unless granted."""
        database = postgresql.Database(
            f"{name}-database", name=database_name, owner=owner, opts=self._opts
        )
        self._grant(f"{name}-revoke-public", database, _PUBLIC, "database", [])
        self._grant(f"{name}-revoke-public-schema", database, _PUBLIC, "schema", [], _PUBLIC)
        return database

    def _may_read(
        self,
        name: str,
        database: postgresql.Database,
        role: postgresql.Role,
        writer: postgresql.Role,
        schema: pulumi.Input[str],
    ) -> None:
        """Lets a role read what a schema holds and what `writer` will create in it."""
        self._grant(f"{name}-usage", database, role.name, "schema", ["USAGE"], schema)
        self._grant(f"{name}-select", database, role.name, "table", ["SELECT"], schema)
        postgresql.DefaultPrivileges(
            f"{name}-select-future",
            database=database.name,
            role=role.name,
            owner=writer.name,
            schema=schema,
            object_type="table",
            privileges=["SELECT"],
            opts=self._opts,
        )

    def _grant(
        self,
        name: str,
        database: postgresql.Database,
        role: pulumi.Input[str],
        object_type: str,
        privileges: Sequence[str],
        schema: pulumi.Input[str] | None = None,
    ) -> None:
        grant = postgresql.Grant(
            name,
            database=database.name,
            role=role,
            object_type=object_type,
            schema=schema,
            privileges=list(privileges),
            # PostgreSQL refuses two grants on one object at the same time ("tuple concurrently
            # updated"), so they run one after another.
            opts=pulumi.ResourceOptions.merge(
                self._opts, pulumi.ResourceOptions(depends_on=self._last_grant)
            ),
        )
        self._last_grant = [grant]
