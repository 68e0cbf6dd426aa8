"""Search spaces, genotypes, candidate operations and cells."""

from snas_keras.spaces import published
from snas_keras.spaces._cell import cell
from snas_keras.spaces._genotype import Genotype
from snas_keras.spaces._network import as_network
from snas_keras.spaces._operations import OPERATIONS, get
from snas_keras.spaces._space import (
    SearchSpace,
    as_functional,
    check_space,
    search_space,
    unique_names,
)
from snas_keras.spaces.zoo import SEARCH_SPACES

__all__ = [
    "Genotype",
    "OPERATIONS",
    "SEARCH_SPACES",
    "SearchSpace",
    "cell",
    "published",
    "search_space",
]
