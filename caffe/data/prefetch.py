"""Doing the next batches' work in threads while the net computes."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from caffe.errors import CaffeError

_THREADS = min(4, os.cpu_count() or 1)


class Prefetch:
    """Runs an endless sequence of jobs, `ahead` of them early, and hands out results in order.

    The jobs themselves are taken from the iterator in the caller's thread, so what they draw by
    chance does not depend on timing. An exception inside a job is raised where its result is due,
    and so is a CaffeError of the iterator, which ends it: every later call raises it again.
    """

    def __init__(self, jobs: Iterator[Callable[[], Any]], ahead: int) -> None:
        self._jobs = jobs
        self._ahead = ahead
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="prefetch")
        self._waiting: deque[Future] = deque()
        self._error: CaffeError | None = None

    def __next__(self) -> Any:
        while len(self._waiting) < self._ahead and self._error is None:
            try:
                self._waiting.append(self._pool.submit(next(self._jobs)))
            except CaffeError as error:
                self._error = error
        if not self._waiting and self._error is not None:
            raise self._error
        return self._waiting.popleft().result()
