import os
import subprocess
import sys

from actor.priority import first_in_line


def test_the_loops_thread_gets_its_priority_back_and_what_it_starts_gets_none():
    before = os.sched_getscheduler(0)
    with first_in_line():
        # Without the right to it (rtprio, or root) the loop goes on as it is.
        assert os.sched_getscheduler(0) in (before, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK)
        child = subprocess.run(
            [sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"], capture_output=True
        )
    assert int(child.stdout) == os.SCHED_OTHER
    assert os.sched_getscheduler(0) == before
