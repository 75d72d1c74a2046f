"""Podium, from top to bottom in the order in which its parts are created."""

from pathlib import Path

import pulumi

from infra.certificates import Certificates
from infra.container import Placement
from infra.databases import Databases, DatabasesArgs
from infra.file_server import TaxiSource, TaxiSourceArgs
from infra.gateway import Gateway, GatewayArgs
from infra.kestra import DashboardDirectory, FlowDirectory, Switches, major_version
from infra.kestra_server import KestraServer, KestraServerArgs
from infra.network import Network
from infra.pgadmin import PgAdmin, PgAdminArgs
from infra.postgres import Postgres, PostgresArgs, PostgresTls
from infra.settings import Settings

settings = Settings.load()

network = Network("network")
placement = Placement(
    network.network_name, settings.host_name, settings.bind_address, settings.protect_volumes
)

certificates = None if settings.tls == "off" else Certificates("certificates", settings.host_name)
pages = placement.behind_gateway(settings.gateway_ports[443]) if certificates else placement

postgres = Postgres(
    "postgres",
    PostgresArgs(
        placement,
        settings.postgres_image,
        settings.postgres_memory,
        cpus=settings.postgres_cpus,
        major_version=settings.postgres_major,
        port=settings.postgres_port,
        password=settings.postgres_password,
        tls=PostgresTls(certificates, network.gateway) if certificates else None,
    ),
)

databases = Databases(
    "databases",
    DatabasesArgs(
        postgres,
        kestra_database=settings.kestra_database,
        warehouse_database=settings.warehouse_database,
        kestra_role=settings.kestra_role,
        etl_role=settings.etl_role,
        reader_role=settings.reader_role,
        pgadmin_role=settings.pgadmin_role,
        etl_password=settings.etl_password,
        reader_password=settings.reader_password,
    ),
)

taxi = TaxiSource(
    "files",
    TaxiSourceArgs(
        placement,
        settings.files_image,
        settings.files_memory,
        settings.taxi_source,
        settings.taxi_folder,
    ),
)

kestra = KestraServer(
    "kestra",
    KestraServerArgs(
        pages,
        settings.kestra_image,
        settings.kestra_memory,
        cpus=settings.kestra_cpus,
        port=settings.kestra_port,
        management_port=settings.kestra_management_port,
        username=settings.admin_email,
        password=settings.kestra_password,
        databases=databases,
        variables={
            "source": taxi.url,
            "warehouse": databases.etl.jdbc_url,
            "retention": str(settings.retention_days),
        },
        secrets={
            "WAREHOUSE_USERNAME": databases.etl.user,
            "WAREHOUSE_PASSWORD": databases.etl.password,
        },
        environment=settings.kestra_environment,
        docker_socket=settings.kestra_docker_socket,
    ),
)

pgadmin = PgAdmin(
    "pgadmin",
    PgAdminArgs(
        pages,
        settings.pgadmin_image,
        settings.pgadmin_memory,
        port=settings.pgadmin_port,
        email=settings.admin_email,
        password=settings.pgadmin_password,
        databases=databases.pgadmin,
        names_id=databases.names_id,
    ),
)

if certificates:
    Gateway(
        "gateway",
        GatewayArgs(
            placement,
            settings.gateway_image,
            settings.gateway_memory,
            ports=settings.gateway_ports,
            pages={"kestra": kestra.address, "pgadmin": pgadmin.address},
            certificates=certificates if settings.tls == "internal" else None,
        ),
    )

# Kestra keeps its content in PostgreSQL: when that volume is deleted too, nothing is left of it.
in_kestra = pulumi.ResourceOptions(
    depends_on=[kestra.container, databases], deleted_with=postgres.volume
)

switches = Switches(triggers_disabled=not settings.schedules_enabled)
# Another release may refuse what the one before has taken.
images = [settings.kestra_image]
flows = FlowDirectory(
    "flows",
    connection=kestra.connection,
    path=Path("flows"),
    switches=switches,
    release=major_version(settings.kestra_image),
    triggers=images,
    opts=in_kestra,
)

dashboards = DashboardDirectory(
    "dashboards",
    connection=kestra.connection,
    path=Path("dashboards"),
    triggers=images,
    opts=in_kestra,
)

content = {"flows": flows.revisions, "dashboards": dashboards.registered, "images": settings.images}
outputs = postgres.outputs | databases.outputs | kestra.outputs | pgadmin.outputs | content
outputs |= certificates.outputs if certificates else {}
for name, value in outputs.items():
    pulumi.export(name, value)
