"""Faster single-token steps: the same model with its matrices in half precision.

Reading one token multiplies every matrix by one vector, so a step takes as long as the weights take to arrive from
memory. Half the bytes is half the time. Only matrices and the vectors that enter them are rounded; the residual stream,
norms, softmax, keys and values stay as they are.
"""

from contextlib import AbstractContextManager
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer.cache import Cache
from transformer.device import half_precision
from transformer.models import Model
from transformer.tap import Tap


class HalfLinear(nn.Module):
    """x W + b with W kept in ``dtype``: x [..., in] -> [..., out] in x's own dtype."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype):
        super().__init__()
        self.weight = nn.Parameter(weight.detach().to(dtype), requires_grad=False)
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x.to(self.weight.dtype), self.weight).to(x.dtype)
        return y if self.bias is None else y + self.bias


class HalfJoint(HalfLinear):
    """Matrices that read the same vector, laid into one: a single long read from memory instead of several short ones.

    x [..., in] -> one [..., out] for each of them.
    """

    def __init__(self, parts: list[nn.Linear], dtype: torch.dtype):
        biases = [part.bias for part in parts if part.bias is not None]
        super().__init__(torch.cat([part.weight for part in parts]), torch.cat(biases) if biases else None, dtype)
        self.sizes = [part.out_features for part in parts]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return super().forward(x).split(self.sizes, -1)


def half_copy(model: Model, dtype: torch.dtype) -> Model:
    """``model`` with every matrix (the tied head's too) in ``dtype``; all other parameters are shared with it."""
    with torch.device("meta"):
        copy = type(model)(model.config).eval()
    copy.load_state_dict(model.state_dict(), assign=True)
    for module in list(copy.modules()):
        if together := getattr(module, "READ_TOGETHER", None):
            parts = [getattr(module, name) for name in together]
            if None not in parts:
                module.joint = HalfJoint(parts, dtype)
                for name in together:
                    setattr(module, name, None)
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, HalfLinear(child.weight, child.bias, dtype))
    if copy.W_U is None and copy.config.head == "lm":
        copy.W_U = HalfLinear(copy.embedding.W_E.weight, None, dtype)
    return copy.requires_grad_(False)


WORTHWHILE_BYTES = 64 * 2**20  # below it weights stay in the caches, and there is no memory to wait for
_copies: WeakKeyDictionary[Model, tuple[tuple, Model]] = WeakKeyDictionary()


def stepper(model: Model) -> Model:
    """The model to take single-token steps with: a half-precision copy, made once, where that is faster; else itself.

    A model in training, one not in float32, and one small enough for the processor's caches steps by itself; so does a
    mixture of experts, where rounding could send a token to another expert, and an encoder–decoder. The copy is made
    anew when the weights have changed or moved.
    """
    parameters = list(model.parameters())
    dtype = half_precision(parameters[0].device)
    n_bytes = sum(p.nbytes for p in parameters)
    fit = model.config.experts == 1 and model.config.kind == "decoder"
    if not fit or dtype is None or model.training or parameters[0].dtype != torch.float32 or n_bytes < WORTHWHILE_BYTES:
        return model
    state = tuple((p.data_ptr(), p._version) for p in parameters)
    known = _copies.get(model)
    if known is None or known[0] != state:
        known = _copies[model] = (state, half_copy(model, dtype))
    return known[1]


CLOSE = 0.05  # logits nearer than this may change places: on SmolLM2 two of them moved apart by at most 0.043 (1615 steps)


class Reader:
    """Reads a text piece by piece and gives the logits after each: the first piece exactly, single tokens fast.

    A choice that half precision could turn is settled by the exact model, which then reads what it has missed, all of
    it at once. That costs one step of its own, and is rare: some 2 % of greedy steps.

    ``source`` [1, key]: what an encoder–decoder reads first.
    """

    def __init__(self, model: Model, fast: bool, source: Tensor | None = None):
        self.model = model
        self.source = () if source is None else (source,)
        self.fast = stepper(model) if fast else model
        self.differentiable = not fast
        self.exact = self.cache = Cache.empty(model.config.n_layers)
        self.missed: list[Tensor] = []  # what only the fast copy has read

    def without_gradients(self) -> AbstractContextManager:
        """What to read in. A fast step is some thousand small operations, and inference mode makes each cheaper; but
        autograd refuses its tensors for good, so not where somebody records or edits them."""
        return torch.no_grad() if self.differentiable else torch.inference_mode()

    def read(self, ids: Tensor, tap: Tap, exact_if_close: bool) -> Tensor:
        """Logits [vocab] after ``ids`` [1, token]."""
        if self.fast is self.model or self.exact.length == 0:
            return self._read_exactly(ids, tap)
        logits, self.cache = self.fast.extend(ids, self.cache, last_only=True)
        self.missed.append(ids)
        first, second = logits[0, -1].topk(2).values
        if exact_if_close and first - second < CLOSE:
            return self._read_exactly(torch.cat(self.missed, 1), tap)
        return logits[0, -1]

    def _read_exactly(self, ids: Tensor, tap: Tap) -> Tensor:
        logits, self.exact = self.model.extend(ids, self.exact, *self.source, last_only=True, tap=tap)
        self.cache, self.missed, self.source = self.exact, [], ()
        return logits[0, -1]
