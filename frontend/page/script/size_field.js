// Width and height: presets by aspect, of the model's own area, or any multiples.

import { element } from "./dom.js";
import { isHosted, sizePresets } from "./models.js";

const AUTO = "auto";
const CUSTOM = "custom";

export class SizeField {
  /** `changed` is called when there is another size. */
  constructor(changed) {
    this.changed = changed;
    this.choices = element("div", { class: "segments", role: "radiogroup", "aria-label": "Size" });
    this.width = number("Width");
    this.height = number("Height");
    this.custom = element("div", { class: "pair" }, this.width.node, this.height.node);
    this.note = element("output");
    this.node = element(
      "div",
      { class: "field" },
      element("span", { class: "label" }, "Size", this.note),
      this.choices,
      this.custom,
    );
    this.node.addEventListener("input", () => this.update());
  }

  /** Whether an image gives the size, unless another is chosen. */
  show(model, { hasImage }) {
    this.node.hidden = isHosted(model);
    if (isHosted(model)) return;
    const same = this.model === model && this.hasImage === hasImage;
    const kept = this.model === model && this.isChosen ? this.size() : null;
    if (same) return;
    this.model = model;
    this.hasImage = hasImage;
    this.presets = sizePresets(model);
    for (const side of [this.width, this.height]) {
      Object.assign(side.input, { step: model.limits.size_multiple, min: model.limits.size_multiple, max: model.limits.max_side });
    }
    const { width, height } = model.defaults;
    const own = this.presets.findIndex((preset) => preset.width === width && preset.height === height);
    this.choices.replaceChildren(
      ...(hasImage ? [choice(AUTO, "As the image")] : []),
      ...this.presets.map((preset, index) => choice(String(index), preset.name, box(preset))),
      choice(CUSTOM, "Other"),
    );
    this.select(hasImage ? AUTO : String(own));
    if (kept) this.fill(kept);
  }

  get chosen() {
    return this.choices.querySelector(":checked")?.value ?? CUSTOM;
  }

  get isChosen() {
    const { width, height } = this.size();
    const isOwn = width === this.model.defaults.width && height === this.model.defaults.height;
    return this.chosen !== AUTO && (this.hasImage || !isOwn);
  }

  /** The size that is chosen; with an image, that of the model as long as none is. */
  size() {
    if (this.chosen === AUTO) return this.model.defaults;
    if (this.chosen === CUSTOM) return { width: Number(this.width.input.value), height: Number(this.height.input.value) };
    return this.presets[Number(this.chosen)];
  }

  read() {
    if (!this.isChosen) return {};
    const { width, height } = this.size();
    return { width, height };
  }

  /** Takes `width` and `height`; without them the model's own. */
  fill({ width, height }) {
    if (!width || !height) return this.select(this.hasImage ? AUTO : this.indexOf(this.model.defaults));
    this.width.input.value = width;
    this.height.input.value = height;
    return this.select(this.indexOf({ width, height }));
  }

  indexOf({ width, height }) {
    const index = this.presets.findIndex((preset) => preset.width === width && preset.height === height);
    return index < 0 ? CUSTOM : String(index);
  }

  select(value) {
    for (const input of this.choices.querySelectorAll("input")) input.checked = input.value === value;
    this.update();
  }

  update() {
    const isCustom = this.chosen === CUSTOM;
    if (!isCustom) {
      const { width, height } = this.size();
      this.width.input.value = width;
      this.height.input.value = height;
    }
    this.custom.hidden = !isCustom;
    this.note.textContent = this.chosen === AUTO ? "" : `${this.width.input.value} × ${this.height.input.value}`;
    this.changed();
  }
}

function choice(value, label, before = null) {
  const input = element("input", { type: "radio", name: "size", value });
  return element("label", { class: "segment" }, input, element("span", {}, before, label));
}

/** A drawn box of the preset's aspect. */
function box({ width, height }) {
  const made = element("i", { class: "aspect-box", "aria-hidden": "true" });
  const scale = 13 / Math.max(width, height);
  made.style.width = `${Math.round(width * scale)}px`;
  made.style.height = `${Math.round(height * scale)}px`;
  return made;
}

function number(label) {
  const id = `size-${label.toLowerCase()}`;
  const input = element("input", { type: "number", id, inputMode: "numeric" });
  return { input, node: element("div", { class: "field" }, element("label", { for: id }, label), input) };
}
