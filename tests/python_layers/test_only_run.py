"""A folder belongs to one run at a time, and to nobody once that has ended."""

import os
import signal
import subprocess
import sys

import pytest

from python_layers.array_file import DataError
from python_layers.only_run import only_run

HOLD = "import sys; from python_layers.only_run import only_run; hold = only_run(sys.argv[1])"


def test_another_process_is_refused_until_the_holder_ends(tmp_path):
    folder = tmp_path / "new" / "run"
    code = f"{HOLD}; hold.__enter__(); print('held', flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DataError, match="new/run: another run is writing here; wait for it"):
            only_run(folder).__enter__()
        os.kill(holder.pid, signal.SIGKILL)
    with only_run(folder):
        assert [*folder.iterdir()] == []


def test_it_is_free_after_an_error(tmp_path):
    with pytest.raises(KeyError), only_run(tmp_path):
        raise KeyError
    with only_run(tmp_path), pytest.raises(DataError), only_run(tmp_path):
        pass


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_in_its_place_is_named(tmp_path, name):
    (tmp_path / "file").write_text("x")
    told = f"{name}: expected a folder, got a file; choose another place"
    with pytest.raises(DataError, match=told), only_run(tmp_path / name):
        pass
