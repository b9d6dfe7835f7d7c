"""The one table of lessons: the router, the tests and the README's list are all read from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One lesson: its row in the curriculum, its title, its page file and its place in the navigation."""

    row: str
    title: str
    file: str
    section: str
    url_path: str
    icon: str

    @property
    def path(self) -> str:
        """Where the lesson lies under the app's address: the first one at its root."""
        return "" if self is HOME else self.url_path


LESSONS: tuple[Entry, ...] = (
    Entry("A1", "Walkthrough", "pages/inside/walkthrough.py", "Inside a real model", "walkthrough", ":material/route:"),
    Entry("A2", "Attention maps", "pages/inside/attention_maps.py", "Inside a real model", "attention-maps",
          ":material/grid_on:"),
    Entry("A3", "Next token", "pages/inside/next_token.py", "Inside a real model", "next-token",
          ":material/casino:"),
    Entry("B1", "Attention, step by step", "pages/attention/step_by_step.py", "Attention", "attention-step-by-step",
          ":material/footprint:"),
    Entry("B2", "Why divide by √d_k", "pages/attention/scale.py", "Attention", "scale", ":material/straighten:"),
    Entry("B3", "Score functions", "pages/attention/scores.py", "Attention", "score-functions", ":material/function:"),
    Entry("B4", "Heads that share keys", "pages/attention/heads.py", "Attention", "shared-heads", ":material/hub:"),
    Entry("B5", "Masks", "pages/attention/masks.py", "Attention", "masks", ":material/visibility_off:"),
    Entry("B6", "Sparse patterns", "pages/attention/sparse.py", "Attention", "sparse-patterns", ":material/grid_4x4:"),
    Entry("B7", "Low rank and kernels", "pages/attention/approximations.py", "Attention", "approximations",
          ":material/compress:"),
    Entry("B8", "Memory across segments", "pages/attention/memory.py", "Attention", "segment-memory",
          ":material/history:"),
    Entry("B9", "Words, sentences, document", "pages/attention/hierarchy.py", "Attention", "hierarchical-attention",
          ":material/account_tree:"),
    Entry("B10", "Cross-attention", "pages/attention/cross.py", "Attention", "cross-attention", ":material/compare_arrows:"),
    Entry("B11", "The KV cache", "pages/attention/kv_cache.py", "Attention", "kv-cache", ":material/save:"),
    Entry("B12", "Attention by tiles", "pages/attention/tiles.py", "Attention", "attention-by-tiles", ":material/view_module:"),
    Entry("C1", "Why position at all", "pages/position/permutation.py", "Position", "why-position", ":material/shuffle:"),
    Entry("C2", "Sinusoids", "pages/position/sinusoids.py", "Position", "sinusoids", ":material/waves:"),
    Entry("C3", "Rotary position", "pages/position/rope.py", "Position", "rope", ":material/360:"),
    Entry("C4", "Biases of position", "pages/position/biases.py", "Position", "position-biases", ":material/stairs:"),
    Entry("C5", "Longer than trained", "pages/position/longer.py", "Position", "longer-than-trained", ":material/trending_up:"),
    Entry("D1", "Normalisation", "pages/block/normalisation.py", "The block", "normalisation", ":material/equalizer:"),
    Entry("D2", "Where the norm goes", "pages/block/placement.py", "The block", "norm-placement", ":material/vertical_align_center:"),
    Entry("D3", "The feed-forward network", "pages/block/feed_forward.py", "The block", "feed-forward", ":material/expand_content:"),
    Entry("D4", "Activations", "pages/block/activations.py", "The block", "activations", ":material/show_chart:"),
    Entry("D5", "Depth without bend", "pages/block/linear_depth.py", "The block", "linear-depth", ":material/layers_clear:"),
    Entry("D6", "Mixture of experts", "pages/block/experts.py", "The block", "experts", ":material/call_split:"),
    Entry("D7", "The residual path", "pages/block/residual.py", "The block", "residual", ":material/alt_route:"),
    Entry("D8", "Tied and shared", "pages/block/sharing.py", "The block", "tied-and-shared", ":material/link:"),
    Entry("D9", "Counting parameters", "pages/block/parameters.py", "The block", "parameter-count", ":material/calculate:"),
    Entry("F1", "Losses", "pages/training/losses.py", "Training", "losses", ":material/trending_down:"),
    Entry("F2", "Temperature and distillation", "pages/training/temperature.py", "Training", "temperature",
          ":material/thermostat:"),
    Entry("F3", "Sparsity", "pages/training/sparsity.py", "Training", "sparsity", ":material/grain:"),
    Entry("F5", "Learning rates and dropout", "pages/training/schedules.py", "Training", "schedules", ":material/trending_up:"),
    Entry("G1", "Where the FLOPs go", "pages/cost/flops.py", "Cost", "flops", ":material/speed:"),
    Entry("G2", "What fits in memory", "pages/cost/fits.py", "Cost", "what-fits", ":material/sd_card:"),
    Entry("G3", "How long it takes", "pages/cost/clock.py", "Cost", "time", ":material/timer:"),
    Entry("G4", "All at once or one by one", "pages/cost/parallel.py", "Cost", "parallelism", ":material/splitscreen:"),
    Entry("G5", "Cost calculator", "pages/cost/calculator.py", "Cost", "calculator", ":material/request_quote:"),
)
HOME = LESSONS[0]


def lesson(row: str) -> Entry:
    """The entry of a curriculum row such as "A2"; ValueError names the rows there are."""
    for entry in LESSONS:
        if entry.row == row:
            return entry
    raise ValueError(f"There is no lesson {row!r}; the lessons are {', '.join(entry.row for entry in LESSONS)}.")


def sections() -> dict[str, list[Entry]]:
    """Section title -> its lessons, in the order of the table."""
    grouped: dict[str, list[Entry]] = {}
    for entry in LESSONS:
        grouped.setdefault(entry.section, []).append(entry)
    return grouped
