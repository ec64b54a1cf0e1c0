"""Log lines in the form of glog's, which scripts that read Caffe's logs expect.

I1120 23:11:48.123000 4711 solver.py:218] Iteration 0, lr = 0.01

The engine logs through Python's logger "caffe"; what is here decides where that goes to. As for
glog, GLOG_minloglevel (0 info, 1 warnings, 2 errors, 3 nothing) and GLOG_log_dir in the
environment set the defaults.
"""

import getpass
import logging
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caffe.errors import CaffeError

_log = logging.getLogger("caffe")
_LINE = (
    "%(levelname).1s%(asctime)s.%(msecs)03d000 %(process)5d %(filename)s:%(lineno)d] %(message)s"
)
_LEVEL, _FOLDER = "GLOG_minloglevel", "GLOG_log_dir"
_LEVELS = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


def _environment_level() -> int:
    given = os.environ.get(_LEVEL, "0")
    return int(given) if given.isdecimal() else 0


def _formatted(handler: logging.Handler) -> logging.Handler:
    handler.setFormatter(logging.Formatter(_LINE, "%m%d %H:%M:%S"))
    return handler


def _file(folder: str, program: str) -> logging.Handler:
    """<program>.<host>.<user>.log.INFO.<date>-<time>.<pid> in `folder`, like glog's."""
    started = time.strftime("%Y%m%d-%H%M%S")
    host, user = socket.gethostname(), getpass.getuser()
    path = Path(folder, f"{program}.{host}.{user}.log.INFO.{started}.{os.getpid()}")
    try:
        return logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise CaffeError(f"log_dir {folder}: cannot write there: {error.strerror}") from None


@contextmanager
def logging_to(program: str, folder: str | None = None, level: int | None = None) -> Iterator[None]:
    """Log to stderr, and to a file of the program's in `folder`, while the context lasts.

    Raises CaffeError naming the folder if it cannot be written.
    """
    folder = folder or os.environ.get(_FOLDER)
    handlers = [_formatted(logging.StreamHandler())]
    if folder:
        handlers.append(_formatted(_file(folder, program)))
    before = _log.level
    for handler in handlers:
        _log.addHandler(handler)
    _log.setLevel(_LEVELS[min(level if level is not None else _environment_level(), 3)])
    try:
        yield
    finally:
        _log.setLevel(before)
        for handler in handlers:
            _log.removeHandler(handler)
            handler.close()


_started: list[logging.Handler] = []


def init_log(level: int | None = None, stderr: bool = True) -> None:
    """pycaffe's init_log: log what is at least of `level` (0 info to 3 nothing) from now on.

    stderr: to the standard error, else to a file in GLOG_log_dir or the temporary folder.
    """
    _log.setLevel(_LEVELS[min(level if level is not None else _environment_level(), 3)])
    while _started:
        before = _started.pop()
        _log.removeHandler(before)
        before.close()
    folder = os.environ.get(_FOLDER) or tempfile.gettempdir()
    handler = logging.StreamHandler() if stderr else _file(folder, "python")
    _started.append(_formatted(handler))
    _log.addHandler(handler)


def ensure_log() -> None:
    """Log to stderr, as Caffe does unasked, unless the program has arranged something else."""
    if not _log.hasHandlers():
        init_log()


def log(text: object) -> None:
    """pycaffe's log: one line at level info."""
    ensure_log()
    _log.info("%s", text, stacklevel=2)
