/* transformer/sampling.py in the browser, so that the bars move while a slider is dragged. tests/browser/test_sampling.py
   holds the two equal. `ranked`: the logits of the whole vocabulary, sorted in descending order; ranks count from 0.

   sampling.distribution(ranked, {temperature, top_k, top_p, min_p}) -> {
       p          softmax(logits / T), nothing cut, Float64Array by rank
       total      Σ exp((logit − largest) / T), the denominator
       cuts       {top_k, top_p, min_p}: how many entries are left after each filter in turn
       kept, mass how many are left in the end, and what they hold of p: q = p / mass for ranks below kept
       entropy, whole   nats: of q, and of p
   }   top_k, top_p, min_p: null is off; temperature 0 is all on the first.
   sampling.share(d, rank)      -> q of a rank, 0 where it was cut
   sampling.reason(d, rank)     -> "top-k", "top-p", "min-p", or null where it was kept
   sampling.pick(d, u)          -> the rank that u in [0, 1) falls on, the pieces of q laid end to end
   sampling.colour(root)        -> a function of T: blue when cold, ink at 1, rust when hot
   sampling.TEMPERATURES, TOP_KS  the steps of the sliders; sampling.nearest(steps, value) -> index; sampling.said(T) -> "0.7" */
const sampling = (() => {
  function distribution(ranked, { temperature, top_k, top_p, min_p }) {
    const n = ranked.length, p = new Float64Array(n), largest = ranked[0];
    let total = 0;
    if (temperature === 0) { p[0] = 1; total = 1; }
    else {
      for (let i = 0; i < n; i++) total += p[i] = Math.exp((ranked[i] - largest) / temperature);
      for (let i = 0; i < n; i++) p[i] /= total;
    }
    const cuts = { top_k: n, top_p: n, min_p: n };
    if (top_k !== null) cuts.top_k = cuts.top_p = cuts.min_p = Math.min(top_k, n);
    if (top_p !== null && top_p < 1) {
      let left = 0, before = 0, i = 0;
      for (let j = 0; j < cuts.top_k; j++) left += p[j];
      while (i < cuts.top_k && before < top_p * left) before += p[i++];
      cuts.top_p = cuts.min_p = i;
    }
    if (min_p !== null) {
      let i = 0;
      while (i < cuts.top_p && p[i] >= min_p * p[0]) i++;
      cuts.min_p = i;
    }
    const kept = cuts.min_p;
    let mass = 0;
    for (let i = 0; i < kept; i++) mass += p[i];
    return { p, total, cuts, kept, mass, temperature, entropy: entropy(p, kept, mass), whole: entropy(p, n, 1) };
  }

  function entropy(p, count, mass) {
    let h = 0;
    for (let i = 0; i < count; i++) if (p[i] > 0) h -= p[i] / mass * Math.log(p[i] / mass);
    return Math.max(0, h);
  }

  const share = (d, rank) => (rank < d.kept ? d.p[rank] / d.mass : 0);

  function reason(d, rank) {
    if (rank < d.kept) return null;
    return rank >= d.cuts.top_k ? "top-k" : rank >= d.cuts.top_p ? "top-p" : "min-p";
  }

  function pick(d, u) {
    let end = 0, last = 0;
    for (let i = 0; i < d.kept; i++) {
      end += d.p[i];
      if (d.p[i] > 0) last = i;
      if (end > u * d.mass) return i;
    }
    return last;
  }

  function colour(root) {
    const c = gf.colours(root);
    return (temperature) => {
      const heat = Math.max(-1, Math.min(1, Math.log2(Math.max(temperature, 0.05)) / 2.5));
      return gf.mix(c.ink, heat < 0 ? c.negative : c.positive, Math.sqrt(Math.abs(heat)));
    };
  }

  const steps = (from, to, by) => Array.from({ length: Math.round((to - from) / by) + 1 },
    (_, i) => Number((from + i * by).toFixed(4)));
  const TEMPERATURES = [...steps(0, 1.95, 0.05), ...steps(2, 4.8, 0.2), ...steps(5, 10, 1), 20, 50, 100];
  const TOP_KS = [...steps(1, 20, 1), 25, 30, 40, 50, 75, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, null];
  const TOP_PS = [...steps(0.01, 0.99, 0.01), null];
  const MIN_PS = [null, ...steps(0.005, 0.05, 0.005), ...steps(0.06, 1, 0.01)];

  function nearest(ladder, value) {
    let best = 0;
    for (let i = 0; i < ladder.length; i++) {
      if (ladder[i] === value) return i;
      if (value !== null && ladder[i] !== null
        && (ladder[best] === null || Math.abs(ladder[i] - value) < Math.abs(ladder[best] - value))) best = i;
    }
    return best;
  }

  const said = (temperature) => String(Number(temperature.toPrecision(3)));

  return { distribution, share, reason, pick, colour, nearest, said, TEMPERATURES, TOP_KS, TOP_PS, MIN_PS };
})();
