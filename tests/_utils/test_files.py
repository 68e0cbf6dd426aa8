"""Atomic replacement of files and directories."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from snas_keras._utils import files


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_block_that_succeeds_writes_the_file(tmp_path):
    path = tmp_path / "file.txt"
    with files.replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file.txt"]


def test_a_block_that_succeeds_replaces_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with files.replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file.txt"]


def test_the_old_file_stands_until_the_block_ends(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with files.replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def interrupted():
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        interrupted()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_block_that_fails_leaves_nothing_where_nothing_was(tmp_path):
    def interrupted():
        with files.replacing(tmp_path / "file.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []


def test_a_block_that_fails_before_it_writes_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def interrupted():
        with files.replacing(path):
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        interrupted()
    assert path.read_text() == "old"


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def nothing():
        with files.replacing(path):
            pass

    with pytest.raises(FileNotFoundError):
        nothing()
    assert path.read_text() == "old"


def _write_directory(path, text):
    path.mkdir()
    (path / "inner").mkdir()
    (path / "inner" / "file.txt").write_text(text)


def test_a_directory_is_written(tmp_path):
    path = tmp_path / "folder"
    with files.replacing(path) as temporary:
        _write_directory(temporary, "new")
    assert (path / "inner" / "file.txt").read_text() == "new"
    assert names(tmp_path) == ["folder"]


def test_a_directory_replaces_the_old_one_as_a_whole(tmp_path):
    path = tmp_path / "folder"
    _write_directory(path, "old")
    (path / "stale.txt").write_text("old")
    with files.replacing(path) as temporary:
        _write_directory(temporary, "new")
    assert (path / "inner" / "file.txt").read_text() == "new"
    assert names(path) == ["inner"]
    assert names(tmp_path) == ["folder"]


def test_a_block_that_fails_leaves_the_old_directory(tmp_path):
    path = tmp_path / "folder"
    _write_directory(path, "old")

    def interrupted():
        with files.replacing(path) as temporary:
            _write_directory(temporary, "half")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        interrupted()
    assert (path / "inner" / "file.txt").read_text() == "old"
    assert names(tmp_path) == ["folder"]


@pytest.fixture(params=[True, False], ids=["exchange", "two_renames"])
def exchanges(request, monkeypatch):
    """Whether the system can exchange two directories in one step."""
    if not request.param:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    return request.param


def test_a_directory_replaces_the_old_one_on_every_system(tmp_path, exchanges):
    path = tmp_path / "folder"
    for text in ("old", "new"):
        with files.replacing(path) as temporary:
            _write_directory(temporary, text)
    assert (path / "inner" / "file.txt").read_text() == "new"
    assert names(tmp_path) == ["folder"]


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux alone")
def test_two_directories_are_exchanged(tmp_path):
    for name in ("one", "other"):
        _write_directory(tmp_path / name, name)
    assert files._exchange(tmp_path / "one", tmp_path / "other")
    text = (tmp_path / "one" / "inner" / "file.txt").read_text()
    assert text == "other"
    assert not files._exchange(tmp_path / "one", tmp_path / "missing")


def test_a_directory_that_cannot_be_moved_in_leaves_the_old_one(
    tmp_path, monkeypatch
):
    path = tmp_path / "folder"
    _write_directory(path, "old")
    moved, replace = [], os.replace

    def fails_once(source, target):
        moved.append(target)
        if len(moved) == 2:
            raise OSError("no space left")
        replace(source, target)

    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    monkeypatch.setattr(os, "replace", fails_once)

    def write():
        with files.replacing(path) as temporary:
            _write_directory(temporary, "new")

    with pytest.raises(OSError, match="no space left"):
        write()
    assert (path / "inner" / "file.txt").read_text() == "old"
    assert names(tmp_path) == ["folder"]


# Dies at the first, second, ... call of what changes names.
KILLED = """
import os, shutil, signal, sys
sys.path.append(sys.argv[3])
import files  # Alone: the rest of the package takes seconds.
left = [int(sys.argv[2])]
def deadly(function):
    def call(*args):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args)
    return call
os.replace, shutil.rmtree = deadly(os.replace), deadly(shutil.rmtree)
exchange = deadly(files._exchange)
files._exchange = exchange if sys.argv[4] == "True" else lambda *args: False
with files.replacing(sys.argv[1]) as temporary:
    temporary.mkdir()
    (temporary / "file.txt").write_text("new")
"""


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_process_killed_at_any_point_leaves_a_directory(
    tmp_path, exchanges, call
):
    """At once where the system can exchange, else after the next look."""
    path = tmp_path / "served"
    path.mkdir()
    (path / "file.txt").write_text("old")
    folder = os.path.dirname(files.__file__)
    process = subprocess.run(
        [
            *(sys.executable, "-c", KILLED, str(path)),
            *(str(call), folder, str(exchanges)),
        ]
    )
    # With one exchange there are but two steps.
    is_killed = not (exchanges and call == 3)
    assert process.returncode == (-signal.SIGKILL if is_killed else 0)
    if exchanges:
        assert (path / "file.txt").read_text() in ("old", "new")
    files.remove_leftovers(path)
    assert (path / "file.txt").read_text() in ("old", "new")
    assert names(tmp_path) == ["served"]


def test_the_next_writer_restores_what_a_killed_one_moved_away(tmp_path):
    _write_directory(tmp_path / ".folder.0123abcd.old", "old")

    def interrupted():
        with files.replacing(tmp_path / "folder"):
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        interrupted()
    text = (tmp_path / "folder" / "inner" / "file.txt").read_text()
    assert text == "old"
    assert names(tmp_path) == ["folder"]


def test_a_link_to_a_directory_is_replaced_and_what_it_led_to_stays(tmp_path):
    _write_directory(tmp_path / "there", "there")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    with files.replacing(tmp_path / "link") as temporary:
        _write_directory(temporary, "new")
    for name, text in (("there", "there"), ("link", "new")):
        path = tmp_path / name / "inner" / "file.txt"
        assert path.read_text() == text
    assert names(tmp_path) == ["link", "there"]


def test_all_is_on_the_disk_before_and_the_name_after_the_rename(
    tmp_path, monkeypatch
):
    """Else a loss of power leaves an empty file under the new name."""
    calls, sync = [], os.fsync

    def record(descriptor):
        calls.append(pathlib.Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    replace = os.replace
    monkeypatch.setattr(
        os, "replace", lambda *args: calls.append("rename") or replace(*args)
    )
    with files.replacing(tmp_path / "file.txt") as temporary:
        temporary.write_text("new")
    assert calls == [temporary, "rename", tmp_path]
    calls.clear()
    with files.replacing(tmp_path / "folder") as temporary:
        _write_directory(temporary, "new")
    assert calls[-2:] == ["rename", tmp_path]
    assert set(calls[:-2]) == {
        *(temporary, temporary / "inner", temporary / "inner" / "file.txt")
    }


def test_a_file_never_replaces_a_directory(tmp_path):
    """Who mistakes a folder for a file must not lose the folder."""
    path = tmp_path / "folder"
    _write_directory(path, "old")

    def write():
        with files.replacing(path) as temporary:
            temporary.write_text("new")

    with pytest.raises(IsADirectoryError):
        write()
    assert (path / "inner" / "file.txt").read_text() == "old"
    assert names(tmp_path) == ["folder"]


def test_missing_parents_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    with files.replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_the_temporary_path_is_new_beside_and_of_the_same_kind(tmp_path):
    """The suffix tells some writers what to write."""
    path = tmp_path / "model.keras"
    with files.replacing(str(path)) as first:
        with files.replacing(path) as second:
            assert first != second
            for temporary in (first, second):
                assert temporary.parent == tmp_path
                assert temporary.suffix == ".keras"
                assert temporary.name.startswith(".")
                assert not temporary.exists()
                temporary.write_text("new")


def test_what_a_killed_process_left_is_removed(tmp_path):
    """A file and a directory; nothing of another path, nothing hidden else."""
    path = tmp_path / "run[1]" / "file.npz"
    code = (
        "import os, signal, sys\n"
        f"sys.path.append({os.path.dirname(files.__file__)!r})\n"
        "import files\n"  # Alone: the rest of the package takes seconds.
        "with files.replacing(sys.argv[1]) as temporary:\n"
        "    getattr(temporary, sys.argv[2])()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for make in ("touch", "mkdir"):
        process = subprocess.run([sys.executable, "-c", code, path, make])
        assert process.returncode == -signal.SIGKILL
    left = set(names(path.parent))
    others = {".file.npz", ".file.0123.npz", ".files.01234567.npz", "file.npz"}
    for name in others:
        (path.parent / name).touch()
    assert len(left) == 2
    files.remove_leftovers(path)
    assert set(names(path.parent)) == others


def test_leftovers_of_a_place_that_is_not_there_are_none(tmp_path):
    files.remove_leftovers(tmp_path / "nothing" / "file.npz")
    assert names(tmp_path) == []


def test_an_existing_path_is_returned(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("here")
    assert files.existing(str(path)) == path
    assert isinstance(files.existing(str(path)), pathlib.Path)


def test_a_missing_path_is_named_with_the_place_searched():
    message = r"no file 'lost.json' \(looked in /.*lost.json\)"
    with pytest.raises(FileNotFoundError, match=message):
        files.existing("lost.json")
