"""How tools end: the exit code, one line about a user's mistake, a traceback of ours."""

import errno
import os

import errors
import numpy as np
import pytest
import torch

import caffe


def fail(error):
    raise error


def test_the_work_done():
    assert errors.exit_code("x.py", list) == 0


@pytest.mark.parametrize(
    "error", [errors.UserError("a: b"), caffe.CaffeError("a: b"), errors.DataError("a: b")]
)
def test_a_users_mistake_is_one_line(error, capsys):
    assert errors.exit_code("x.py", lambda: fail(error)) == 1
    assert capsys.readouterr().err == "x.py: a: b\n"


def test_a_full_disk_has_a_remedy(capsys):
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out/log.jsonl")
    assert errors.exit_code("x.py", lambda: fail(error)) == 1
    told = capsys.readouterr().err
    assert told.endswith(
        "x.py: out/log.jsonl: No space left on device: the disk is full; free some space and run "
        "the same command again\n"
    )
    assert told.count("\n") == 1


def test_an_error_of_a_file_begins_with_its_name(tmp_path, capsys):
    assert errors.exit_code("x.py", tmp_path.read_bytes) == 1
    assert capsys.readouterr().err == f"x.py: {tmp_path}: Is a directory\n"


def test_interruption(capsys):
    assert errors.exit_code("x.py", lambda: fail(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "x.py: stopped; the same command continues\n"


@pytest.mark.parametrize("error", [RuntimeError("a"), ValueError("a"), KeyError("a")])
def test_a_mistake_of_ours_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        errors.exit_code("x.py", lambda: fail(error))


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda: np.zeros(1 << 60, np.uint8), "Unable to allocate 1.00 EiB"),
        (lambda: torch.empty(1 << 60, dtype=torch.uint8), "DefaultCPUAllocator: can't allocate"),
        (lambda: fail(MemoryError()), "out of memory: ;"),
        (
            lambda: fail(torch.cuda.OutOfMemoryError("CUDA out of memory. Tried 9 GiB.\nMore.")),
            "CUDA out of memory. Tried 9 GiB.;",
        ),
    ],
    ids=("numpy", "cpu", "python", "cuda"),
)
def test_no_memory(work, words, capsys):
    assert errors.exit_code("x.py", work) == 1
    said = capsys.readouterr().err
    assert said.startswith("x.py: out of memory: ")
    assert words in said
    assert said.endswith("; remedies: docs/troubleshooting.md\n")
    assert said.count("\n") == 1
