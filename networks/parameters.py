"""Nested parameter dictionaries <-> the flat named tensors that travel."""

import jax
import jax.numpy as jnp
import numpy as np

from networks import chunks, critic, encoder, grid, gripper, policy
from networks.architecture import Architecture, ArchitectureError, Critics
from networks.layers import Params


def flatten(params: Params) -> dict[str, np.ndarray]:
    """Host copies of every array, named by its path: {"policy/head/w": ...}."""
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    return {"/".join(str(key.key) for key in path): np.array(leaf) for path, leaf in leaves}


def nested(tensors: dict[str, np.ndarray]) -> Params:
    """The inverse of `flatten`: {"stem/w": ...} -> {"stem": {"w": ...}}."""
    out: Params = {}
    for name, tensor in tensors.items():
        *path, last = name.split("/")
        node = out
        for part in path:
            node = node.setdefault(part, {})
        node[last] = tensor
    return out


def unflatten(tensors: dict[str, np.ndarray], arch: Architecture) -> Params:
    """The parameters of a policy, or of critics that rank; raises ArchitectureError naming what does not fit."""
    wanted = jax.eval_shape(lambda: _template(arch))
    leaves, treedef = jax.tree_util.tree_flatten_with_path(wanted)
    shapes = {"/".join(str(key.key) for key in path): leaf.shape for path, leaf in leaves}
    problems = [f"{name} is missing" for name in shapes.keys() - tensors.keys()]
    problems += [f"{name} is not part of the network" for name in tensors.keys() - shapes.keys()]
    problems += [
        f"{name} has shape {tensors[name].shape}, wanted {shape}"
        for name, shape in shapes.items()
        if name in tensors and tensors[name].shape != shape
    ]
    if problems:
        raise ArchitectureError(f"these weights do not fit their architecture: {'; '.join(sorted(problems))}")
    return jax.tree_util.tree_unflatten(treedef, [np.asarray(tensors[name], np.float32) for name in shapes])


def _template(arch: Architecture) -> Params:
    key = jax.random.key(0)
    template = {
        "encoder": encoder.init(key, arch),
        "normaliser": encoder.identity_normaliser(arch),
    }
    if arch.critics is not None:
        return template | {"critics": critic.init(key, arch, arch.critics)}
    if arch.grid is not None:
        return template | {"critics": grid.init(key, arch), "active": jnp.ones(arch.grid.bins)}
    if arch.chunk is not None:
        critics = critic.init(key, arch, Critics(members=arch.chunk.critics, norm="layer"))
        return template | {"flow": chunks.init(key, arch), "critics": critics}
    template["policy"] = policy.init(key, arch)
    return template | ({"gripper": gripper.init(key, arch)} if arch.grippers else {})
