"""What the learner's process arranges with the system before it does anything else."""

import resource
from collections.abc import Iterator

import pytest

from learner.__main__ import allow_descriptors


@pytest.fixture(autouse=True)
def _limit_as_before() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_descriptors_are_taken_as_far_as_the_system_lets_us():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    allow_descriptors()
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert soft == (65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)) > 1024


def test_a_higher_limit_is_left_as_it_is():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard <= 65536:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    allow_descriptors()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= soft
