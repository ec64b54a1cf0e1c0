"""What a tool answers with one line and exit code 1 instead of a traceback."""

import caffe
from python_layers.array_file import DataError


class UserError(Exception):
    """A missing file, a wrong option, data that does not fit: one line that names it."""


# Ours raises CaffeError; an original pycaffe raises RuntimeError for a file it cannot read.
USER_ERRORS = (UserError, DataError, OSError, getattr(caffe, "CaffeError", RuntimeError))
