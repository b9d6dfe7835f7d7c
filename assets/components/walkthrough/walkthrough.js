// The view, and everything that follows from a change of it; guide, pointer and leave add the rest of the class.
const MS = 320;   // a layer opens

class Walkthrough {
  constructor(root) {
    this.root = root;
    root.picture = this;   // for the browser's console, and for tests
    this.trace = new Trace();
    root.classList.add("gw");
    const top = make(root, "div", "gw-top");
    this.tour = new Tour(top, { go: (step) => this.set({ tour: step }), end: () => this.endTour() });
    const tools = make(root, "div", "gw-tools");
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
    this.controls = new Controls(root, tools, this.stage, this.actions());
    this.detail = new Detail(root, { onClose: () => this.set({ part: null }), onStage: (part) => this.set({ part }) });
    this.live = make(root, "p", "gf-sr");
    this.live.setAttribute("aria-live", "polite");
    this.play = new Play(() => { this.refresh(); this.follow(); });
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
    this.bringIn();
    if (kind === "grown") this.say();
  }

  start(given) {   // the first view of a text: the link's, or what the learner looked at in the text before, or the telling place
    const { trace } = this, kept = this.view, was = this.home, last = trace.n - 1;
    this.home = { layer: clamp(given.home.layer, 0, trace.n_layers - 1), head: clamp(given.home.head, 0, trace.n_heads - 1),
      token: clamp(given.home.token ?? last, 0, last) };
    const narrow = !kept && given.untouched && this.frame.clientWidth < 620, moved = kept && this.title === trace.title && (kept.layer !== was.layer || kept.head !== was.head);
    this.title = trace.title;
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
      temperature: (temperature) => { this.swing?.stop(); this.view.temperature = temperature; this.refresh(); this.report(); },
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

  // Geometry: laid out for a page of usual width and magnified on a wide one; widths move smoothly from view to view.
  targets() { return widths(this.trace, this.view, this.sizing.chips, this.space() / this.sizing.zoom, this.sizing.compact); }
  space() { return this.scroller.clientWidth || this.root.clientWidth || 900; }
  fit() {
    const { trace } = this, compact = this.space() < 620, longest = Math.max(...trace.tokens.map(([, piece]) => piece.length));
    const most = [110, 100, 80, 64][trace.n - 1] ?? 56, body = compact ? 320 : clamp(0.4 * window.innerHeight, 260, 460);
    const rowH = clamp(Math.floor(body / trace.n), 13, most);
    const size = clamp(rowH * 0.5, 10, compact ? 13 : 15);
    this.sizing = { rowH, compact, zoom: clamp(this.space() / 1130, 1, 1.4),
      chips: clamp(Math.ceil((longest + 0.6) * size * 0.6) + 22, 60, compact ? 78 : 150) };
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
    }, () => { this.place(); this.refresh(); this.bringIn(); });
  }
  place(moving = false) {
    this.L = layout(this.trace, this.shape, this.sizing);
    const { L } = this, { zoom } = this.sizing, width = Math.max(L.width * zoom, this.space()) - L.chips * zoom;
    if (!moving || width > this.stage.clientWidth) this.stage.style.width = `${width}px`;
    for (const canvas of [this.chips.canvas, this.main.canvas]) canvas.style.height = `${L.height * zoom}px`;
    this.chips.canvas.parentElement.style.width = `${L.chips * zoom}px`;
  }
  wider() { return this.stage.clientWidth + this.L.chips * this.sizing.zoom > this.space() + 24; }   // than the screen
  bringIn() {   // what the view is about: the lit part of the tour, the enlarged map with Q and K beside it, the open layer
    if (!this.wider()) return;
    const { L, view } = this, { zoom } = this.sizing, open = L.opens.at(-1), map = view.big && open?.part("attention.A");
    const lit = view.tour && this.steps[view.tour - 1].boxes(L), room = this.space() / zoom - L.chips;
    const x = lit?.length ? lit[0].x : map ? map.x - clamp(room - map.w, 8, 90) : open ? open.card.x - 16 : 0;
    this.scroller.scrollTo({ left: (x - L.chips) * zoom, behavior: gf.reducedMotion() ? "auto" : "smooth" });
  }
  follow() {   // Play's front, where the picture is wider than the screen
    const front = this.L && this.play.front(this.L);
    if (front && this.wider()) this.scroller.scrollLeft = front.x * this.sizing.zoom - 0.7 * this.space();
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
    const { L, painter } = this, { zoom } = this.sizing, pen = canvasPen(ctx), s = this.state(L);
    ctx.scale(zoom, zoom);
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
    this.controls.show(trace, view, this.play.running, this.L, this.sizing.zoom);
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
