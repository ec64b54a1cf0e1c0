"""What a figure was measured on, and what memory it took."""

from __future__ import annotations

import os
import pathlib
import platform
import resource
import shutil
import subprocess
import sys


def hardware() -> str:
    """Processor, cores, memory, and the GPU where nvidia-smi names one."""
    processor = platform.processor() or platform.machine()
    information = pathlib.Path("/proc/cpuinfo")
    if information.is_file():
        names = [x for x in information.read_text().splitlines() if x.startswith("model name")]
        processor = names[0].split(":", 1)[1].strip() if names else processor
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [processor, f"{os.cpu_count()} cores", f"{memory:.0f} GiB memory"]
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        answer = subprocess.run(query, capture_output=True, text=True)
        # Without a driver it prints an error where the name would be.
        parts += answer.stdout.splitlines()[:1] if answer.returncode == 0 else []
    return ", ".join(parts)


def peak_memory() -> str:
    """The most memory that this process has held, and PyTorch on the GPU if it computes there."""
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts in KiB
    torch = sys.modules.get("torch")
    gpu = torch.cuda.max_memory_allocated() if torch and torch.cuda.is_available() else 0
    return f"{host:.2f} GiB" + (f", {gpu / 2**30:.2f} GiB on the GPU" if gpu else "")
