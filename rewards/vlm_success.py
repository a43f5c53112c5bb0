"""The success classifier that asks a vision-language model: a question about the picture, and a head that was trained.

After RoboFuME (Yang et al. 2024, arXiv 2310.15145), whose reward is what a fine-tuned vision-language model answers to
"is the task done?". Departure: the model stays frozen, and a linear head reads what it has come to think of picture and
question, which needs neither its gradients nor its memory, and trains in seconds. Otherwise it is a success classifier
as the others: the same splits, calibration, threshold, audit, labels and service.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from rewards.calibration import Platt
from rewards.models import TENSORS
from rewards.score import ModelError, Rule
from rewards.success import SuccessClassifier
from rewards.vlm.local import load as load_model
from wire.errors import UserError, plain

KIND = "vlm"
_BATCH = 16
_ANSWER = "Answer yes or no."
_FILES = ("*.safetensors", "config.json", "*processor*.json", "tokenizer*.json", "chat_template*")
"""Of a model's folder: what decides its answers."""


class Asked(msgspec.Struct, frozen=True):
    """All that decides what the head is given."""

    cameras: tuple[str, ...]
    question: str
    folder: str
    """Of the vision-language model; it may be moved, and this line of model.json with it."""
    digest: str
    """Of its files."""
    width: int
    """Of what the head is given of one camera."""


class VisionLanguage:
    """A frozen model, and what it thinks of pictures."""

    def __init__(self, folder: Path) -> None:
        """Load it, onto a GPU where there is one; raises ModelError where there is none, or it cannot be used."""
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"there is no vision-language model in {folder} (config.json is missing); name a folder as "
                "transformers saves them: model=<folder>"
            )
        try:
            self._processor, model = load_model(str(folder), cure="name a folder as transformers saves them: model=")
        except UserError as error:
            raise ModelError(str(error)) from None
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model.to(self._device).eval().requires_grad_(requires_grad=False)
        if self._processor.chat_template is None:
            raise ModelError(f"{folder} has no chat template; name a model that was tuned for instructions")

    def think(self, pictures: np.ndarray, question: str) -> Tensor:
        """What it has come to when it would begin its answer, and on the way there, float32 (n, 2 * hidden).

        That is its last layer at the last token, and the mean of that layer over all tokens, the picture's included.

        Args:
            pictures: Uint8 of shape (n, height, width, 3).
            question: The same for all of them.
        """
        parts = [self._part(pictures[i : i + _BATCH], question) for i in range(0, len(pictures), _BATCH)]
        return torch.cat(parts)

    def _part(self, pictures: np.ndarray, question: str) -> Tensor:
        from PIL import Image

        text = {"type": "text", "text": f"{question} {_ANSWER}"}
        asked = [
            [{"role": "user", "content": [{"type": "image", "image": Image.fromarray(picture)}, text]}]
            for picture in pictures
        ]
        try:
            inputs = self._processor.apply_chat_template(
                asked, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            ).to(self._device)
            with torch.inference_mode():
                last = self._model(**inputs, output_hidden_states=True).hidden_states[-1]
        except (ValueError, RuntimeError, IndexError, TypeError) as error:
            raise ModelError(f"the vision-language model cannot look at these pictures: {plain(error)}") from None
        # Prompts of one question about pictures of one size are equally long: nothing is padded.
        return torch.cat([last[:, -1], last.mean(1)], 1).float().cpu()


class VlmNetwork(nn.Module):
    """Frames -> logit of success. Its tensors are the head's alone."""

    def __init__(self, asked: Asked, model: VisionLanguage) -> None:
        super().__init__()
        self.asked, self._model = asked, model
        width = asked.width * len(asked.cameras)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.head = nn.Linear(width, 1)

    def forward(self, thoughts: Tensor) -> Tensor:
        """Logits, shape (n,), of what the model has come to, shape (n, cameras * width)."""
        return self.head((thoughts - self.mean) / self.scale).squeeze(1)

    def look(self, frames: Mapping[str, np.ndarray]) -> Tensor:
        """Logits, shape (n,), of uint8 images, shape (n, height, width, 3), by camera."""
        return self(self.think(frames))

    def think(self, frames: Mapping[str, np.ndarray]) -> Tensor:
        """What the model has come to of each camera, side by side, float32 (n, cameras * width)."""
        seen = [self._model.think(frames[name], self.asked.question) for name in self.asked.cameras]
        return torch.cat(seen, 1)

    def standardise(self, thoughts: Tensor) -> None:
        """Take mean and scale from what the head is trained on."""
        self.mean, self.scale = thoughts.mean(0), thoughts.std(0).clamp_min(1e-4)


class Description(msgspec.Struct, kw_only=True):
    """`model.json`: what the tensors beside it are, and how they are used."""

    kind: str
    version: str
    inputs: dict[str, tuple[int, ...]]
    asked: Asked
    platt: Platt
    rule: Rule
    facts: dict[str, Any] = {}
    """How it was trained, for people."""


class VlmClassifier(SuccessClassifier):
    """A RewardModel: calibrated probabilities of success, from what a vision-language model thinks of the frames."""

    kind = KIND

    def __init__(self, network: VlmNetwork, inputs: Mapping[str, tuple[int, ...]], platt: Platt, rule: Rule) -> None:
        self._asked = network.asked
        super().__init__(network, inputs, platt, rule)

    def _described(self, facts: Mapping[str, Any]) -> Description:
        return Description(
            kind=KIND,
            version=self.version,
            inputs=self.inputs,
            asked=self._asked,
            platt=self.platt,
            rule=self.rule,
            facts=dict(facts),
        )

    def _identity(self) -> tuple[Any, ...]:
        # Wherever the model lies, it is the same by its files.
        return (*super()._identity(), msgspec.structs.replace(self._asked, folder=""))


def ask(folder: Path, question: str, cameras: tuple[str, ...]) -> VlmNetwork:
    """A network with a head that knows nothing yet; raises ModelError where the model cannot be used."""
    model = VisionLanguage(folder)
    width = model.think(np.zeros((1, 32, 32, 3), np.uint8), question).shape[1]
    return VlmNetwork(Asked(cameras, question, str(folder.absolute()), digest_of(folder), width), model)


def fit_head(
    network: VlmNetwork, thoughts: Tensor, batches: Iterator[tuple[np.ndarray, Tensor]], *, rate: float, decay: float
) -> VlmNetwork:
    """Logistic regression on thoughts (n, width), batch by batch: numbers of rows, and the truth of each."""
    network.standardise(thoughts)
    optimiser = torch.optim.AdamW(network.head.parameters(), rate, weight_decay=decay)
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    for rows, truth in batches:
        loss = nn.functional.binary_cross_entropy_with_logits(network(thoughts[rows]), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


def digest_of(folder: Path) -> str:
    """Of all files of a model that decide its answers, by name and content."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _FILES for path in folder.glob(pattern)}):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def load(folder: Path, description: dict[str, Any]) -> VlmClassifier:
    """The classifier in a folder.

    Raises:
        ModelError: Its files do not belong together or are damaged, or the vision-language model is not there, or not
            the one that it was trained with.
    """
    torch.set_num_threads(1)
    try:
        told = msgspec.convert(description | {"format": None}, Description)
        asked = told.asked
        tensors = safetensors.torch.load((folder / TENSORS).read_bytes())
        problem = told.rule.problem()
        if problem is not None:
            raise ValueError(problem)
        if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
            raise ValueError("a tensor holds a NaN or an infinity")
    except (OSError, ValueError, TypeError, KeyError, safetensors.SafetensorError) as error:
        raise _unusable(folder, plain(error)) from None
    place = Path(asked.folder)
    if not place.is_dir():
        raise ModelError(
            f"{told.version} asks the vision-language model in {place}, which is not there; bring it back, or say in "
            f"{folder / 'model.json'}, as asked.folder, where it lies now"
        )
    if digest_of(place) != asked.digest:
        raise ModelError(
            f"{told.version} was trained with another vision-language model than the one that lies in {place} now; "
            "bring that one back, or train anew"
        )
    network = VlmNetwork(asked, VisionLanguage(place))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise _unusable(folder, plain(error)) from None
    model = VlmClassifier(network, told.inputs, told.platt, told.rule)
    if model.version != told.version:
        raise _unusable(folder, f"it is not the one that {told.version} was: its files were changed or mixed")
    return model


def _unusable(folder: Path, why: str) -> ModelError:
    return ModelError(f"the reward model in {folder} cannot be used: {why}; restore it from a copy, or train anew")
