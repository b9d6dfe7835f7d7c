"""The neurons of a real model whose FFN is a ReLU: Marian's encoder, as the lesson on sparsity counts their zeros."""

import torch
from torch import Tensor

from transformer import names
from transformer.tap import RecordingTap
from transformer.tokenizers import Tokenizer
from transformer.two_stacks import EncoderDecoder

NAME = "marian-en-pt"


@torch.no_grad()
def neurons(model: EncoderDecoder, tokenizer: Tokenizer, text: str) -> list[Tensor]:
    """a = max(0, u) of each layer of the encoder that reads ``text``: [token, ff] each.

    ValueError where the text is empty or longer than the model reads.
    """
    ids = tokenizer.encode(text)
    if not text.strip() or len(ids) > model.config.max_len:
        raise ValueError(f"the text is {len(ids)} tokens long; the encoder reads 1 to {model.config.max_len}.")
    tap = RecordingTap("encoder.layers.*.ffn.post", names=names.of(model.config))
    model.encode(torch.tensor([ids]), tap=tap)
    return [tap.trace[f"encoder.layers.{i}.ffn.post"][0] for i in range(model.config.n_encoder_layers)]
