// One stage, opened under the picture: symbol, shape, formula, meaning, the focused token's values, the line of code.
class Detail {
  constructor(root, { onClose, onStage }) {
    this.box = make(root, "section", "gw-detail");
    this.box.setAttribute("aria-label", "The chosen tensor");
    this.onClose = onClose;
    this.onStage = onStage;
  }

  show(trace, view) {
    const stage = trace.stages[view.part];
    this.box.hidden = !stage;
    this.box.replaceChildren();
    if (!stage) return;
    const order = trace.steps.filter((id) => trace.stages[id]), at = order.indexOf(view.part);
    const head = make(this.box, "div", "gw-detail-head");
    const symbol = make(head, "span", `gw-symbol role-${stage.role}`);
    symbol.append(mathml(stage.symbol));
    make(head, "code", "gw-name").textContent = stage.name.replace("*", view.layer ?? "*");
    make(head, "span", "gw-shape").textContent = `[${stage.axes.map(([axis, size]) => `${axis} ${size}`).join(", ")}]`;
    const nav = make(head, "span", "gw-nav");
    const button = (text, label, to) => {
      const b = gf.button(text, () => this.onStage(to), { label });
      b.disabled = to === undefined;
      nav.append(b);
    };
    button("‹", "The stage before", order[at - 1]);
    button("›", "The stage after", order[at + 1]);
    nav.append(gf.button("Close", this.onClose, { label: "Close the detail" }));

    make(this.box, "p", "gw-meaning").textContent = `${stage.meaning[0].toUpperCase()}${stage.meaning.slice(1)}.`;
    const row = make(this.box, "div", "gw-detail-row");
    if (stage.formula) make(row, "div", "gw-formula").append(mathml(stage.formula));
    this.values(make(row, "div", "gw-values"), trace, view);
    if (stage.code) {
      const code = make(this.box, "div", "gw-code");
      make(code, "span", "gw-where").textContent = stage.code.where;
      make(code, "code", "").textContent = stage.code.line;
    }
  }

  values(box, trace, view) {   // the focused row as small bars
    const { part, layer, head, token } = view;
    let values = null, note = "";
    if (["embed", "final_norm", "vectors"].includes(part)) {
      const block = trace.end(part);
      values = block.values.subarray(token * block.cols, (token + 1) * block.cols);
      note = `${block.cols} means over ${trace.d_model} dimensions`;
    } else if (layer !== null && trace.has(layer)) {
      if (part === "attention.Q" || part === "attention.K") {
        values = trace.exact(layer, part, head, token);
        note = `all ${trace.d_head} dimensions, ${headWords(trace, part, head)}`;
      } else if (part === "attention.scores" || part === "attention.A") {
        const block = trace.block(layer, part, head), to = trace.n;
        values = block.values.subarray(token * trace.n, token * trace.n + to);
        note = part === "attention.A" ? "one weight a key; together 1" : "one score a key, before the mask";
      } else if (trace.dims[part]) {
        const block = trace.block(layer, part, head);
        values = block.values.subarray(token * block.cols, (token + 1) * block.cols);
        note = `${block.cols} means over ${trace.dims[part]} dimensions`;
      }
    }
    if (!values) return box.remove();
    const most = Math.max(...Array.from(values, Math.abs)) || 1, svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const draw = (name, attributes) => {
      const e = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
      svg.append(e);
    };
    svg.setAttribute("viewBox", `0 0 ${values.length} 2`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    values.forEach((v, i) => draw("rect", { x: i + 0.12, width: 0.76, y: v > 0 ? 1 - v / most : 1, height: Math.max(0.01, Math.abs(v) / most), class: v > 0 ? "plus" : "minus" }));
    box.append(svg);
    make(box, "span", "gw-note").textContent = `${trace.quoted(token)}: ${note}; largest size ${gf.number(most)}`;
  }
}

function make(parent, tag, className) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  parent.append(element);
  return element;
}
