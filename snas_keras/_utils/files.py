"""Files that are either whole or not there."""

import contextlib
import glob
import json
import os
import pathlib
import shutil
import uuid

_TOKEN = 8


@contextlib.contextmanager
def replacing(path):
    """Give a temporary path that becomes `path` when the block succeeds.

    A process that dies inside the block leaves `path` as it was. A file never
    replaces a directory.

    Args:
        path: str or path, a file or directory to write; its parent is made.

    Yields:
        pathlib.Path beside `path`, not existing yet, with the same suffix.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex[:_TOKEN]
    temporary = path.with_name(f".{path.stem}.{token}{path.suffix}")
    try:
        yield temporary
        if path.is_dir() and temporary.is_dir():
            _replace_directory(temporary, path, token)
        else:
            os.replace(temporary, path)
    finally:
        _remove(temporary)


def remove_leftovers(path):
    """Remove what processes left that died while they wrote `path`.

    Only for a path that no other process writes at the time.

    Args:
        path: str or path, as `replacing` was given it.
    """
    path = pathlib.Path(path)
    stem, suffix = (glob.escape(x) for x in (path.stem, path.suffix))
    token = "[0-9a-f]" * _TOKEN
    for leftover in path.parent.glob(f".{stem}.{token}{suffix}"):
        _remove(leftover)


def write_report(path, content, table, figure):
    """Write a report as JSON, and beside it its table and its picture.

    Args:
        path: path of the JSON file; the others have the suffixes .md and .png.
        content: what JSON can hold.
        table: str, Markdown.
        figure: matplotlib figure.
    """
    path = pathlib.Path(path)
    with replacing(path.with_suffix(".png")) as temporary:
        figure.savefig(temporary, dpi=120)
    with replacing(path.with_suffix(".md")) as temporary:
        temporary.write_text(table + "\n")
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def existing(path) -> pathlib.Path:
    """Return `path` as a Path, or raise FileNotFoundError that names it."""
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"There is no file {str(path)!r} (looked in {path.absolute()})."
        )
    return path


def _replace_directory(temporary, path, token):
    old = path.with_name(f".{path.name}.{token}.old")
    os.replace(path, old)
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(old, path)
        raise
    shutil.rmtree(old)


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
