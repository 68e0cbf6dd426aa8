"""Keras layers grouped by the rule of their cost."""

import keras

from snas_keras import layers

KL = keras.layers


def _of_keras(*names):
    return tuple(getattr(KL, n) for n in names if hasattr(KL, n))


# No kernel is run: activations, norms, preprocessing.
FREE = (
    *_of_keras("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax"),
    *_of_keras("BatchNormalization", "LayerNormalization"),
    *_of_keras("GroupNormalization", "RMSNormalization", "UnitNormalization"),
    *_of_keras("Masking", "Rescaling", "Normalization", "Embedding"),
    *_of_keras("CategoryEncoding", "Discretization", "HashedCrossing"),
    *_of_keras("Hashing", "IntegerLookup", "StringLookup", "TextVectorization"),
    *_of_keras("AutoContrast", "CenterCrop", "Equalization", "RandomCrop"),
    *_of_keras("Resizing", "Solarization", "MaxNumBoundingBoxes"),
    *_of_keras("ContrastLimitedAdaptiveHistogramEqualization"),
)
# What reads their output is charged with what they read.
VIEWS = _of_keras(
    *("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D"),
    *("Cropping1D", "Cropping2D", "Cropping3D"),
    *("UpSampling1D", "UpSampling2D", "UpSampling3D"),
    *("Reshape", "Flatten", "Permute", "RepeatVector"),
)
MERGES = _of_keras(
    *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"),
    "Concatenate",
)
CONVOLUTIONS = _of_keras("Conv1D", "Conv2D", "Conv3D")
TRANSPOSED = _of_keras("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
DEPTHWISE = _of_keras("DepthwiseConv1D", "DepthwiseConv2D")
SEPARABLE = _of_keras("SeparableConv1D", "SeparableConv2D")
POOLS = _of_keras(
    *("MaxPooling1D", "MaxPooling2D", "MaxPooling3D"),
    *("AveragePooling1D", "AveragePooling2D", "AveragePooling3D"),
)
GLOBAL_POOLS = _of_keras(
    *("GlobalAveragePooling1D", "GlobalAveragePooling2D"),
    *("GlobalAveragePooling3D", "GlobalMaxPooling1D"),
    *("GlobalMaxPooling2D", "GlobalMaxPooling3D"),
)
ADAPTIVE_POOLS = _of_keras(
    *("AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D"),
    *("AdaptiveAveragePooling3D", "AdaptiveMaxPooling1D"),
    *("AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D"),
)
CELLS = (KL.SimpleRNNCell, KL.GRUCell, KL.LSTMCell)
CONVOLUTIONAL_RNNS = (KL.ConvLSTM1D, KL.ConvLSTM2D, KL.ConvLSTM3D)
DENSE = (KL.Dense,)
FACTORIZED = (layers.FactorizedReduce,)
SYMMETRIC_POOLS = (layers.SymmetricPooling2D,)
