// Hands one layer's tensors to the attention-maps component: they change with the selected layer, its own data do not.
export default (component) => gf.mount(component, () => ({
  update({ data }) {
    const layer = gf.unpack(data);
    const feed = globalThis.glassformerLayers ??= new EventTarget();
    feed.latest = layer;
    feed.dispatchEvent(new Event("layer"));
  },
}));
