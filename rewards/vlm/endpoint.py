"""A vision-language model at an OpenAI-compatible endpoint: vLLM, Ollama, `transformers serve`, or a cloud."""

import asyncio
import base64
import io
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rewards.vlm.config import VlmConfig
from rewards.vlm.question import Answer, Question, VlmError, settled
from wire.errors import plain

_IN_A_ROW = 8
"""So many failures without one answer between them, and there is no use in asking on."""
_CHOICE_TOKENS = 16
"""Of an answer that is one of a few words."""
_INSTEAD = {"max_tokens": "max_completion_tokens", "temperature": None, "top_logprobs": None, "logprobs": None}
"""What some servers refuse -> what to send in its place; None: nothing."""


class Endpoint:
    """Asks `parallel` questions at a time; the client library tries again, ever later, what may succeed then."""

    def __init__(self, config: VlmConfig) -> None:
        """Raises VlmError where the client library is not installed."""
        try:
            import openai
        except ImportError:
            raise VlmError(
                "vlm.endpoint needs the package openai: pip install -e '.[vlm]' -c constraints.txt"
            ) from None
        self._openai = openai
        self._config = config
        self._refused: set[str] = set()
        """Of _INSTEAD, what this server has been found not to know."""
        self._failures = 0
        self._reached = False
        """Whether anything was ever answered."""
        self.identity = f"{config.model}, {config.max_tokens} tokens, temperature {config.temperature:g}"

    def answer(
        self, questions: Sequence[Question], take: Callable[[int, Answer], None], may_ask: Callable[[], bool]
    ) -> None:
        """See Backend."""
        asyncio.run(self._answer(enumerate(questions), take, may_ask))

    async def _answer(
        self,
        waiting: Iterator[tuple[int, Question]],
        take: Callable[[int, Answer], None],
        may_ask: Callable[[], bool],
    ) -> None:
        config = self._config
        # Servers on one's own machine want no key, the library does.
        key = os.environ.get(config.key_env) or "none"
        client = self._openai.AsyncOpenAI(
            base_url=config.endpoint, api_key=key, max_retries=config.retries, timeout=config.timeout_s
        )

        async def work() -> None:
            for index, question in waiting:
                if not may_ask():
                    return
                take(index, self._counted(await self._one(client, question)))

        async with client:
            workers = [asyncio.create_task(work()) for _ in range(config.parallel)]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _one(self, client: Any, question: Question) -> Answer:
        """One answer, or why there is none; raises VlmError where no other question can have one either."""
        openai, config = self._openai, self._config
        try:
            # A server that sends a byte a second keeps every timeout of a socket; not this one.
            async with asyncio.timeout(config.timeout_s):
                response = await self._ask(client, question)
            self._reached = True
            return self._read(question, response)
        except (TimeoutError, openai.APITimeoutError):
            return Answer(problem=f"no answer within {config.timeout_s:g} s")
        except openai.APIConnectionError as error:
            cause = plain(error.__cause__ or error)
            if self._reached:
                return Answer(problem=f"the connection broke: {cause}")
            raise VlmError(
                f"cannot reach {config.endpoint} ({cause}) in {config.retries + 1} attempts; "
                "is the server running? Check vlm.endpoint"
            ) from None
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise VlmError(
                f"{config.endpoint} refuses the key in {config.key_env} ({_said(error)}); set that variable, or name "
                "another with vlm.key_env"
            ) from None
        except openai.NotFoundError as error:
            raise VlmError(
                f"{config.endpoint} has no model {plain(config.model)}, or no /chat/completions ({_said(error)}); "
                "check vlm.model and vlm.endpoint, which mostly ends in /v1"
            ) from None
        except openai.APIError as error:
            return Answer(problem=f"the endpoint says: {_said(error)}")
        except (ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
            return Answer(problem=f"the answer is malformed: {plain(error)}")

    async def _ask(self, client: Any, question: Question) -> Any:
        """The response; what the server does not know is left out, from now on, and it is asked again."""
        while True:
            request = self._request(question)
            try:
                return await client.chat.completions.create(**request)
            except (self._openai.BadRequestError, self._openai.UnprocessableEntityError) as error:
                unknown = {name for name in _INSTEAD if name in request and name in str(error)}
                if not unknown:
                    raise
                self._refused |= unknown

    def _request(self, question: Question) -> dict[str, Any]:
        config = self._config
        content = [{"type": "image_url", "image_url": {"url": _data_url(image)}} for image in question.images]
        asked: dict[str, Any] = {
            "max_tokens": min(config.max_tokens, _CHOICE_TOKENS) if question.choices else config.max_tokens,
            "temperature": config.temperature,
        }
        if question.choices:
            asked |= {"logprobs": True, "top_logprobs": 20}
        for name in self._refused & asked.keys():
            value, instead = asked.pop(name), _INSTEAD[name]
            if instead is not None:
                asked[instead] = value
        message = {"role": "user", "content": [*content, {"type": "text", "text": question.prompt}]}
        return {"model": config.model, "messages": [message], **asked}

    def _read(self, question: Question, response: Any) -> Answer:
        usage = getattr(response, "usage", None)
        choice = response.choices[0]
        answer = settled(question, choice.message.content, _masses(question, choice))
        if usage is not None:
            return answer._replace(tokens_in=int(usage.prompt_tokens), tokens_out=int(usage.completion_tokens))
        if self._config.max_cost is not None:
            raise VlmError(
                f"{self._config.endpoint} does not say how many tokens it took, so vlm.max_cost cannot be kept; drop "
                "it and set vlm.max_questions"
            )
        return answer

    def _counted(self, answer: Answer) -> Answer:
        """The answer, unless it is one failure too many in a row."""
        self._failures = self._failures + 1 if answer.problem else 0
        if self._failures >= _IN_A_ROW:
            raise VlmError(
                f"{self._failures} questions in a row had no answer from {self._config.endpoint}, the last because "
                f"{answer.problem}; what was answered before is kept"
            )
        return answer


def _masses(question: Question, choice: Any) -> list[float] | None:
    """Probability mass (k,) of the first tokens that begin each of the choices; None where the server tells none."""
    content = getattr(getattr(choice, "logprobs", None), "content", None)
    if not question.choices or not content:
        return None
    found = [0.0] * len(question.choices)
    for candidate in content[0].top_logprobs or []:
        token = candidate.token.strip().lower()
        begun = [index for index, name in enumerate(question.choices) if token and name.lower().startswith(token)]
        # A token that begins two of them tells nothing.
        if len(begun) == 1 and math.isfinite(candidate.logprob):
            found[begun[0]] += math.exp(min(0.0, candidate.logprob))
    return found


def _data_url(image: np.ndarray) -> str:
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(image).save(data, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"


def _said(error: Any) -> str:
    return plain(getattr(error, "message", None) or error)
