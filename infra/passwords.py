"""Passwords and keys: the user's own where one is set, generated ones otherwise."""

import pulumi
import pulumi_random as random


def password(name: str, chosen: str | None, parent: pulumi.Resource) -> pulumi.Output[str]:
    """Returns a password as a secret.

    Args:
        name: The logical name of a generated password.
        chosen: The password that the user set, or None for a generated one.
        parent: The component it belongs to.
    """
    return generated_secret(name, parent) if chosen is None else pulumi.Output.secret(chosen)


def generated_secret(name: str, parent: pulumi.Resource) -> pulumi.Output[str]:
    """Generates a secret of 32 letters and digits, which the state keeps.

    Args:
        name: The logical name.
        parent: The component it belongs to.
    """
    generated = random.RandomPassword(
        name,
        length=32,
        # Letters and digits need no quoting anywhere; Kestra requires one of each kind.
        special=False,
        min_lower=1,
        min_upper=1,
        min_numeric=1,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return pulumi.Output.secret(generated.result)
