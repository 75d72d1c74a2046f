"""Flows as resources of the stack."""

import pulumi
from pulumi.dynamic import Resource

from infra.kestra.provider import FlowProvider


class Flow(Resource, module="kestra", name="Flow"):
    """A flow on a Kestra server.

    Its namespace and id are those that the YAML names; another namespace or id is another flow.

    Attributes:
        revision: the revision on the server; every change of the text makes a new one.
    """

    revision: pulumi.Output[int]

    def __init__(
        self,
        name: str,
        *,
        url: pulumi.Input[str],
        username: pulumi.Input[str],
        password: pulumi.Input[str],
        source: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declares the flow.

        Args:
            name: the logical name.
            url: where the server answers.
            username: the login.
            password: its password, kept secret.
            source: the YAML text.
            opts: the resource options.
        """
        props = {
            "url": url,
            "username": username,
            "password": pulumi.Output.secret(password),
            "source": source,
            "revision": None,
        }
        super().__init__(FlowProvider(), name, props, opts)
