"""Keep the C library from handing freed activations back to the kernel after every layer."""

import ctypes
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # glibc's names for what mallopt sets


@cache
def keep_freed_memory() -> None:
    """Let freed buffers be used again instead of being mapped anew for each layer.

    A net allocates the same activations in every pass. By default glibc maps each large one afresh
    and the kernel clears its pages, which takes a quarter of VGG16's training time on a CPU. Does
    nothing where the C library has no mallopt.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
