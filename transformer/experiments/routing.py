"""Who reads what in a mixture of experts: how even the load is, and what a token's expert can be told from.

The routing itself is ``transformer.experts``; here its recorded tensors are counted.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.experts import limited, top_gates
from transformer.models import Model

ROUTERS, GATES = "layers.*.ffn.router", "layers.*.ffn.gates"


def shares(gates: Tensor) -> Tensor:
    """Of all readings, the share that each expert does: 1 / E each where the load is even, sum 1.

    gates [..., token, expert] -> [..., expert]
    """
    read = (gates > 0).to(torch.float64).mean(-2)
    return read / read.sum(-1, keepdim=True)


def crowding(share: Tensor) -> Tensor:
    """The busiest expert's share over an even one: 1 where the load is even, E where one expert reads everything.

    share [..., expert] -> [...]
    """
    return share.amax(-1) * share.shape[-1]


def used(share: Tensor) -> Tensor:
    """exp(entropy): as how many equally busy experts the load counts, 1 … E.   share [..., expert] -> [...]"""
    return torch.special.entr(share).sum(-1).exp()


class Gates(NamedTuple):
    """One token's gates under three conventions, each [..., expert], 0 where an expert was not chosen."""

    before: Tensor  # softmax over all experts, then the top k as they are: sum below 1 (Switch; Qwen-MoE, DeepSeek-V2 by option)
    scaled: Tensor  # the same, scaled to sum 1: ours, and Mixtral's
    after: Tensor  # top k of the logits first, softmax over those alone (Shazeer 2017; Granite): the same as ``scaled``


def conventions(router: Tensor, k: int) -> Gates:
    """softmax(r) cut to its top k; the same divided by its sum; softmax over the top k of r.   router [..., expert]"""
    p = router.softmax(-1)
    top = router.topk(k, dim=-1)
    nothing = torch.zeros_like(p)
    before = nothing.scatter(-1, top.indices, p.gather(-1, top.indices))
    after = nothing.scatter(-1, top.indices, top.values.softmax(-1))
    return Gates(before, top_gates(router, k), after)


class Dropped(NamedTuple):
    """What a capacity takes away, of the readings that the router asked for."""

    most: int  # tokens that an expert takes
    readings: float  # share of the k · n readings that nobody did
    tokens: float  # share of the tokens that no expert read: the residual stream alone carries them on


def room(n: int, k: int, experts: int, capacity: float) -> int:
    """Tokens that an expert takes: ⌈capacity · n · k / experts⌉."""
    return math.ceil(capacity * n * k / experts)


def dropped(gates: Tensor, k: int, capacity: float) -> Dropped:
    """Count it for one text.   gates [token, expert] as the router gave them, none dropped yet."""
    n, experts = gates.shape
    held = limited(gates[None], k, capacity)[0]
    wanted, got = (gates > 0).sum().item(), (held > 0).sum().item()
    nobody = (held > 0).sum(-1).eq(0).double().mean().item()
    return Dropped(room(n, k, experts, capacity), 1 - got / wanted, nobody)


def information(choice: Tensor, feature: Tensor, generator: torch.Generator) -> float:
    """I(choice; feature) / H(choice): the share of "which expert?" that is answered by knowing the feature, 0 … 1.

    Counted frequencies tell too much of rare features, by chance; what a shuffled feature "tells" is taken off.
    choice, feature: whole numbers [token] -> 0 where all tokens choose the same.
    """
    H = _entropy(torch.bincount(choice))
    if H < 1e-9:
        return 0.0
    shuffled = feature[torch.randperm(len(feature), generator=generator)]
    told = _mutual(choice, feature) - _mutual(choice, shuffled)
    return max(0.0, told / H)


def _mutual(a: Tensor, b: Tensor) -> float:
    """I(a; b) = H(a) + H(b) − H(a, b), in nats."""
    _, pair = torch.unique(a * (int(b.max()) + 1) + b, return_inverse=True)
    return _entropy(torch.bincount(a)) + _entropy(torch.bincount(b)) - _entropy(torch.bincount(pair))


def _entropy(counts: Tensor) -> float:
    p = counts.double() / counts.sum()
    return torch.special.entr(p).sum().item()


def favourites(choice: Tensor, ids: Tensor, experts: int, least: int) -> list[list[tuple[int, float, int]]]:
    """What each expert is for: of every token id that came ``least`` times or more, the share of its occurrences that the
    expert read first; largest share first, then the commoner.

    choice, ids [token] -> for each expert a list of (id, share, occurrences).
    """
    seen = torch.bincount(ids)
    common = (seen >= least).nonzero()[:, 0].tolist()
    found = []
    for e in range(experts):
        mine = torch.bincount(ids[choice == e], minlength=len(seen))
        rows = [(i, mine[i].item() / seen[i].item(), seen[i].item()) for i in common if mine[i]]
        found.append(sorted(rows, key=lambda row: (-row[1], -row[2])))
    return found


class Routed(NamedTuple):
    """A text read by a mixture of experts, [layer, token, expert] each."""

    p: Tensor  # softmax of the router
    wanted: Tensor  # gates, before any capacity
    gates: Tensor  # gates that were used
    loss: float  # of language, nats a token, over the text


@torch.no_grad()
def read(model: Model, ids: list[int], capacity: float | None) -> Routed:
    """Read with every layer's experts held to this capacity; what a layer drops, the later ones feel."""
    k = model.config.experts_per_token
    edit = {GATES: lambda gates: limited(gates, k, capacity)}
    run = model.run(ids, record=(ROUTERS, GATES), edit=edit)
    router = torch.cat([run.trace[f"layers.{i}.ffn.router"] for i in range(model.config.n_layers)])
    gates = torch.cat([run.trace[f"layers.{i}.ffn.gates"] for i in range(model.config.n_layers)])
    after = torch.tensor(ids[1:])
    loss = F.cross_entropy(run.output[0, :-1], after).item() if len(ids) > 1 else float("nan")
    return Routed(router.softmax(-1), top_gates(router, k), gates, loss)
