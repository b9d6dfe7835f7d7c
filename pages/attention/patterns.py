"""The patterns of the lesson on sparse attention: their configs, what they make of a text, models trained so."""

import json
import threading
from functools import partial

import numpy as np
import streamlit as st
import torch

import transformer
from charts.sparse import Cost, OnHead, Pattern
from pages.shared.models import Reading
from transformer import Config, cost, masks
from transformer.experiments.sparsified import allowed, before_all_heads, same_bucket, sparsified
from transformer.experiments.timing import measured
from transformer.training import patterns as training

FIXED = ("dilated", "window", "longformer", "bigbird", "strided", "full")  # a function of positions alone
LSH = "LSH buckets"
NAMES = (*FIXED[:-1], LSH, FIXED[-1])
GLOBAL, RANDOM, BUCKETS, ROUNDS = 1, 2, 4, 1
DEPTHS = list(range(1, 7))
MOST = 20  # tokens of a real head
LONGEST = 20  # tokens that the trained models are shown with
HERE = (256, 512, 1024, 2048)  # what the learner's own press measures


def config_of(name: str, r: int, w: int, kind: str = "decoder", **more: object) -> Config:
    """A Config of one of ``FIXED``."""
    options = {
        "dilated": {"dilation": r, "window": w},
        "window": {"window": w},
        "longformer": {"window": w, "global_tokens": GLOBAL},
        "bigbird": {"window": w, "global_tokens": GLOBAL, "random_keys": RANDOM},
        "strided": {"dilation": w},
        "full": {},
    }[name]
    return Config(kind=kind, attention=name, **options, **more)


def options_of(config: Config) -> dict[str, object]:
    """What a notebook has to say to get this pattern."""
    names = ("kind", "attention", "window", "dilation", "global_tokens", "random_keys")
    return {name: value for name in names if (value := getattr(config, name)) is not None}


def in_words(name: str, r: int, w: int) -> str:
    return {
        "dilated": f"{w} keys, each {r} from the next",
        "window": f"the {w} nearest keys",
        "longformer": f"the {w} nearest, and {GLOBAL} global token",
        "bigbird": f"the {w} nearest, {GLOBAL} global, {RANDOM} drawn",
        "strided": f"{w} neighbours, and all keys at a distance of {w}, {2 * w}, {3 * w} …",
        LSH: f"what falls into the same of {BUCKETS} buckets",
        "full": "every key",
    }[name]


@st.cache_data(max_entries=64, show_spinner=False)
def patterns_of(
    subject: tuple, head: int, r: int, w: int, n: int, both_ways: bool, _reading: Reading
) -> dict[str, Pattern]:  # fmt: skip
    """Each pattern over n positions; LSH's over the text, with one real head a layer."""
    kind = "encoder" if both_ways else "decoder"
    found = {}
    for name in NAMES:
        if name == LSH:
            layers = layers_of(_reading)[: len(DEPTHS)]
            each = torch.stack([buckets_of(subject, layer, _reading)[head] for layer in layers])
            each = torch.cat((each, each[-1:].expand(len(DEPTHS) - len(each), -1, -1)))
            found[name] = Pattern(each[0].numpy(), masks.reach(each).numpy(), words_of(_reading))
        else:
            one = allowed(config_of(name, r, w, kind), n)
            deep = masks.reach(one.expand(len(DEPTHS), n, n))
            found[name] = Pattern(one.numpy(), deep.numpy(), [str(i) for i in range(n)])
    return found


@st.cache_data(max_entries=64, show_spinner=False)
def on_heads(subject: tuple, layer: int, r: int, w: int, _reading: Reading) -> tuple[np.ndarray, dict[str, OnHead]]:
    """The exact A [head, query, key] of a layer, and what each pattern makes of it."""
    _, _, V, S = heads_of(_reading, layer)
    n = S.shape[-1]
    exact = sparsified(S, V, allowed(Config(), n))
    found = {}
    for name in NAMES[:-1]:
        fixed = name != LSH
        pairs = allowed(config_of(name, r, w), n).expand_as(S) if fixed else buckets_of(subject, layer, _reading)
        of = sparsified(S, V, pairs)
        found[name] = OnHead(of.A.numpy(), ~pairs.numpy(), of.error.numpy(), of.kept.numpy())
    return exact.A.numpy(), found


@st.cache_data(max_entries=64, show_spinner=False)
def buckets_of(subject: tuple, layer: int, _reading: Reading) -> torch.Tensor:
    """Which queries and keys of a layer fall into the same bucket: bool [head, query, key]."""
    Q, K = heads_of(_reading, layer)[:2]
    return same_bucket(Q, K, BUCKETS, ROUNDS)


def layers_of(reading: Reading) -> list[int]:
    return [i for i in range(reading.config.n_layers) if f"layers.{i}.attention.Q" in reading.arrays]


def words_of(reading: Reading) -> list[str]:
    return [f"{i} {piece.strip() or '␣'}" for i, piece in enumerate(reading.pieces[:MOST])]


def heads_of(reading: Reading, layer: int) -> tuple[torch.Tensor, ...]:
    """Q, K, V [head, token, d_head] and the scores [head, query, key] of the first tokens, the future's too."""
    at = f"layers.{layer}.attention."
    Q, K, V = (torch.tensor(reading[at + part][0, :, :MOST]) for part in "QKV")
    heads = reading.config.n_heads
    S = torch.tensor(reading[at + "scores"][0, :, :MOST, :MOST])
    return Q, before_all_heads(K, heads), before_all_heads(V, heads), S


def markdown(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table: names at the left, numbers at the right."""
    lines = [head, tuple("---" if i == 0 else "---:" for i in range(len(head))), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def pairs_table(r: int, w: int, n: int) -> str:
    """The pairs that a causal head of each pattern allows among n tokens, and those that are multiplied."""
    configs = {name: config_of(name, r, w) for name in FIXED}
    return markdown(("pattern", "pairs", "of n²", "multiplied"), [
        (f"**{name}**", f"{cost.pairs(c, n):,}", f"{cost.pairs(c, n) / n**2:.2%}", f"{cost.scored(c, n):,}")
        for name, c in configs.items()
    ])  # fmt: skip


@st.cache_resource(show_spinner=False)
def recorded_cost() -> dict:
    return json.loads((training.FOLDER / "cost.json").read_text("utf-8"))


def costs() -> tuple[np.ndarray, dict[str, Cost]]:
    """log₂ n, and name -> its cost [kind, n], causal first."""
    found = recorded_cost()

    def of(name: str, part: str) -> np.ndarray:
        return np.array([found["kinds"][kind][name][part] for kind in ("decoder", "encoder")])

    each = {name: Cost(of(name, "milliseconds"), of(name, "megabytes")) for name in found["options"]}
    return np.log2(found["sizes"]), each


@st.cache_resource(show_spinner=False)
def _one_at_a_time() -> threading.Lock:
    return threading.Lock()


def window_beside_full() -> tuple[float, float, int]:
    """A causal window's recorded time over full attention's at the longest text, the same of their pairs, and n."""
    found = recorded_cost()
    n, base, options = found["sizes"][-1], found["base"], found["options"]
    taken = [found["kinds"]["decoder"][name]["milliseconds"][-1] for name in ("window", "full")]
    pairs = [cost.pairs(Config(**base, **options[name]), n) for name in ("window", "full")]
    return taken[0] / taken[1], pairs[0] / pairs[1], n


def written_out() -> np.ndarray:
    """Megabytes of one table of scores of all heads, float32, at each n."""
    found = recorded_cost()
    return np.array([cost.trace_bytes(Config(**found["base"]), n, "*.attention.A") / 1e6 for n in found["sizes"]])


def measure_here(names: tuple[str, ...]) -> dict[str, Cost]:
    """The same layer on this machine, at ``HERE``; NaN at the other sizes. A second or two; one learner at a time."""
    found, here = recorded_cost(), {}
    with _one_at_a_time():
        for name in names:
            of = partial(Config, **found["base"], **found["options"][name])
            each = np.full((2, 2, len(found["sizes"])), np.nan)  # [what, kind, n]
            for i, kind in enumerate(("decoder", "encoder")):
                for j, n in enumerate(found["sizes"]):
                    if n in HERE:
                        took = measured(of(kind=kind), n)
                        each[:, i, j] = 1000 * took.seconds, took.bytes / 1e6
            here[name] = Cost(*each)
    return here


@st.cache_resource(show_spinner=False)
def table() -> dict:
    """The recorded runs of the trained models: assets/patterns/table.json."""
    return json.loads((training.FOLDER / "table.json").read_text("utf-8"))


@st.cache_resource(show_spinner=False)
def trained() -> dict[str, tuple]:
    """row -> (model, tokenizer)."""
    return {row: transformer.load(training.FOLDER / row) for row in table()["rows"]}


@st.cache_data(max_entries=32, show_spinner=False)
def on_text(text: str) -> tuple[list[str], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The tokens as the trained models read them; row -> surprise [token − 1]; row -> A [layer · head, query, key]."""
    surprise, maps, tokens = {}, {}, []
    for row, (model, tokenizer) in trained().items():
        ids = tokenizer.encode(text)[:LONGEST]
        tokens = [f"{i} {piece.strip() or '␣'}" for i, piece in enumerate(tokenizer.pieces(ids))]
        surprise[row] = training.surprise(model, ids).numpy()
        if "layers.0.attention.A" in transformer.names.of(model.config):
            trace = model.run(ids, record="*.attention.A").trace
            maps[row] = torch.cat(list(trace.values())).flatten(0, 1).numpy()
    return tokens, surprise, maps
