"""A Transformer made of glass: every intermediate tensor has a name, can be seen, and can be changed.

    model, tokenizer = transformer.load("tiny")
    ids = tokenizer.encode("The quick brown fox")
    run = model.run(ids, record=("*.A", "logits"))
    run.trace["layers.0.attention.A"]  # [batch, head, query, key]
"""

from transformer import calculator, cost, memory, roofline
from transformer.beam import beam_search
from transformer.build import build
from transformer.cache import Cache
from transformer.config import Config
from transformer.generate import Step, generate, generate_batch
from transformer.models import Decoder, Encoder, Model, Run
from transformer.presets import PRESETS
from transformer.pretrained import from_state_dict, load
from transformer.pretrained.fetch import fetch
from transformer.two_stacks import EncoderDecoder
from transformer.vision import VisionTransformer

__all__ = [
    "PRESETS", "Cache", "Config", "Decoder", "Encoder", "EncoderDecoder", "Model", "Run", "Step", "VisionTransformer",
    "beam_search", "build", "calculator", "cost", "fetch", "from_state_dict", "generate", "generate_batch", "load", "memory",
    "roofline",
]  # fmt: skip
