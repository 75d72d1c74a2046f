"""What belongs to no tenant: the configuration that clients may see, and a sign of life."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from offline.kestra.api.routing import Call, Resource
from offline.kestra.engine.machine import Kestra

route = Resource(base="")


def version(kestra: Kestra) -> str:
    """Returns the release of Kestra, such as 2.0.0."""
    return str(kestra.bean("core.utils.VersionProvider").getVersion())


@route("GET", "/ping")
def ping(call: Call) -> Any:
    return Response("pong", media_type="application/json")


@route("GET", "/api/v1/configs")
def configs(call: Call) -> Any:
    return {
        "uuid": str(call.kestra.bean("core.services.InstanceService").fetch()),
        "version": version(call.kestra),
        "edition": "OSS",
        "chartDefaultDuration": "PT24H",
        "flowTemplate": "",
        "isCustomDashboardsEnabled": True,
        "isAnonymousUsageEnabled": False,
        "isUiAnonymousUsageEnabled": False,
        "url": call.settings["url"],
        "preview": {"initial": 100, "max": 5000},
        "systemNamespace": "system",
        "hiddenLabelsPrefixes": ["system.", "internal."],
        "isAiEnabled": False,
        "isAiApiKeyConfigured": False,
        "isBasicAuthInitialized": not call.settings["login_errors"],
        "pluginsHash": 0,
        "isConcurrencyViewEnabled": True,
    }


@route("GET", "/api/v1/basicAuthValidationErrors")
def validation_errors(call: Call) -> Any:
    return call.settings["login_errors"]
