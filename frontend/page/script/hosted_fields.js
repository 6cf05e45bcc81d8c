// What is chosen of a hosted provider's model: seconds, resolution, aspect; and what that costs.

import { element } from "./dom.js";
import { cost, isHosted } from "./models.js";

export class HostedFields {
  constructor() {
    this.duration = select("hosted-duration");
    this.resolution = select("hosted-resolution");
    this.aspect = select("hosted-aspect");
    this.note = element("p", { class: "hint", role: "note" });
    this.fields = [[this.duration, "Seconds"], [this.resolution, "Resolution"], [this.aspect, "Aspect"]].map(
      ([input, label]) => element("div", { class: "field" }, element("label", { for: input.id }, label), input),
    );
    this.node = element("div", { class: "pair", oninput: () => this.update() }, ...this.fields, this.note);
  }

  show(model, { hasImage }) {
    this.node.hidden = !isHosted(model);
    if (this.node.hidden) return;
    this.hasImage = hasImage;
    if (this.model !== model) {
      this.model = model;
      options(this.duration, model.durations, (seconds) => `${seconds} s`);
      options(this.resolution, model.resolutions);
      options(this.aspect, model.aspect_ratios);
      this.resolution.selectedIndex = model.resolutions.length - 1;
    }
    this.update();
  }

  update() {
    const dollars = cost(this.model, Number(this.duration.value), this.resolution.value);
    this.note.textContent = dollars && `A video costs ${dollars} by the provider's price list.`;
    this.fields[2].hidden = this.aspect.options.length < 2;
    this.fields[1].hidden = this.resolution.options.length < 2;
  }

  read() {
    if (this.node.hidden) return {};
    return { seconds: Number(this.duration.value), ...this.size() };
  }

  /** Pixels that have the aspect exactly, and about the resolution's shorter side. */
  size() {
    const [across, down] = this.aspect.value.split(":").map(Number);
    const short = parseInt(this.resolution.value, 10);
    if (!across || !short) return {};
    const scale = Math.round(short / Math.min(across, down));
    return { width: across * scale, height: down * scale };
  }

  fill({ duration, resolution, aspect_ratio: aspect }) {
    if (this.node.hidden) return;
    for (const [input, value] of [[this.duration, duration], [this.resolution, resolution], [this.aspect, aspect]]) {
      if ([...input.options].some((option) => option.value === String(value))) input.value = value;
    }
    this.update();
  }
}

function select(id) {
  return element("select", { id });
}

function options(input, values, label = String) {
  input.replaceChildren(...values.map((value) => element("option", { value }, label(value))));
}
