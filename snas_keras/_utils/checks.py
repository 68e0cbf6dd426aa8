"""Checks of arguments."""


def one_of(name, value, allowed):
    if value not in allowed:
        raise ValueError(
            f"`{name}` must be one of {list(allowed)}. Received: "
            f"{name}={value!r}"
        )
    return value


def check_temperature(temperature):
    """Return the temperature as a float, or raise ValueError."""
    if not 0.0 < float(temperature) < float("inf"):
        raise ValueError(
            "`temperature` must be positive and finite. Received: "
            f"temperature={temperature}"
        )
    return float(temperature)


def drop_rate(rate):
    """Return the rate as a float, or raise ValueError."""
    if not 0.0 <= float(rate) < 1.0:
        raise ValueError(
            f"`rate` must be at least 0 and below 1. Received: rate={rate}"
        )
    return float(rate)


def positive_int(name, value):
    """Return `value`, or raise ValueError if it is not a positive int."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"`{name}` must be a positive int. Received: {name}={value!r}"
        )
    return value
