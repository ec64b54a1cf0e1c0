"""Keep the C library from handing freed activations back to the kernel after every layer."""

import ctypes
import sys
from functools import cache

# glibc's mallopt numbers, and the largest threshold that it accepts on 64 bits.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _LARGEST = -1, -3, 32 << 20


@cache
def keep_freed_memory() -> None:
    """Let buffers below 32 MiB be used again instead of being mapped anew for each layer.

    A net allocates the same activations in every pass. By default glibc maps each afresh and the
    kernel clears its pages, which took a third of the demo teacher's training time. Does nothing
    where the C library has no mallopt.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
