"""Read what `SearchLogger` has written."""

import itertools
import os
import pathlib
from collections.abc import Callable
from typing import Any

from snas_keras._utils import files, sealed
from snas_keras.reports import _records

LOG = "search.jsonl"
SEARCH = "search.json"


def read_log(run_directory: str | os.PathLike) -> tuple[dict, list[dict]]:
    """Read what `SearchLogger` has written, as JSON has it.

    Args:
        run_directory: path of the folder.

    Returns:
        (search, lines): what `search.json` says, and one dict an epoch. What
        was not a finite number is None.

    Raises:
        FileNotFoundError: there is no log.
        ValueError: a file is damaged, or a line is not of this search.

    Example:

    >>> read_log("runs/none")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    FileNotFoundError: There is no file 'runs/none/search.json'...
    """
    search, epochs = read_search(run_directory)
    return search.to_json(), [epoch.to_json() for epoch in epochs]


def read_search(
    run_directory: str | os.PathLike,
) -> tuple[_records.Search, list[_records.Epoch]]:
    """Read what `SearchLogger` has written.

    Args:
        run_directory: path of the folder.

    Returns:
        (Search, list of Epoch).

    Raises:
        FileNotFoundError: there is no log.
        ValueError: a file is damaged, or a line is not of this search.
    """
    run_directory = pathlib.Path(run_directory)
    path = run_directory / SEARCH
    search = _parsed(_text(path), path, _records.Search.from_json)
    path = run_directory / LOG
    epochs = read_lines(path, _records.Epoch.from_json)
    if not epochs:
        raise ValueError(f"The log {path} is empty: no epoch has ended yet.")
    numbers = [epoch.epoch for epoch in epochs]
    if any(a >= b for a, b in itertools.pairwise(numbers)):
        raise ValueError(f"The epochs of {path} are not in order: {numbers}")
    for number, epoch in enumerate(epochs, 1):
        try:
            epoch.check(search.choices)
        except ValueError as error:
            raise ValueError(
                f"{path}, line {number}, is of another search than {SEARCH}: "
                f"{error}"
            ) from None
    return search, epochs


def read_lines(path: str | os.PathLike, read: Callable) -> list[Any]:
    """Read a file that holds one JSON object a line.

    Args:
        path: path of the file.
        read: function (content) -> record that raises ValueError.

    Returns:
        list of records.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is damaged or is no such record; the message names
            it.
    """
    return [
        _parsed(text, f"{path}, line {number}", read)
        for number, text in enumerate(_text(path).splitlines(), 1)
    ]


def _text(path):
    try:
        return files.existing(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _parsed(text, place, read):
    try:
        content = sealed.loads(text)
    except ValueError as error:
        raise ValueError(f"{place} is damaged: {error}") from error
    try:
        return read(content)
    except ValueError as error:
        raise ValueError(f"{place} is not of a search log: {error}") from None
