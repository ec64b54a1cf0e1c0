"""What a tool answers with one line and exit code 1 instead of a traceback."""

import errno
import sys
from collections.abc import Callable

import caffe
from python_layers.array_file import DataError


class UserError(Exception):
    """A missing file, a wrong option, data that does not fit: one line that names it."""


# Ours raises CaffeError; an original pycaffe raises RuntimeError for a file it cannot read.
USER_ERRORS = (UserError, DataError, OSError, getattr(caffe, "CaffeError", RuntimeError))
# What CUDA and PyTorch on a CPU say, in RuntimeErrors.
NO_MEMORY = ("out of memory", "can't allocate memory")


def message(error: BaseException) -> str:
    """The one line about an error, with what saves memory if it is about that."""
    text, first = str(error), str(error).partition("\n")[0]
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{text}: the disk is full; free some space and run the same command again"
    if not isinstance(error, MemoryError) and not any(words in text for words in NO_MEMORY):
        return text
    return f"out of memory: {first}; remedies: docs/troubleshooting.md"


def exit_code(tool: str, work: Callable[[], object]) -> int:
    """Do the tool's work: 0, 1 after one line that says what is wrong, 130 after Ctrl-C.

    What else is raised is a mistake of ours and ends in its traceback.
    """
    try:
        work()
    except (*USER_ERRORS, RuntimeError, MemoryError) as error:
        text = message(error)
        if text == str(error) and not isinstance(error, USER_ERRORS):
            raise
        print(f"{tool}: {text}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{tool}: stopped; the same command continues", file=sys.stderr)
        return 130
    return 0
