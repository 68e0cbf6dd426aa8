"""A report as JSON, with its table and its picture beside it."""

import dataclasses
import json
import os
import pathlib
from typing import Any

from snas_keras._utils import files, sealed


def write(
    path: str | os.PathLike, content: Any, table: str, figure: Any
) -> None:
    """Write a report as JSON, Markdown table and figure.

    Args:
        path: path of the JSON file; the others have the suffixes .md and .png.
        content: JSON-serializable content.
        table: str, Markdown.
        figure: matplotlib figure.
    """
    path = pathlib.Path(path)
    with files.replacing(path.with_suffix(".png")) as temporary:
        figure.savefig(temporary, dpi=120)
    with files.replacing(path.with_suffix(".md")) as temporary:
        temporary.write_text(table + "\n", encoding="utf-8")
    with files.replacing(path) as temporary:
        temporary.write_text(json.dumps(sealed.seal(content), indent=2) + "\n")


def read(path: str | os.PathLike, kind: Any) -> Any:
    """Read the JSON of a report into its dataclass.

    Args:
        path: path of the JSON file.
        kind: dataclass; entries without a field are ignored.

    Returns:
        An instance of `kind`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or not such a report.
    """
    text = files.existing(path).read_bytes()
    names = {field.name for field in dataclasses.fields(kind)}
    try:
        content = sealed.loads(text)
        return kind(**{k: v for k, v in content.items() if k in names})
    except (
        *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    ) as error:
        raise ValueError(
            f"{path} is damaged, or not a {kind.__name__}: {error}"
        ) from error
