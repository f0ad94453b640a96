"""Temporary files are removed however a process ends, and never while another process writes to them."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from resync.remux import temporary
from resync.remux.temporary import clear_leftovers, temporary_folder, temporary_output

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows has neither such locks nor such signals")
HOLD = """
import sys, time
from pathlib import Path
from resync.remux.temporary import temporary_output, temporary_folder
with temporary_output(Path(sys.argv[1]) / "out.mp4") as file, temporary_folder(Path(sys.argv[1])) as folder:
    file.write_text("half")
    (folder / "cover.png").write_text("cover")
    print("holds", flush=True)
    time.sleep(600)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def hold(tmp_path):
    """A function that starts a process which writes to a temporary file and folder in tmp_path; a prefix for its command may be given."""
    started = []

    def start(*prefix):
        process = subprocess.Popen([*prefix, sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "holds\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_temporary_file_is_removed_unless_it_was_renamed(tmp_path):
    with pytest.raises(RuntimeError):
        with temporary_output(tmp_path / "out.mp4") as file:
            file.write_text("half")
            assert file.parent == tmp_path and file.suffix == ".mp4" and names(tmp_path) == [file.name]
            raise RuntimeError
    assert not names(tmp_path)
    with temporary_output(tmp_path / "out.mp4") as file:
        file.write_text("whole")
        file.rename(tmp_path / "out.mp4")
    assert names(tmp_path) == ["out.mp4"]


def test_a_temporary_folder_is_removed_with_its_files(tmp_path):
    with pytest.raises(RuntimeError), temporary_folder(tmp_path) as folder:
        (folder / "a").mkdir()
        (folder / "a" / "b").write_text("cover")
        raise RuntimeError
    assert not names(tmp_path)


@posix_only
def test_what_a_killed_process_left_is_removed_at_once(tmp_path, hold):
    holder = hold()
    left = names(tmp_path)
    clear_leftovers(tmp_path)
    assert names(tmp_path) == left and len(left) == 2, "it is still written to"
    holder.kill()
    holder.wait()
    with temporary_output(tmp_path / "o.mp4") as file:
        assert names(tmp_path) == [file.name]


@posix_only
def test_files_that_no_lock_tells_about_are_removed_after_a_day(tmp_path):
    with temporary_output(tmp_path / "out.mp4") as own:
        machine = own.name[8:20]
        other = own.with_name(own.name.replace(machine, "0" * 12))
        older_version = own.with_name(".resync-01234567-123-01234567.mp4")
        kept = [other, older_version, tmp_path / ".resync-notes", tmp_path / ".resync-notes.txt"]
        stale = [path.with_name(path.name.replace(".mp4", ".mkv")) for path in kept[:2]]
        for path in kept + stale:
            path.write_text("half")
        for path in stale + kept[2:]:
            os.utime(path, (0, 0))
        clear_leftovers(tmp_path)
        assert names(tmp_path) == sorted(path.name for path in [own, *kept])


@posix_only
def test_without_locks_age_decides(tmp_path, monkeypatch):
    """On a file system that has none."""

    def unsupported(descriptor, operation):
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(temporary.fcntl, "flock", unsupported)
    with temporary_output(tmp_path / "a.mp4") as young, temporary_output(tmp_path / "b.mp4") as stale:
        os.utime(stale, (0, 0))
        clear_leftovers(tmp_path)
        assert names(tmp_path) == [young.name]


@posix_only
def test_threads_do_not_remove_each_others_files(tmp_path):
    with temporary_output(tmp_path / "a.mp4") as file:
        thread = threading.Thread(target=clear_leftovers, args=(tmp_path,))
        thread.start()
        thread.join()
        assert file.exists()


@posix_only
def test_a_file_that_was_taken_for_left_behind_is_made_again(tmp_path, monkeypatch):
    """Another process comes between creating and locking it."""
    lock, thieves = temporary._lock, [1]

    def late(descriptor):
        if thieves:
            thieves.pop()
            (file,) = tmp_path.iterdir()
            file.unlink()
        return lock(descriptor)

    monkeypatch.setattr(temporary, "_lock", late)
    with temporary_output(tmp_path / "a.mp4") as file:
        assert names(tmp_path) == [file.name] and not thieves


@pytest.fixture
def container():
    """The start of a command that runs in a container of its own, as far as process numbers and the host name go."""
    command = ["unshare", "--pid", "--fork", "--kill-child", "--uts", "--mount-proc", "sh", "-c", 'hostname same && exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("no permission to make namespaces")
    return command


@posix_only
def test_containers_that_share_a_folder_and_a_host_name(tmp_path, hold, container):
    """What a process in one of them writes does not look left behind in the other, where there is no process of its number."""
    holder = hold(*container)
    left = names(tmp_path)
    clear = "import sys, pathlib; from resync.remux.temporary import clear_leftovers; clear_leftovers(pathlib.Path(sys.argv[1]))"
    command = [*container, sys.executable, "-c", clear, tmp_path]
    subprocess.run(command, check=True)
    assert names(tmp_path) == left and len(left) == 2
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    subprocess.run(command, check=True)
    assert not names(tmp_path)
