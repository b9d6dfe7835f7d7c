// The walkthrough: one canvas from one trace. This file holds the view and hands it round; the others draw and speak.
const MS = 320, SETTLE = 350, SEEN = "glassformer-walkthrough-tour";

class Walkthrough {
  constructor(root) {
    this.root = root;
    root.picture = this;   // for the browser's console, and for tests
    this.trace = new Trace();
    root.classList.add("gw");
    const top = make(root, "div", "gw-top");
    this.tour = new Tour(top, { go: (step) => this.set({ tour: step }), end: () => this.endTour() });
    this.now = make(top, "p", "gw-now");
    this.frame = make(root, "div", "gw-frame");
    this.scroller = make(this.frame, "div", "gw-scroll");
    const side = make(this.scroller, "div", "gw-side");
    this.stage = make(this.scroller, "div", "gw-stage");
    this.chips = gf.canvas(side, { label: "", draw: (ctx) => this.draw(ctx, true) });
    this.chips.canvas.tabIndex = -1;
    this.chips.canvas.setAttribute("aria-hidden", "true");
    this.main = gf.canvas(this.stage, { label: "", draw: (ctx) => this.draw(ctx, false) });
    this.main.canvas.setAttribute("role", "application");
    this.tooltip = gf.tooltip(this.frame);
    this.controls = new Controls(root, this.stage, this.actions());
    this.detail = new Detail(root, { onClose: () => this.set({ part: null }), onStage: (part) => this.set({ part }) });
    this.live = make(root, "p", "gf-sr");
    this.live.setAttribute("aria-live", "polite");
    this.play = new Play(() => this.refresh());
    this.painter = new Painter(root, this.trace);
    this.listen();
    this.sizes = new ResizeObserver(() => { if (this.view) this.fit(); });
    this.sizes.observe(this.frame);
  }

  update(component) {
    this.component = component;
    this.notice = null;
    const kind = this.trace.take(gf.unpack(component.data)), trace = this.trace;
    this.painter.restyle();
    this.play.order(trace.steps);
    this.controls.explain(trace, this.painter.c);
    if (this.view && kind !== "new" && kind !== "grown") {   // a theme switch, a rerun, layers that were asked for
      this.steps = tourSteps(trace, this.home);
      this.refresh();
      return;
    }
    if (kind === "grown" && this.view) {
      this.home.token = trace.n - 1;
      Object.assign(this.view, { token: trace.n - 1, pick: 0, key: null });
      this.play.reset();
    } else this.start(trace.view);
    const first = this.told === undefined;
    this.main.canvas.setAttribute("aria-label", `${trace.title} reading ${trace.n} tokens: `
      + (trace.headless ? "embeddings, layers, vectors" : "embeddings, layers, odds of the next token")
      + ". Left and right: layers. Up and down: tokens. H: heads. Space: play. Enter: enlarge the head. Shift and arrows: the key that is read. Escape: back.");
    this.steps = tourSteps(trace, this.home);
    this.fit();
    if (this.view.tour) this.enterTour(this.view.tour);
    else if (first) this.settle();
    else this.report();
    this.showOpen();
    if (kind === "grown") this.say();
  }

  start(given) {   // the first view of a text: the link's, or what the learner looked at in the text before, or the telling place
    const { trace } = this, kept = this.view, was = this.home, last = trace.n - 1;
    this.home = { layer: clamp(given.home.layer, 0, trace.n_layers - 1), head: clamp(given.home.head, 0, trace.n_heads - 1),
      token: clamp(given.home.token ?? last, 0, last) };
    const narrow = !kept && given.untouched && this.frame.clientWidth < 620, moved = kept && (kept.layer !== was.layer || kept.head !== was.head);
    const from = kept ? (moved ? kept : { ...kept, ...this.home }) : given, layer = kept?.layer === null || narrow ? null : from.layer;
    this.view = { layer: layer === null ? null : clamp(layer, 0, trace.n_layers - 1), head: clamp(from.head, 0, trace.n_heads - 1),
      token: clamp((kept ? this.home.token : given.token) ?? this.home.token, 0, last), pick: 0, key: null,
      temperature: kept ? Math.min(kept.temperature, trace.temperatures.length - 1) : nearest(trace.temperatures, given.temperature),
      map: from.map, big: from.big, part: trace.stages[from.part] ? from.part : null, tour: kept ? null : given.tour };
    this.play.reset();
  }

  // The view changes here and nowhere else.
  set(patch, { spoken = true } = {}) {
    const { trace, view } = this, before = { ...view };
    if ("token" in patch) { patch.token = clamp(patch.token, 0, trace.n - 1); if (patch.token !== view.token) patch.pick ??= 0; }
    if ("layer" in patch && patch.layer === null) patch.big = false;
    if (("layer" in patch || "head" in patch || "token" in patch) && !("key" in patch) && !this.keyMoves) patch.key = null;
    const tour = "tour" in patch && patch.tour !== before.tour;
    this.notice = null;
    Object.assign(view, patch);
    if (tour && view.tour) return this.enterTour(view.tour);
    if (view.layer !== before.layer || view.big !== before.big) this.rearrange();
    this.hideTip();
    if (view.part !== before.part) this.revealDetail = view.part !== null;
    this.refresh();
    if (spoken) this.say();
    this.report();
  }

  actions() {
    return {
      play: () => this.togglePlay(), step: () => { this.openSome(); this.play.step(); }, reset: () => this.play.reset(),
      layer: (by) => this.moveLayer(by), head: (by) => this.moveHead(by), map: (map) => this.set({ map }),
      grow: () => this.set({ big: !this.view.big }), tour: () => this.set({ tour: 1 }),
      temperature: (temperature) => { this.view.temperature = temperature; this.refresh(); this.report(); },
      append: () => this.append(), svg: () => this.saveSvg(), png: () => this.savePng(),
    };
  }

  openSome() { if (this.view.layer === null) this.set({ layer: this.home.layer }, { spoken: false }); }
  togglePlay() { this.openSome(); this.play.toggle(); }
  moveLayer(by) {
    const { layer } = this.view, L = this.trace.n_layers;
    this.set({ layer: layer === null ? this.home.layer : clamp(layer + by, 0, L - 1) });
  }
  moveHead(by) { const h = this.trace.n_heads; this.set({ head: (this.view.head + by + h) % h }); }
  moveKey(by) {
    if (this.view.layer === null) return;
    this.keyMoves = true;
    this.set({ key: clamp((this.view.key ?? this.view.token) + by, 0, this.trace.n - 1) }, { spoken: false });
    this.keyMoves = false;
    const { view, trace } = this;
    if (trace.has(view.layer)) this.tell(mapWords(trace, view.layer, view.head, view.token, view.key, this.painter.c));
  }
  back() {
    const { view } = this;
    if (this.play.at) this.play.reset();
    else if (view.tour) this.endTour();
    else if (view.part) this.set({ part: null });
    else if (view.key !== null) this.set({ key: null });
    else if (view.big) this.set({ big: false });
    else if (view.layer !== null) this.set({ layer: null });
  }

  append() {
    const { trace, view } = this, why = this.controls.next.title;
    if (why) { this.message(why); return; }
    this.component.setTriggerValue("append", trace.candidates[view.token][view.pick][0]);
    this.message(`${trace.title} reads the longer text…`);
  }

  // Geometry: widths move smoothly from one view's to the next one's.
  targets() { return widths(this.trace, this.view, this.sizing.chips, this.space(), this.sizing.compact); }
  space() { return this.scroller.clientWidth || this.root.clientWidth || 900; }
  fit() {
    const { trace } = this, compact = this.space() < 620, longest = Math.max(...trace.tokens.map(([, piece]) => piece.length));
    const rowH = clamp(Math.floor((compact ? 320 : 400) / trace.n), 13, 56), size = clamp(rowH * 0.5, 10, compact ? 13 : 15);
    this.sizing = { rowH, compact, chips: clamp(Math.ceil((longest + 0.6) * size * 0.6) + 22, 60, compact ? 78 : 150) };
    this.moving?.stop();
    const { columns, inner } = this.targets();
    this.shape = { columns, opens: inner ? [{ ...inner, shown: 1 }] : [] };
    this.inner = inner;
    this.place();
    this.refresh();
  }
  rearrange() {
    const from = this.shape.columns, was = this.inner, { columns, inner } = this.targets();
    this.moving?.stop();
    this.inner = inner;
    const same = was && inner && was.layer === inner.layer;
    this.moving = gf.animate(MS, (t) => {
      const now = new Map([...columns].map(([name, w]) => [name, mixed(from.get(name), w, t)])), opens = [];
      if (was && !same && t < 1) opens.push({ ...was, shown: 1 - t });
      if (inner) opens.push(same ? { layer: inner.layer, parts: inner.parts.map((w, k) => mixed(was.parts[k], w, t)), shown: 1 } : { ...inner, shown: t });
      this.shape = { columns: now, opens };
      this.place(t < 1);
      this.main.redraw();
    }, () => { this.place(); this.refresh(); this.showOpen(); });
  }
  place(moving = false) {
    this.L = layout(this.trace, this.shape, this.sizing);
    const { L } = this, width = Math.max(L.width, this.space()) - L.chips;
    if (!moving || width > this.stage.clientWidth) this.stage.style.width = `${width}px`;
    for (const canvas of [this.chips.canvas, this.main.canvas]) canvas.style.height = `${L.height}px`;
    this.chips.canvas.parentElement.style.width = `${L.chips}px`;
  }
  showOpen() {   // where the picture is wider than the screen, bring the open layer into it
    const open = this.L.opens.at(-1);
    if (this.stage.clientWidth + this.L.chips <= this.space() + 24) return;
    const map = this.view.big && open?.part("attention.A");   // with Q and K beside it where there is room
    const left = map ? map.x - this.L.chips - Math.max(8, Math.min(90, this.space() - this.L.chips - map.w)) : open ? open.card.x - this.L.chips - 16 : 0;
    this.scroller.scrollTo({ left, behavior: gf.reducedMotion() ? "auto" : "smooth" });
  }

  state(L) {
    const { view, hover } = this, front = this.play.front(L);
    const on = hover?.type === "map" ? [hover.row, hover.key] : view.key !== null ? [view.token, view.key] : [null, null];
    const boxes = front ? this.computed(L, front) : view.tour ? this.steps[view.tour - 1].boxes(L) : null;
    return { view, hover, front, boxes, queryRow: on[0], keyRow: on[1] };
  }
  computed(L, { x, map }) {   // what Play has reached; the headings stay, and the gallery comes with the weights
    const low = L.bottom + 34, boxes = [{ x: 0, y: 0, w: L.width, h: 24 }, { x: 0, y: 24, w: x, h: low - 24 }];
    return map.A > 0 ? [...boxes, { x: 0, y: low, w: L.width, h: L.height - low }] : boxes;
  }
  draw(ctx, side) {
    if (!this.L) return;
    const { L, painter } = this, pen = canvasPen(ctx), s = this.state(L);
    ctx.translate(side ? 0 : -L.chips, 0);
    painter.scene(pen, L, s, (p) => (side ? painter.chips(p, L, s) : painter.main(p, L, s)));
    if (!side && s.front) this.glow(pen, L, s.front);
  }
  glow(pen, L, { x, id }) {
    if (x >= L.width) return;
    pen.rect(x - 1, L.top - 6, 2, L.bottom - L.top + 12, { fill: this.painter.c.ink, radius: 1 });
    for (let i = 0; i < L.n; i++) pen.rect(x - 3.5, (id === "before" || id === "after" ? L.mid(i) : L.stripY(i) + L.stripH / 2) - 3.5, 7, 7, { fill: this.painter.c.ink, radius: 3.5 });
  }

  refresh() {
    if (!this.L) return;
    const { trace, view } = this;
    this.chips.redraw();
    this.main.redraw();
    this.controls.show(trace, view, this.play.running, this.L);
    this.detail.show(trace, view);
    if (this.revealDetail) {
      this.revealDetail = false;
      this.detail.box.scrollIntoView({ block: "nearest", behavior: gf.reducedMotion() ? "auto" : "smooth" });
    }
    if (!view.tour) this.tour.show(null, [], !this.seen());
    this.now.hidden = !this.tour.box.hidden && !this.play.at && !this.notice;
    this.controls.odds.classList.toggle("gw-dim", this.play.at ? this.play.id !== "probabilities" : Boolean(view.tour) && !this.steps[view.tour - 1].odds);
    this.caption();
  }
  caption() {
    const { trace } = this, id = this.play.id;
    if (!id) { this.note(this.notice || this.hint()); return; }
    const stage = trace.stages[id], open = this.view.layer;
    if (id === "before") this.note(open > 0 ? `layers 0–${open - 1}: each reads the stream and adds to it` : "straight into layer 0");
    else if (id === "after") this.note(open < trace.n_layers - 1 ? `layers ${open + 1}–${trace.n_layers - 1}: the same again, with other weights` : "that was the last layer");
    else if (stage) this.note(`${plainSymbol(stage.symbol)}: ${stage.meaning}`);
  }
  hint() {
    const open = this.view.layer !== null;
    return open ? "Hover a cell for its arithmetic; click a symbol for formula and code, a head to enlarge it, another layer to open it."
      : "Each slim column is a layer: click one to open it. The bars are what attention (up) and the FFN (down) wrote into each token’s row.";
  }
  message(text) {   // stands until the view changes
    this.notice = text;
    this.live.textContent = text;
    this.refresh();
  }
  note(text) { if (this.now.textContent !== text) this.now.textContent = text; }

  // Tour
  enterTour(step) {
    const { view, temperature } = this.steps[step - 1], { view: mine } = this;
    const before = { layer: mine.layer, big: mine.big };
    Object.assign(mine, view, { tour: step, key: null, pick: 0 });
    this.play.reset();
    if (mine.layer !== before.layer || mine.big !== before.big) this.rearrange();
    this.tour.show(step, this.steps, false);
    this.refresh();
    this.remember();
    const { title, text } = this.steps[step - 1];
    this.live.textContent = `Step ${step} of ${this.steps.length}, ${title}. ${text}`;
    this.swing?.stop();
    if (temperature && !gf.reducedMotion()) this.swingTemperature();
    this.report();
  }
  swingTemperature() {   // the last step moves the handle itself: cold, hot, and back
    const at = this.view.temperature, low = nearest(this.trace.temperatures, 0.3), high = nearest(this.trace.temperatures, 1.8);
    const way = [at, low, high, at];
    this.swing = gf.animate(4200, (_, t) => {
      const k = Math.min(2, Math.floor(t * 3));
      this.view.temperature = Math.round(mixed(way[k], way[k + 1], t * 3 - k));
      this.refresh();
    }, () => { this.view.temperature = at; this.refresh(); });
  }
  endTour() {
    this.swing?.stop();
    this.view.tour = null;
    this.remember();
    this.tour.show(null, [], false);
    this.refresh();
    this.report();
  }
  seen() {
    try { return Boolean(localStorage.getItem(SEEN)); } catch { return this.visited; }
  }
  remember() {
    this.visited = true;
    try { localStorage.setItem(SEEN, "1"); } catch { /* a browser that keeps nothing is asked again next time */ }
  }

  // Pointer and keys
  listen() {
    const world = (event, canvas) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left + (canvas === this.main.canvas ? this.sizing.chips : 0), event.clientY - box.top];
    };
    for (const { canvas } of [this.main, this.chips]) {
      canvas.addEventListener("pointermove", (event) => {
        if (event.pointerType === "touch" || !this.L) return;
        const [x, y] = world(event, canvas);
        this.point(hit(this.L, x, y), event);
      });
      canvas.addEventListener("pointerleave", () => this.point(null));
      canvas.addEventListener("click", (event) => {
        const [x, y] = world(event, canvas), at = this.L && hit(this.L, x, y);
        if (at) this.press(at, event);
      });
    }
    gf.keys(this.main.canvas, {
      ArrowLeft: (e) => (e.shiftKey ? this.moveKey(-1) : this.moveLayer(-1)), ArrowRight: (e) => (e.shiftKey ? this.moveKey(1) : this.moveLayer(1)),
      ArrowUp: () => this.set({ token: this.view.token - 1 }), ArrowDown: () => this.set({ token: this.view.token + 1 }),
      h: (e) => this.moveHead(e.shiftKey ? -1 : 1), " ": () => this.togglePlay(), Escape: () => this.back(),
      Enter: () => (this.view.layer === null ? this.moveLayer(0) : this.set({ big: !this.view.big })),
    });
  }
  point(at, event) {
    const before = this.hover, same = before && at && before.type === at.type && before.row === at.row && before.key === at.key && before.box.head === at.box.head && before.layer === at.layer;
    this.hover = at;
    const lines = at && !this.play.running && words(this.trace, at, this.view, this.painter.c);
    this.main.canvas.style.cursor = at && at.type !== "card" && at.type !== "odds" ? "pointer" : "default";
    if (lines) {
      const box = this.frame.getBoundingClientRect();
      if (at.type === "map" || this.sizing.compact) this.under(lines);
      else this.tooltip.show(event.clientX - box.left, event.clientY - box.top, lines);
    } else this.tooltip.hide();
    if (!same) { this.main.redraw(); this.chips.redraw(); }
  }
  hideTip() { this.tooltip.hide(); this.hover = null; }
  press(at, event) {
    if (at.type === "slab") this.set({ layer: at.layer, token: at.row });
    else if (at.type === "thumb") this.set(at.box.head === this.view.head ? { big: !this.view.big } : { head: at.box.head, big: true });
    else if (at.type === "map") this.set(this.view.big ? { token: at.row, key: at.key } : { big: true });
    else if (at.type === "bar") this.set({ pick: at.box.rank });
    else if (at.type === "tokens") this.set(this.view.token === at.row ? { part: "tokens" } : { token: at.row });
    else if (at.type === "title" || at.type === "strip" || at.type === "sum") this.set({ part: at.stage, token: at.type === "title" ? this.view.token : at.row });
    if (event.pointerType === "touch") this.point(at, event);   // a tap is a hover too
  }
  tell(lines) {
    this.live.textContent = lines.map((line) => line.text ?? line).join(". ");
    if (this.L.opens.length) this.under(lines);
  }
  under(lines) {   // the map's arithmetic stands below the rows, where it hides none of what it explains
    const map = this.L.opens.at(-1)?.part("attention.A");
    this.tooltip.show(0, 0, lines);
    const box = this.frame.querySelector(".gf-tooltip"), left = map ? map.x + map.w / 2 - this.scroller.scrollLeft - box.offsetWidth / 2 : 0;
    box.style.left = `${clamp(left, 0, Math.max(0, this.frame.clientWidth - box.offsetWidth))}px`;
    box.style.top = `${this.L.bottom + 34}px`;
  }
  say() { this.live.textContent = spoken(this.trace, this.view); }

  // The server hears what was settled on: for the link, and for a layer that is not here yet.
  report() {
    clearTimeout(this.timer);
    const missing = this.view.layer !== null && !this.trace.has(this.view.layer);
    this.timer = setTimeout(() => this.settle(true), missing ? 0 : SETTLE);
  }
  settle(send = false) {
    const { layer, head, token, temperature, map, big, part, tour } = this.view, { trace } = this;
    const told = { layer, head, token: token === this.home.token ? null : token, temperature: trace.temperatures[temperature], map, big, part, tour };
    const text = JSON.stringify(told);
    if (send && text !== this.told) this.component.setStateValue("view", told);
    this.told = text;
  }

  // Out of the page
  svg() {
    const { L, painter } = this, pen = svgPen(L.width, L.height, painter.c.background), s = { ...this.state(L), boxes: null, front: null, hover: null };
    painter.chips(pen, L, s);
    painter.main(pen, L, s);
    return pen.toString();
  }
  saveSvg() { gf.saveText(this.svg(), "walkthrough.svg", "image/svg+xml"); }
  savePng() {
    const { L, painter } = this, canvas = make(document.createElement("div"), "canvas", ""), ctx = canvas.getContext("2d");
    const s = { ...this.state(L), boxes: null, front: null, hover: null };
    canvas.width = 2 * L.width;
    canvas.height = 2 * L.height;
    ctx.scale(2, 2);
    ctx.fillStyle = painter.c.background;
    ctx.fillRect(0, 0, L.width, L.height);
    painter.chips(canvasPen(ctx), L, s);
    painter.main(canvasPen(ctx), L, s);
    this.root.append(canvas.parentElement);
    gf.savePng(canvas, "walkthrough.png");
    canvas.parentElement.remove();
  }

  destroy() {
    this.play.pause();
    this.moving?.stop();
    this.swing?.stop();
    clearTimeout(this.timer);
    this.sizes.disconnect();
    this.main.destroy();
    this.chips.destroy();
  }
}

export default (component) => gf.mount(component, (root) => new Walkthrough(root));
