"""Language model calls: which model, how many tokens in and out.

Owns the models, the token counts and the JSON text of these events. Must not know who the accounts are or when calls
happen.
"""

from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]

DRAWS: Final = 4  # uniform columns that `render` takes: model, input, output, cached
CACHE_EIGHTHS: Final = 8  # a cached prompt prefix is a number of eighths of the prompt


@attrs.frozen
class LanguageModel:
    """A model of the price table: its name, whether cached input has a price of its own, and its share of the calls."""

    name: str
    caches: bool
    share: float


# Names: the published price table that the project's token book uses. Shares are invented.
MODELS: Final = (
    LanguageModel("nova-lite", caches=False, share=0.24),
    LanguageModel("nova-2-lite", caches=True, share=0.22),
    LanguageModel("nova-2-lite-jp", caches=True, share=0.06),
    LanguageModel("nova-2-pro-preview", caches=True, share=0.12),
    LanguageModel("palmyra-x4", caches=False, share=0.08),
    LanguageModel("palmyra-x5", caches=False, share=0.08),
    LanguageModel("jamba-1-5-mini", caches=False, share=0.06),
    LanguageModel("jamba-1-5-large", caches=False, share=0.05),
    LanguageModel("jamba-instruct", caches=False, share=0.03),
    LanguageModel("j2-mid", caches=False, share=0.03),
    LanguageModel("j2-ultra", caches=False, share=0.03),
)
_CUMULATIVE: Final = np.cumsum([model.share for model in MODELS])
# Every twentieth quantile of the calls in generators/data (see the README there).
_INPUT_QUANTILES: Final = (
    2, 181, 207, 372, 387, 396, 403, 414, 703, 984, 1020, 1045, 1071, 1097, 1130, 1189, 1315, 1876, 2734, 4083, 14050,
)  # fmt: skip
_OUTPUT_QUANTILES: Final = (
    7, 41, 54, 67, 77, 85, 91, 96, 103, 113, 129, 151, 177, 217, 384, 395, 400, 411, 424, 451, 1000,
)  # fmt: skip
_QUANTILES: Final = np.linspace(0.0, 1.0, len(_INPUT_QUANTILES))


def choose_models(draws: Float64s) -> NDArray[np.intp]:
    """Return an index into MODELS for each draw (float64[n], uniform in [0, 1))."""
    return np.asarray(np.searchsorted(_CUMULATIVE, draws * _CUMULATIVE[-1], side="right"), dtype=np.intp)


def render(ids: Sequence[str], accounts: Int64s, times: Sequence[str], draws: Float64s) -> list[bytes]:
    """Return the JSON text of n events.

    ids, times (RFC 3339): n texts that need no escaping; accounts: int64[n], account indices; draws: float64[DRAWS, n],
    uniform in [0, 1).
    """
    prompt = np.interp(draws[1], _QUANTILES, _INPUT_QUANTILES).astype(np.int64)
    output = np.interp(draws[2], _QUANTILES, _OUTPUT_QUANTILES).astype(np.int64)
    eighths = (draws[3] * CACHE_EIGHTHS).astype(np.int64)
    return render_calls(
        ids,
        accounts,
        times,
        models=choose_models(draws[0]),
        prompt_tokens=prompt,
        output_tokens=output,
        cached_eighths=eighths,
    )


def render_calls(
    ids: Sequence[str],
    accounts: Int64s,
    times: Sequence[str],
    *,
    models: NDArray[np.intp],
    prompt_tokens: Int64s,
    output_tokens: Int64s,
    cached_eighths: Int64s,
) -> list[bytes]:
    """Return the JSON text of n calls, given as columns of length n.

    models: index into MODELS; cached_eighths: 0..7, the part of the prompt that was cached, for models that price it
    apart; `input_tokens` and `cached_input_tokens` then add up to the prompt.
    """
    caches = np.array([model.caches for model in MODELS])
    cached = np.where(caches[models], prompt_tokens * cached_eighths // CACHE_EIGHTHS, 0)
    cached_texts = [f',"cached_input_tokens":{count}' if count else "" for count in cached.tolist()]
    names = np.array([model.name for model in MODELS], dtype=object)
    texts = [
        f'{{"id":"{event}","account":"acct-{account:06d}","product":"llm","time":"{time}","attributes":{{"model":"{name}",'
        f'"input_tokens":{prompt},"output_tokens":{output}{cached_text}}}}}'
        for event, account, time, name, prompt, output, cached_text in zip(
            ids,
            accounts.tolist(),
            times,
            names[models].tolist(),
            (prompt_tokens - cached).tolist(),
            output_tokens.tolist(),
            cached_texts,
            strict=True,
        )
    ]
    return "\n".join(texts).encode().split(b"\n")
