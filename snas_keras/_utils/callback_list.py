"""The `CallbackList` of a running `fit`."""

import inspect

import keras


def calling() -> keras.callbacks.CallbackList | None:
    """Return the `CallbackList` on the call stack.

    Keras gives a callback its model and no access to the other callbacks, whose
    state is part of a run's. The list is read off the stack, as the `self` of
    the calling method.

    Returns:
        keras.callbacks.CallbackList, or None outside of one.
    """
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, keras.callbacks.CallbackList):
            return owner
        frame = frame.f_back
    return None
