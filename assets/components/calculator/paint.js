/* calculator: five stacked bars of shares, one below the other, each part's pieces joined by a ribbon.

   calculator.bars(p, c, rows, parts, box, lit)   rows [{label, total, values: [part], by: [part] or null}] ->
       the pieces [{row, part, x, y, w, h}]; `by` says which parts memory bounds: those are hatched
   calculator.si, .bytes, .time, .grouped         numbers as people say them */
const calculator = (() => {
  const THIN = "\u202f", UNITS = ["", "k", "M", "G", "T", "P", "E", "Z"];
  const grouped = (n) => n.toLocaleString("en-US");
  const three = (x) => (x >= 99.95 ? grouped(Math.round(x)) : String(Number(x.toPrecision(3))));
  function scaled(x, step = 1000) {
    let unit = 0;
    while (x >= step * 0.9995 && unit < UNITS.length - 1) { x /= step; unit += 1; }
    return [three(x), UNITS[unit]];
  }
  const si = (x) => { const [digits, unit] = scaled(x); return unit ? `${digits}${THIN}${unit}` : digits; };
  const bytes = (x) => { const [digits, unit] = scaled(x); return `${digits}${THIN}${unit}B`; };
  function time(s) {
    if (s === 0) return "0";
    for (const [size, unit] of [[86400, "days"], [3600, "h"], [1, "s"], [1e-3, "ms"], [1e-6, "µs"]]) {
      if (s >= size * 0.9995) return `${three(s / size)}${THIN}${unit}`;
    }
    return `${three(s / 1e-9)}${THIN}ns`;
  }
  const percent = (share) => `${share >= 0.0995 ? (100 * share).toFixed(0) : Number((100 * share).toPrecision(2))}${THIN}%`;

  function hatch(p, x, y, w, h, stroke) {   // slanted lines, clipped by hand: the SVG has no clip
    for (let at = -h; at < w; at += 6) {
      const a = Math.max(0, at), b = Math.min(w, at + h);
      if (b > a) p.line([[x + a, y + h - (a - at)], [x + b, y + h - (b - at)]], { stroke, lineWidth: 1.6, opacity: 0.8 });
    }
  }

  function bars(p, c, rows, parts, { w, wide }, lit) {
    const x0 = wide ? 132 : 2, x1 = w - 4, bar = wide ? 36 : 30, step = wide ? 72 : 86, top = wide ? 6 : 26, pieces = [];
    rows.forEach((row, r) => {
      const y = top + r * step;
      let x = x0;
      parts.forEach((part, k) => {
        const width = row.total ? (x1 - x0) * row.values[k] / row.total : 0;
        pieces.push({ row: r, part: k, x, y, w: width, h: bar });
        x += width;
      });
    });
    const of = (r, k) => pieces[r * parts.length + k], dim = (k) => lit !== null && lit !== k;
    for (let r = 0; r + 1 < rows.length; r++) parts.forEach((part, k) => {
      const a = of(r, k), b = of(r + 1, k);
      if (!(a.w > 0.3 || b.w > 0.3) || !rows[r].total || !rows[r + 1].total) return;
      const middle = (a.y + bar + b.y) / 2, curve = (from, to) => Array.from({ length: 9 }, (_, i) => {
        const t = i / 8, ease = t * t * (3 - 2 * t);
        return [from + (to - from) * ease, a.y + bar + 2 + (b.y - a.y - bar - 4) * t];
      });
      if (middle) p.area([...curve(a.x, b.x), ...curve(a.x + a.w, b.x + b.w).reverse()],
        { fill: c[part.role], opacity: lit === k ? 0.34 : dim(k) ? 0.03 : 0.1 });
    });
    rows.forEach((row, r) => {
      const y = top + r * step;
      if (wide) {
        p.text(x0 - 18, y + 15, row.label, { fill: c.muted, anchor: "end", family: plot.SANS, size: 15 });
        p.text(x0 - 18, y + 36, row.said, { fill: c.ink, anchor: "end", size: 19, weight: 600 });
      } else {
        p.text(x0, y - 8, row.label, { fill: c.muted, family: plot.SANS, size: 14 });
        p.text(x1, y - 8, row.said, { fill: c.ink, anchor: "end", size: 16, weight: 600 });
      }
      p.rect(x0, y, x1 - x0, bar, { fill: c.panel });
      parts.forEach((part, k) => {
        const at = of(r, k), fill = gf.mix(c.background, c[part.role], dim(k) ? part.full * 0.3 : part.full);
        if (at.w <= 0) return;
        p.rect(at.x, y, Math.max(at.w - 0.8, 0.6), bar, { fill });
        if (row.by && row.by[k]) hatch(p, at.x, y, Math.max(at.w - 0.8, 0), bar, gf.mix(c.background, fill, 0.25));
        if (lit === k) p.rect(at.x, y - 1, at.w - 0.8, bar + 2, { stroke: c.ink });
        const room = at.w - 10, size = 14;
        const text = [part.label, part.short].find((name) => name.length * 7.6 < room && (wide || name === part.short));
        if (!text || dim(k)) return;
        if (row.by && row.by[k]) p.rect(at.x + at.w / 2 - text.length * 3.9 - 4, y + bar / 2 - 10, text.length * 7.8 + 8, 20, { fill, radius: 3 });
        p.text(at.x + at.w / 2, y + bar / 2 + 5, text, { fill: plot.readable(c, fill), anchor: "middle", family: plot.SANS, size, weight: 600 });
      });
    });
    return pieces;
  }

  const height = (rows, wide) => (wide ? 72 * rows - 24 : 86 * rows - 20);

  return { bars, height, si, bytes, time, grouped, percent, three };
})();
