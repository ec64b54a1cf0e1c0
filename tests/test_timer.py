"""caffe.Timer, on a clock that the test sets."""

import pytest

from caffe import timer


@pytest.fixture
def clock(monkeypatch):
    """What the clock shows, in seconds; to be changed."""
    shown = [100.0]
    monkeypatch.setattr(timer.time, "perf_counter", lambda: shown[0])
    return shown


def test_milliseconds_from_start_to_stop(clock):
    measured = timer.Timer()
    assert measured.ms == 0
    measured.start()
    clock[0] += 0.25
    measured.stop()
    clock[0] += 8
    assert measured.ms == 250
    measured.start()  # anew, not on top of what was
    clock[0] += 0.5
    assert measured.ms == 500  # reading stops it
    clock[0] += 8
    assert measured.ms == 500


def test_what_is_done_twice_counts_once(clock):
    measured = timer.Timer()
    measured.stop()
    assert measured.ms == 0
    measured.start()
    clock[0] += 0.25
    measured.start()
    clock[0] += 0.25
    measured.stop()
    clock[0] += 0.25
    measured.stop()
    assert measured.ms == 500


def test_the_gpu_s_work_is_waited_for(clock, monkeypatch):
    def finish_work(device):
        assert device.index == 1
        clock[0] += 0.25

    monkeypatch.setattr(timer, "current_device", lambda: timer.torch.device("cuda", 1))
    monkeypatch.setattr(timer.torch.cuda, "synchronize", finish_work)
    measured = timer.Timer()
    measured.start()
    measured.stop()
    assert measured.ms == 250
