"""What belongs to no tenant: the configuration that clients may see, and a sign of life."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from offline.kestra.api.routing import JSON, Call, Resource

route = Resource(tenant=False)


@route("GET", "/ping")
def ping(call: Call) -> Any:
    return Response("pong", media_type=JSON)


@route("GET", "/api/v1/configs")
def configs(call: Call) -> Any:
    config = call.server.config
    shown: dict[str, Any] = {"uuid": call.server.uuid, "version": config.release.version}
    if config.release.tenant:
        shown |= {
            "edition": "OSS",
            "isCustomDashboardsEnabled": True,
            "isAnonymousUsageEnabled": False,
            "isUiAnonymousUsageEnabled": False,
            "url": config.url,
            "preview": {"initial": 100, "max": 5000},
            "systemNamespace": "system",
            "hiddenLabelsPrefixes": ["system.", "internal."],
            "isAiEnabled": False,
            "isBasicAuthInitialized": bool(config.basic_auth and not config.basic_auth.errors),
        }
        return shown
    return shown | {
        "isCustomDashboardsEnabled": False,
        "isTaskRunEnabled": False,
        "isAnonymousUsageEnabled": False,
        "isTemplateEnabled": False,
        "preview": {"initial": 100, "max": 5000},
        "isBasicAuthEnabled": config.basic_auth is not None,
        "systemNamespace": "system",
        "hiddenLabelsPrefixes": ["system.", "internal."],
    }


@route("GET", "/api/v1/basicAuthValidationErrors")
def validation_errors(call: Call) -> Any:
    auth = call.server.config.basic_auth
    return list(auth.errors) if auth else []
