"""The walkthrough's message to the browser: one run of one model on one text, small enough to send at once.

`payload` takes the arrays that transformer.overview made of a trace, and says what each of them is; the component in
assets/components/walkthrough draws them. Everything it draws comes from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from charts import component
from transformer import names

ALL_LAYERS_BYTES = 2_500_000  # up to this all layers go at once, and opening one asks nobody
MAPS = ("attention.scores", "attention.A")
IN_LAYERS = ("layer.", "exact.")  # how the names of what belongs to a layer begin

Kind = Literal["strip", "map", "mix", "sum"]


@dataclass(frozen=True)
class Code:
    """The line of the library that computes a stage, and where it stands."""

    where: str
    line: str


def parts(config) -> list[dict[str, str]]:
    """What an open layer shows, in the order of computation: the id below "layers.<i>.", its kind and its sublayer."""
    strip = lambda name, group: {"id": name, "kind": "strip", "group": group}  # noqa: E731
    norm = lambda name, group: [strip(name, group)] if config.norm != "none" else []  # noqa: E731
    pre = config.norm_place == "pre"
    return [
        *(norm("norm_1", "attention") if pre else []),
        strip("attention.Q", "attention"),
        strip("attention.K", "attention"),
        {"id": "attention.A", "kind": "map", "group": "attention"},
        strip("attention.V", "attention"),
        {"id": "mix", "kind": "mix", "group": "attention"},
        strip("attention.z", "attention"),
        strip("attention.out", "attention"),
        {"id": "resid_mid", "kind": "sum", "group": "attention"},
        *([] if pre else norm("norm_1", "attention")),
        *(norm("norm_2", "ffn") if pre else []),
        strip("ffn.post", "ffn"),
        strip("ffn.out", "ffn"),
        {"id": "resid_post", "kind": "sum", "group": "ffn"},
        *([] if pre else norm("norm_2", "ffn")),
    ]


def steps(config) -> list[str]:
    """The order of computation with one layer open, as Play goes through it."""
    inside = []
    for part in parts(config):
        if part["kind"] == "map":
            inside += ["attention.scores", *(["mask"] if _masked(config) else []), "attention.A"]
        elif part["kind"] != "mix":  # z is what the mixing gives
            inside.append(part["id"])
    end = ["logits", "probabilities"] if config.head == "lm" else ["vectors"]
    return ["tokens", "embed", "before", *inside, "after", *(["final_norm"] if config.final_norm else []), *end]


def stages(config, n: int, code: Mapping[str, Code]) -> dict[str, dict]:
    """For each stage that can be opened: its tensor's name, symbol, axes, sizes, formula, meaning, role, code line."""
    known = {key.removeprefix("layers.*."): key for key in names.GLOSSARY}
    found = {}
    for stage in steps(config):
        if stage in known and stage not in found:
            entry = names.GLOSSARY[known[stage]]
            sizes = names.shape(known[stage].replace("*", "0"), config, n)
            found[stage] = {
                "name": known[stage], "symbol": entry.symbol, "role": _role(stage, entry.role),
                "meaning": entry.meaning, "formula": _formula(stage, config) or names.formula(known[stage], config),
                "axes": [[axis, size] for axis, size in zip(entry.axes, sizes)],
            }
    found["tokens"] = {
        "name": "ids", "symbol": r"\text{ids}", "role": "output", "axes": [["token", n]], "formula": "",
        "meaning": "the text cut into pieces of the vocabulary; the model sees their numbers, never the letters",
    }
    if _masked(config):
        causal = config.kind == "decoder" and config.attention == "full"
        whom = "itself and what stands before it" if causal else "what the pattern leaves it"
        found["mask"] = {
            "name": "mask", "symbol": r"\text{mask}", "role": "attention", "axes": [["query", n], ["key", n]],
            "formula": r"\text{mask}_{ij} = 0 \text{ for } j \le i, \; -\infty \text{ for } j > i" if causal else "",
            "meaning": f"a token may read {whom}; −∞ before the softmax is a weight of 0 after",
        }
    if config.head == "lm":
        found["probabilities"] = {
            "name": "probabilities", "symbol": "p", "role": "output",
            "axes": [["token", n], ["vocab", config.vocab_size]],
            "formula": r"p = \operatorname{softmax}(\ell / T)",
            "meaning": "each row's odds for the token that follows it; T is the temperature",
        }
    else:
        last = f"layers.{config.n_layers - 1}.resid_post"
        found["vectors"] = {
            "name": last, "symbol": "x''", "role": "output", "formula": "",
            "axes": [["token", n], ["model", config.d_model]],
            "meaning": "an encoder ends here: one vector for each token, in its context, and no next token",
        }
    for stage, line in code.items():
        if stage in found:
            found[stage]["code"] = {"where": line.where, "line": line.line}
    return found


def payload(
    *,
    key: str,
    title: str,
    label: str,
    config,
    tokens: Sequence[tuple[int, str]],
    arrays: Mapping[str, np.ndarray],
    candidates: Sequence[Sequence[tuple[int, str]]],
    temperatures: Sequence[float],
    scale: float,
    code: Mapping[str, Code],
    view: Mapping[str, object],
    next_token: str,
    only: Iterable[int] | None = None,
) -> bytes:
    """The component's message, packed.

    key: names the reading; layers that come later under the same key are added to those that are there.
    tokens: (id, piece) a row. arrays: transformer.overview.overview. candidates: (id, piece) a row and rank, for
    arrays["odds.ids"]; empty for a model without a head. scale: what q·k is multiplied with. view: what to show first.
    next_token: "" where the text can grow, else the sentence that says why not.
    only: send these layers' tensors alone; see ``fits``.
    """
    sized = {name: _sized(name, array) for name, array in arrays.items() if name != "odds.ids"}
    layered = [name for name in sized if name.startswith(IN_LAYERS)]
    sent = sorted(set(range(config.n_layers)) & set(range(config.n_layers) if only is None else only))
    sized |= {name: sized[name][sent] for name in layered}
    header = {
        "key": key, "title": title, "label": label, "kind": config.kind, "norm_place": config.norm_place,
        "position": config.position,
        "n_layers": config.n_layers, "n_heads": config.n_heads, "n_kv_heads": config.n_kv_heads,
        "d_model": config.d_model, "d_head": config.d_head, "d_ff": config.d_ff, "vocab_size": config.vocab_size,
        "scale": scale, "tokens": [[i, piece] for i, piece in tokens], "layers": sent, "view": dict(view),
        "parts": parts(config), "steps": steps(config), "stages": stages(config, len(tokens), code),
        "temperatures": list(temperatures), "next_token": next_token,
        "candidates": [[[i, piece] for i, piece in row] for row in candidates],
        "dims": {name.removeprefix("layer."): _width(name.removeprefix("layer."), config)
                 for name in layered if name.startswith("layer.")},
    }  # fmt: skip
    return component.pack(header, sized)


def fits(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether all layers may go at once."""
    return sum(_sized(name, a).nbytes for name, a in arrays.items() if name.startswith(IN_LAYERS)) <= ALL_LAYERS_BYTES


def _sized(name: str, array: np.ndarray) -> np.ndarray:
    """float32 for what hover prints to three digits, while that is cheap; float16 for what is only seen as a colour."""
    if array.dtype == bool:
        return array.astype(np.uint8)
    printed = name.startswith(("length.", "odds.")) or name.removeprefix("layer.") in MAPS and array.shape[-1] <= 32
    return array.astype(np.float32 if printed else np.float16)


def _masked(config) -> bool:
    return config.kind == "decoder" or config.attention != "full"


def _width(name: str, config) -> int:
    sizes = {"model": config.d_model, "ff": config.d_ff, "d_head": config.d_head, "key": 1}
    return sizes[names.GLOSSARY[f"layers.*.{name}"].axes[-1]]


def _role(stage: str, role: str) -> str:
    return "scores" if stage == "attention.scores" else role


def _formula(stage: str, config) -> str:
    """Where the glossary's formula depends on the config."""
    if stage in ("norm_1", "norm_2", "final_norm"):
        x = {"norm_1": "x", "norm_2": "x'", "final_norm": "x''"}[stage]
        if config.norm == "rms":
            return rf"\hat{{x}} = \gamma \odot {x} / \sqrt{{\operatorname{{mean}}({x}^2) + \epsilon}}"
        return rf"\hat{{x}} = \gamma \odot ({x} - \mu) / \sqrt{{\sigma^2 + \epsilon}} + \beta"
    if stage == "embed" and config.position not in ("learned", "sinusoidal"):
        return r"X = W_E[\text{ids}]"
    if stage == "ffn.post":
        return r"a = \sigma(g) \odot u" if config.gated else r"a = \sigma(u)"
    if config.norm_place == "post" and stage in ("resid_mid", "resid_post"):
        sum_ = r"x' = \operatorname{norm}(x + \Delta x_{\text{att}})"
        return sum_ if stage == "resid_mid" else r"x'' = \operatorname{norm}(x' + \Delta x_{\text{ffn}})"
    return ""
