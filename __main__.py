"""Podium, from top to bottom in the order in which it comes to life."""

from pathlib import Path
from urllib.parse import quote

import pulumi

from infra.databases import Databases, DatabasesArgs
from infra.file_server import FileServer, FileServerArgs
from infra.kestra import Connection, Dashboard, FlowDirectory, Switches
from infra.kestra_server import KestraServer, KestraServerArgs
from infra.network import Network
from infra.pgadmin import PgAdmin, PgAdminArgs
from infra.postgres import SUPERUSER, Postgres, PostgresArgs
from infra.settings import Settings

settings = Settings.load()

network = Network("network")

postgres = Postgres(
    "postgres",
    PostgresArgs(
        image=settings.postgres_image,
        network_name=network.network_name,
        bind_address=settings.bind_address,
        major_version=settings.postgres_major,
        port=settings.postgres_port,
        password=settings.passwords.postgres,
        protect_volume=settings.protect_volumes,
    ),
)

databases = Databases(
    "databases",
    DatabasesArgs(
        host=settings.host_name,
        port=settings.postgres_port,
        superuser=SUPERUSER,
        superuser_password=postgres.password,
        server=postgres.container,
        volume=postgres.volume,
        kestra_database=settings.kestra_database,
        warehouse_database=settings.warehouse_database,
        kestra_role=settings.kestra_role,
        etl_role=settings.etl_role,
        reader_role=settings.reader_role,
        pgadmin_role=settings.pgadmin_role,
        etl_password=settings.passwords.etl,
        reader_password=settings.passwords.reader,
    ),
)

source = settings.taxi_source
if settings.taxi_folder:
    files = FileServer(
        "files",
        FileServerArgs(
            image=settings.files_image,
            network_name=network.network_name,
            bind_address=settings.bind_address,
            folder=settings.taxi_folder,
        ),
    )
    source = files.url

kestra = KestraServer(
    "kestra",
    KestraServerArgs(
        image=settings.kestra_image,
        network_name=network.network_name,
        bind_address=settings.bind_address,
        host=settings.host_name,
        port=settings.kestra_port,
        management_port=settings.kestra_management_port,
        username=settings.admin_email,
        password=settings.passwords.kestra,
        database_url=f"jdbc:postgresql://postgres:5432/{quote(settings.kestra_database)}",
        database_username=settings.kestra_role,
        database_password=databases.kestra_password,
        databases=databases,
        variables={
            "source": source,
            "warehouse": f"jdbc:postgresql://postgres:5432/{quote(settings.warehouse_database)}",
        },
        secrets={
            "WAREHOUSE_USERNAME": settings.etl_role,
            "WAREHOUSE_PASSWORD": databases.etl_password,
        },
        docker_socket=settings.kestra_docker_socket,
        protect_volume=settings.protect_volumes,
    ),
)

pgadmin = PgAdmin(
    "pgadmin",
    PgAdminArgs(
        image=settings.pgadmin_image,
        network_name=network.network_name,
        bind_address=settings.bind_address,
        host=settings.host_name,
        port=settings.pgadmin_port,
        email=settings.admin_email,
        password=settings.passwords.pgadmin,
        database_host="postgres",
        databases=(settings.warehouse_database, settings.kestra_database),
        role=settings.pgadmin_role,
        role_password=databases.pgadmin_password,
        protect_volume=settings.protect_volumes,
    ),
)

connection = Connection(kestra.url, settings.admin_email, kestra.password)
# Kestra keeps all of this in PostgreSQL: where that volume goes too there is nothing left of it.
in_kestra = pulumi.ResourceOptions(depends_on=[kestra.container], deleted_with=postgres.volume)

flows = FlowDirectory(
    "flows",
    connection=connection,
    path=Path("flows"),
    switches=Switches(triggers_disabled=not settings.schedules_enabled),
    opts=in_kestra,
)

dashboards = {
    path.stem: Dashboard(path.stem, connection=connection, path=path, opts=in_kestra)
    for path in sorted(Path("dashboards").glob("*.yaml"))
}

if settings.notice:
    pulumi.export("notice", settings.notice)
pulumi.export("kestraUrl", kestra.url)
pulumi.export(
    "kestraManagementUrl", f"http://{settings.host_name}:{settings.kestra_management_port}"
)
pulumi.export("kestraUser", settings.admin_email)
pulumi.export("kestraPassword", kestra.password)
pulumi.export("pgadminUrl", pgadmin.url)
pulumi.export("pgadminUser", settings.admin_email)
pulumi.export("pgadminPassword", pgadmin.password)
pulumi.export("postgresHost", settings.host_name)
pulumi.export("postgresPort", settings.postgres_port)
pulumi.export("postgresUser", SUPERUSER)
pulumi.export("postgresPassword", postgres.password)
pulumi.export("kestraDatabase", settings.kestra_database)
pulumi.export("warehouseDatabase", settings.warehouse_database)
pulumi.export("etlUser", settings.etl_role)
pulumi.export("etlPassword", databases.etl_password)
pulumi.export("readerUser", settings.reader_role)
pulumi.export("readerPassword", databases.reader_password)
pulumi.export("flows", flows.revisions)
pulumi.export("dashboards", {name: dashboard.registered for name, dashboard in dashboards.items()})
pulumi.export(
    "images",
    {
        "postgres": settings.postgres_image,
        "kestra": settings.kestra_image,
        "pgadmin": settings.pgadmin_image,
    },
)
