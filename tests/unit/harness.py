"""The whole program under Pulumi mocks."""

import contextlib
import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import yaml

from tests.kestra import mocks
from tests.kestra.mocks import Deployment, Resource

PROJECT_FOLDER = Path(__file__).parents[2]
PROJECT: dict[str, Any] = yaml.safe_load((PROJECT_FOLDER / "Pulumi.yaml").read_text())
# `pulumi new` notes there which template a project was made from.
PROJECT["config"].pop("pulumi:tags", None)

NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"
IMAGE = "docker:index/remoteImage:RemoteImage"
CONTAINER = "docker:index/container:Container"
PASSWORD = "random:index/randomPassword:RandomPassword"
RANDOM_ID = "random:index/randomId:RandomId"
POSTGRESQL = "pulumi:providers:postgresql"
ROLE = "postgresql:index/role:Role"
DATABASE = "postgresql:index/database:Database"
SCHEMA = "postgresql:index/schema:Schema"
GRANT = "postgresql:index/grant:Grant"
DEFAULT_PRIVILEGES = "postgresql:index/defaultPrivileges:DefaultPrivileges"


def run(program: Callable[[], object], stack_name: str = "test") -> Deployment:
    """Runs a program under mocks that compute passwords and ids as the providers do."""
    return mocks.run(
        program,
        stack_name,
        computed={
            PASSWORD: lambda name: {"result": f"generated-{name}-1A"},
            RANDOM_ID: lambda name: {"hex": f"hex of {name}"},
            NETWORK: lambda name: {"ipamConfigs": [{"gateway": "192.0.2.254"}]},
            IMAGE: lambda name: {"imageId": f"sha256:{name}"},
        },
    )


def configure(secrets: dict[str, str] | None = None, /, **config: object) -> None:
    """Sets the stack's configuration: the defaults of Pulumi.yaml, changed by `config`."""
    defaults = {key: value["default"] for key, value in PROJECT["config"].items()}
    values = defaults | config | (secrets or {})
    pulumi.runtime.set_all_config(
        {f"podium:{key}": _engine_text(value) for key, value in values.items()},
        [f"podium:{key}" for key in secrets or {}],
    )


def _engine_text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool | dict) else str(value)


def deploy(
    secrets: dict[str, str] | None = None,
    /,
    *,
    stack_name: str = "test",
    folder: Path = PROJECT_FOLDER,
    **config: object,
) -> Deployment:
    """Runs the whole program and returns what it declared.

    Args:
        secrets: settings that are encrypted in the stack's configuration.
        stack_name: the name of the stack.
        folder: where the program is run.
        config: further settings.
    """
    configure(secrets, **config)
    with contextlib.chdir(folder):
        return run(lambda: runpy.run_path(str(PROJECT_FOLDER / "__main__.py")), stack_name)


def environment(container: Resource) -> dict[str, str]:
    """Returns the environment variables of a container."""
    return dict(env.split("=", 1) for env in container.inputs["envs"])


def files(container: Resource) -> dict[str, str]:
    """Returns the files that are written into a container, by their paths in it."""
    return {upload["file"]: upload["content"] for upload in container.inputs["uploads"]}
