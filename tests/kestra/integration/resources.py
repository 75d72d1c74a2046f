"""Properties of Kestra's resources as the engine hands them to their providers."""

import json
from collections.abc import Mapping
from typing import Any

from tests.kestra.servers import PASSWORD, USERNAME

Props = dict[str, Any]


def text(namespace: str, flow_id: str, message: str = "Hello") -> str:
    """The YAML of a flow."""
    return (
        f"id: {flow_id}\nnamespace: {namespace}\n# Says something.\ntasks:\n"
        f"  - id: log\n    type: io.kestra.plugin.core.log.Log\n    message: {message}\n"
    )


def connection(url: str) -> Props:
    return {"url": url, "username": USERNAME, "password": PASSWORD}


def flow(url: str, source: str, **changes: object) -> Props:
    return {**connection(url), "source": source, "adopt": False, "overwrite": False, **changes}


def directory(
    url: str,
    namespace: str,
    flows: Mapping[str, str],
    files: Mapping[str, str] | None = None,
    **changes: object,
) -> Props:
    """What a folder holds for one namespace."""
    return {
        **connection(url),
        "namespace": namespace,
        "flows": dict(flows),
        "folder": f"flows/{namespace}",
        "paths": {},
        "files": dict(files or {}),
        "adopt": False,
        "overwrite": False,
        **changes,
    }


def file(url: str, namespace: str, path: str, content: str, **changes: object) -> Props:
    props = {**connection(url), "namespace": namespace, "path": path, "content": content}
    return {**props, "adopt": False, **changes}


def key_value(
    url: str, namespace: str, key: str, value: str, type: str = "STRING", **changes: object
) -> Props:
    props = {**connection(url), "namespace": namespace, "key": key, "value": value, "type": type}
    return {**props, "ttl": None, "adopt": False, **changes}


def dashboard(url: str, source: str, **changes: object) -> Props:
    props = {**connection(url), "source": source, "path": "dashboards/taxi_loads.yaml"}
    return {**props, "adopt": False, "overwrite": False, **changes}


def stored(outputs: Mapping[str, Any] | None) -> Props:
    """Outputs as they come back from the state, where every number is a float."""
    kept: Props = json.loads(json.dumps(outputs), parse_int=float)
    return kept
