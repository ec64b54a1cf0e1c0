"""What a tool answers with one line and exit code 1 instead of a traceback."""

import sys
from collections.abc import Callable

import caffe
from python_layers.array_file import DataError


class UserError(Exception):
    """A missing file, a wrong option, data that does not fit: one line that names it."""


# Ours raises CaffeError; an original pycaffe raises RuntimeError for a file it cannot read.
USER_ERRORS = (UserError, DataError, OSError, getattr(caffe, "CaffeError", RuntimeError))


def exit_code(tool: str, work: Callable[[], object]) -> int:
    """Do the tool's work: 0, 1 after one line that says what is wrong, 130 after Ctrl-C."""
    try:
        work()
    except USER_ERRORS as error:
        print(f"{tool}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{tool}: stopped; the same command continues", file=sys.stderr)
        return 130
    return 0
