"""The network on which the services of one stack find each other by alias."""

import pulumi
import pulumi_docker as docker

from infra.container import physical_name, stack_labels


class Network(pulumi.ComponentResource):
    """A bridge network of the stack's own.

    Attributes:
        network_name: the network's name on the Docker host.
        gateway: the address from which the Docker host itself reaches the containers.
    """

    network_name: pulumi.Output[str]
    gateway: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declares the network.

        Args:
            name: the logical name.
            opts: the resource options.
        """
        super().__init__("podium:infra:Network", name, None, opts)
        network = docker.Network(
            name,
            name=physical_name("network"),
            driver="bridge",
            labels=[
                docker.NetworkLabelArgs(label=label, value=value)
                for label, value in stack_labels().items()
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.network_name = network.name
        self.gateway = network.ipam_configs.apply(lambda configs: str(configs[0].gateway))
        self.register_outputs({"networkName": self.network_name})
