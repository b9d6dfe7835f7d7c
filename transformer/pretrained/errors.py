"""What can go wrong while weights are fetched. Each message is one sentence for the person at the screen."""


class FetchError(RuntimeError):
    """The weights could not be fetched; nothing half-used was left behind."""


class FetchCancelled(FetchError):
    """The caller asked to stop; what has arrived is kept for the next fetch."""

    def __init__(self, message: str = "The fetch was cancelled; what has arrived is kept, and the next one goes on."):
        super().__init__(message)
