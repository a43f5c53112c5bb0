import numpy as np

from envs.experts import NoisyExpert, StuckCorrector

DRIVEN = np.array([0.5, 0.0, 0.0, -1.0], np.float32)


class FakeExpert:
    def begin_episode(self):
        pass

    def propose(self):
        return DRIVEN


class World:
    """A potential that the test moves by hand."""

    def __init__(self):
        self.potential = 0.0

    def watch(self, seed=0, **settings):
        return StuckCorrector(FakeExpert(), lambda: self.potential, np.random.default_rng(seed), **settings)


def takeovers(corrector, periods=200):
    return [corrector.propose() is not None for _ in range(periods)]


def test_progress_keeps_the_corrector_silent():
    world = World()
    corrector = world.watch()
    for _ in range(100):
        assert corrector.propose() is None
        world.potential += 0.003


def test_after_eight_periods_without_progress_it_drives_for_ten_and_hands_back():
    silent, driving = [False], [True] * 10
    assert takeovers(World().watch(), 36) == silent * 8 + driving + silent * 8 + driving


def test_creeping_back_to_the_best_seen_is_no_progress():
    world, seen = World(), []
    corrector = world.watch()
    for t in range(9):
        world.potential = -0.01 * (t % 2)
        seen.append(corrector.propose() is not None)
    assert seen == [False] * 8 + [True]


def test_help_fades_with_the_episodes():
    def share(episode):
        corrector, shares = World().watch(), []
        for _ in range(20):
            corrector.begin_episode(episode)
            shares.append(np.mean(takeovers(corrector)))
        return np.mean(shares)

    assert share(0) > share(45) > share(60) == 0.0


def test_an_episode_is_the_same_whatever_came_before_it():
    fresh, used = World().watch(), World().watch()
    for episode in range(30):
        used.begin_episode(episode)
        takeovers(used)
    fresh.begin_episode(30)
    used.begin_episode(30)
    assert takeovers(fresh) == takeovers(used)


def test_another_seed_is_another_person():
    def first_year(seed):
        corrector = World().watch(seed)
        corrector.begin_episode(30)
        return takeovers(corrector)

    assert first_year(0) != first_year(1)


def test_noise_shakes_the_translation_and_leaves_the_gripper():
    expert = NoisyExpert(FakeExpert(), np.random.default_rng(0), 0.3, dims=3)
    actions = np.array([expert.propose() for _ in range(500)])
    assert actions.dtype == np.float32
    assert (np.abs(actions) <= 1.0).all()
    assert (actions[:, 3] == -1.0).all()
    assert np.allclose(actions[:, 1].std(), 0.3, atol=0.03)
    assert (DRIVEN == [0.5, 0.0, 0.0, -1.0]).all()
