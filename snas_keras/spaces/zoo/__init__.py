"""The built-in search spaces: one file and one line of the registry each."""

import functools

import keras

from snas_keras.spaces.zoo import _digits, _nasbench201, _snas_cifar

SEARCH_SPACES = {
    "digits": _digits.digits,
    "snas_cifar": _snas_cifar.snas_cifar,
    "nasbench201": _nasbench201.nasbench201,
}
