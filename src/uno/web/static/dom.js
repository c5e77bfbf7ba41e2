/**
 * Virtual nodes, and the patch that makes the document equal to them.
 *
 * No markup is parsed and no `style` attribute is written, so the strictest Content-Security-Policy
 * with Trusted Types holds. What has not changed is not touched: focus, selection and scroll
 * positions stay, and nothing moves.
 */

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set([
  "svg",
  "g",
  "line",
  "path",
  "circle",
  "rect",
  "text",
  "tspan",
  "use",
  "title",
]);
/** Set as properties: their attributes are only what they were at first. */
const PROPERTIES = new Set(["value", "checked", "selected", "disabled", "open", "hidden"]);
/** For `patch` itself, and no attributes. */
const OWN = new Set(["key", "mount", "update", "vars"]);

/**
 * A virtual node. `key` identifies it among its siblings, `onclick` and the like are listeners,
 * `vars` are CSS custom properties. `mount(node)` is called once the node is in the document and
 * may return what is to be called when it goes; `update(node)` is called after each patch.
 */
export function h(tag, props, ...children) {
  return { tag, props: props ?? {}, children: flat(children, []), node: null, end: null };
}

/** Make the children of `parent` equal to `vnodes`. */
export function render(parent, ...vnodes) {
  const after = [];
  const next = flat(vnodes, []);
  patchChildren(parent, parent.vnodes ?? [], next, after);
  parent.vnodes = next;
  for (const call of after) call();
}

function flat(children, into) {
  for (const child of children) {
    if (child == null || child === false || child === true || child === "") continue;
    if (Array.isArray(child)) flat(child, into);
    else if (typeof child === "object") into.push(child);
    else into.push({ text: String(child), node: null });
  }
  return into;
}

function patchChildren(parent, old, next, after) {
  const keyed = new Map();
  const loose = [];
  for (const vnode of old) {
    const key = vnode.props?.key;
    if (key === undefined) loose.push(vnode);
    else keyed.set(key, vnode);
  }
  let at = 0;
  const kept = new Set();
  for (const vnode of next) {
    const key = vnode.props?.key;
    let match = null;
    if (key !== undefined) match = keyed.get(key) ?? null;
    else {
      // Of the same kind and not yet passed: what comes or goes before it does not make it anew.
      const found = loose.findIndex((each, i) => i >= at && sameKind(each, vnode));
      if (found >= 0) {
        match = loose[found];
        at = found + 1;
      }
    }
    if (match && sameKind(match, vnode)) {
      kept.add(match);
      patchNode(match, vnode, after);
    } else create(vnode, after);
  }
  for (const vnode of old) if (!kept.has(vnode)) remove(vnode);
  let cursor = parent.firstChild;
  for (const vnode of next) {
    if (vnode.node === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(vnode.node, cursor);
  }
}

function sameKind(a, b) {
  return a.tag === b.tag && a.props?.key === b.props?.key;
}

function create(vnode, after) {
  if (vnode.tag === undefined) {
    vnode.node = document.createTextNode(vnode.text);
    return;
  }
  const { tag, props } = vnode;
  const node =
    SVG_TAGS.has(tag) || props.svg
      ? document.createElementNS(SVG, tag)
      : document.createElement(tag);
  vnode.node = node;
  patchChildren(node, [], vnode.children, after);
  setProps(node, {}, props);
  if (props.mount) after.push(() => (vnode.end = props.mount(node) ?? null));
  if (props.update) after.push(() => props.update(node));
}

function patchNode(old, vnode, after) {
  const node = (vnode.node = old.node);
  if (vnode.tag === undefined) {
    if (old.text !== vnode.text) node.nodeValue = vnode.text;
    return;
  }
  vnode.end = old.end;
  patchChildren(node, old.children, vnode.children, after);
  setProps(node, old.props, vnode.props);
  if (vnode.props.update) after.push(() => vnode.props.update(node));
}

function remove(vnode) {
  end(vnode);
  vnode.node.remove();
}

function end(vnode) {
  vnode.end?.();
  for (const child of vnode.children ?? []) end(child);
}

function setProps(node, old, props) {
  for (const name in old) if (!(name in props) && !OWN.has(name)) setProp(node, name, null);
  for (const name in props) {
    if (name === "vars")
      for (const key in props.vars) setVar(node, key, old.vars?.[key], props.vars[key]);
    else if (!OWN.has(name) && old[name] !== props[name]) setProp(node, name, props[name]);
  }
}

function setVar(node, name, old, value) {
  if (old !== value) node.style.setProperty(name, value);
}

function setProp(node, name, value) {
  if (name === "svg") return;
  if (name.startsWith("on")) node[name] = value ?? null;
  else if (PROPERTIES.has(name)) node[name] = value ?? (name === "value" ? "" : false);
  else if (value == null || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : value);
}
