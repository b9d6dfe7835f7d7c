"""A model for any config."""

from transformer.config import Config
from transformer.initialise import initialise
from transformer.models import Decoder, Encoder, Model
from transformer.two_stacks import EncoderDecoder
from transformer.vision import VisionTransformer

MODELS = {
    "decoder": Decoder, "encoder": Encoder, "encoder-decoder": EncoderDecoder, "vision": VisionTransformer,
}  # fmt: skip


def build(config: Config, seed: int | None = None) -> Model:
    """A model with random weights, in training mode; the same ``seed`` gives the same weights.

    Raises ValueError when ``config`` is not a Config.
    """
    if not isinstance(config, Config):
        raise ValueError(f"build takes a transformer.Config, not {type(config).__name__}.")
    model = MODELS[config.kind](config)
    initialise(model, seed)
    return model
