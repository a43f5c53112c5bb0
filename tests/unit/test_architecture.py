"""A network's description is bounded, typed and the same on both machines."""

import msgspec
import pytest
from experience import make_spec
from learning import SEEING, TINY, vector_spec

from networks.architecture import Architecture, ArchitectureError, Trunk, architecture_for
from wire.specs import ArraySpec


@pytest.mark.parametrize("arch", [TINY, SEEING], ids=["vectors", "cameras"])
def test_json_gives_the_architecture_again(arch: Architecture):
    assert Architecture.from_json(arch.to_json()) == arch


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        TINY.to_json().replace('"action_dim":2', '"action_dim":-2'),
        TINY.to_json().replace('"action_dim":2', '"action_dim":1000000'),
        TINY.to_json().replace('"hidden":[8]', '"hidden":[]'),
        TINY.to_json().replace('"hidden":[8]', '"hidden":["8"]'),
        TINY.to_json().replace("{", '{"surprise":1,', 1),
        SEEING.to_json().replace("[16,16,3]", "[0,16,3]"),
        SEEING.to_json().replace("[16,16,3]", "[-8,16,3]"),
        SEEING.to_json().replace("[16,16,3]", "[80000,16,3]"),
        SEEING.to_json().replace("[16,16,3]", "[16,16,4]"),
        SEEING.to_json().replace("[16,16,3]", "[16,20,3]"),
    ],
)
def test_a_description_of_no_network_is_refused(text: str):
    with pytest.raises(ArchitectureError):
        Architecture.from_json(text)


def test_a_picture_whose_size_does_not_halve_is_refused_with_the_cure():
    with pytest.raises(ArchitectureError, match=r"camera front is \(60, 60, 3\).*multiples of 8.*64 or 128"):
        architecture_for(make_spec(size=60), hidden=(8,))


def test_an_environment_gets_a_net_per_camera_and_its_vectors_in_alphabetical_order():
    spec = make_spec(size=16)
    spec = msgspec.structs.replace(spec, observation=dict(reversed(spec.observation.items())))
    arch = architecture_for(spec, hidden=(8,), embedding=5)
    assert list(arch.frames) == ["front", "wrist"]
    assert (arch.vectors, arch.action_dim) == ({"state": 3}, 4)
    assert arch.feature_dim == 3 + 2 * 5


@pytest.mark.parametrize("array", [ArraySpec(shape=(2, 2), dtype="float32"), ArraySpec(shape=(3,), dtype="float64")])
def test_an_observation_that_no_network_takes_is_named(array: ArraySpec):
    with pytest.raises(ArchitectureError, match="observation odd has shape"):
        architecture_for(vector_spec(observation={"odd": array}), hidden=(8,))


@pytest.mark.parametrize("shape", [(), (0,), (1024, 1024, 2), (-1, 4)])
def test_a_trunk_whose_features_no_picture_has_is_refused(shape: tuple[int, ...]):
    text = architecture_for(make_spec(size=16), hidden=(8,), trunk=Trunk(digest="0" * 64, shape=(4,))).to_json()
    with pytest.raises(ArchitectureError):
        Architecture.from_json(text.replace('"shape":[4]', f'"shape":{list(shape)}'))
