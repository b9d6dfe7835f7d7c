"""The tap: one callable, passed down the forward pass, that names, changes and records its tensors.

    Q = tap("Q", self.split(self.W_Q(x)))      # an edit may replace Q; a recording keeps what was used
    layer_tap = tap / "layers" / 3             # names below it start with "layers.3."
    if tap.wants("scores", "A"): ...           # is anyone looking at what a fused kernel would hide?

``OFF`` does nothing and costs a method call. One tap serves one run, so threads never meet in it.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

from torch import Tensor

Edit = Callable[[Tensor], Tensor]


class Tap:
    """The tap that is off: hands every tensor on, bit for bit."""

    def __call__(self, name: str, tensor: Tensor) -> Tensor:
        return tensor

    def wants(self, *names: str) -> bool:
        return False

    def __truediv__(self, part: str | int) -> "Tap":
        return self


OFF = Tap()


class Trace(dict[str, Tensor]):
    """Recorded tensors by name; asking for one that was not recorded names its neighbours."""

    def __missing__(self, name: str) -> Tensor:
        raise KeyError(f"{name} was not recorded{_near(name, self)}")


class RecordingTap(Tap):
    """Applies edits, then keeps what matches ``record``.

    ``record``: patterns where * stands for anything, dots too: "*.A", "layers.3.*", "logits".
    ``edit``: pattern -> function of the tensor. An edit returns a new tensor of the same shape and never changes its
    argument in place. It runs before recording, so that what is shown is what was used.
    ``names``: every name that the run can produce; a pattern that matches none of them raises ``ValueError`` at once.
    ``gradients``: keep the tensors in the autograd graph instead of detaching them.
    """

    def __init__(
        self,
        record: str | Iterable[str] = (),
        edit: Mapping[str, Edit] | None = None,
        *,
        names: Iterable[str],
        gradients: bool = False,
    ):
        record = (record,) if isinstance(record, str) else tuple(record)
        edit = dict(edit or {})
        names = list(names)
        for pattern in (*record, *edit):
            if not any(_matches(pattern, name) for name in names):
                raise ValueError(f"no tensor of this model is called {pattern!r}{_near(pattern, names)}")
        self.trace = Trace()
        self._path = ""
        self._gradients = gradients
        # What to do with each name, decided once, so that a run costs one dictionary look-up a tensor.
        self._kept = {name for name in names if any(_matches(pattern, name) for pattern in record)}
        self._edits = {
            name: edits for name in names if (edits := [f for pattern, f in edit.items() if _matches(pattern, name)])
        }

    def __call__(self, name: str, tensor: Tensor) -> Tensor:
        name = self._path + name
        for change in self._edits.get(name, ()):
            before, tensor = tensor, change(tensor)
            if not isinstance(tensor, Tensor) or tensor.shape != before.shape:
                got = f"shape {list(tensor.shape)}" if isinstance(tensor, Tensor) else type(tensor).__name__
                raise ValueError(f"the edit of {name} must return a tensor of shape {list(before.shape)}, not {got}.")
        if name in self._kept:
            self.trace[name] = tensor if self._gradients else tensor.detach()
        return tensor

    def wants(self, *names: str) -> bool:
        return any((name := self._path + n) in self._kept or name in self._edits for n in names)

    def __truediv__(self, part: str | int) -> "RecordingTap":
        return self._with(_path=f"{self._path}{part}.")

    def fresh(self) -> "RecordingTap":
        """The same decisions with an empty trace, for the next run."""
        return self._with(trace=Trace())

    def _with(self, **changed) -> "RecordingTap":
        tap = object.__new__(RecordingTap)
        tap.__dict__.update(self.__dict__, **changed)
        return tap


def _matches(pattern: str, name: str) -> bool:
    if "*" not in pattern and "?" not in pattern and "[" not in pattern:
        return pattern == name
    return fnmatchcase(name, pattern)


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=3, cutoff=0.3)
    return f"; the nearest names are {', '.join(near)}." if near else "."
