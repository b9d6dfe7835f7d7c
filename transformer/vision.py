"""The Vision Transformer: an image read as a row of patches. Dosovitskiy et al. 2021, arXiv:2010.11929"""

from torch import Tensor

from transformer.models import Model


class VisionTransformer(Model):
    """patches + class token → layers → final norm → class logits.

    ``model(images)`` and ``model.run(images, record=…)`` take a tensor [batch, channel, pixel, pixel] (or one image
    without the batch axis) where other models take ids. Token 0 is the class token; the patches follow row by row.
    """

    def batch(self, ids: Tensor, real: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The images as [batch, channel, pixel, pixel] on the model's device, checked."""
        channels, side = self.config.channels, self.config.image_size
        if not isinstance(ids, Tensor) or not ids.is_floating_point():
            raise ValueError(f"this model reads images: give a tensor of floats [batch, {channels}, {side}, {side}].")
        images = ids[None] if ids.dim() == 3 else ids
        if images.dim() != 4 or images.shape[1:] != (channels, side, side) or not len(images):
            raise ValueError(f"the images have shape {list(ids.shape)}; they must be [batch, {channels}, {side}, {side}].")
        return images.to(self.embedding.cls), real

    def length(self, ids: Tensor) -> int:
        """The patches and the class token."""
        return (self.config.image_size // self.config.patch_size) ** 2 + 1
