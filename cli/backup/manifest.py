"""What a backup holds: the parts of the archive, and the manifest that describes them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SETTINGS = "settings.yaml"
STATE = "state.json"
GLOBALS = "globals.sql"
WAREHOUSE = "warehouse.dump"
KESTRA = "kestra.dump"
KESTRA_STORAGE = "kestra-storage.tar.gz"
PGADMIN = "pgadmin.db"
PGADMIN_STORAGE = "pgadmin-storage.tar.gz"
# In the order in which they are written: Kestra's database before the files that it refers to.
PARTS = (
    SETTINGS,
    STATE,
    GLOBALS,
    WAREHOUSE,
    KESTRA,
    KESTRA_STORAGE,
    PGADMIN,
    PGADMIN_STORAGE,
)


class Part(BaseModel):
    """One file of the archive.

    Attributes:
        size: its bytes.
        sha256: its SHA-256, in hexadecimal.
    """

    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """Describes a backup.

    Attributes:
        format: the version of the archive's format.
        project: the project's name.
        stack: the stack's name, without the organization.
        created: when the backup began.
        images: the image of each container, by service.
        versions: what PostgreSQL and Kestra report as their versions, by service.
        databases: the names of Kestra's database and of the warehouse, by part.
        data_size: the bytes that databases and volumes need on the Docker host.
        rows: the rows of each table of the warehouse, by its name with the schema.
        parts: the files of the archive, by name.
    """

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    project: str
    stack: str
    created: datetime
    images: dict[str, str]
    versions: dict[str, str]
    databases: dict[str, str]
    data_size: int = Field(ge=0)
    rows: dict[str, int]
    parts: dict[str, Part]
