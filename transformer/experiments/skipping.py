"""One layer at a time of a trained stack: what if it added nothing, and what if only what it adds were left?

    around   x_{l+1} = x_l              the layer is skipped: its branches are cut, the residual path stays
    through  x_{l+1} = F_l(x_l)         its residual path is cut: each sum in it keeps only what the sublayer added

Veit et al. 2016 (arXiv:1605.06431) skipped layers of residual nets one by one and lost little each time.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.experiments.depth import alike, apart, residual
from transformer.experiments.final_norm import tops
from transformer.models import Ids, Model
from transformer.sampling import entropy

Cut = Literal["around", "through", "attention", "ffn"]
CUTS: tuple[Cut, ...] = get_args(Cut)
SHARES = [0.0, 0.5, 0.9, 0.95, 0.98, 0.99, 1.0]  # of the stream that skips


class Skipped(NamedTuple):
    """One layer's cuts, in the order of ``CUTS``: the layer skipped; without both its residuals; without that around its
    attention alone; without that around its FFN alone."""

    layer: int
    loss: Tensor  # mean −log p of the text's tokens, nats [cut]
    kl: Tensor  # KL(as trained ‖ cut) at the last token, nats [cut]
    entropy: Tensor  # at the last token, nats [cut]
    ids: Tensor  # the likeliest next tokens as trained, then those with the cut [cut, k]
    before: Tensor  # p as trained [cut, k]
    after: Tensor  # p with the cut [cut, k]


def skipped(model: Model, ids: Ids) -> Iterator[Skipped]:
    """Every layer in turn, its cuts as the rows of one batch; yields layer by layer.

    Raises ValueError for fewer than two tokens and for a model without a head over the vocabulary.
    """
    text, _ = model.batch(ids)
    if text.shape[1] < 2:
        raise ValueError("A loss needs a next token to predict: give at least two tokens.")
    if model.config.head != "lm":
        raise ValueError("only a model with a head over the vocabulary says a next token.")
    whole = _last(model.run(text).output)  # [1, vocab]
    for layer in range(model.config.n_layers):
        logits = model.run(text.expand(len(CUTS), -1), edit=cuts(layer)).output
        p, before = _last(logits), whole.expand(len(CUTS), -1)
        top = tops(before, p)
        yield Skipped(layer, losses(logits, text), _divergence(before, p), entropy(p), *top)


def as_trained(model: Model, ids: Ids) -> tuple[float, float]:
    """(mean −log p of the text's tokens, entropy after the last one), nothing cut."""
    text, _ = model.batch(ids)
    logits = model.run(text).output
    return losses(logits, text).item(), entropy(_last(logits)).item()


def cuts(layer: int) -> dict:
    """The edits of one layer for a batch with a row for each of ``CUTS``."""
    removed = {part: residual(0.0, [layer], [part]) for part in ("attention", "ffn")}
    cut = {"attention": [1, 2], "ffn": [1, 3]}  # rows that lose the residual around this part

    def edit(part: str):
        change = removed[part][f"layers.{layer}.{part}.out"]

        def both(out: Tensor) -> Tensor:  # [row, token, model]
            without = change(out)
            rows = torch.arange(len(out), device=out.device)[:, None, None]
            lost = torch.isin(rows, torch.tensor(cut[part], device=out.device))
            return torch.where(rows == 0, torch.zeros_like(out), torch.where(lost, without, out))

        return both

    found = {name: keep for of in removed.values() for name, keep in of.items() if name.endswith(("pre", "mid"))}
    return found | {f"layers.{layer}.{part}.out": edit(part) for part in cut}


def losses(logits: Tensor, text: Tensor) -> Tensor:
    """Mean −log p of each token after those before it.   logits [row, token, vocab], text [1, token] -> [row]"""
    log_p = logits[:, :-1].log_softmax(-1)
    return -log_p.gather(-1, text[:, 1:, None].expand(len(log_p), -1, -1)).mean((1, 2))


class Collapse(NamedTuple):
    """How alike the tokens of a text are, place by place along the stream [place]."""

    apart: Tensor  # ``depth.apart``
    alike: Tensor  # ``depth.alike``
    stream: Tensor  # root mean square
    loss: float


@torch.no_grad()
def collapse(model: Model, ids: Ids, share: float = 1.0) -> Collapse:
    """One reading with every skip connection scaled by ``share``: 1 as trained, 0 without any."""
    n = model.config.n_layers
    names = [f"layers.{i}.resid_pre" for i in range(n)] + [f"layers.{n - 1}.resid_post"]
    run = model.run(ids, record=("*.resid_pre", names[-1]), edit={} if share == 1 else residual(share))
    X = torch.cat([run.trace[name] for name in names]).double()  # [place, token, model]
    loss = losses(run.output, model.batch(ids)[0])
    return Collapse(apart(X), alike(X), X.square().mean((1, 2)).sqrt(), loss.item())


def _last(logits: Tensor) -> Tensor:
    return logits[:, -1].softmax(-1)


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p ‖ q) = Σ p log(p / q).   [row, vocab] -> [row]"""
    return F.kl_div(q.clamp_min(1e-38).log(), p, reduction="none").sum(-1)
