/* What the learner looks at, and its place in the URL.

   view: {layer, head, pin: null | {q, k}, pattern: null | name, form: "map" | "lines", measure: "weights" | "values",
          scope: "head" | "average" | "rollout"}
   state.read(data)          -> the view that the URL asks for, over data.start, kept within the model and the text
   state.report(view)        -> the same as plain text values, for the server, which keeps them in the URL */
const state = (() => {
  const CHOICES = { form: ["map", "lines"], measure: ["weights", "values"], scope: ["head", "average", "rollout"] };

  const whole = (text, below) => (/^\d+$/.test(text ?? "") && Number(text) < below ? Number(text) : null);

  function read(data) {
    const url = new URLSearchParams(window.location.search), start = data.start;
    const view = {
      layer: whole(url.get("layer"), data.layers) ?? start.layer,
      head: whole(url.get("head"), data.heads) ?? start.head,
      pattern: data.patterns.some((p) => p.id === url.get("pattern")) ? url.get("pattern") : null,
      pin: pinOf(url.get("pin") ?? start.pin, data),
    };
    for (const [name, options] of Object.entries(CHOICES)) {
      view[name] = options.includes(url.get(name)) ? url.get(name) : options[0];
    }
    if (view.scope === "rollout") view.measure = CHOICES.measure[0];   // it knows no values
    return view;
  }

  function pinOf(text, data) {
    const [q, k, more] = text.split("-").map((part) => whole(part, data.n));
    return more === undefined && q !== null && k !== null && k !== undefined && data.arrays.mask[q * data.n + k]
      ? { q, k } : null;
  }

  const report = (view) => ({ ...view, layer: String(view.layer), head: String(view.head), pattern: view.pattern ?? "",
    pin: view.pin ? `${view.pin.q}-${view.pin.k}` : "none" });

  return { read, report };
})();
