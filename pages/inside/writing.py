"""Writing on: what has been written behind the learner's text, kept in the URL, and what each button does to it.

The state is small and whole: the written ids (each drawn or chosen), the settings, the seed, the step looked at. Logits
follow from it, and a prefix cache makes them cheap, so nothing is lost with a session and a link brings it all back.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import streamlit as st
import torch

from charts.next_token import Token
from pages.shared import models, url
from transformer import sampling
from transformer.prefix import PrefixCache

MOST = 64         # tokens written behind a text: more can't be looked over any more
SEED = 9          # its first roll falls on the second choice of the page's own sentence, and the text parts from greedy
LAST_SEED = 999_999


@dataclass(frozen=True)
class Settings:
    """What turns logits into the distribution that is drawn from; the fields are sampling.probabilities' arguments."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def __post_init__(self):
        sampling.check(self.temperature, self.top_k, self.top_p, self.min_p)


@dataclass(frozen=True)
class State:
    """One moment of the page. `written`: (id, whether the learner chose it); `at`: the step looked at."""

    written: tuple[tuple[int, bool], ...] = ()
    settings: Settings = Settings()
    seed: int = SEED
    at: int = 0
    greedy: bool = False

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(token for token, _ in self.written)


class Writer:
    """A model that writes: logits, draws and facts of any text. One per model, shared by all sessions."""

    def __init__(self, model, tokenizer):
        self.tokenizer, self.prefixes = tokenizer, PrefixCache(model)
        self.vocab_size, self.end_id = model.config.vocab_size, tokenizer.end_id
        self.token = functools.lru_cache(4096)(self._token)  # facts of a written token, asked for on every rerun
        self.piece = functools.lru_cache(65_536)(self._piece)

    def logits(self, prompt: tuple[int, ...], written: tuple[int, ...]) -> torch.Tensor:
        return self.prefixes.logits(prompt, written)

    def draw(self, prompt: tuple[int, ...], written: tuple[int, ...], settings: Settings, seed: int) -> int:
        """The token that step len(written) of this seed draws, as `transformer.generate(seed=…, exact=True)` does."""
        q = sampling.probabilities(self.logits(prompt, written), **asdict(settings))
        return int(sampling.pick(q, roll(seed, len(written))))

    def continuation(self, prompt: tuple[int, ...], settings: Settings, seed: int, n: int) -> tuple[int, ...]:
        """n tokens drawn one after another, or fewer where the model ends its text."""
        written: tuple[int, ...] = ()
        while len(written) < min(n, self.room(prompt)) and not self.ended(written):
            written += (self.draw(prompt, written, settings, seed),)
        return written

    def ended(self, written: tuple[int, ...]) -> bool:
        return bool(written) and written[-1] == self.end_id

    def room(self, prompt: tuple[int, ...]) -> int:
        """How many tokens may be written behind the prompt: MOST, or what a learned position table leaves."""
        config = self.prefixes.model.config
        return min(MOST, config.max_len - len(prompt)) if config.position == "learned" else MOST

    def _token(self, prompt: tuple[int, ...], written: tuple[int, ...], forced: bool = False) -> Token:
        """The last of `written`, as it stood in the model's own distribution."""
        p = sampling.tempered(self.logits(prompt, written[:-1]), 1.0)
        own = p[written[-1]]
        return Token(written[-1], self.piece(written[-1]), float(own), int((p > own).sum()),
                     float(sampling.entropy(p)) / math.log(2), forced)

    def _piece(self, token: int) -> str:
        return self.tokenizer.pieces([token])[0]


@st.cache_resource(show_spinner=False, max_entries=4)
def writer(name: str) -> Writer:
    """The writer of a model that is here."""
    return Writer(*models.loaded(name))


def roll(seed: int, t: int) -> float:
    """The die of step t."""
    return float(sampling.dice(seed, t + 1)[t])


def act(state: State, action: Mapping[str, object], prompt: tuple[int, ...], writer: Writer | None) -> State:
    """The state after one action of the component; an action that means nothing here, or can't be, changes nothing.

    Without a writer (a recorded trace) only settings, seed and the step looked at can change.
    """
    settings = _settings(action.get("settings"), state.settings)
    state = replace(state, settings=settings, at=min(state.at, len(state.written)))
    do, end = action.get("do"), len(state.written)
    if do == "look" and _whole(action.get("at"), end):
        return replace(state, at=action["at"])
    if do == "seed" and _whole(action.get("seed"), 10**18):
        return replace(state, seed=min(action["seed"], LAST_SEED))
    if do == "undo" and end:
        return replace(state, written=state.written[:-1], at=end - 1)
    if do == "restart":
        return replace(state, written=(), at=0)
    if do == "next" and state.at < end and not action.get("end"):
        return replace(state, at=state.at + 1)
    if writer is None:
        return state
    if do == "compare":
        return replace(state, greedy=not state.greedy)
    if do == "next" and end < writer.room(prompt) and not writer.ended(state.ids):
        token = writer.draw(prompt, state.ids, settings, state.seed)
        return replace(state, written=(*state.written, (token, False)), at=end + 1)
    if do == "force" and state.at < writer.room(prompt) and _whole(action.get("token"), writer.vocab_size - 1):
        return replace(state, written=(*state.written[: state.at], (action["token"], True)), at=state.at + 1)
    if do == "rewrite":
        ids = writer.continuation(prompt, settings, state.seed, end)
        return replace(state, written=tuple((token, False) for token in ids), at=len(ids))
    return state


def tokens(writer: Writer, prompt: tuple[int, ...], written: Sequence[tuple[int, bool]]) -> list[Token]:
    """The facts of each written token; its piece as it reads in its place, where it may complete a character."""
    ids = tuple(token for token, _ in written)
    pieces = writer.tokenizer.pieces(list(prompt + ids))[len(prompt) :]
    facts = [writer.token(prompt, ids[: t + 1], forced) for t, (_, forced) in enumerate(written)]
    return [replace(token, piece=piece) for token, piece in zip(facts, pieces, strict=True)]


def from_url(vocab_size: int) -> State:
    """The state that the link asks for; what it can't mean is said on the page and left out."""
    settings = Settings(
        url.url_state("temperature", 1.0, float, lambda t: 0 <= t <= 100),
        url.url_state("top_k", None, int, lambda k: k >= 1, "top-k off"),
        url.url_state("top_p", None, float, lambda p: 0 < p <= 1, "top-p off"),
        url.url_state("min_p", None, float, lambda p: 0 <= p <= 1, "min-p off"),
    )
    known = lambda written: all(token < vocab_size for token, _ in written)  # noqa: E731
    written = url.url_state("written", (), parse_written, known, "nothing written")
    at = url.url_state("step", len(written), int, lambda t: 0 <= t <= len(written), "the last step")
    return State(written, settings, url.url_state("seed", SEED, int, lambda s: 0 <= s <= LAST_SEED), at,
                 url.url_state("greedy", 0, int, lambda g: g in (0, 1)) == 1)


def to_url(state: State) -> None:
    """Keep the state in the URL, defaults left out."""
    url.set_url_state("temperature", f"{state.settings.temperature:g}", "1")
    for name in ("top_k", "top_p", "min_p"):
        url.set_url_state(name, getattr(state.settings, name), None)
    url.set_url_state("written", ".".join(f"{token}{'f' * forced}" for token, forced in state.written), "")
    url.set_url_state("step", state.at, len(state.written))
    url.set_url_state("seed", state.seed, SEED)
    url.set_url_state("greedy", int(state.greedy), 0)


def parse_written(raw: str) -> tuple[tuple[int, bool], ...]:
    """"12.7f.3" -> ((12, False), (7, True), (3, False)): f marks what the learner chose. Else ValueError."""
    if not re.fullmatch(r"[0-9]{1,7}f?(\.[0-9]{1,7}f?)*", raw) or raw.count(".") >= MOST:
        raise ValueError("not a list of tokens")
    return tuple((int(part.rstrip("f")), part.endswith("f")) for part in raw.split("."))


def _whole(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _settings(given: object, now: Settings) -> Settings:
    # The browser sends what its sliders hold; whatever else arrives is not ours, and the last good setting stays.
    if not isinstance(given, Mapping):
        return now
    try:
        return Settings(float(given["temperature"]), given["top_k"], given["top_p"], given["min_p"])
    except (KeyError, TypeError, ValueError):
        return now
