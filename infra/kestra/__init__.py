"""Kestra's flows, namespace files, key-values and dashboards as Pulumi resources.

flows = FlowDirectory(
    "flows",
    connection=Connection(url="http://localhost:8080", username=user, password=password),
    path=Path("flows"),
)
pulumi.export("flows", flows.revisions)
"""

from .errors import (
    Conflict,
    InvalidContent,
    KestraError,
    PartlyWritten,
    RequestFailed,
    Unavailable,
)
from .releases import major_version
from .resources import (
    Connection,
    Dashboard,
    DashboardDirectory,
    Flow,
    FlowDirectory,
    KeyValue,
    NamespaceFile,
)
from .switches import Switches

__all__ = [
    "Conflict",
    "Connection",
    "Dashboard",
    "DashboardDirectory",
    "Flow",
    "FlowDirectory",
    "InvalidContent",
    "KestraError",
    "KeyValue",
    "NamespaceFile",
    "PartlyWritten",
    "RequestFailed",
    "Switches",
    "Unavailable",
    "major_version",
]
