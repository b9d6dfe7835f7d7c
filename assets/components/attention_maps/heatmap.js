/* One map large: query rows down, key columns across.

   heatmap.layout(app, width)        -> where everything goes; .height
   heatmap.paint(s, app, l)          -> on a surface: the screen's or an SVG's
   heatmap.at(l, x, y)               -> {q, k}, {q} on a row's label, {k} on a column's, or null */
const heatmap = (() => {
  const TILT = -55, MARK = 12;
  const source = document.createElement("canvas");

  function layout(app, width) {
    const large = app.narrow ? 11 : 14, small = app.narrow ? 9 : 10, first = fit(app, width, large);
    return first.cell > large ? first : fit(app, width, Math.max(small, Math.floor(first.cell)));
  }

  function fit(app, width, size) {
    const { n } = app.data, letter = size * 0.602;
    const longest = Math.min(MARK, Math.max(3, ...app.shown.map((token) => Array.from(token).length)));
    const left = Math.max(app.narrow ? 58 : 74, Math.ceil(longest * letter) + 14), slope = -TILT * Math.PI / 180;
    const top = Math.ceil(longest * letter * Math.sin(slope)) + 30;
    const right = Math.ceil(longest * letter * Math.cos(slope) * (app.narrow ? 0.4 : 0.8)) + 4;
    const room = Math.min(width - left - right, app.narrow ? width : app.tall - top - 4);
    const cell = room / n >= 8 ? Math.min(76, Math.floor(room / n)) : room / n, side = cell * n;
    return { n, cell, side, x: left, y: top, size, height: Math.max(Math.ceil(top + side + 4), 200), width,
      every: Math.ceil(size / cell) };
  }

  function paint(s, app, l) {
    const { data, view, colours: c, shade } = app, { n, x, y, cell, side } = l;
    s.rect(x, y, side, side, { fill: c.panel });
    if (shade) {
      const image = picture(app, n);
      s.image(image, x, y, side, side);
    }
    if (cell >= 11) {
      const gap = cell >= 22 ? 1 : 0.5;
      for (let i = 1; i < n; i++) {
        s.rect(x + i * cell - gap / 2, y, gap, side, { fill: c.background });
        s.rect(x, y + i * cell - gap / 2, side, gap, { fill: c.background });
      }
    }
    aims(s, app, l);
    if (data.causal && n > 5 && side > 200) {
      s.text(x + side - 10, y + 22, "later tokens: masked", { fill: c.muted, size: 12, anchor: "end" });
    }
    const focus = app.hover ?? {}, pin = view.pin ?? {};
    if (focus.q !== undefined) s.rect(x, y + focus.q * cell, side, cell, { stroke: c.query });
    if (focus.k !== undefined) s.rect(x + focus.k * cell, y, cell, side, { stroke: c.key });
    if (view.pin) {
      s.rect(x + pin.k * cell - 1, y + pin.q * cell - 1, cell + 2, cell + 2, { stroke: c.ink, lineWidth: 2.5, radius: 2 });
    }
    labels(s, app, l, focus, pin);
  }

  function picture(app, n) {
    source.width = source.height = n;
    const image = new ImageData(n, n), { lut } = app.scale, { mask } = app.data.arrays;
    for (let i = 0; i < n * n; i++) {
      if (!mask[i]) continue;
      const from = 4 * Math.round(255 * Math.min(1, app.shade[i]));
      for (let channel = 0; channel < 3; channel++) image.data[4 * i + channel] = lut[from + channel];
      image.data[4 * i + 3] = 255;
    }
    source.getContext("2d").putImageData(image, 0, 0);
    return source;
  }

  function aims(s, app, l) {   // where a head of this pattern would read
    const pattern = app.aimed();
    if (pattern < 0 || l.cell < 5) return;
    const inset = Math.min(2.5, l.cell / 6);
    for (let i = 0; i < l.n * l.n; i++) {
      if (!(app.data.arrays.targets[i] >> pattern & 1) || !app.data.arrays.mask[i]) continue;
      const x = l.x + (i % l.n) * l.cell + inset, y = l.y + Math.floor(i / l.n) * l.cell + inset, size = l.cell - 2 * inset;
      s.rect(x, y, size, size, { stroke: app.colours.patterns[pattern], lineWidth: 1.25, radius: 2 });
    }
  }

  function labels(s, app, l, focus, pin) {
    const { colours: c, shown } = app, { n, x, y, cell, size } = l;
    const near = (i, marked, every) => marked.some((m) => m !== undefined && m !== i && Math.abs(m - i) < every);
    const rows = [focus.q, pin.q], columns = [focus.k, pin.k];
    for (let i = 0; i < n; i++) {
      const row = rows.includes(i), column = columns.includes(i), text = clip(shown[i]);
      if (row || (i % l.every === 0 && !near(i, rows, l.every))) {
        const middle = y + (i + 0.5) * cell, wide = Array.from(text).length * size * 0.602;
        const fill = gf.mix(c.background, c.query, 0.14);
        if (row) s.rect(x - 12 - wide, middle - size * 0.72, wide + 8, size * 1.44, { fill, radius: 4 });
        s.text(x - 8, middle + size * 0.35, text, { fill: row ? c.query : c.ink, size, anchor: "end" });
      }
      if (column || (i % l.every === 0 && !near(i, columns, l.every))) {
        s.text(x + (i + 0.5) * cell + size * 0.3, y - 7, text, { fill: column ? c.key : c.ink, size, rotate: TILT });
      }
    }
    const axis = app.narrow ? 12 : 14;
    s.text(x - 8, y - 9 - axis * 1.3, "key →", { fill: c.key, size: axis, anchor: "end" });
    s.text(x - 8, y - 8, "query ↓", { fill: c.query, size: axis, anchor: "end" });
  }

  function clip(text) {
    const letters = Array.from(text);
    return letters.length <= MARK ? text : `${letters.slice(0, MARK - 1).join("")}…`;
  }

  function at(l, px, py) {
    const k = Math.floor((px - l.x) / l.cell), q = Math.floor((py - l.y) / l.cell);
    const inRow = q >= 0 && q < l.n, inColumn = k >= 0 && k < l.n;
    if (inRow && inColumn) return { q, k };
    if (inRow && px < l.x) return { q };
    return inColumn && py < l.y && py > l.y - 60 ? { k } : null;
  }

  return { layout, paint, at };
})();
