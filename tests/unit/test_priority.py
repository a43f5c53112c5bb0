import os

from actor.priority import first_in_line


def test_the_loops_thread_gets_its_priority_back_and_threads_that_it_starts_get_none():
    before = os.sched_getscheduler(0)
    with first_in_line():
        during = os.sched_getscheduler(0)
        # Without the right to it (rtprio, or root) the loop goes on as it is.
        assert during in (before, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK)
        child = os.fork()
        if child == 0:
            os._exit(os.sched_getscheduler(0))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == os.SCHED_OTHER
    assert os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == before
