"""Everything about the package is declared in pyproject.toml."""

import setuptools

setuptools.setup()
