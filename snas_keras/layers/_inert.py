"""Layers without a computation outside training."""

import typing

import keras

# Other layers declare it by the class attribute `is_inert = True`.
_STOCK = tuple(
    getattr(keras.layers, name)
    for name in (
        *("InputLayer", "Identity", "ActivityRegularization"),
        *("Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise"),
        *("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
        *("AugMix", "CutMix", "MixUp", "RandAugment"),
        *("RandomBrightness", "RandomColorDegeneration", "RandomColorJitter"),
        *("RandomContrast", "RandomElasticTransform", "RandomErasing"),
        *("RandomFlip", "RandomGaussianBlur", "RandomGrayscale", "RandomHue"),
        *("RandomInvert", "RandomPerspective", "RandomPosterization"),
        *("RandomRotation", "RandomSaturation", "RandomSharpness"),
        *("RandomShear", "RandomTranslation", "RandomZoom"),
    )
    if hasattr(keras.layers, name)
)


def is_inert(layer: typing.Any) -> bool:
    """Return whether a layer computes nothing outside training.

    Such a layer returns its input, or zeros, and costs nothing. A layer of your
    own declares it by the class attribute `is_inert = True`.

    Args:
        layer: Keras layer or operation.

    Returns:
        bool.

    Example:

    >>> is_inert(keras.layers.Dropout(0.5)), is_inert(keras.layers.ReLU())
    (True, False)
    """
    return getattr(layer, "is_inert", False) or isinstance(layer, _STOCK)
