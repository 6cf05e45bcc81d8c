// Elements, made without HTML: whatever text comes in stays text.

/**
 * An element. `properties` are set as such; `class`, `role`, `for` and names with a dash become attributes, `on...` a listener.
 * Children are nodes or text; null and false are left out.
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(made.dataset, value);
    else if (name === "class" || name === "for" || name === "role" || name.includes("-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export function byId(id) {
  return document.getElementById(id);
}

/** A button that says what it does, with an icon before it where there is one. */
export function button(label, onclick, { icon: shape = null, class: kind = "button", ...properties } = {}) {
  return element("button", { type: "button", class: kind, onclick, ...properties }, shape && icon(shape), label);
}

/** A button that shows an icon alone. */
export function iconButton(label, shape, onclick, properties = {}) {
  return element(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...properties },
    icon(shape),
  );
}

const SVG = "http://www.w3.org/2000/svg";
const SHAPES = {
  close: "M6 6l12 12M18 6L6 18",
  dice: "M5 5h14v14H5zM9 9h.01M15 9h.01M12 12h.01M9 15h.01M15 15h.01",
  code: "M9 7l-5 5 5 5M15 7l5 5-5 5",
  download: "M12 4v11m0 0l-4-4m4 4l4-4M5 20h14",
  remix: "M4 12a8 8 0 0 1 13.7-5.7L20 8.500M20 4v4.500h-4.500M20 12a8 8 0 0 1-13.700 5.700L4 15.500M4 20v-4.500h4.500",
  extend: "M4 6h9v12H4zM16 12h5m0 0l-2-2m2 2l-2 2",
  frame: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15 9h.01",
  trash: "M5 7h14M10 7V5h4v2M7 7l1 12h8l1-12",
  film: "M4 5h16v14H4zM8 5v14M16 5v14M4 10h4M4 14h4M16 10h4M16 14h4",
  copy: "M9 9h10v11H9zM5 15V4h10",
  play: "M8 5l11 7-11 7z",
  pause: "M8 5v14M16 5v14",
};

/** A line drawing that screen readers skip. */
export function icon(shape) {
  const drawing = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  const attributes = { viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": "1.8" };
  for (const [name, value] of Object.entries(attributes)) drawing.setAttribute(name, value);
  drawing.setAttribute("stroke-linecap", "round");
  drawing.setAttribute("stroke-linejoin", "round");
  drawing.setAttribute("aria-hidden", "true");
  path.setAttribute("d", SHAPES[shape]);
  drawing.append(path);
  return drawing;
}
