// The walkthrough: one canvas from one trace. The other files of this folder come before this one.
export default (component) => gf.mount(component, (root) => new Walkthrough(root));
