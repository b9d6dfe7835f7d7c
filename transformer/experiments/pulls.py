"""How much each example pulls at the weights: the length of the gradient that it alone would make."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from transformer import names
from transformer.models import Model
from transformer.tap import RecordingTap

Loss = Callable[[Tensor, Tensor], Tensor]
CHUNK = 256  # examples at a time: each holds a gradient of all weights


def pulls(model: Model, x: Tensor, target: Tensor, loss: Loss) -> Tensor:
    """‖∂ℓ_i/∂θ‖ for each example i, θ being all weights of the model.

    x [example, …], target [example]; loss: of logits [1, class] and target [1] -> [example]. The model is measured as it is
    used, without dropout, and left as it was. Lengths add up to more than the length of the sum: opposite pulls cancel.
    """
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def of_one(weights: dict[str, Tensor], x: Tensor, target: Tensor) -> Tensor:
        # Who asks for A gets the textbook path, which vmap can batch; the fused one it would run example by example.
        tap = RecordingTap("*.attention.A", names=names.of(model.config), gradients=True)
        return loss(functional_call(model, weights, (x[None],), {"tap": tap}), target[None])

    was_training = model.training
    model.eval()
    gradients = vmap(grad(of_one), in_dims=(None, 0, 0), chunk_size=CHUNK)(weights, x, target)
    model.train(was_training)
    squared = sum(g.reshape(len(x), math.prod(g.shape[1:])).square().sum(-1) for g in gradients.values())
    return torch.as_tensor(squared).sqrt()
