// Pointer, fingers, keys, and what is said to the ear.
Object.assign(Walkthrough.prototype, {
  listen() {
    const world = (event, canvas) => {
      const box = canvas.getBoundingClientRect(), { zoom, chips } = this.sizing;
      return [(event.clientX - box.left) / zoom + (canvas === this.main.canvas ? chips : 0), (event.clientY - box.top) / zoom];
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
  },
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
  },
  hideTip() { this.tooltip.hide(); this.hover = null; },
  press(at, event) {
    if (at.type === "slab") this.set({ layer: at.layer, token: at.row });
    else if (at.type === "thumb") this.set(at.box.head === this.view.head ? { big: !this.view.big } : { head: at.box.head, big: true });
    else if (at.type === "map") this.set(this.view.big ? { token: at.row, key: at.key } : { big: true });
    else if (at.type === "bar") this.set({ pick: at.box.rank });
    else if (at.type === "tokens") this.set(this.view.token === at.row ? { part: "tokens" } : { token: at.row });
    else if (at.type === "title" || at.type === "strip" || at.type === "sum") this.set({ part: at.stage, token: at.type === "title" ? this.view.token : at.row });
    if (event.pointerType === "touch") this.point(at, event);   // a tap is a hover too
  },
  tell(lines) {
    this.live.textContent = lines.map((line) => line.text ?? line).join(". ");
    if (this.L.opens.length) this.under(lines);
  },
  under(lines) {   // the map's arithmetic stands below the rows, where it hides none of what it explains
    const map = this.L.opens.at(-1)?.part("attention.A");
    this.tooltip.show(0, 0, lines);
    const box = this.frame.querySelector(".gf-tooltip"), { zoom } = this.sizing;
    const left = map ? (map.x + map.w / 2) * zoom - this.scroller.scrollLeft - box.offsetWidth / 2 : 0;
    box.style.left = `${clamp(left, 0, Math.max(0, this.frame.clientWidth - box.offsetWidth))}px`;
    box.style.top = `${(this.L.bottom + 34) * zoom}px`;
  },
  say() { this.live.textContent = spoken(this.trace, this.view); },
});
