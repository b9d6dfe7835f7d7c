// Shares of the FLOPs against n, stacked; drag n, and the bar beside the areas takes the column of that n.
// Data (charts/cost.py): n [..] and the models, each with parts [{key, label, short, role, flops: [..]}] from the ground
// up, products int32 [n, product, rows | inner | columns | times] with their parts and how often, markers, context; and
// the view that the link asks for: arch (which model), chosen (n), show ("shares" or "per token"), logits. The learner
// changes the view here, at once; the server hears of it afterwards, for the formula and the link. Reports: stand
// {arch, n, show, logits}, all in one, with the epoch of the message that it answers to.
const SVG = "http://www.w3.org/2000/svg";
const THIN = "\u202f";

export default (component) => gf.mount(component, (root) => new Stack(root));

class Stack {
  constructor(root) {
    this.root = root;
    this.head = document.createElement("div");
    this.head.className = "head";
    this.plot = document.createElement("div");
    this.plot.className = "plot";
    this.plot.tabIndex = 0;
    this.plot.setAttribute("role", "slider");
    this.plot.setAttribute("aria-label", "Number of tokens n");
    this.svg = make("svg", { "aria-hidden": "true" });
    this.plot.append(this.svg);
    this.buttons = {
      shares: gf.button("shares", () => this.show("shares"), { label: "Show shares of all FLOPs", pressed: true }),
      perToken: gf.button("per token", () => this.show("per token"), { label: "Show FLOPs per token", pressed: false }),
      logits: gf.button("with logits", () => this.toggleLogits(), { pressed: false }),
    };
    const row = document.createElement("div"), whose = document.createElement("label");
    this.whose = document.createElement("select");
    this.whose.addEventListener("change", () => { this.arch = this.whose.value; this.arrange(); this.tell(); });
    whose.append("Whose cost", this.whose);
    row.className = "row";
    row.append(whose, ...Object.values(this.buttons));
    root.append(this.head, row, this.plot);
    this.tip = gf.tooltip(this.plot);
    this.hover = null;          // {i, part} under the pointer or reached by keys
    this.asked = null;          // the same, where a finger last let go
    this.part = null;           // the part that ↑ and ↓ walk through
    this.listen();
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.plot);
  }

  update(component) {
    this.component = component;
    const data = gf.unpack(component.data);
    if (!this.data || this.data.epoch !== data.epoch) {   // otherwise the view is the learner's
      clearTimeout(this.settling);
      this.i = data.n.indexOf(data.chosen);
      this.perToken = data.show === "per token";
      this.logits = data.logits;
      this.arch = data.arch;
    }
    this.data = data;
    this.whose.replaceChildren(...data.models.map(({ name }) => new Option(name, name)));
    this.whose.value = this.arch;
    this.arrange();
  }

  arrange() {   // what the view makes of the data
    const { n, models } = this.data, at = models.findIndex(({ name }) => name === this.arch);
    this.model = { ...models[at], products: this.data.arrays[`products_${at}`] };
    const { parts } = this.model, hasLogits = parts.some((part) => part.key === "logits");
    this.parts = parts.filter((part) => part.key !== "logits" || this.logits);
    this.totals = n.map((_, i) => this.parts.reduce((sum, part) => sum + part.flops[i], 0));
    this.part = null;
    this.buttons.shares.setAttribute("aria-pressed", String(!this.perToken));
    this.buttons.perToken.setAttribute("aria-pressed", String(this.perToken));
    this.buttons.logits.setAttribute("aria-pressed", String(hasLogits && this.logits));
    this.buttons.logits.disabled = !hasLogits;
    this.lookAgain();
  }

  lookAgain() {   // at what a finger asked about, if it is still there
    const there = this.asked && this.asked.part !== null && this.asked.part < this.parts.length;
    this.look(there ? this.asked : null, true);
  }

  show(what) {
    this.perToken = what === "per token";
    this.arrange();
    this.tell();
  }

  toggleLogits() {
    this.logits = !this.logits;
    this.arrange();
    this.tell();
  }

  destroy() {
    this.observer.disconnect();
    clearTimeout(this.settling);
  }

  // ---- choosing n ----

  listen() {
    const plot = this.plot;
    plot.addEventListener("pointerdown", (event) => {
      if (!this.data || event.button) return;
      plot.setPointerCapture(event.pointerId);
      this.dragging = true;
      this.asked = null;
      this.tip.hide();
      this.choose(this.at(event).i);
    });
    plot.addEventListener("pointermove", (event) => {
      if (!this.data) return;
      const at = this.at(event);
      if (this.dragging) this.choose(at.i);
      else this.look(at.part === null ? null : at, event);
    });
    const drop = (event) => {
      if (!this.dragging) return;
      this.dragging = false;
      this.tell();
      if (event.pointerType === "touch") {   // a finger does not hover: what it leaves at is what it asks about
        this.asked = this.at(event);
        this.lookAgain();
      }
    };
    plot.addEventListener("pointerup", drop);
    plot.addEventListener("pointercancel", drop);
    plot.addEventListener("pointerleave", (event) => {
      if (!this.dragging && event.pointerType !== "touch") this.look(null);
    });
    plot.addEventListener("blur", () => { this.asked = null; this.look(null); });
    const step = (by) => () => { this.choose(this.i + by); this.relook(); this.tell(); };
    gf.keys(plot, {
      ArrowLeft: step(-1), ArrowRight: step(1), PageDown: step(-8), PageUp: step(8), Home: step(-999), End: step(999),
      ArrowUp: () => this.walk(1), ArrowDown: () => this.walk(-1), Escape: () => { this.part = null; this.look(null); },
    });
  }

  choose(i) {
    this.i = Math.max(0, Math.min(this.data.n.length - 1, i));
    this.draw();
  }

  tell() {   // once the learner has settled
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.component.setStateValue("stand", { epoch: this.data.epoch, arch: this.arch,
      n: this.data.n[this.i], show: this.perToken ? "per token" : "shares", logits: this.logits }), 250);
  }

  walk(by) {
    const count = this.parts.length;
    this.part = this.part === null ? (by > 0 ? 0 : count - 1) : (this.part + by + count) % count;
    this.relook();
  }

  relook() {
    if (this.part === null) return;
    const { barX, y } = this.geometry, [low, high] = this.span(this.part, this.i);
    this.look({ i: this.i, part: this.part }, null, [barX - 330, (y(low) + y(high)) / 2 - 40]);
  }

  at(event) {
    const box = this.plot.getBoundingClientRect(), { x0, x1, barX, barW, y } = this.geometry;
    const px = event.clientX - box.left, py = event.clientY - box.top;
    const inBar = px >= barX - 8 && !this.dragging;
    const octave = 7 + 8 * (px - x0) / (x1 - x0);
    const i = inBar ? this.i : nearest(this.data.n, 2 ** octave);
    const inside = inBar ? px <= barX + barW + 4 : px >= x0 && px <= x1;
    let part = null;
    for (let p = 0; inside && p < this.parts.length; p++) {
      const [low, high] = this.span(p, i);
      if (py <= y(low) && py > y(high)) part = p;
    }
    return { i, part, px, py };
  }

  look(at, event, place) {
    this.hover = at;
    this.draw();
    if (at === null) return this.tip.hide();
    const lines = this.arithmetic(at.i, at.part);
    const [x, y] = place ?? [at.px, at.py];
    this.tip.show(x, y, lines);
    if (!event) this.plot.setAttribute("aria-valuetext", lines.map((line) => line.text ?? line).join("; "));
  }

  arithmetic(i, p) {
    const { n } = this.data, { product_parts, often, products } = this.model, part = this.parts[p];
    const lines = [{ text: `${part.label} at n = ${grouped(n[i])}`, strong: true, colour: `var(--gf-${part.role})` }];
    product_parts.forEach((of, j) => {
      if (of !== part.key) return;
      const [rows, inner, columns, times] = products.slice(4 * (i * product_parts.length + j));
      lines.push(`[${grouped(rows)} × ${grouped(inner)}] @ [${grouped(inner)} × ${grouped(columns)}] ${often[j]}`);
      lines.push(`  2 · ${grouped(rows)} · ${grouped(inner)} · ${grouped(columns)} · ${grouped(times)} = `
        + `${si(2 * rows * inner * columns * times)}`);
    });
    lines.push(`${si(part.flops[i])} of ${si(this.totals[i])} FLOPs: ${percent(part.flops[i] / this.totals[i])}`);
    return lines;
  }

  // ---- drawing ----

  span(p, i) {   // where part p lies in the stack of column i: shares, or FLOPs per token
    const { parts, totals } = this;
    let low = 0;
    for (let q = 0; q < p; q++) low += parts[q].flops[i];
    const whole = this.perToken ? this.data.n[i] : totals[i];
    return [low / whole, (low + parts[p].flops[i]) / whole];
  }

  draw() {
    if (!this.data || !this.plot.clientWidth) return;
    const { parts, data: { n } } = this;
    const width = this.plot.clientWidth, height = this.svg.clientHeight, wide = width >= 620;
    const labelW = wide ? 214 : 66, barW = wide ? 54 : 24, gap = wide ? 30 : 12;
    const x0 = wide ? 58 : 40, x1 = width - labelW - barW - gap, y0 = 48, y1 = height - 48;
    const top = this.perToken ? Math.max(...n.map((tokens, i) => this.totals[i] / tokens)) : 1;
    const x = (tokens) => x0 + (x1 - x0) * (Math.log2(tokens) - 7) / 8;
    const y = (value) => y1 - (y1 - y0) * value / top;
    this.geometry = { x0, x1, y0, y1, barX: x1 + gap, barW, x, y };
    const all = [];
    const put = (tag, attributes, text) => { const e = make(tag, attributes, text); all.push(e); return e; };

    for (const tick of this.perToken ? nice(top) : [0, 0.25, 0.5, 0.75, 1]) {
      put("line", { class: "grid", x1: x0, x2: x1, y1: y(tick), y2: y(tick) });
      put("text", { class: "number", x: x0 - 8, y: y(tick) + 4, "text-anchor": "end" },
        this.perToken ? (tick ? si(tick) : "0") : `${100 * tick} %`);
    }
    parts.forEach((part, p) => {
      const spans = n.map((_, i) => this.span(p, i));
      const upper = n.map((tokens, i) => `${x(tokens)},${y(spans[i][1])}`);
      const lower = n.map((tokens, i) => `${x(tokens)},${y(spans[i][0])}`).reverse();
      const dim = this.hover && this.hover.part !== p ? " dim" : "";
      const around = upper.concat(lower).join(" ");
      put("polygon", { class: `area ${part.role}${dim}`, points: around, "data-part": part.key });
      put("polyline", { class: `edge ${part.role}${dim}`, points: upper.join(" ") });
    });
    this.drawContext(put);
    this.drawBandNames(put, wide);
    this.drawAxis(put, wide);
    this.drawMarkers(put, wide);
    this.drawChosen(put);
    this.drawBar(put, wide, width);
    this.svg.replaceChildren(...all);
    this.describe();
  }

  drawContext(put) {   // paler where the text is longer than the model was made for
    const { n } = this.data, { context } = this.model, { x, x0, x1, y0, y1 } = this.geometry;
    if (!context || context >= n[n.length - 1]) return;
    const from = Math.max(x0, x(context));
    put("rect", { class: "veil", x: from, y: y0 - 1, width: x1 - from, height: y1 - y0 + 1 });
  }

  drawBandNames(put, wide) {
    const { parts, data: { n } } = this, { x, x0, x1, y } = this.geometry;
    parts.forEach((part, p) => {
      const thickness = (i) => { const [low, high] = this.span(p, i); return y(low) - y(high); };
      const text = wide ? part.label : part.short, room = 4 + text.length * (wide ? 3.9 : 3.6);
      let best = -1;
      n.forEach((tokens, i) => {
        if (x(tokens) < x0 + room || x(tokens) > x1 - room) return;
        if (best < 0 || thickness(i) > thickness(best) + 0.5) best = i;
      });
      if (best < 0 || thickness(best) < (wide ? 20 : 16)) return;
      const [low, high] = this.span(p, best);
      put("text", { class: "band", x: x(n[best]), y: (y(low) + y(high)) / 2 + 5, "text-anchor": "middle" }, text);
    });
  }

  drawAxis(put, wide) {
    const { n } = this.data, { context, context_label } = this.model, { x, x0, x1, y1 } = this.geometry;
    put("line", { class: "grid", x1: x0, x2: x1, y1, y2: y1 });
    for (let octave = 7; octave <= 15; octave++) {
      const tokens = 2 ** octave, text = tokens < 1000 ? String(tokens) : `${tokens / 1024}k`;
      if (!wide && octave % 2 === 0) continue;
      put("text", { class: "number", x: x(tokens), y: y1 + 20, "text-anchor": "middle" }, text);
    }
    put("text", { class: "note", x: x0, y: y1 + 42 }, wide ? "n, tokens in the text" : "n, tokens");
    if (!context || context >= n[n.length - 1]) return;
    put("text", { class: "note", x: x1 + 8, y: y1 + 42, "text-anchor": "end" }, context_label);
  }

  drawMarkers(put, wide) {   // the earlier length has its name to the left of its line, the later one to the right
    const { markers } = this.model, { x, x0, x1, y0, y1 } = this.geometry;
    let edge = 0;
    markers.forEach(({ n, label, value }, k) => {
      const inside = x(n) >= x0 && x(n) <= x1, at = Math.max(x0, Math.min(x1, x(n)));
      const text = inside ? value : x(n) > x1 ? `${value} →` : `← ${value}`;
      const room = Math.max(label.length, text.length) * (wide ? 7 : 6.2), first = k === 0;
      if (inside) put("line", { class: "marker", x1: at, x2: at, y1: y0 - 40, y2: y1 });
      const place = first ? Math.max(at - 7, room) : Math.max(at + 7, edge + 14);
      edge = place;
      const anchor = first ? "end" : "start";
      put("text", { class: "note", x: place, y: y0 - 28, "text-anchor": anchor }, label);
      put("text", { class: "number", x: place, y: y0 - 10, "text-anchor": anchor }, text);
    });
  }

  drawChosen(put) {
    const { x, y0, y1 } = this.geometry, at = x(this.data.n[this.i]);
    put("line", { class: "chosen", x1: at, x2: at, y1: y0, y2: y1 });
    put("rect", { class: "knob", x: at - 11, y: y1 - 10, width: 22, height: 20, rx: 6 });
    for (const dx of [-3, 3]) put("line", { class: "grip", x1: at + dx, x2: at + dx, y1: y1 - 4, y2: y1 + 4 });
  }

  drawBar(put, wide, width) {
    const { parts, i } = this, { barX, barW, y, y0, y1 } = this.geometry, total = this.totals[i];
    const gapY = wide ? 22 : 16;
    const labels = parts.map((part, p) => {
      const [low, high] = this.span(p, i), dim = this.hover && this.hover.part !== p ? " dim" : "";
      put("rect", { class: `area ${part.role}${dim}`, x: barX, width: barW, y: y(high),
        height: Math.max(0, y(low) - y(high)), "data-bar": part.key });
      put("line", { class: `edge ${part.role}${dim}`, x1: barX, x2: barX + barW, y1: y(high), y2: y(high) });
      return { part, dim, at: (y(low) + y(high)) / 2, share: part.flops[i] / total };
    }).filter(({ part }) => part.flops[i] > 0);
    const places = spread(labels.map(({ at }) => at), gapY, y0 + 4, y1 - 2);   // parts rise, so the first is lowest
    labels.forEach(({ part, dim, at, share }, k) => {
      const left = barX + barW, text = left + (wide ? 22 : 8), line = places[k] + 5;
      const path = `${left + 2},${at} ${left + 8},${at} ${text - 5},${places[k]}`;
      put("polyline", { class: `leader${dim}`, points: path });
      put("text", { class: `strong ${part.role}${dim}`, x: text, y: line }, wide ? part.label : part.short);
      const number = (x, value) => put("text", { class: `number${dim}`, x, y: line, "text-anchor": "end" }, value);
      number(wide ? width - 62 : width, wide ? percent(share) : `${Math.round(100 * share)}%`);
      if (wide) number(width, si(part.flops[i]));
    });
  }

  describe() {
    const { parts, i, data: { n, attention } } = this, total = this.totals[i];
    const sum = (test) => parts.filter(test).reduce((flops, part) => flops + part.flops[i], 0) / total;
    const shares = [["attention", percent(sum((part) => attention.includes(part.key)))],
      ["ffn", percent(sum((part) => part.key === "ffn"))]];
    const piece = (name, bold, text) => {
      const span = document.createElement("span"), strong = document.createElement("b");
      span.className = name;
      strong.textContent = bold;
      span.append(strong, ` ${text}`);
      return span;
    };
    const first = document.createElement("span");
    first.className = "n";
    first.textContent = `n = ${grouped(n[i])}`;
    this.head.replaceChildren(first, piece("total", si(total), "FLOPs"), piece("token", si(total / n[i]), "a token"),
      piece("attention", shares[0][1], "attention"), piece("ffn", shares[1][1], "FFN"));
    const set = (name, value) => this.plot.setAttribute(name, value);
    set("aria-valuemin", n[0]);
    set("aria-valuemax", n[n.length - 1]);
    set("aria-valuenow", n[i]);
    if (this.part === null) {
      set("aria-valuetext", `n = ${n[i]} tokens: attention ${shares[0][1]}, FFN ${shares[1][1]}, ${si(total)} FLOPs`);
    }
  }
}

function make(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function nearest(sorted, value) {
  const apart = (tokens) => Math.abs(Math.log2(tokens / value));
  return sorted.reduce((best, tokens, i) => (apart(tokens) < apart(sorted[best]) ? i : best), 0);
}

// Push labels apart to `gap`, keeping their order (falling y) and staying between top and bottom.
function spread(at, gap, top, bottom) {
  const y = at.slice();
  for (let k = 0; k < y.length; k++) y[k] = Math.min(y[k], k ? y[k - 1] - gap : bottom);
  for (let k = y.length - 1; k >= 0; k--) y[k] = Math.max(y[k], k === y.length - 1 ? top : y[k + 1] + gap);
  return y;
}

function nice(top) {
  const step = [1, 2, 2.5, 5, 10].map((m) => m * 10 ** Math.floor(Math.log10(top / 4))).find((s) => top / s < 6);
  return Array.from({ length: Math.floor(top / step) + 1 }, (_, k) => k * step);
}

function si(flops) {
  const units = ["", "K", "M", "G", "T", "P", "E"];
  let unit = 0;
  while (flops >= 999.5 && unit < units.length - 1) { flops /= 1000; unit++; }
  return `${unit ? flops.toPrecision(3) : Math.round(flops)}${THIN}${units[unit]}`;
}

const grouped = (number) => number.toLocaleString("en");
const percent = (share) => `${(100 * share).toFixed(1)}${THIN}%`;
