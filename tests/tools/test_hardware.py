"""hardware.py: the GPU is named where nvidia-smi knows one; the peak of memory."""

import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from hardware import hardware, peak_memory


@pytest.mark.parametrize(
    ("code", "said", "ending"),
    [
        (0, "NVIDIA H200\nNVIDIA H200\n", "GiB memory, NVIDIA H200"),
        (9, "NVIDIA-SMI has failed: no driver\n", "GiB memory"),
        (0, "", "GiB memory"),
    ],
)
def test_the_gpu_is_named_if_there_is_one(monkeypatch, code, said, ending):
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    answer = subprocess.CompletedProcess([], code, said, "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    found = hardware()
    assert f", {os.cpu_count()} cores, " in found
    assert found.endswith(ending)


def test_the_peak_of_memory_stays_when_the_memory_goes():
    def gigabytes():
        return float(re.match(r"(\d+\.\d\d) GiB", peak_memory())[1])

    before = gigabytes()
    assert 0.02 < before < 30
    assert np.ones(int((before + 0.3) * 2**27)).all()
    assert gigabytes() > before + 0.2
