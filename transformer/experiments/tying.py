"""What it means that two uses of a weight are one: the same address, one gradient that is the sum of two, and a table
that is read in at one end and out at the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from transformer import lens
from transformer.config import Config
from transformer.models import Model
from transformer.tokenizers import Tokenizer
from transformer.two_stacks import EncoderDecoder


def variant(config: Config, tied: bool, shared: bool, one_table: bool = True) -> Config:
    """The config with the last matrix tied to the table, all layers sharing one block, source and target one table; a
    choice that means nothing for it (no language-model head, one stack) changes nothing."""
    fields: dict[str, object] = {"share_layers": shared}
    if config.head == "lm":
        fields["tie_embeddings"] = tied
    if config.kind == "encoder-decoder":
        fields["share_embeddings"] = one_table
    return replace(config, **fields)


class Read(NamedTuple):
    """One use of a weight while the model computes."""

    use: str  # "look-up", "source look-up", "layer 3", "last product"
    weight: str  # W_E, W_Q, …, W_U
    address: int  # where its first number lies
    shape: tuple[int, ...]


class _Reads(TorchFunctionMode):
    """Notes the weight of every look-up and every matrix product with a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tensor] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in (F.embedding, F.linear):
            self.found.append(args[1])
        return function(*args, **(kwargs or {}))


@torch.no_grad()
def reads(model: Model, ids: Sequence[int]) -> list[Read]:
    """Which storage each step of a forward pass really reads, in order: caught as the tensors are used, not looked up
    by name. Biases and norms are left out.   ids: some tokens; an encoder–decoder reads them on both sides.
    """
    batch = torch.tensor([list(ids)])
    with _Reads() as mode:
        model(batch, batch) if isinstance(model, EncoderDecoder) else model(batch)
    names = {id(parameter): name for name, parameter in model.named_parameters(remove_duplicate=False)}
    width = {"layers": 0, "encoder": 0}
    found, seen = [], dict.fromkeys(width, 0)
    for k, weight in enumerate(mode.found):
        name = names[id(weight)].removesuffix(".weight")
        symbol = name.rpartition(".")[2]
        if "blocks" in name:
            side = "encoder" if name.startswith("encoder.") else "layers"
            if symbol == "W_Q" and ".cross." not in name:  # each layer begins with it
                seen[side] += 1
            cross = "cross " if ".cross." in name else ""
            use = f"{'encoder ' if side == 'encoder' else ''}layer {seen[side] - 1}"
            found.append(Read(use, cross + symbol, weight.data_ptr(), tuple(weight.shape)))
        elif k == len(mode.found) - 1:
            found.append(Read("last product", "W_U", weight.data_ptr(), tuple(weight.shape)))
        else:
            looked_up = "source look-up" if isinstance(model, EncoderDecoder) and k == 0 else "look-up"
            found.append(Read(looked_up, symbol, weight.data_ptr(), tuple(weight.shape)))
    return found


@torch.no_grad()
def change_one(model: Model, by: float = 1.0) -> tuple[float, float]:
    """Add ``by`` to the first number of the look-up's table: the first number of the last matrix (before, after). The
    model is left as it was. Raises ValueError where the model has no last matrix over the vocabulary."""
    if model.config.head != "lm":
        raise ValueError("only a language model ends in a matrix over its vocabulary.")
    table = model.embedding.W_E.weight
    last = table if model.W_U is None else model.W_U.weight
    before = last[0, 0].item()
    table[0, 0] += by
    after = last[0, 0].item()
    table[0, 0] -= by
    return before, after


class Gradients(NamedTuple):
    """∂L/∂E of a tied table, by use."""

    loss: float  # nats a token
    input: Tensor  # [vocab, d_embed], from the look-up alone: zero but for rows that occur
    output: Tensor  # [vocab, d_embed], from the last product alone: every row
    whole: Tensor  # [vocab, d_embed], what autograd leaves in the table's .grad


def gradients(model: Model, ids: Sequence[int]) -> Gradients:
    """The gradient of the next-token loss with respect to a tied table, whole and by use:

        ∂L/∂E = Σ_t onehot(x_t) ∂L/∂e_t  +  Σ_t (p_t − y_t) h_tᵀ,      e_t = E[x_t],  logits_t = E h_t,

    the two sums from the gradients at the intermediates e and logits, the whole from autograd.
    Raises ValueError for fewer than two tokens or an untied model, or one whose table has another width than the model.
    """
    config = model.config
    if config.head != "lm" or not config.tie_embeddings or config.d_embed != config.d_model or config.kind != "decoder":
        raise ValueError("the two parts are told apart for a decoder whose last matrix is its table.")
    if len(ids) < 2:
        raise ValueError("A loss needs a next token to predict: give at least two tokens.")
    kept: dict[str, Tensor] = {}

    def keep(name: str):
        def edit(x: Tensor) -> Tensor:
            x.retain_grad()
            kept[name] = x
            return x

        return edit

    table, targets = model.embedding.W_E.weight, torch.tensor(list(ids[1:]))
    last = "final_norm" if config.final_norm else f"layers.{config.n_layers - 1}.resid_post"
    names = ("embed.tokens", last, "logits")
    with torch.enable_grad():
        run = model.run(list(ids[:-1]), edit={name: keep(name) for name in names}, gradients=True)
        loss = F.cross_entropy(run.output[0], targets)
        (whole,) = torch.autograd.grad(loss, [table], retain_graph=True)
        at_embedding, at_logits = torch.autograd.grad(loss, [kept["embed.tokens"], kept["logits"]])
    scale = config.d_embed**0.5 if config.scale_embeddings else 1.0
    looked_up = torch.zeros_like(table).index_add_(0, torch.tensor(list(ids[:-1])), at_embedding[0] * scale)
    h = kept[last][0].detach()  # [token, model]
    return Gradients(loss.item(), looked_up, at_logits[0].mT @ h, whole)


class Likeness(NamedTuple):
    """What the table says of the text's own tokens, before any layer."""

    dots: Tensor  # [token, token], E_a · E_b: symmetric
    rank: Tensor  # [token], how many rows of the whole table have a larger product with it than it has with itself
    nearest: Tensor  # [token, k], the rows with the largest cosine, itself left out
    cosines: Tensor  # [token, k]


@torch.no_grad()
def likeness(table: Tensor, ids: Sequence[int], k: int = 5) -> Likeness:
    """A row of the table, read out by the table.   table [vocab, d_embed]."""
    rows = table[list(ids)].float()  # [token, d_embed]
    dots = rows @ table.float().mT  # [token, vocab]
    own = dots.gather(1, torch.tensor(list(ids))[:, None])
    cosines = dots / (rows.norm(dim=1, keepdim=True) * table.float().norm(dim=1)).clamp_min(1e-9)
    cosines[torch.arange(len(ids)), torch.tensor(list(ids))] = -2
    near = cosines.topk(min(k, len(table) - 1), dim=1)
    return Likeness(dots[:, list(ids)], (dots > own).sum(1), near.indices, near.values)


class Walk(NamedTuple):
    """What the head reads off the stream at each depth."""

    depth: list[int]  # 0: before the first layer
    own: Tensor  # [depth, token], probability of the token that stands there
    answer: Tensor  # [depth, token], of the one that the model finally chooses
    answers: Tensor  # [token]


@torch.no_grad()
def walk(model: Model, trace: Mapping[str, Tensor], ids: Sequence[int], every: int = 1) -> Walk:
    """From a token's own row to the next one's: the stream read by the tied head after every ``every``-th layer.

    trace: of a run with record=("layers.0.resid_pre", "layers.*.resid_post").
    """
    layers = model.config.n_layers
    depths = sorted({*range(0, layers + 1, every), layers})
    at = ["layers.0.resid_pre" if depth == 0 else f"layers.{depth - 1}.resid_post" for depth in depths]
    here = torch.tensor(list(ids))[:, None]
    answers = lens.read_early(model, trace[at[-1]])[0].argmax(-1)
    own, answer = [], []
    for name in at:
        p = lens.read_early(model, trace[name])[0].softmax(-1)  # [token, vocab]
        own.append(p.gather(1, here)[:, 0])
        answer.append(p.gather(1, answers[:, None])[:, 0])
    return Walk(depths, torch.stack(own), torch.stack(answer), answers)


class Alone(NamedTuple):
    """A tied table read out by itself, and the walk of the stream through the layers, of one text."""

    pieces: list[str]  # [token]
    dots: Tensor  # [token, token], of ``Likeness``
    rank: Tensor  # [token]
    near: list[list[str]]  # [token, k], the nearest rows
    cosines: Tensor  # [token, k]
    norm: float  # mean length of a row of the table
    depth: list[int]
    own: Tensor  # [depth, token], of ``Walk``
    answer: Tensor  # [depth, token]
    answers: list[str]  # [token]


def alone(model: Model, tokenizer: Tokenizer, text: str) -> Alone:
    """``likeness`` and ``walk`` of a text; deep models are read after every second layer."""
    ids, table = tokenizer.encode(text), model.embedding.W_E.weight.detach()
    like = likeness(table, ids)
    trace = model.run(ids, record=("layers.0.resid_pre", "layers.*.resid_post")).trace
    walked = walk(model, trace, ids, every(model.config))
    return Alone(
        tokenizer.pieces(ids), like.dots, like.rank, [tokenizer.pieces(row) for row in like.nearest.tolist()],
        like.cosines, table.norm(dim=1).mean().item(), walked.depth, walked.own, walked.answer,
        tokenizer.pieces(walked.answers.tolist()),
    )  # fmt: skip


def every(config: Config) -> int:
    """After how many layers each ``alone`` reads the stream."""
    return 2 if config.n_layers > 12 else 1
