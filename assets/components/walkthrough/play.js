// Play: the order of computation, once, about six seconds; or a step at a time.
const WEIGHT = { tokens: 3, embed: 3, before: 9, "attention.scores": 6, mask: 4, "attention.A": 5, "attention.z": 5, after: 6, logits: 3, probabilities: 6, vectors: 4 };
const SECONDS = 6;

class Play {
  constructor(onChange) {
    this.onChange = onChange;
    this.at = null;          // {step, t} while something is still uncomputed, else null
    this.running = false;
  }

  order(steps) {
    this.steps = steps;
    const total = steps.reduce((sum, id) => sum + (WEIGHT[id] || 2), 0);
    this.ms = steps.map((id) => (1000 * SECONDS * (WEIGHT[id] || 2)) / total);
  }

  toggle() { return this.running ? this.pause() : this.start(); }

  start() {
    if (!this.at) this.at = { step: 0, t: 0 };
    this.running = true;
    let last = null;
    const tick = (now) => {
      if (!this.running) return;
      let spent = last === null ? 0 : Math.min(now - last, 100);
      last = now;
      while (spent > 0 && this.at) {   // a slow frame may pass more than one step
        const left = (1 - this.at.t) * this.ms[this.at.step];
        if (spent < left) { this.at.t += spent / this.ms[this.at.step]; break; }
        spent -= left;
        this.advance();
      }
      if (this.at) this.frame = requestAnimationFrame(tick);
      this.onChange();
    };
    this.frame = requestAnimationFrame(tick);
    this.onChange();
  }

  advance() {
    if (this.at.step + 1 >= this.steps.length) { this.at = null; this.running = false; }
    else this.at = { step: this.at.step + 1, t: 0 };
  }

  pause() { this.running = false; cancelAnimationFrame(this.frame); this.onChange(); }

  step() {   // finish the stage at hand and stop; the first press shows the first stage alone
    this.running = false;
    cancelAnimationFrame(this.frame);
    if (!this.at) this.at = { step: 0, t: 1 };
    else if (this.at.t < 1) this.at.t = 1;
    else { this.advance(); if (this.at) this.at.t = 1; }
    this.onChange();
  }

  reset() { this.running = false; cancelAnimationFrame(this.frame); this.at = null; this.onChange(); }

  get id() { return this.at && this.steps[this.at.step]; }

  front(L) {   // what the painter needs: how far to the right things are computed, and the state of the map and the odds
    if (!this.at) return null;
    const id = this.id, t = gf.reducedMotion() ? 1 : this.at.t, open = L.opens.at(-1), past = (other) => this.steps.indexOf(id) > this.steps.indexOf(other);
    const span = (x, w) => x + w * t;
    let x = L.width;
    if (id === "tokens") x = span(0, L.chips);
    else if (id === "embed") x = span(L.chips, L.embed.x + L.embed.w - L.chips + 2);
    else if (id === "before") x = span(L.stackX, (open ? open.x : L.stackEnd) - L.stackX);
    else if (id === "after") x = span(open ? open.x + open.w : L.stackEnd, L.stackEnd - (open ? open.x + open.w : L.stackEnd));
    else if (id === "final_norm") x = span(L.final.x, L.final.w + 3);
    else if (id === "vectors") x = span(L.end.x, L.end.w + 3);
    else if (open?.part(id) && id !== "attention.A") { const part = open.part(id); x = span(part.x - 4, part.w + 8); }
    else if (["attention.scores", "mask", "attention.A"].includes(id) && open) { const part = open.part("attention.A"); x = part.x + part.w + 3; }
    const map = { S: past("attention.scores") ? 1 : id === "attention.scores" ? t : 0, mask: past("mask") ? 1 : id === "mask" ? t : 0,
      A: past("attention.A") ? 1 : id === "attention.A" ? t : 0 };
    return { id, t, x, map, mixes: past("attention.V"), odds: id === "probabilities" ? t : 0 };
  }
}
