"""Physical names and labels that keep the stacks of one Docker host apart."""

import pulumi


def physical_name(part: str) -> str:
    """Returns the name on the Docker host of a part of this stack, such as podium-dev-postgres."""
    return f"{pulumi.get_project()}-{pulumi.get_stack()}-{part}"


def stack_labels() -> dict[str, str]:
    """Returns the Docker labels that say which project and stack an object belongs to."""
    return {"podium.project": pulumi.get_project(), "podium.stack": pulumi.get_stack()}
