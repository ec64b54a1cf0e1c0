"""hardware.py: the GPU is named where nvidia-smi knows one, and nothing else in its place."""

import os
import shutil
import subprocess

import pytest
from hardware import hardware


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
