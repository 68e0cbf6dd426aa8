"""Number formatting for tables, pages and messages."""

import decimal


def number(value: float) -> str:
    """Format a number, without an exponent from 1,000 on.

    Args:
        value: float or int, any unit.

    Returns:
        str: from 1,000 on a whole number with commas; below, six significant
        digits.

    Example:

    >>> number(1622664.4), number(12), number(0.98412345)
    ('1,622,664', '12', '0.984123')
    """
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.6g}"


def count(value: int) -> str:
    """Format a count.

    Args:
        value: int, of any size.

    Returns:
        str: below 10^9 exact, with commas; from there on three significant
        digits.

    Example:

    >>> count(1000), count(8**28), count(10**400)
    ('1,000', '1.93e+25', '1.00e+400')
    """
    if value < 10**9:
        return f"{value:,}"
    return f"{decimal.Decimal(value):.3g}"
