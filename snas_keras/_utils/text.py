"""Number formatting for tables, pages and messages."""

import decimal


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


def count(value: int) -> str:
    """Write a count for a person.

    Args:
        value: int, of any size.

    Returns:
        str: below a thousand million exact, with commas; else three digits.

    Example:

    >>> count(1000), count(8**28), count(10**400)
    ('1,000', '1.93e+25', '1.00e+400')
    """
    if value < 10**9:
        return f"{value:,}"
    return f"{decimal.Decimal(value):.3g}"
