"""A checkpoint from the Hugging Face hub, where the package huggingface_hub is there: numbers and text, never code."""

import re
from pathlib import Path

DATA_ONLY = ["*.json", "*.safetensors"]
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def download(hub_id: str) -> Path:
    """The folder of the downloaded (or already cached) checkpoint ``owner/name``.

    Raises ValueError, one sentence, without the package, without a network, or when there is no such checkpoint.
    """
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError:
        raise ValueError(f"opening {hub_id} needs the package huggingface_hub: pip install huggingface_hub.") from None
    try:
        return Path(huggingface_hub.snapshot_download(hub_id, allow_patterns=DATA_ONLY))
    except errors.HFValidationError as error:
        raise ValueError(f"{hub_id!r} is not the name of a hub checkpoint: {error}") from error
    except (errors.RepositoryNotFoundError, errors.GatedRepoError) as error:
        raise ValueError(f"the hub has no open checkpoint called {hub_id!r}; check the name.") from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        raise ValueError(
            f"the hub could not be reached for {hub_id!r} (offline?); open a folder or a fetched model instead."
        ) from error
