"""A model's weights as areas, each as large as its share of all parameters, for the browser component "parameters".

Columns are what data meets in turn: the tables, layer beside layer, the end. A column is as wide as what it holds, and
parted by its weights; what is used again without being stored again is hatched. The second view is the rule
12 · layers · d² and what it is off by, term by term.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from charts import component
from charts.curves import Switch, Tone

VIEWS = WHOLE, RULE = "Every weight", "Against 12 · layers · d²"
PARTS: dict[str, tuple[str, Tone]] = {  # of transformer.weights, from the ground up: as it is called, its colour
    "embedding": ("tokens, W_E", "residual"),
    "positions": ("positions", "muted"),
    "segments": ("segments", "muted"),
    "Q": ("queries, W_Q", "query"),
    "K": ("keys, W_K", "key"),
    "V": ("values, W_V", "value"),
    "out": ("output, W_O", "attention"),
    "attention": ("attention, the rest", "scores"),
    "cross": ("cross-attention", "scores"),
    "ffn": ("FFN", "ffn"),
    "norms": ("norms", "muted"),
    "unembedding": ("the end, W_U", "output"),
}
TERMS: dict[str, tuple[str, str, Tone]] = {  # of transformer.weights.rule_of_thumb: long, on a phone, colour
    "rule": ("12 · layers · d²", "12 · L · d²", "ink"),
    "shared": ("layers that share one set", "shared layers", "muted"),
    "attention": ("attention is not 4d²", "attention ≠ 4d²", "attention"),
    "ffn": ("FFN is not 8d²", "FFN ≠ 8d²", "ffn"),
    "cross": ("cross-attention", "cross", "scores"),
    "tables": ("embedding tables", "tables", "residual"),
    "end": ("what reads the end", "the end", "output"),
    "small": ("biases and norms", "biases, norms", "muted"),
}
SECTIONS = {"embedding": "tables", "encoder": "encoder", "layers": "layers", "end": "end"}


@dataclass(frozen=True)
class Block:
    """One weight: `total` is what it adds to the model, all layers together; `stored` False where it is another one's
    storage, and then it adds nothing and is hatched with as much area as it would have."""

    name: str
    part: str
    section: str
    shape: Sequence[int]
    axes: Sequence[str]
    times: int
    total: int
    stored: bool = True

    def header(self) -> dict[str, object]:
        return {
            "name": self.name, "symbol": symbol(self.name), "part": self.part, "role": PARTS[self.part][1],
            "shape": list(self.shape), "axes": " × ".join(self.axes), "times": self.times, "total": self.total,
            "stored": self.stored,
        }  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """One config's weights. layers: how many columns each section has; once: sections whose columns are one storage;
    terms: `transformer.weights.rule_of_thumb`; notes: lines under the exact number."""

    blocks: Sequence[Block]
    layers: Mapping[str, int]
    terms: Mapping[str, int]
    notes: Sequence[str] = ()
    once: Sequence[str] = ()

    @property
    def total(self) -> int:
        return sum(block.total for block in self.blocks if block.stored)

    def header(self) -> dict[str, object]:
        """As it goes to the browser. ValueError where the terms are not what the weights add up to."""
        if sum(self.terms.values()) != self.total:
            raise ValueError(f"The terms add up to {sum(self.terms.values()):,}, the weights to {self.total:,}.")
        sections = []
        for key, title in SECTIONS.items():
            blocks = [block for block in self.blocks if block.section == key]
            if not blocks:
                continue
            count = self.layers.get(key, 1)
            said = f"{count} {title}" if key == "layers" else f"{title} × {count}" if key == "encoder" else title
            if key == "layers" and count == 1:
                said = "1 layer"
            sections.append({"key": key, "title": said, "columns": count, "once": key in self.once,
                             "blocks": [block.header() for block in _ordered(blocks)]})  # fmt: skip
        terms = [{"key": key, "label": TERMS[key][0], "short": TERMS[key][1], "role": TERMS[key][2], "value": value}
                 for key, value in self.terms.items() if value]  # fmt: skip
        return {"total": self.total, "sections": sections, "terms": terms, "notes": list(self.notes)}


@dataclass(frozen=True)
class Vary:
    """One size that a slider changes: its values as shown, the one that the model has, and a frame for each."""

    label: str
    values: Sequence[str]
    own: int
    frames: Sequence[Frame]


@dataclass(frozen=True)
class Shown:
    """One model: a frame for each setting of the switches (bit i: switch i on; one frame where there are none), and
    what can be varied. able: switches that mean something here."""

    name: str
    frames: Sequence[Frame]
    varied: Sequence[Vary] = ()
    able: Sequence[bool] = ()
    at: Sequence[bool] = ()  # how its switches stand in the model as it is published

    @cached_property
    def header(self) -> dict[str, object]:
        """As it goes to the browser; made once, for a message holds every model and goes out often."""
        varied = [{"label": of.label, "values": list(of.values), "own": of.own,
                   "frames": [frame.header() for frame in of.frames]} for of in self.varied]  # fmt: skip
        return {"name": self.name, "able": list(self.able), "at": list(self.at), "varied": varied,
                "frames": [frame.header() for frame in self.frames]}  # fmt: skip


def message(
    name: str, label: str, models: Sequence[Shown], *, model: str, views: Sequence[str] = (), view: str = "",
    switches: Sequence[Switch] = (), vary: str = "", value: str = "", epoch: int = 0,
) -> bytes:  # fmt: skip
    """The message for the component.

    model, view, vary (a label of the model's `varied`, or "") with its value, and the switches are taken up when epoch
    differs from the last one, and are the learner's after that. ValueError where they name nothing that is there.
    """
    if model not in [one.name for one in models]:
        raise ValueError(f"{model!r} is not among the models.")
    for one in models:
        if len(one.frames) != 2 ** len(switches):
            raise ValueError(f"{one.name} has {len(one.frames)} frames for {len(switches)} switches.")
        if any(len(of.frames) != len(of.values) for of in one.varied):
            raise ValueError(f"{one.name} has not a frame for each value that is varied.")
    header = {
        "name": name, "label": label, "model": model, "views": list(views), "view": view, "vary": vary, "value": value,
        "epoch": epoch, "parts": [{"key": key, "label": said, "role": role} for key, (said, role) in PARTS.items()],
        "switches": [{"label": one.label, "on": one.on} for one in switches],
        "models": [one.header for one in models],
    }  # fmt: skip
    return component.pack(header, {})


def mount(**where: object) -> object:
    """Put the component on the page: data=message(...), key=..., on_stand_change=...

    It reports stand: epoch, model, view, vary, value, switches.
    """
    return component.declare("parameters", "plot.js", "parameters/paint.js")(**where)


def symbol(name: str) -> str:
    """stack.blocks.{i}.attention.W_Q.weight -> W_Q; of a norm γ or β, of a bias b_Q."""
    owner, _, last = name.rpartition(".")
    word = ("cross " if ".cross." in name else "") + owner.rpartition(".")[2]
    match last:
        case "gamma" | "beta":
            return f"{'γ' if last == 'gamma' else 'β'} {word}"
        case "bias":
            return word.replace("W_", "b_")
        case "weight":
            return word
    return last


def _ordered(blocks: Sequence[Block]) -> list[Block]:
    order = list(PARTS)
    return sorted(blocks, key=lambda block: order.index(block.part))
