from __future__ import annotations

import threading
import time

from downloads.engine.effort import Effort


def test_a_thread_that_computes_is_told_from_one_that_waits() -> None:
    ends = threading.Event()

    def compute() -> None:
        while not ends.is_set():
            pass

    threads = [threading.Thread(target=compute), threading.Thread(target=ends.wait)]
    for one in threads:
        one.start()
    try:
        computing, waiting = (_share(one) for one in threads)
    finally:
        ends.set()
        for one in threads:
            one.join()
    assert computing > waiting


def test_threads_that_were_seen_only_once_have_no_share_yet() -> None:
    effort = Effort()
    time.sleep(0.1)
    effort.look([])
    effort.look([threading.get_native_id()])
    assert effort.share is None


def test_what_the_kernel_does_not_tell_counts_as_no_work() -> None:
    assert _share_of(-1) == 0.0


def _share(thread: threading.Thread) -> float:
    assert thread.native_id is not None
    return _share_of(thread.native_id)


def _share_of(native_id: int) -> float:
    effort = Effort()
    while effort.share is None:
        time.sleep(0.1)
        effort.look([native_id])
    return effort.share
