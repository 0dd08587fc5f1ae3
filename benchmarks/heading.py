"""What stands at the head of a result: the machine it was measured on."""

from __future__ import annotations

from yanmo.machine import describe_machine

__all__ = ["machine_lines"]


def machine_lines() -> str:
    """Return the machine as the items of a Markdown list."""
    return "\n".join(f"- {key.replace('_', ' ')}: {value}" for key, value in describe_machine().items())
