/* The picture of one next-token distribution, on a canvas or into an SVG: bars by rank, the cumulative curve over the
   whole vocabulary, and the ruler that the die falls on.

   paint.layout(width)            -> where everything goes, and the height
   paint.picture(p, layout, view) -> p: plot.onCanvas or plot.onSvg; view: {d, plain, cumulative, plainCumulative, names,
                                     ranked, setting, axis, u, hit, written, hover, c, tint}
                                     stage: how far the computation is shown, 0 … 5, with fractions on the way
   paint.axisFor(d, plain)        -> the bars' largest value, a round number
   paint.clip(text, width, size)  -> text that fits, by whole characters
   paint.STAGES                   -> the names of the stages */
const paint = (() => {
  const HEAD = 26, FOOT = 26, RULER = 104, GAP = 18;

  function layout(width) {
    const wide = width >= 640, rows = 10, row = wide ? 31 : 29;
    const bars = { x: 0, y: HEAD, w: wide ? Math.round(width * 0.62) : width, h: rows * row };
    bars.token = wide ? 30 : 26;
    bars.logit = bars.token + (wide ? 158 : 128);
    bars.from = bars.logit + 16;
    bars.to = bars.x + bars.w - 62;
    const below = HEAD + bars.h + FOOT + GAP;
    if (wide) {
      const x = bars.w + 52;
      return { width, height: below + RULER, wide, rows, row, bars, ruler: { x: 0, y: below, w: width },
        curve: { x, y: HEAD, w: width - x - 10, h: bars.h - 2 } };
    }
    const curveTop = below + RULER + GAP + 22;
    return { width, height: curveTop + 190 + FOOT, wide, rows, row, bars, ruler: { x: 0, y: below, w: width },
      curve: { x: 34, y: curveTop, w: width - 44, h: 190 } };
  }

  const line = (x1, y1, x2, y2) => [[x1, y1], [x2, y2]];
  const DASH = [5, 4];
  const clip = (text, width, size) => {   // by characters, so that a pair of surrogates stays whole
    const room = Math.max(1, Math.floor(width / (size * 0.6))), letters = Array.from(text);
    return letters.length <= room ? text : `${letters.slice(0, room - 1).join("")}…`;
  };
  const { count } = filters;
  const STEPS = { 1: 0.25, 0.8: 0.2, 0.6: 0.2, 0.5: 0.1, 0.4: 0.1, 0.3: 0.1, 0.2: 0.05, 0.15: 0.05 };   // size: ticks

  function axisFor(d, plain) {
    const most = Math.max(sampling.share(d, 0), plain.p[0]);
    const sizes = Object.keys(STEPS).map(Number).sort((a, b) => a - b);
    let scale = 1;
    while (most * 1.02 < 0.1 / scale && scale < 1e6) scale *= 10;
    return (sizes.find((size) => size >= Math.min(1, most * scale * 1.02)) ?? 1) / scale;
  }

  function ticksOf(axis) {   // while the axis glides from one size to the next, the ticks of the larger one fit
    let scale = 1;
    while (axis < 0.1499 / scale && scale < 1e6) scale *= 10;
    const size = Object.keys(STEPS).map(Number).sort((a, b) => a - b).find((s) => s >= axis * scale * 0.999) ?? 1;
    const step = STEPS[size] / scale, ticks = [];
    for (let i = 0; i * step <= axis * 1.001; i++) ticks.push(i * step);
    return ticks;
  }

  const STAGES = ["ℓ − max", "÷ T", "exp", "÷ Σ", "cut", "draw"], ALL = STAGES.length - 1;

  function picture(p, l, v) {
    drawBars(p, l, v);
    if (v.stage > 2.5) drawCurve(p, l.curve, v);
    if (v.stage > 4) drawRuler(p, l, v);
  }

  // One row's bar at one stage of the computation: from, to, its number, and where the number stands.
  function barAt(b, v, r, stage) {
    const { d } = v, room = b.to - b.from, gap = v.ranked[r] - v.ranked[0], at = (x) => b.from + room * Math.min(1, x);
    if (stage <= 1) {   // how far below the best: what the softmax is made of
      const T = v.setting.temperature || 1, last = v.ranked[Math.min(9, v.names.length - 1)] - v.ranked[0];
      const value = stage ? gap / T : gap, reach = Math.max(-last, -last / T) || 1;
      return { from: b.to - room * Math.min(1, -value / reach), to: b.to, value, text: b.to + 8 };
    }
    const value = stage === 2 ? d.p[r] * d.total : stage === 3 ? d.p[r] : d.p[r] / d.mass;
    const to = at(stage === 2 ? value : value / v.axis);
    return { from: b.from, to, value, text: (stage === 2 ? to : Math.max(to, at(v.plain.p[r] / v.axis))) + 7 };
  }

  function between(b, v, r) {
    const whole = Math.min(ALL, Math.floor(v.stage)), t = v.stage - whole, a = barAt(b, v, r, whole);
    if (!t) return a;
    const z = barAt(b, v, r, whole + 1), mix = (x, y) => x + (y - x) * t;
    return { from: mix(a.from, z.from), to: mix(a.to, z.to), text: mix(a.text, z.text), value: t < 0.5 ? a.value : z.value };
  }

  function drawBars(p, l, v) {
    const { bars: b, row } = l, { d, plain, names, c, tint } = v;
    const at = (value) => b.from + (b.to - b.from) * Math.min(1, value / v.axis);
    p.text(b.token, HEAD - 10, "token", { fill: c.muted, size: 12 });
    p.text(b.logit, HEAD - 10, "logit ℓ", { fill: c.muted, size: 12, anchor: "end" });
    const { temperature } = v.setting;
    const CAPTIONS = ["how far below the best", `divided by T = ${sampling.said(temperature)}`, "e to that power"];
    const ticks = v.stage > 2.5 ? ticksOf(v.axis) : [], every = Math.ceil(46 * ticks.length / (b.to - b.from));
    ticks.forEach((tick, i) => {
      p.line(line(at(tick), b.y - 3, at(tick), b.y + b.h), { stroke: c.line });
      const anchor = i ? "middle" : "start";
      if (i % every === 0) p.text(at(tick), HEAD - 10, gf.number(tick, 2), { fill: c.muted, size: 12, anchor });
    });
    if (v.stage <= 2.5) p.text(b.to, HEAD - 10, CAPTIONS[Math.round(v.stage)], { fill: c.ink, size: 12, anchor: "end" });
    const cut = v.stage >= 3.5;
    for (let r = 0; r < Math.min(l.rows, names.length); r++) {
      const y = b.y + r * row, kept = !cut || r < d.kept, middle = y + row / 2 + 5, bar = between(b, v, r);
      if (r === v.hover) p.rect(0, y + 1, b.w, row - 2, { fill: c.panel, radius: 6 });
      const ink = kept ? c.ink : c.muted;
      p.text(18, middle - 1, String(r + 1), { fill: c.muted, size: 12, anchor: "end" });
      p.text(b.token, middle, clip(gf.chipText(names[r]), b.logit - b.token - 40, 15), { fill: ink, size: 15 });
      p.text(b.logit, middle - 1, v.ranked[r].toFixed(1).replace("-", "−"), { fill: c.muted, size: 12, anchor: "end" });
      const chosen = v.stage > 4.5 && r === v.hit, fill = gf.mix(c.background, tint, chosen || r === v.written ? 1 : 0.72);
      p.rect(bar.from, y + 5, Math.max(0.5, bar.to - bar.from), row - 10, { fill: kept ? fill : c.line, radius: 3 });
      if (v.stage > 2.5) {
        const outline = gf.mix(c.background, c.muted, 0.55);   // T = 1, nothing cut
        p.rect(b.from, y + 3.5, at(plain.p[r]) - b.from, row - 7, { stroke: outline, radius: 3 });
      }
      const said = kept ? gf.number(bar.value, 3) : sampling.reason(d, r);
      p.text(bar.text, middle - 1, said, { fill: ink, size: kept ? 13 : 12 });
      const x = b.from - 9, centre = y + row / 2;
      if (chosen) p.area([[x, centre - 5], [x + 7, centre], [x, centre + 5]], { fill: tint });
    }
    if (!cut) return;
    const lines = [["top-k", d.cuts.top_k, v.setting.top_k], ["top-p", d.cuts.top_p, v.setting.top_p],
      ["min-p", d.cuts.min_p, v.setting.min_p]].filter(([, , on]) => on !== null);
    let labels = 0, last = -1;
    for (const [name, left, on] of lines) {
      if (left > Math.min(l.rows, names.length) || left === v.ranked.length) continue;
      const y = b.y + left * row, text = `${name} ${on}: ${left} ${left === 1 ? "stays" : "stay"}`;
      labels = left === last ? labels + 1 : 0;
      last = left;
      if (!labels) p.line(line(0, y, b.w, y), { stroke: c.ink, lineWidth: 1.25, dash: DASH });
      const w = text.length * 7.2 + 14;
      p.rect(b.w - w + 2, y - 9 - 19 * labels, w, 18, { fill: c.background, radius: 4 });
      p.text(b.w - 6, y + 4 - 19 * labels, text, { fill: c.ink, size: 12, anchor: "end" });
    }
    if (v.setting.min_p) {
      const x = at(v.setting.min_p * d.p[0] / d.mass);
      p.line(line(x, b.y, x, b.y + b.h), { stroke: c.ink, dash: DASH });
    }
    const shown = Math.min(l.rows, names.length), more = Math.max(0, d.kept - shown);
    let held = 0;
    for (let r = shown; r < d.kept; r++) held += d.p[r];
    p.text(b.token, b.y + b.h + 20, more
      ? `… ${count(more)} more kept, together ${gf.number(held / d.mass, 2)}; ${count(v.ranked.length - d.kept)} cut`
      : `${count(v.ranked.length - d.kept)} cut`, { fill: c.muted, size: 12 });
  }

  function drawCurve(p, g, v) {
    const { d, c, tint } = v, n = v.ranked.length, decades = Math.log10(n);
    const at = (rank) => g.x + g.w * Math.min(1, Math.log10(rank) / decades);   // rank counts from 1
    const up = (share) => g.y + g.h * (1 - share);
    const curve = (cumulative) => {
      const points = [[g.x, up(0)]];
      for (let rank = 1, next; rank <= n; rank = next) {
        next = rank < 40 ? rank + 1 : Math.ceil(rank * 1.03);
        points.push([at(rank), up(cumulative[rank - 1])]);
        if (rank < 40) points.push([at(rank + 1), up(cumulative[rank - 1])]);
      }
      return [...points, [g.x + g.w, up(cumulative[n - 1])]];
    };
    p.text(g.x - 24, g.y - 10, "cumulative, by rank", { fill: c.muted, size: 12 });
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      p.line(line(g.x, up(share), g.x + g.w, up(share)), { stroke: c.line });
      if (share * 2 % 1 === 0) p.text(g.x - 8, up(share) + 4, String(share), { fill: c.muted, size: 12, anchor: "end" });
    }
    for (let power = 0; power <= decades; power++) {
      const x = at(10 ** power), label = power < 3 ? String(10 ** power) : `${10 ** (power - 3)}k`;
      p.line(line(x, g.y + g.h, x, g.y + g.h + 5), { stroke: c.muted });
      p.text(x, g.y + g.h + 19, label, { fill: c.muted, size: 12, anchor: "middle" });
    }
    const right = at(Math.min(n, d.kept + 1));
    if (d.kept < n) p.rect(g.x, g.y, right - g.x, g.h, { fill: gf.mix(c.background, tint, 0.1) });
    p.line(curve(v.plainCumulative), { stroke: gf.mix(c.background, c.muted, 0.6), lineWidth: 1.5 });
    p.line(curve(v.cumulative), { stroke: tint, lineWidth: 3 });
    if (d.kept < n) p.line(line(right, g.y, right, g.y + g.h), { stroke: c.ink, lineWidth: 1.25, dash: DASH });
    if (v.setting.top_p !== null && v.setting.top_p < 1) {
      const y = up(v.setting.top_p * v.cumulative[d.cuts.top_k - 1]), x = at(d.cuts.top_p);
      p.line(line(g.x, y, g.x + g.w, y), { stroke: c.ink, lineWidth: 1.25, dash: DASH });
      p.circle(x, y, 5, { fill: tint, stroke: c.background, lineWidth: 2 });
      p.text(g.x + g.w - 4, y - 6, `top-p ${v.setting.top_p}`, { fill: c.ink, size: 12, anchor: "end" });
    }
    const marks = [["top-k", v.setting.top_k, d.cuts.top_k], ["min-p", v.setting.min_p, d.cuts.min_p]];
    let above = 0;
    for (const [name, on, left] of marks) {
      if (on === null || left >= n || (name === "min-p" && left === d.cuts.top_p)) continue;   // this one cut nothing
      const x = at(left + 1), text = `${name} ${on}`, flip = g.x + g.w - x < text.length * 7.4 + 10;
      if (left !== d.kept) p.line(line(x, g.y, x, g.y + g.h), { stroke: c.muted, dash: DASH });
      const y = g.y + 16 + 18 * above++, w = text.length * 7.4 + 6;
      p.rect(flip ? x - w - 3 : x + 3, y - 12, w, 16, { fill: c.background, radius: 3 });
      p.text(flip ? x - 6 : x + 6, y, text, { fill: c.ink, size: 12, anchor: flip ? "end" : "start" });
    }
    const stay = `${count(d.kept)} of ${count(n)} ${d.kept === 1 ? "stays" : "stay"}`, inside = right - g.x > stay.length * 7.4 + 16;
    const fits = inside || g.x + g.w - right > stay.length * 7.4 + 12;
    if (d.kept < n && fits) {
      const anchor = inside ? "end" : "start";
      p.text(inside ? right - 8 : right + 8, g.y + g.h - 10, stay, { fill: c.ink, size: 12, anchor });
    }
  }

  function drawRuler(p, l, v) {
    const g = l.ruler;
    const { d, c, tint, names } = v, top = g.y + 44, h = 32, at = (share) => g.x + g.w * Math.min(1, Math.max(0, share));
    const piece = (r) => (r < names.length ? gf.chipText(names[r]) : `rank ${count(r + 1)}`);
    p.text(g.x, g.y + 12, "the draw: what stays, laid end to end", { fill: c.muted, size: 12 });
    if (v.token && l.wide) {   // looking back: what was written may not be what the die would give under these settings
      const same = v.hit === v.written, how = v.token.forced ? "you chose" : same ? "written" : "was written";
      p.text(g.x + g.w, g.y + 12, `${how}: ${clip(gf.chipText(v.token.piece), 160, 13)} (rank ${count(v.written + 1)})`,
        { fill: c.ink, size: 13, anchor: "end" });
    }
    p.rect(g.x, top, g.w, h, { fill: gf.mix(c.background, tint, 0.12), radius: 4 });
    let end = 0;
    for (let r = 0; r < d.kept; r++) {
      const from = end, x = at(from);
      end += d.p[r] / d.mass;
      const w = at(end) - x;
      if (w < 0.75 && r !== v.hit) continue;
      p.rect(x, top, Math.max(r === v.hit ? 2 : 0, w - (w > 3 ? 1 : 0)), h,
        { fill: r === v.hit ? tint : gf.mix(c.background, tint, r % 2 ? 0.16 : 0.26), radius: w > 6 ? 3 : 0 });
      if (w > 26) p.text(x + w / 2, top + 21, clip(piece(r), w - 8, 14),
        { fill: r === v.hit ? c.background : c.ink, size: 14, anchor: "middle" });
    }
    for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
      p.text(at(tick), top + h + 17, String(tick), { fill: c.muted, size: 12,
        anchor: tick === 0 ? "start" : tick === 1 ? "end" : "middle" });
    }
    if (v.setting.temperature === 0) {
      p.text(g.x, top - 8, "T = 0: no die, always the largest logit", { fill: c.ink, size: 13 });
      return;
    }
    const x = at(v.u * Math.min(1, v.stage - 4)), said = `u = ${v.u.toFixed(4)}`, left = x > g.x + g.w - 110;
    p.area([[x, top + 6], [x - 6, top - 5], [x + 6, top - 5]], { fill: c.ink });
    p.line(line(x, top - 3, x, top + h + 4), { stroke: v.hit < names.length ? c.ink : tint, lineWidth: 2 });
    p.text(left ? x - 10 : x + 10, top - 4, said, { fill: c.ink, size: 13, anchor: left ? "end" : "start" });
  }

  return { layout, picture, axisFor, clip, STAGES };
})();
