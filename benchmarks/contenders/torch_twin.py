"""The same update in eager PyTorch: same networks, losses, Adam, Polyak averages and augmentation.

Variants: `loop` holds every critic as a module of its own, `stacked` computes all of them with batched products;
`stacked@cuda` does it there. Adam
is the fused one, Polyak averages are `torch._foreach` calls: what a careful author writes without a compiler.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from blocks import Block, batch_of
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch_pixels import Cameras, augment
from worker import serve

_RATE, _DISCOUNT, _POLYAK, _POLICY_POLYAK = 1e-3, 0.97, 0.005, 0.01


def hidden_layers(n_in: int, hidden: Sequence[int]) -> list[nn.Module]:
    """Dense -> LayerNorm -> ReLU for every hidden layer."""
    layers: list[nn.Module] = []
    for n_out in hidden:
        layers += [nn.Linear(n_in, n_out), nn.LayerNorm(n_out, eps=1e-6), nn.ReLU()]
        n_in = n_out
    return layers


class LoopCritics(nn.Module):
    """An ensemble as a list of networks."""

    def __init__(self, members: int, n_in: int, hidden: Sequence[int]) -> None:
        super().__init__()
        nets = [nn.Sequential(*hidden_layers(n_in, hidden), nn.Linear(hidden[-1], 1)) for _ in range(members)]
        self.nets = nn.ModuleList(nets)

    def forward(self, x: Tensor, members: Iterable[int] | None = None) -> Tensor:
        """Values of shape (members, batch)."""
        chosen = self.nets if members is None else [self.nets[i] for i in members]
        return torch.stack([net(x)[:, 0] for net in chosen])


class StackedCritics(nn.Module):
    """An ensemble as parameters with a leading axis."""

    def __init__(self, members: int, n_in: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ParameterList()
        for n_out in (*hidden, 1):
            bound = (6.0 / (n_in + n_out)) ** 0.5
            self.layers.append(torch.empty(members, n_in, n_out).uniform_(-bound, bound))
            self.layers.append(torch.zeros(members, 1, n_out))
            if n_out > 1:
                self.layers += [torch.ones(members, 1, n_out), torch.zeros(members, 1, n_out)]
            n_in = n_out

    def forward(self, x: Tensor, members: Sequence[int] | None = None) -> Tensor:
        """Values of shape (members, batch)."""
        layers = list(self.layers) if members is None else [layer[list(members)] for layer in self.layers]
        x = x.expand(len(layers[0]), *x.shape)
        for i in range(0, len(layers) - 2, 4):
            weight, bias, gain, offset = layers[i : i + 4]
            x = F.layer_norm(torch.baddbmm(bias, x, weight), (weight.shape[-1],), eps=1e-6)
            x = F.relu(torch.addcmul(offset, x, gain))
        return torch.baddbmm(layers[-1], x, layers[-2])[..., 0]


class Twin:
    """Networks, optimisers and one block of updates."""

    def __init__(self, block: Block, *, stacked: bool) -> None:
        self.block = block
        kind = StackedCritics if stacked else LoopCritics
        sizes = (block.critics, block.features + block.action, block.hidden)
        self.critics, self.targets = kind(*sizes), kind(*sizes).requires_grad_(False)
        self.targets.load_state_dict(self.critics.state_dict())
        self.policy, self.average = (
            nn.Sequential(*hidden_layers(block.features, block.hidden), nn.Linear(block.hidden[-1], 2 * block.action))
            for _ in range(2)
        )
        self.average.requires_grad_(False).load_state_dict(self.policy.state_dict())
        self.cameras = Cameras(block)
        self.log_temperature = torch.tensor(math.log(0.01), requires_grad=True)
        groups: list[dict[str, Any]] = [{"params": list(self.critics.parameters())}]
        if block.cameras:
            groups.append({"params": list(self.cameras.parameters()), "lr": _RATE / 2})
        self.critic_adam = torch.optim.Adam(groups, lr=_RATE, fused=True)
        self.policy_adam = torch.optim.Adam([*self.policy.parameters(), self.log_temperature], lr=_RATE, fused=True)

    def update(self, batch: dict[str, Any]) -> None:
        """A critic update per minibatch; the last one also moves the actor and the temperature."""
        for i in range(self.block.utd):
            seen = {name: augment(name, frames[i]) for name, frames in batch["observation"].items()}
            after = {name: augment(name, frames[i]) for name, frames in batch["next_observation"].items()}
            action = batch["action"][i]
            target = self._target(after, batch["reward"][i], batch["mask"][i])
            features = self._features(seen)
            values = self.critics(torch.cat([features, action], -1))
            loss = (values - target).square().mean()
            self.critic_adam.zero_grad(set_to_none=True)
            loss.backward()
            self.critic_adam.step()
            _mix(self.targets, self.critics, _POLYAK)
        self._update_actor(features.detach())

    @torch.no_grad()
    def _target(self, after: dict[str, Tensor], reward: Tensor, mask: Tensor) -> Tensor:
        features = self._features(after)
        action, _ = self._sample(features)
        chosen = torch.randperm(self.block.critics)[: self.block.subset].tolist()
        members = None if self.block.subset == self.block.critics else chosen
        value = self.targets(torch.cat([features, action], -1), members).amin(0)
        return (reward + _DISCOUNT * mask * value).clamp(0.0, 1.0)

    def _update_actor(self, features: Tensor) -> None:
        action, log_probability = self._sample(features)
        self.critics.requires_grad_(False)
        value = self.critics(torch.cat([features, action], -1)).mean(0)
        entropy = -log_probability.mean()
        loss = (self.log_temperature.exp().detach() * log_probability - value).mean()
        loss = loss + self.log_temperature.exp() * (entropy.detach() + 0.5 * self.block.action)
        self.policy_adam.zero_grad(set_to_none=True)
        loss.backward()
        self.policy_adam.step()
        self.critics.requires_grad_(True)
        _mix(self.average, self.policy, _POLICY_POLYAK)

    def _features(self, seen: dict[str, Tensor]) -> Tensor:
        vector = seen["state"].clamp(-10.0, 10.0)
        return torch.cat([vector, *self.cameras(seen)], -1) if self.block.cameras else vector

    def _sample(self, features: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.policy(features).chunk(2, -1)
        log_std = log_std.clamp(-5.0, 2.0)
        noise = torch.randn_like(mean)
        raw = mean + log_std.exp() * noise
        log_normal = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
        log_squash = 2.0 * (math.log(2.0) - raw - F.softplus(-2.0 * raw))
        return raw.tanh(), (log_normal - log_squash).sum(-1)


@torch.no_grad()
def _mix(into: nn.Module, new: nn.Module, weight: float) -> None:
    torch._foreach_lerp_(list(into.parameters()), list(new.parameters()), weight)


def prepare(block: Block, variant: str) -> Callable[[], None]:
    """One repetition is one block of updates on tensors that lie ready."""
    kind, _, device = variant.partition("@")
    torch.set_default_device(device or "cpu")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    twin = Twin(block, stacked=kind == "stacked")
    batch = {
        name: {key: torch.tensor(value) for key, value in part.items()}
        if isinstance(part, dict)
        else torch.tensor(part)
        for name, part in batch_of(block).items()
    }

    def run() -> None:
        twin.update(batch)
        if device:
            torch.cuda.synchronize()

    for _ in range(2):
        run()
    return run


if __name__ == "__main__":
    serve(prepare)
