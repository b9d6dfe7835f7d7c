"""Count the FLOPs of a model while it runs, to hold against the closed forms of ``transformer.cost``."""

from collections import Counter

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from transformer.models import Ids, Model
from transformer.tap import Tap


def count(model: Model, ids: Ids) -> dict[str, int]:
    """FLOPs of every matrix product that ``model`` really does for ``ids``, by the formulas of torch's FlopCounterMode.

    The textbook path is taken, because a fused kernel would hide its products. What is counted between two tapped
    tensors belongs to the later one; W_Q, W_K and W_V are multiplied before the first of theirs is tapped, so they
    come as one. Keys: QKV, scores, z, out, ffn, logits, and embed or cross where there are such products. Works on the meta device too, where nothing is computed.

    FlopCounterMode itself hangs hooks on every module of the process, other threads' models included; this does not.
    """
    ids, real = model.batch(ids)
    with torch.no_grad(), _Counting() as counting:
        tap = _PartTap(counting, Counter())
        model(ids, real=real, tap=tap)
    return dict.fromkeys(("QKV", "scores", "z", "out", "ffn", "logits"), 0) | tap.parts


class _Counting(TorchDispatchMode):
    """Sees every operation of this thread, and adds up those that torch has a FLOP formula for."""

    def __init__(self):
        super().__init__()
        self.flops = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here: importing torch's compiler to say so takes a second and 60 MB

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = operation(*args, **kwargs)
        formula = flop_registry.get(operation.overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=result)
        return result

    def take(self) -> int:
        """What was counted since the last time."""
        flops, self.flops = self.flops, 0
        return flops


_PART = {  # the tapped tensor that a product ends in -> its part
    "attention.Q_unrotated": "QKV", "attention.Q": "QKV", "attention.scores": "scores", "attention.z": "z",
    "attention.gate": "out", "attention.raw": "out", "attention.out": "out", "ffn.raw": "ffn", "ffn.pre": "ffn", "ffn.gate": "ffn", "ffn.router": "ffn", "ffn.out": "ffn",
    "logits": "logits", "head.hidden": "logits", "pooled": "logits", "class_logits": "logits", "embed": "embed",
    "embed.tokens": "embed",
    "attention.c_Q": "QKV", "attention.c_KV": "QKV", "attention.K_rope": "QKV", "attention.K": "QKV", "attention.V": "QKV",
    "attention.forget": "QKV", "attention.candidate": "QKV", "attention.K_squeezed": "QKV", "attention.V_squeezed": "QKV",
    "attention.log_phi_Q": "scores", "attention.log_phi_K": "scores",
}  # fmt: skip


class _PartTap(Tap):
    """Hands every tensor on, and books what was counted since the last one. KeyError for a product nobody listed."""

    def __init__(self, counting: _Counting, parts: Counter[str], path: str = ""):
        self.counting, self.parts, self.path = counting, parts, path

    def __call__(self, name: str, tensor: Tensor) -> Tensor:
        flops = self.counting.take()
        if flops:
            self.parts["cross" if self.path == "cross." else _PART[self.path + name]] += flops
        return tensor

    def wants(self, *names: str) -> bool:
        return True

    def __truediv__(self, part: str | int) -> "_PartTap":
        return _PartTap(self.counting, self.parts, f"{part}.")
