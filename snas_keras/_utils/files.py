"""Atomic replacement of files and directories."""

import contextlib
import ctypes
import glob
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator

_TOKEN = 8
_OLD = ".old"
# Constants of <fcntl.h> and <linux/fs.h>.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Replace `path` by a temporary path when the block succeeds.

    The content is flushed to disk before the replacement, so that a killed
    process or a loss of power leaves either the old or the new content, intact.
    A file never replaces a directory.

    Args:
        path: str or path, a file or directory to write; its parent directory
            is created.

    Yields:
        pathlib.Path in the same directory, not yet existing, with the same
        suffix.
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
    """Remove the temporary files of processes that died while writing `path`.

    No other process may be writing `path` at the time. A directory whose
    replacement was interrupted is restored if `path` does not exist.

    Args:
        path: str or path, as for `replacing`.
    """
    path = pathlib.Path(path)
    _restore(path)
    stem, name, suffix = map(glob.escape, (path.stem, path.name, path.suffix))
    token = "[0-9a-f]" * _TOKEN
    for pattern in (f".{stem}.{token}{suffix}", f".{name}.{token}{_OLD}"):
        for leftover in path.parent.glob(pattern):
            _remove(leftover)


def existing(path: str | os.PathLike) -> pathlib.Path:
    """Return `path` as a Path, or raise an error that names it.

    Args:
        path: str or path.

    Returns:
        pathlib.Path of an existing file.

    Raises:
        FileNotFoundError: `path` does not exist; the message has the absolute
            path.
        ValueError: it is a directory.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"There is no file {str(path)!r} (looked in {path.absolute()})."
        )
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a directory, not a file.")
    return path


def _replace_directory(temporary, path, token):
    if _exchange(temporary, path):
        return
    # Without an atomic exchange there is a moment without a directory, from
    # which `_restore` recovers.
    old = path.with_name(f".{path.name}.{token}{_OLD}")
    os.replace(path, old)
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(old, path)
        raise
    shutil.rmtree(old)


def _exchange(one, other):
    """Exchange two paths atomically; return whether the system supports it."""
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
    """Restore the old directory after an interrupted replacement."""
    if os.path.lexists(path):
        return
    token = "[0-9a-f]" * _TOKEN
    pattern = f".{glob.escape(path.name)}.{token}{_OLD}"
    left = sorted(path.parent.glob(pattern), key=lambda p: p.stat().st_mtime)
    if left:
        os.replace(left[-1], path)


def _sync(path):
    """Flush a file, or all contents of a directory, to disk."""
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                _sync_file(os.path.join(folder, name))
            _sync_entries(folder)
    elif path.exists():
        _sync_file(path)


def _sync_file(path):
    # Windows needs a writable file.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_entries(folder):
    """Flush the entries of a directory to disk, where the system supports it.

    Windows cannot open directories, and some network file systems cannot sync
    them.
    """
    with contextlib.suppress(OSError):
        _sync_file(folder)


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
