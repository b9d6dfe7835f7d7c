/* How a cell came about, in words and numbers: lookups and products of the numbers that were sent, no more.

   sums.of(app, {m, row, col}) -> {title, lines: [text], lights: [{key, row} or {key, col}]} */
const sums = (() => {
  const WHOLE = 8, LARGEST = 5;   // so many terms are written out; of more, the largest

  function of(app, { m, row, col }) {
    const value = app.value(m, row, col), places = [app.name(m, "rows", row), app.name(m, "cols", col)];
    const name = `${m.symbol}[${places.filter(Boolean).join(", ")}]`;
    const says = m.says, lights = pointed(app, says, row, col);
    if (app.barred(m, row, col)) {
      return { title: name, lines: [`${app.name(m, "rows", row)} may not attend to ${app.name(m, "cols", col)}: `
        + "−∞ before the softmax, weight 0"], lights };
    }
    if (Number.isNaN(value)) return { title: name, lines: ["not there yet"], lights: [] };
    if (says && says.kind === "product") return { ...product(app, m, row, col, name, value), lights };
    if (says && says.kind === "softmax") return { ...softmax(app, m, row, col, name, value), lights };
    if (says && ["sum", "times"].includes(says.kind)) return { ...total(app, m, row, col, name, value), lights };
    if (says && says.kind === "each") {
      const text = (says.framed ? app.words(says.text) : says.text)[row][col];
      return { title: `${name} = ${gf.number(value)}`, lines: text ? [text] : [], lights };
    }
    if (says) {
      const text = says.text.replace(/\{(row|col|value)\}/g, (_, what) => (what === "value" ? gf.number(value)
        : app.name(m, what === "row" ? "rows" : "cols", what === "row" ? row : col)));
      return { title: `${name} = ${gf.number(value)}`, lines: [text], lights };
    }
    return { title: `${name} = ${gf.number(value)}`, lines: [], lights };
  }

  function pointed(app, says, row, col) {
    if (!says || says.kind === "sentence" || says.kind === "each") return [];
    if (says.kind === "softmax") return [{ key: says.of, row }];
    if (["sum", "times"].includes(says.kind)) return says.of.map((key) => ({ key, row, col }));
    return [{ key: says.left, row }, says.rightRows ? { key: says.right, row: col } : { key: says.right, col }];
  }

  const factor = (x) => (x < 0 ? `(${gf.number(x)})` : gf.number(x));

  function product(app, m, row, col, name, value) {
    const { left, right, rightRows, symbol, scaleText } = m.says, L = app.known(left), R = app.known(right);
    const terms = L.cols.map((_, k) => {
      const a = app.value(L, row, k), b = rightRows ? app.value(R, col, k) : app.value(R, k, col);
      return { a, b, size: Math.abs(a * b), product: a * b };
    });
    const there = terms.filter(({ product: p }) => Number.isFinite(p));
    const chosen = there.length <= WHOLE ? there : [...there].sort((x, y) => y.size - x.size).slice(0, LARGEST);
    const rest = there.filter((term) => !chosen.includes(term)), more = rest.reduce((sum, { product: p }) => sum + p, 0);
    const written = chosen.map(({ a, b }, i) => `${i && a < 0 ? factor(a) : i ? gf.number(a) : factor(a)}·${factor(b)}`);
    if (rest.length) written.push(`${factor(more)} from ${rest.length} more`);
    const sum = written.join(" + "), scaled = scaleText ? `(${sum}) ${scaleText}` : sum;
    return { title: `${name} = ${symbol}${scaleText ? ` ${scaleText}` : ""} = ${gf.number(value)}`, lines: [`= ${scaled}`] };
  }

  function softmax(app, m, row, col, name, value) {
    const S = app.known(m.says.of), scores = S.cols.map((_, j) => app.value(S, row, j));
    const open = scores.map((s, j) => [s, j])
      .filter(([s, j]) => Number.isFinite(s) && !app.barred(S, row, j) && !app.barred(m, row, j));
    const most = Math.max(...open.map(([s]) => s)), shift = most > 30 ? most : 0;   // e^S itself where it can be written
    const power = (s) => `e^${shift ? `(${gf.number(s)} − ${gf.number(shift)})` : factor(s)}`;
    const each = open.map(([s]) => Math.exp(s - shift)), sum = each.reduce((a, b) => a + b, 0);
    const mine = Math.exp(scores[col] - shift);
    const lines = [`= ${power(scores[col])} / Σ e^S = ${large(mine)} / ${large(sum)}`];
    if (open.length <= WHOLE) lines.push(`Σ e^S over the row = ${each.map(large).join(" + ")} = ${large(sum)}`);
    return { title: `${name} = softmax over the row = ${gf.number(value)}`, lines };
  }

  function total(app, m, row, col, name, value) {
    const sign = m.says.kind === "sum" ? " + " : " × ", parts = m.says.of.map((key) => app.known(key)), written = parts.map((part) => factor(app.value(part, row, col)));
    return { title: `${name} = ${parts.map((part) => part.symbol).join(sign)} = ${gf.number(value)}`,
      lines: [`= ${written.join(sign)}`] };
  }

  const large = (x) => (x >= 1e4 ? x.toExponential(2).replace("e+", "e") : gf.number(x));

  return { of };
})();
