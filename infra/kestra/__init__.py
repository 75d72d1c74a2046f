"""Kestra: its server, and its flows, files and key-values as resources of a stack.

from infra.kestra import Connection, Flow, FlowDirectory, KeyValue, NamespaceFile
"""

from infra.kestra.resources import (
    Connection,
    Flow,
    FlowDirectory,
    KestraResourceError,
    KeyValue,
    NamespaceFile,
)
from infra.kestra.switches import Switches

__all__ = [
    "Connection",
    "Flow",
    "FlowDirectory",
    "KestraResourceError",
    "KeyValue",
    "NamespaceFile",
    "Switches",
]
