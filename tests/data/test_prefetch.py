"""Prefetch: results in order, jobs taken in the caller's thread, errors where they are due."""

import threading
import time
from functools import partial
from itertools import count

import pytest

import caffe
from caffe.data.prefetch import Prefetch


def _slow_if_even(number: int) -> int:
    time.sleep(0.01 if number % 2 == 0 else 0)
    return number


def test_hands_out_results_in_order():
    ahead = Prefetch((partial(_slow_if_even, i) for i in count()), ahead=3)
    assert [next(ahead) for _ in range(9)] == list(range(9))


def test_never_takes_more_jobs_than_ahead_beyond_those_handed_out():
    taken: list[int] = []

    def jobs():
        for number in count():
            taken.append(number)
            yield partial(int, number)

    ahead = Prefetch(jobs(), ahead=3)
    assert taken == []
    for handed in range(7):
        assert next(ahead) == handed
        assert len(taken) == handed + 3


def test_takes_jobs_in_the_callers_thread_and_runs_them_in_others():
    def jobs():
        while True:
            assert threading.current_thread() is threading.main_thread()
            yield threading.current_thread

    assert next(Prefetch(jobs(), ahead=2)) is not threading.main_thread()


def test_raises_an_error_where_the_result_is_due():
    ahead = Prefetch(iter([partial(int, "7"), partial(int, "x"), partial(int, "9")]), ahead=1)
    assert next(ahead) == 7
    with pytest.raises(ValueError, match="'x'"):
        next(ahead)
    assert next(ahead) == 9


def test_raises_an_error_of_the_source_where_it_is_due_and_ever_after():
    def jobs():
        yield partial(int, "7")
        yield partial(int, "8")
        raise caffe.CaffeError("page 3 is lost")

    ahead = Prefetch(jobs(), ahead=4)
    assert [next(ahead), next(ahead)] == [7, 8]
    for _ in range(2):
        with pytest.raises(caffe.CaffeError, match="page 3 is lost"):
            next(ahead)
