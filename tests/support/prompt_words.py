"""What the hook says at a prompt."""

from __future__ import annotations


def scrubbed(*names: str) -> str:
    """The line about keys that were taken out of the environment."""
    return (
        f"routeguard: scrubbed {', '.join(names)} "
        f"(why, and how to allow it: routeguard why {names[0]})"
    )


def flagged(*names: str) -> str:
    """The line about names that stayed; one may have a remark in parentheses."""
    return scrubbed(*names).replace("scrubbed", "flagged").replace(" (readonly))", ")")


SCRUBBED = [scrubbed("OPENAI_API_KEY")]
