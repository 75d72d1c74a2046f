"""Passwords: the user's own where one is set, a generated one otherwise."""

import pulumi
import pulumi_random as random


def password(
    name: str, chosen: str | None, parent: pulumi.Resource | None = None
) -> pulumi.Output[str]:
    """Returns a password as a secret.

    Args:
        name: the logical name under which a generated password is kept.
        chosen: the password that the user set, or None.
        parent: the component it belongs to.
    """
    if chosen is not None:
        return pulumi.Output.secret(chosen)
    generated = random.RandomPassword(
        name,
        length=32,
        # Letters and digits need no quoting anywhere; Kestra asks for one of each kind.
        special=False,
        min_lower=1,
        min_upper=1,
        min_numeric=1,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return pulumi.Output.secret(generated.result)
