"""Connections to the PostgreSQL server of the stack, with what its outputs say."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg


def connect(
    outputs: dict[str, Any], role: str, password: str, database: str
) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(
        host=outputs["postgresHost"],
        port=outputs["postgresPort"],
        user=role,
        password=password,
        dbname=database,
        connect_timeout=5,
        autocommit=True,
    )


@contextmanager
def as_reader(outputs: dict[str, Any]) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Connects to the warehouse as the role that may read it."""
    with connect(
        outputs, outputs["readerUser"], outputs["readerPassword"], outputs["warehouseDatabase"]
    ) as connection:
        yield connection
