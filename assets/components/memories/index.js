/* A layer's neurons as memories: how loud each is at a word, and which words its column of W_2 raises and lowers.

   The slider chooses the word of the text, the buttons which neurons are listed. Hover or focus a neuron for its sum.
   Data: charts/memories.py says what the header holds. Reports: stand, with word and order where the learner left them and
   the epoch of the message they answer to. */
export default (component) => gf.mount(component, (root, first) => {
  let spec = null, word = 0, order = "", send = first, waiting = 0;
  const make = (tag, name, text) => {
    const one = document.createElement(tag);
    if (name) one.className = name;
    if (text !== undefined) one.textContent = text;
    return one;
  };
  const words = plot.scrubber("", (i) => { word = i; read(); tell(); });
  const orders = plot.buttons((name) => { order = name; read(); tell(); });
  const bar = make("div", "bar"), list = make("div", "list"), sum = make("p", "sum");
  sum.setAttribute("role", "status");
  list.setAttribute("role", "list");
  bar.append(words.element, orders.element);
  root.append(bar, list, sum);

  const signed = (v, digits = 2) => (v < 0 ? "−" : "+") + Math.abs(v).toFixed(digits);

  function tell() {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: spec.epoch, word: spec.words.values[word], order }), 250);
  }

  function level_of({ neuron, a }, loudest) {   // from the middle: to the left below 0
    const svg = (tag, given) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(given)) node.setAttribute(name, value);
      return node;
    };
    const level = svg("svg", { class: "level", viewBox: "0 0 200 10", preserveAspectRatio: "none", role: "img" });
    const title = svg("title", {}), wide = 100 * Math.abs(a) / loudest;
    title.textContent = `neuron ${neuron}: a = ${signed(a)}`;
    level.append(title, svg("line", { x1: 100, x2: 100, y1: 0, y2: 10 }),
      svg("rect", { x: a < 0 ? 100 - wide : 100, y: 0, width: wide, height: 10 }));
    return level;
  }

  function chips(side, found, most) {
    const row = make("div", `chips ${side}`);
    row.append(make("span", "way", side === "up" ? "raises" : "lowers"));
    for (const [piece, effect] of found) {
      const chip = make("span", "chip"), name = make("span", "piece", gf.chipText(piece)), by = make("span", "by", signed(effect));
      chip.style.setProperty("--share", `${Math.round(100 * Math.min(1, Math.abs(effect) / most))}%`);
      chip.append(name, by);
      row.append(chip);
    }
    return row;
  }

  function read() {
    const found = spec.neurons[word][spec.orders.values.indexOf(order)], target = gf.chipText(spec.targets[word]);
    const loudest = Math.max(...found.map((one) => Math.abs(one.a)));
    const most = Math.max(...found.flatMap((one) => [...one.up, ...one.down].map(([, effect]) => Math.abs(effect))));
    list.replaceChildren(...found.map((one) => {
      const row = make("div", "neuron"), head = make("div", "head"), level = level_of(one, loudest);
      row.setAttribute("role", "listitem");
      row.tabIndex = 0;
      head.append(make("span", "id", `neuron ${one.neuron}`), make("span", "a", `a = ${signed(one.a)}`), level,
        make("span", "target", `${target} ${signed(one.target)}`));
      row.append(head, chips("up", one.up, most), chips("down", one.down, most));
      const say = () => {
        const [piece, effect] = one.up[0];
        sum.textContent = `Neuron ${one.neuron} at ${spec.words.values[word]}: ${gf.chipText(piece)} a · w·(γ ⊙ W_U) / rms = `
          + `${signed(one.a)} × ${signed(effect / one.a, 4)} = ${signed(effect)} logits; ${target} ${signed(one.a)} × `
          + `${signed(one.target / one.a, 4)} = ${signed(one.target)}`;
      };
      row.addEventListener("pointerenter", say);
      row.addEventListener("focus", say);
      if (one === found[0]) say();
      return row;
    }));
  }

  return {
    update(component) {
      send = component;
      const before = spec;
      spec = gf.unpack(component.data);
      const kept = before && before.epoch === spec.epoch;
      if (!kept) clearTimeout(waiting);
      const was = kept ? before.words.values[word] : spec.words.at;
      word = Math.max(0, spec.words.values.indexOf(spec.words.values.includes(was) ? was : spec.words.at));
      order = kept ? order : spec.orders.at;
      words.element.firstChild.textContent = spec.words.label;
      words.set(spec.words.values.map((name) => gf.chipText(name)), word);
      orders.set(spec.orders.label, spec.orders.values, order);
      list.setAttribute("aria-label", spec.label);
      read();
    },
    destroy() { clearTimeout(waiting); },
  };
});
