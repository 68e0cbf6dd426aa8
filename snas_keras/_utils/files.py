"""Atomic replacement of files and directories."""

import contextlib
import ctypes
import dataclasses
import glob
import json
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator
from typing import Any

_TOKEN = 8
_OLD = ".old"
# Of <fcntl.h> and <linux/fs.h>.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Give a temporary path that becomes `path` when the block succeeds.

    What is written is on the disk before it takes the place of what was there,
    so that a process that is killed and a machine that loses its power leave
    the old or the new, whole. A file never replaces a directory.

    Args:
        path: str or path, a file or directory to write; its parent is made.

    Yields:
        pathlib.Path beside `path`, not existing yet, with the same suffix.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _restore(path)
    token = uuid.uuid4().hex[:_TOKEN]
    temporary = path.with_name(f".{path.stem}.{token}{path.suffix}")
    try:
        yield temporary
        _sync(temporary)
        if path.is_dir() and temporary.is_dir():
            _replace_directory(temporary, path, token)
        else:
            os.replace(temporary, path)
        _sync_entries(path.parent)
    finally:
        _remove(temporary)


def remove_leftovers(path: str | os.PathLike) -> None:
    """Remove what processes left that died while they wrote `path`.

    Only for a path that no other process writes at the time. A directory that
    was on its way out when its process died comes back, if nothing took its
    place.

    Args:
        path: str or path, as `replacing` was given it.
    """
    path = pathlib.Path(path)
    _restore(path)
    stem, name, suffix = map(glob.escape, (path.stem, path.name, path.suffix))
    token = "[0-9a-f]" * _TOKEN
    for pattern in (f".{stem}.{token}{suffix}", f".{name}.{token}{_OLD}"):
        for leftover in path.parent.glob(pattern):
            _remove(leftover)


def write_report(
    path: str | os.PathLike, content: Any, table: str, figure: Any
) -> None:
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
        temporary.write_text(table + "\n", encoding="utf-8")
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def read_report(path: str | os.PathLike, kind: Any) -> Any:
    """Read the JSON of a report into its dataclass.

    Args:
        path: path of the JSON file.
        kind: dataclass; what it has no field for is left out.

    Returns:
        an instance of `kind`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or not of such a report.
    """
    text = existing(path).read_bytes()
    names = {field.name for field in dataclasses.fields(kind)}
    try:
        content = json.loads(text)
        return kind(**{k: v for k, v in content.items() if k in names})
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(
            f"{path} is damaged, or no {kind.__name__}: {error}"
        ) from error


def existing(path: str | os.PathLike) -> pathlib.Path:
    """Return `path` as a Path, or raise FileNotFoundError that names it.

    Args:
        path: str or path.

    Returns:
        pathlib.Path of a file or directory that is there.

    Raises:
        FileNotFoundError: it is not; the message has the absolute path.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"There is no file {str(path)!r} (looked in {path.absolute()})."
        )
    return path


def _replace_directory(temporary, path, token):
    if _exchange(temporary, path):
        return
    # Where the system cannot exchange two directories there is a moment
    # without one, after which `_restore` finds the old one.
    old = path.with_name(f".{path.name}.{token}{_OLD}")
    os.replace(path, old)
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(old, path)
        raise
    shutil.rmtree(old)


def _exchange(one, other):
    """Exchange two paths in one step; return whether the system could."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # not Linux
        return False
    paths = (os.fsencode(one), os.fsencode(other))
    result = rename(
        *(_AT_FDCWD, ctypes.c_char_p(paths[0])),
        *(_AT_FDCWD, ctypes.c_char_p(paths[1])),
        ctypes.c_uint(_RENAME_EXCHANGE),
    )
    return result == 0


def _restore(path):
    """Bring back the old directory that a process died while replacing."""
    if os.path.lexists(path):
        return
    token = "[0-9a-f]" * _TOKEN
    pattern = f".{glob.escape(path.name)}.{token}{_OLD}"
    left = sorted(path.parent.glob(pattern), key=lambda p: p.stat().st_mtime)
    if left:
        os.replace(left[-1], path)


def _sync(path):
    """Wait until a file, or all that a directory holds, is on the disk."""
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                _sync_file(os.path.join(folder, name))
            _sync_entries(folder)
    elif path.exists():
        _sync_file(path)


def _sync_file(path):
    # Windows asks for a file that may be written.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_entries(folder):
    """Wait until the names in a directory are on the disk, where that can be.

    Windows opens no directories, and some network file systems sync none.
    """
    with contextlib.suppress(OSError):
        _sync_file(folder)


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
