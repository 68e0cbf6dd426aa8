"""Number formatting for tables, pages and messages."""


def number(value: float) -> str:
    """Write a number for a person, never with an exponent from 1,000 on.

    Args:
        value: float or int, any unit.

    Returns:
        str: from a thousand on whole, with commas; else six digits.

    Example:

    >>> number(1622664.4), number(12), number(0.98412345)
    ('1,622,664', '12', '0.984123')
    """
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.6g}"
