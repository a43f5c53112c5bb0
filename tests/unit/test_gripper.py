"""Grippers shut, hold or open: the same classes on both machines, beside whatever else the action moves."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from acting import toy_weights
from learning import TINY, normaliser, vector_spec

from actor.policy import PolicySlot
from learner.publisher import encode_policy
from networks import encoder, gripper, parameters, policy
from networks.architecture import Architecture, ArchitectureError, Gripper, architecture_for
from wire.specs import ArraySpec, EnvSpec

pytestmark = pytest.mark.usefixtures("quick_compiles")


def spec_of(*names: str, unit: str, n: int) -> EnvSpec:
    return vector_spec(
        actions=len(names),
        action_names=names,
        observation={"proprio": ArraySpec(shape=(n,), dtype="float32", unit=unit)},
    )


ONE = spec_of("x", "gripper", "y", unit="tool m [3], gripper command", n=4)
TWO = spec_of(
    *("left_x", "left_gripper", "right_x", "right_gripper"),
    unit="left gripper command, joints rad [2], right gripper command",
    n=4,
)


def arch_of(spec: EnvSpec) -> Architecture:
    return architecture_for(spec, hidden=(8,), discrete_grippers=True)


def test_the_spec_says_which_entries_are_grippers_and_where_their_commands_are_seen():
    assert arch_of(ONE).grippers == (Gripper(entry=1, vector="proprio", element=3),)
    left, right = arch_of(TWO).grippers
    assert (left.entry, left.element, right.entry, right.element) == (1, 0, 3, 3)
    assert (arch_of(ONE).move_dim, arch_of(TWO).move_dim, arch_of(ONE).action_dim) == (2, 2, 3)


@pytest.mark.parametrize(
    ("unit", "shape", "wanted"),
    [
        ("m [2], rad", (3,), ["m", "m", "rad"]),
        ("m", (1,), ["m"]),
        ("m [2], rad", (4,), []),
        ("", (3,), []),
        ("m [2], ", (3,), ["m", "m", ""]),
    ],
)
def test_units_are_told_apart_where_they_count_up_to_the_vector(unit: str, shape: tuple[int], wanted: list[str]):
    assert ArraySpec(shape=shape, dtype="float32", unit=unit).element_units() == wanted


@pytest.mark.parametrize(
    "spec",
    [
        vector_spec(),
        spec_of("x", "gripper", unit="tool m [4]", n=4),
        spec_of("x", "left_gripper", "right_gripper", unit="tool m [3], gripper command", n=4),
        spec_of("x", "y", unit="tool m [3], gripper command", n=4),
    ],
)
def test_an_environment_that_does_not_show_its_grippers_is_refused_with_the_cure(spec: EnvSpec):
    with pytest.raises(ArchitectureError, match=r"gripper command; toy has . of those .* set agent.gripper=continuous"):
        arch_of(spec)
    assert architecture_for(spec, hidden=(8,)).grippers == ()


def test_classes_shut_hold_and_open():
    present = jnp.array([[-1.0], [1.0], [0.3]])
    for chosen, wanted in ((0, [-1, -1, -1]), (1, [-1, 1, 0.3]), (2, [1, 1, 1])):
        got = gripper.commands(jnp.full(3, chosen), present)
        np.testing.assert_allclose(got[:, 0], wanted)


def test_two_hands_have_nine_classes_in_all_combinations():
    present = jnp.tile(jnp.array([[0.5, -0.5]]), (9, 1))
    got = gripper.commands(jnp.arange(9), present)
    wanted = list(itertools.product((-1.0, 0.5, 1.0), (-1.0, -0.5, 1.0)))
    np.testing.assert_allclose(got, wanted)


@pytest.mark.parametrize(
    ("command", "present", "wanted"),
    [
        # A command to the other side is that class alone; one that repeats what is in force may have been either.
        (-1.0, 1.0, [1, 0, 0]),
        (1.0, 1.0, [0, 1, 1]),
        (-1.0, -1.0, [1, 1, 0]),
        (1.0, -1.0, [0, 0, 1]),
        (0.4, 0.4, [0, 1, 0]),
        # A person's lever need not be at its end.
        (0.8, -1.0, [0, 0, 1]),
        (-0.3, 0.9, [1, 0, 0]),
    ],
)
def test_executed_commands_become_classes(command: float, present: float, wanted: list[int]):
    np.testing.assert_array_equal(gripper.fitting(jnp.array([[command]]), jnp.array([[present]]))[0], wanted)


def test_a_class_fits_what_it_commands_whatever_is_in_force():
    rng = np.random.default_rng(0)
    present = jnp.asarray(rng.choice([-1.0, 1.0, 0.2], (60, 2)), jnp.float32)
    chosen = jnp.asarray(rng.integers(9, size=60))
    fits = gripper.fitting(gripper.commands(chosen, present), present)
    assert (jnp.take_along_axis(fits, chosen[:, None], axis=1) == 1).all()


def test_toggles_are_commands_to_the_other_side():
    command = jnp.array([[1.0, 1.0], [1.0, -1.0], [-1.0, -0.2], [0.3, 0.3]])
    present = jnp.array([[1.0, 0.8], [-1.0, -1.0], [1.0, 0.4], [0.4, 1.0]])
    np.testing.assert_array_equal(gripper.toggles(command, present), [0, 1, 2, 0])


@pytest.mark.parametrize("spec", [ONE, TWO], ids=["one", "two"])
def test_an_action_taken_apart_is_put_together_again(spec: EnvSpec):
    arch = arch_of(spec)
    action = jnp.arange(2.0 * arch.action_dim).reshape(2, -1)
    move, grip = gripper.moves(action, arch), gripper.grips(action, arch)
    np.testing.assert_array_equal(grip[0], [each.entry for each in arch.grippers])
    np.testing.assert_array_equal(gripper.whole(move, grip, arch), action)


def params_of(arch: Architecture, chosen: int) -> dict:
    """A policy that stands still and always takes one class."""
    head = policy.init(jax.random.key(0), arch)
    grip = gripper.init(jax.random.key(1), arch)
    grip["head"] = {"w": 0.0 * grip["head"]["w"], "b": grip["head"]["b"].at[chosen].set(1.0)}
    return {
        "encoder": encoder.init(jax.random.key(2), arch),
        "normaliser": encoder.identity_normaliser(arch),
        "policy": head | {"head": jax.tree.map(jnp.zeros_like, head["head"])},
        "gripper": grip,
    }


@pytest.mark.parametrize("key", [None, jax.random.key(0)], ids=["mode", "exploring"])
def test_the_class_of_highest_value_is_executed_beside_the_gaussians_moves(key: jax.Array | None):
    arch = arch_of(TWO)
    seen = {"proprio": jnp.array([[-1.0, 0.0, 0.0, 1.0]])}
    shut_and_hold = policy.act(params_of(arch, 1), seen, key, arch)[0]
    open_and_shut = policy.act(params_of(arch, 6), seen, key, arch)[0]
    np.testing.assert_allclose(shut_and_hold[jnp.array([1, 3])], [-1.0, 1.0])
    np.testing.assert_allclose(open_and_shut[jnp.array([1, 3])], [1.0, -1.0])
    if key is None:
        np.testing.assert_allclose(shut_and_hold[jnp.array([0, 2])], 0.0)


def test_the_robot_acts_by_the_weights_that_it_was_sent():
    arch = arch_of(ONE)
    slot = PolicySlot(ONE)
    assert slot.offer(encode_policy(params_of(arch, 1), arch, version=1, fingerprint=ONE.fingerprint()))
    for in_force in (-1.0, 1.0):
        action, _ = slot.act({"proprio": np.array([0, 0, 0, in_force], np.float32)})
        assert action.shape == (3,)
        assert action[1] == in_force


def test_weights_of_before_there_were_grippers_still_load_and_continuous_ones_read_as_they_did():
    text = TINY.to_json()
    assert "grippers" not in text
    assert Architecture.from_json(text).grippers == ()
    slot = PolicySlot(ONE)
    assert slot.offer(toy_weights(ONE))


def test_weights_with_a_gripper_that_this_robot_has_not_are_refused():
    arch = arch_of(ONE)
    other = spec_of("gripper", "x", "y", unit="tool m [3], gripper command", n=4)
    slot = PolicySlot(other)
    assert not slot.offer(encode_policy(params_of(arch, 1), arch, version=1, fingerprint=other.fingerprint()))
    assert slot.refused == 1


def test_weights_without_their_gripper_are_refused_by_name():
    arch = arch_of(ONE)
    tensors = parameters.flatten(params_of(arch, 0))
    back = parameters.unflatten(tensors, arch)
    np.testing.assert_array_equal(back["gripper"]["head"]["b"], tensors["gripper/head/b"])
    del tensors["gripper/head/b"]
    with pytest.raises(ArchitectureError, match="gripper/head/b is missing"):
        parameters.unflatten(tensors, arch)


@pytest.mark.parametrize(
    "text",
    [
        '{"entry":9,"vector":"proprio","element":3}',
        '{"entry":1,"vector":"proprio","element":4}',
        '{"entry":1,"vector":"proprio","element":-1}',
        '{"entry":1,"vector":"other","element":0}',
        '{"entry":1,"vector":"proprio","element":3},{"entry":1,"vector":"proprio","element":2}',
    ],
)
def test_a_description_of_no_gripper_is_refused(text: str):
    whole = arch_of(ONE).to_json()
    right = '{"entry":1,"vector":"proprio","element":3}'
    assert Architecture.from_json(whole).grippers
    with pytest.raises(ArchitectureError):
        Architecture.from_json(whole.replace(right, text))


def test_somebody_must_move():
    with pytest.raises(ArchitectureError, match="no network has these grippers"):
        arch_of(spec_of("gripper", unit="gripper command", n=1))


def test_normaliser_and_command_do_not_meet():
    # What is in force is read as it was observed, not as the networks see it.
    arch = arch_of(ONE)
    params = params_of(arch, 1) | {"normaliser": normaliser(arch)}
    params["normaliser"]["mean"] = np.full(4, 5.0, np.float32)
    assert policy.act(params, {"proprio": jnp.array([[0.0, 0, 0, -1]])}, None, arch)[0, 1] == -1.0
