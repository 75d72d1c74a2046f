"""The load of a yellow month as the course's flow 04_postgres_taxi does it.

Source of tables, types and steps: github.com/DataTalksClub/data-engineering-zoomcamp, module 2.
"""

from pathlib import Path

import psycopg

from bench.postgres import copy_file

TABLE, _STAGING = "public.yellow_tripdata", "public.yellow_tripdata_staging"
_TYPES = {
    "vendorid": "text",
    "tpep_pickup_datetime": "timestamp",
    "tpep_dropoff_datetime": "timestamp",
    "passenger_count": "integer",
    "trip_distance": "double precision",
    "ratecodeid": "text",
    "store_and_fwd_flag": "text",
    "pulocationid": "text",
    "dolocationid": "text",
    "payment_type": "integer",
    "fare_amount": "double precision",
    "extra": "double precision",
    "mta_tax": "double precision",
    "tip_amount": "double precision",
    "tolls_amount": "double precision",
    "improvement_surcharge": "double precision",
    "total_amount": "double precision",
    "congestion_surcharge": "double precision",
}
# What makes a trip the same trip, glued without a separator.
_IDENTITY = (
    "vendorid",
    "tpep_pickup_datetime",
    "tpep_dropoff_datetime",
    "pulocationid",
    "dolocationid",
    "fare_amount",
    "trip_distance",
)
_DEFINITION = ", ".join(
    ["unique_row_id text", "filename text", *(f"{name} {kind}" for name, kind in _TYPES.items())]
)
_COLUMNS = ", ".join(_TYPES)
_CREATE = "".join(f"CREATE TABLE {table} ({_DEFINITION}); " for table in (TABLE, _STAGING))
_COPY = f"COPY {_STAGING} ({_COLUMNS}) FROM STDIN (FORMAT CSV, HEADER)"
_UPDATE = f"""
UPDATE {_STAGING}
SET unique_row_id = md5({" || ".join(f"coalesce({name}::text, '')" for name in _IDENTITY)}),
  filename = %s
"""
_MERGE = f"""
MERGE INTO {TABLE} AS target USING {_STAGING} AS source
ON target.unique_row_id = source.unique_row_id
WHEN NOT MATCHED THEN INSERT (unique_row_id, filename, {_COLUMNS})
VALUES (source.unique_row_id, source.filename, {", ".join(f"source.{name}" for name in _TYPES)})
"""


def create(database: str) -> None:
    """Creates the tables.

    Args:
        database: how psycopg connects.
    """
    _execute(database, _CREATE)


def load(database: str, path: Path) -> None:
    """Loads a month, each step in a transaction of its own.

    Args:
        database: how psycopg connects.
        path: the file, csv.
    """
    _execute(database, f"TRUNCATE {_STAGING}")
    copy_file(database, _COPY, path)
    _execute(database, _UPDATE, path.name)
    _execute(database, _MERGE)


def unload(database: str, path: Path) -> None:
    """Deletes a month, so that it can be loaded again into what else is there.

    Args:
        database: how psycopg connects.
        path: its file.
    """
    _execute(database, f"DELETE FROM {TABLE} WHERE filename = %s", path.name)
    _execute(database, f"VACUUM {TABLE}")


def multiply(database: str, months: int) -> None:
    """Adds as many trips as there are in each of some other months.

    Args:
        database: how psycopg connects.
        months: how many.
    """
    _execute(
        database,
        f"""
        INSERT INTO {TABLE} (unique_row_id, filename, {_COLUMNS})
        SELECT md5(unique_row_id || number), number, {_COLUMNS}
        FROM {TABLE}, generate_series(1, %s) AS number
        """,
        months,
    )


def _execute(database: str, statement: str, *parameters: object) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(statement.encode(), parameters)
