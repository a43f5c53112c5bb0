"""A vision-language model on this machine, through transformers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from rewards.vlm.config import VlmConfig
from rewards.vlm.question import Answer, Question, VlmError, settled
from wire.errors import plain


class LocalModel:
    """Any image-text-to-text model of transformers with a chat template: from safetensors, without code of its own."""

    def __init__(self, config: VlmConfig) -> None:
        """Load it, onto a GPU where there is one; raises VlmError where that cannot be."""
        self._config = config
        self._processor, model = load(config.model)
        self._tokenizer = self._processor.tokenizer
        self._tokenizer.padding_side = "left"
        if self._processor.chat_template is None:
            raise VlmError(f"{plain(config.model)} has no chat template; name a model that was tuned for instructions")
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model.to(self._device).eval()
        settings = f"{config.max_tokens} tokens, temperature {config.temperature:g}"
        self.identity = f"{config.model} {_made(config.model)}, {settings}"

    def answer(
        self, questions: Sequence[Question], take: Callable[[int, Answer], None], may_ask: Callable[[], bool]
    ) -> None:
        """See Backend."""
        # What one batch shares: its number of pictures, and whether a text or a choice is wanted.
        kinds = [(len(question.images), bool(question.choices)) for question in questions]
        for kind in dict.fromkeys(kinds):
            rows = [row for row, each in enumerate(kinds) if each == kind]
            for start in range(0, len(rows), self._config.parallel):
                batch = [row for row in rows[start : start + self._config.parallel] if may_ask()]
                if not batch:
                    return
                for row, answer in zip(batch, self._batch([questions[row] for row in batch]), strict=True):
                    take(row, answer)

    def _batch(self, questions: list[Question]) -> list[Answer]:
        try:
            inputs = self._processor.apply_chat_template(
                [_message(question) for question in questions],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                processor_kwargs={"padding": True},
            ).to(self._device)
            with torch.inference_mode():
                found = self._choices(questions, inputs) if questions[0].choices else self._texts(questions, inputs)
        except (ValueError, RuntimeError, IndexError, TypeError) as error:
            return [Answer(problem=f"the model cannot look at this: {plain(error)}")] * len(questions)
        sent = inputs["attention_mask"].sum(1).tolist()
        return [answer._replace(tokens_in=n) for answer, n in zip(found, sent, strict=True)]

    def _texts(self, questions: list[Question], inputs: Any) -> list[Answer]:
        config = self._config
        warm: dict[str, Any] = {"do_sample": False}
        if config.temperature > 0:
            warm = {"do_sample": True, "temperature": config.temperature}
        out = self._model.generate(
            **inputs,
            **warm,
            max_new_tokens=config.max_tokens,
            max_time=config.timeout_s,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        new = out[:, inputs["input_ids"].shape[1] :]
        lengths = (new != self._tokenizer.pad_token_id).sum(1).tolist()
        texts = self._tokenizer.batch_decode(new, skip_special_tokens=True)
        late = Answer(problem=f"no answer within {config.timeout_s:g} s")
        return [
            (settled(question, text, None) if whole else late)._replace(tokens_out=n)
            for question, text, n, whole in zip(questions, texts, lengths, self._whole(new), strict=True)
        ]

    def _whole(self, new: torch.Tensor) -> list[bool]:
        """Which of the rows of new tokens, shape (n, length), are answers as the model meant them.

        All others were cut when the time was up: a row ends by itself with a token of its own, or at `max_tokens`.
        """
        if new.shape[1] >= self._config.max_tokens:
            return [True] * len(new)
        ends = self._model.generation_config.eos_token_id
        ends = [ends] if isinstance(ends, int) else ends or []
        return torch.isin(new, torch.tensor(ends, device=new.device)).any(1).tolist()

    def _choices(self, questions: list[Question], inputs: Any) -> list[Answer]:
        """One pass, no text: the probability mass of the tokens that begin each of the choices."""
        last = self._model(**inputs).logits[:, -1].float()
        if not torch.isfinite(last).all():
            return [Answer(problem="the model answers NaN or infinity")] * len(questions)
        found = []
        for question, log_mass in zip(questions, torch.log_softmax(last, -1), strict=True):
            tokens = self._first_tokens(question.choices)
            likely = torch.stack([torch.logsumexp(log_mass[each], 0) for each in tokens])
            # However little mass they have together: their order is what is asked.
            masses = torch.softmax(likely, 0).tolist()
            best = question.choices[int(likely.argmax())]
            found.append(settled(question, best, masses)._replace(tokens_out=1))
        return found

    def _first_tokens(self, choices: Sequence[str]) -> list[list[int]]:
        """Of every choice: the tokens with which it alone begins, with and without a space before it."""
        begins = [
            {self._tokenizer.encode(text, add_special_tokens=False)[0] for text in (choice, f" {choice}")}
            for choice in choices
        ]
        alone = [sorted(own - set().union(*(other for other in begins if other is not own))) for own in begins]
        if not all(alone):
            raise VlmError(
                f"the model's words for {', '.join(choices)} begin alike, so it cannot be asked for one of them; "
                "choose words with other beginnings"
            )
        return alone


_CURE = "name a folder of one, or one of the Hugging Face hub, with vlm.model, or a server with vlm.endpoint"


def load(name: str, cure: str = _CURE) -> tuple[Any, Any]:
    """The processor and the model; raises VlmError, which ends with the `cure`, where that cannot be."""
    try:
        import transformers
    except ImportError:
        raise VlmError(
            "a model on this machine needs the package transformers: pip install -e '.[vlm]' -c constraints.txt"
            + ("; or name a server with vlm.endpoint" if cure is _CURE else "")
        ) from None
    try:
        processor = transformers.AutoProcessor.from_pretrained(name, trust_remote_code=False)
        # Never a pickle: safetensors alone.
        model = transformers.AutoModelForImageTextToText.from_pretrained(
            name, trust_remote_code=False, use_safetensors=True, dtype="auto"
        )
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise VlmError(f"cannot load the vision-language model {plain(name)}: {plain(error)}; {cure}") from None
    return processor, model


def _message(question: Question) -> list[dict[str, Any]]:
    from PIL import Image

    images = [{"type": "image", "image": Image.fromarray(image)} for image in question.images]
    return [{"role": "user", "content": [*images, {"type": "text", "text": question.prompt}]}]


def _made(model: str) -> str:
    """Tells a folder's tensors from those of a later training under the same name; empty for a name of the hub."""
    files = sorted(Path(model).glob("*.safetensors")) if Path(model).is_dir() else []
    return " ".join(f"{path.stat().st_size}-{path.stat().st_mtime_ns}" for path in files)
