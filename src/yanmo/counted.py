"""A number with its noun, as a message says it: one row, two rows; it knows no message."""

__all__ = ["counted"]


def counted(count: int, noun: str) -> str:
    """Return a number and a noun that fits it.

    Args:
        count: How many.
        noun: In the singular, of those whose plural ends with a plain s.
    """
    return f"{count} {noun if count == 1 else f'{noun}s'}"
