"""The callbacks that run beside a callback."""

import inspect

import keras


def calling() -> keras.callbacks.CallbackList | None:
    """Return the list of callbacks whose method is calling one of them.

    Keras gives a callback its model and no way to the callbacks beside it,
    whose state belongs to that of a run. The list is found where it stands: as
    `self` of the method that calls.

    Returns:
        keras.callbacks.CallbackList, or None where nothing of that kind calls.
    """
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, keras.callbacks.CallbackList):
            return owner
        frame = frame.f_back
    return None
