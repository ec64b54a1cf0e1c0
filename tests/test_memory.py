"""keep_freed_memory: the same buffers again and again cost page faults only once."""

import resource
import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from caffe.memory import keep_freed_memory
if {keep}:
    keep_freed_memory()
def use():
    return [torch.ones(12_000_000) for _ in range(3)]  # larger than glibc ever keeps by itself
for _ in range(8):  # until the holes between what else was allocated are wide enough
    use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_buffers_are_used_again():
    def faults(keep):
        command = [sys.executable, "-c", PROGRAM.format(keep=keep)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    pages = 4 * 3 * 48_000_000 // resource.getpagesize()
    assert faults(keep=True) < pages / 10
    assert faults(keep=False) > pages / 2
