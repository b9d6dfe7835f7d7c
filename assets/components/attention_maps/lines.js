/* The same map as lines: the readers on the left, what they read on the right, width = weight.

   lines.layout(app, width), lines.paint(s, app, l), lines.at(l, x, y) as in heatmap. */
const lines = (() => {
  const MARK = 14;

  function layout(app, width) {
    const { n } = app.data, top = 40, tall = app.tall - top - 8;
    const step = Math.max(7, Math.min(app.narrow ? 30 : 34, tall / n));
    const size = Math.max(10, Math.min(app.narrow ? 13 : 15, step * 0.82));
    const longest = Math.min(MARK, Math.max(3, ...app.shown.map((token) => Array.from(token).length)));
    const column = Math.max(app.narrow ? 98 : 112, Math.ceil(longest * size * 0.602) + 20);
    return { n, step, size, top, x1: column, x2: width - column, width, height: Math.ceil(top + n * step + 8) };
  }

  const middle = (l, i) => l.top + (i + 0.5) * l.step;

  function paint(s, app, l) {
    const { data, view, colours: c, shade } = app, { n } = l, role = c[app.role()];
    const hover = app.hover ?? {}, pin = view.pin ?? {};
    const q = hover.q ?? (hover.k === undefined ? pin.q : undefined), k = hover.q === undefined ? hover.k : undefined;
    const axis = app.narrow ? 12 : 14;
    s.text(l.x1 - 10, 18, "query: reads", { fill: c.query, size: axis, anchor: "end" });
    s.text(l.x2 + 10, 18, "key: is read", { fill: c.key, size: axis });
    if (shade) {
      const found = [];
      for (let i = 0; i < n * n; i++) {
        const weight = shade[i] ** 2;
        if (data.arrays.mask[i] && weight > 0.004) found.push({ q: Math.floor(i / n), k: i % n, weight });
      }
      found.sort((a, b) => a.weight - b.weight);
      const chosen = (line) => (q !== undefined ? line.q === q : k !== undefined ? line.k === k : true);
      for (const line of found) if (!chosen(line)) stroke(s, l, line, gf.mix(c.background, role, 0.2), 0.35, app.cut);
      for (const line of found) if (chosen(line)) stroke(s, l, line, role, 1, app.cut);
    }
    const every = Math.ceil((l.size + 1) / l.step), askers = [q, pin.q];
    const answerers = [k, q === pin.q ? pin.k : undefined, hover.k];
    const crowded = (i, marked) => marked.some((m) => m !== undefined && m !== i && Math.abs(m - i) < every);
    for (let i = 0; i < n; i++) {
      const asks = askers.includes(i), answers = answerers.includes(i), own = i % every === 0;
      const text = clip(app.shown[i]), width = Array.from(text).length * l.size * 0.602 + 10;
      const y = middle(l, i), mark = (x, colour) => s.rect(x, y - l.size * 0.75, width + 2, l.size * 1.5,
        { fill: gf.mix(c.background, colour, 0.14), radius: 4 });
      if (asks) mark(l.x1 - 8 - width, c.query);
      if (answers) mark(l.x2 + 6, c.key);
      const put = (x, anchor, fill) => s.text(x, y + l.size * 0.35, text, { fill, size: l.size, anchor });
      if (asks || (own && !crowded(i, askers))) put(l.x1 - 10, "end", asks ? c.query : c.ink);
      if (answers || (own && !crowded(i, answerers))) put(l.x2 + 10, "start", answers ? c.key : c.ink);
    }
  }

  function stroke(s, l, line, colour, strength, cut) {
    const y1 = middle(l, line.q), y2 = middle(l, line.k), bend = (l.x2 - l.x1) * 0.42, faint = line.weight < cut;
    const x1 = l.x1 - 2, x2 = l.x2 + 2;
    s.path(`M${x1},${y1.toFixed(1)}C${x1 + bend},${y1.toFixed(1)} ${x2 - bend},${y2.toFixed(1)} ${x2},${y2.toFixed(1)}`, {
      stroke: colour, lineWidth: Math.max(0.6, line.weight * Math.min(11, l.step * 0.8)),
      opacity: strength * (faint ? 0.1 : 0.25 + 0.65 * Math.sqrt(line.weight)),
    });
  }

  function clip(text) {
    const letters = Array.from(text);
    return letters.length <= MARK ? text : `${letters.slice(0, MARK - 1).join("")}…`;
  }

  function at(l, x, y) {
    const i = Math.floor((y - l.top) / l.step);
    if (i < 0 || i >= l.n) return null;
    return x < l.x1 + 24 ? { q: i } : x > l.x2 - 24 ? { k: i } : null;
  }

  return { layout, paint, at };
})();
