"""Kestra: its server, and its flows, files, key-values and dashboards as resources of a stack.

from infra.kestra import Connection, Dashboard, Flow, FlowDirectory, KeyValue, NamespaceFile
"""

from .resources import (
    Connection,
    Dashboard,
    Flow,
    FlowDirectory,
    KestraResourceError,
    KeyValue,
    NamespaceFile,
)
from .switches import Switches

__all__ = [
    "Connection",
    "Dashboard",
    "Flow",
    "FlowDirectory",
    "KestraResourceError",
    "KeyValue",
    "NamespaceFile",
    "Switches",
]
