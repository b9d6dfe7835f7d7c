/* Draws the alignment on a surface, the screen's or an SVG's: art.draw(s, app, lay.of(app, width)) */
const art = (() => {
  function draw(s, app, found) {
    links(s, app, found);
    map(s, app, found);
  }

  function links(s, app, { words, narrow, width }) {
    const { c, spec } = app, shown = app.links(), crossed = app.crossings(shown), cell = app.focus();
    const small = narrow ? 13 : 14, lit = cell ? app.wordOf(spec.targetWords, cell.row) : -1;
    const from = (i) => words.source[i], to = (i) => words.target[i];
    const ends = (i, j) => (words.upright ? [[from(j).edge, from(j).y - 5], [to(i).edge, to(i).y - 5]]
      : [[from(j).x, from(j).y + 9], [to(i).x, to(i).y - words.size - 2]]);
    const across = new Set(crossed.flat());
    shown.forEach((j, i) => {
      if (j < 0) return;
      const weight = app.wordWeight(i, j), strong = i === lit || (lit < 0 && across.has(i));
      s.line(ends(i, j), { stroke: strong ? c.attention : gf.mix(c.background, c.attention, 0.45), lineWidth: 1 + 4 * weight });
    });
    for (const [i, k] of crossed) {
      const [a, b] = ends(i, shown[i]), [d, e] = ends(k, shown[k]), axis = words.upright ? 1 : 0;
      const apart = d[axis] - a[axis], beyond = e[axis] - b[axis], share = apart / (apart - beyond);
      const point = [a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share];
      s.circle(...point, 7, { fill: c.background, stroke: c.ink, lineWidth: 2 });
    }
    s.text(0, 15, "read: keys and values", { fill: c.key, size: small, family: plot.SANS });
    const side = surface.width("written: queries", small, plot.SANS);
    if (words.upright) {
      const x = Math.max(...words.target.map((w) => w.x + w.w / 2));
      s.text(Math.min(width, Math.max(x, words.target[0].edge + side)), 15, "written: queries", { fill: c.query, size: small, family: plot.SANS, anchor: "end" });
    } else s.text(0, words.bottom + 4, "written: queries", { fill: c.query, size: small, family: plot.SANS });
    const word = (place, text, fill, weight) => s.text(place.x, place.y, text, { fill, size: words.size, family: plot.SANS, weight, anchor: "middle" });
    spec.sourceWords.forEach(({ text, hidden }, j) => word(from(j), text, hidden ? c.line : c.key, lit >= 0 && shown[lit] === j ? 700 : 500));
    spec.targetWords.forEach(({ text, end }, i) => { if (end <= app.step() + 1) word(to(i), text, c.query, lit === i ? 700 : 500); });
  }

  function map(s, app, { map: box, narrow }) {
    const { c, spec } = app, cell = app.focus(), rows = app.step() + 1, { x, y, cw, ch, size } = box;
    s.text(0, box.titleY, app.title(), { fill: c.attention, size: 17, family: plot.SANS, weight: 600 });
    s.text(0, box.axisY, "written ↓", { fill: c.query, size: 13, family: plot.SANS });
    s.text(surface.width("written ↓  ", 13, plot.SANS), box.axisY, "read →", { fill: c.key, size: 13, family: plot.SANS });
    spec.source.forEach((name, j) => {
      const at = x + (j + 0.5) * cw, here = cell && cell.col === j, fill = here ? c.key : c.ink;
      if (box.tilt) s.tilted(at + size * 0.3, y - 6, name, -55, { fill, size });
      else s.text(at, y - 8, name, { fill, size, anchor: "middle", weight: here ? 700 : 400 });
    });
    spec.target.forEach((name, i) => {
      if (i >= rows) return;
      const here = cell && cell.row === i;
      s.text(x - 9, y + (i + 0.5) * ch + size * 0.35, name, { fill: here ? c.query : c.ink, size, anchor: "end", weight: here ? 700 : 400 });
    });
    for (let i = 0; i < rows; i++) {
      const best = app.best(i);
      for (let j = 0; j < spec.source.length; j++) {
        const left = x + j * cw, top = y + i * ch;
        if (spec.hidden.includes(j)) {
          s.rect(left, top, cw - 1, ch - 1, { fill: c.panel });
          s.line([[left + 2, top + ch - 3], [left + cw - 3, top + 2]], { stroke: c.muted, opacity: 0.45 });
          continue;
        }
        const value = app.weight(i, j), fill = app.fill(value);
        s.rect(left, top, cw - 1, ch - 1, { fill });
        if (box.font && value >= 0.005) {
          s.text(left + cw / 2, top + ch / 2 + box.font * 0.35, value.toFixed(2).replace(/^0/, ""),
            { fill: app.readable(fill), size: box.font, anchor: "middle" });
        }
        if (j === best) s.outline(left, top, cw - 1, ch - 1, { stroke: c.ink, lineWidth: 1.5 });
      }
    }
    s.outline(x - 1, y - 1, box.w + 1, box.h + 1, { stroke: c.line, lineWidth: 1 });
    if (cell) s.outline(x + cell.col * cw - 1, y + cell.row * ch - 1, cw + 1, ch + 1, { stroke: c.ink, lineWidth: 3 });
    const wide = Math.min(narrow ? 90 : 120, box.w), foot = y + box.h + 12;
    for (let i = 0; i < 24; i++) s.rect(x + i * wide / 24, foot, wide / 24 + 0.5, 8, { fill: app.fill(i / 23) });
    s.outline(x, foot, wide, 8, { stroke: c.line, lineWidth: 1 });
    s.text(x, foot + 22, "0", { fill: c.muted, size: 12 });
    s.text(x + wide, foot + 22, "1", { fill: c.muted, size: 12, anchor: "end" });
    s.text(x + wide + 14, foot + 9, narrow ? "outlined: strongest of its row" : "each row sums to 1; outlined: its strongest", { fill: c.muted, size: 13, family: plot.SANS });
  }

  return { draw };
})();
