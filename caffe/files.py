"""Writing files so that what was there before survives an interruption."""

import os
import tempfile
from pathlib import Path

from caffe.errors import CaffeError


def write_atomic(path: str | os.PathLike, content: bytes) -> None:
    """Write under a temporary name in the same folder, fsync, then rename over `path`.

    Raises CaffeError naming the path if the folder cannot be made or written.
    """
    target = Path(path)
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise CaffeError(f"{target}: cannot write: {error.strerror}") from None
