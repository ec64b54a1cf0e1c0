"""One process at a time in a folder. The lock is the kernel's, on the folder or file itself: it
leaves no file behind and ends with the process, however that ends."""

import contextlib
import fcntl
import os
import pathlib

from python_layers.array_file import DataError


@contextlib.contextmanager
def only_run(folder):
    """Make the folder and hold it for this process.

    DataError if another run holds it, or a file is where it should be.
    """
    try:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise DataError(f"{folder}: expected a folder, got a file; choose another place") from None
    handle = os.open(folder, os.O_RDONLY)
    try:
        lock(handle, folder)
        yield
    finally:
        os.close(handle)


def lock(handle, path):
    """Lock the open file or folder until it is closed; DataError if another process has."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataError(
            f"{path}: another run is writing here; wait for it, or choose another place"
        ) from None
