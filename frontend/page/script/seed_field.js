// The seed; left empty, the server draws one.

import { element, iconButton } from "./dom.js";
import { isHosted } from "./models.js";

const RANGE = 2 ** 32; // what the server draws from, too

export class SeedField {
  constructor() {
    this.input = element("input", {
      id: "seed", inputMode: "numeric", autocomplete: "off", placeholder: "Random", maxLength: 19,
    });
    this.node = element(
      "div",
      { class: "field" },
      element("label", { for: "seed" }, "Seed"),
      element("div", { class: "with-button" }, this.input, iconButton("Draw a seed", "dice", () => this.draw())),
    );
  }

  show(model) {
    this.node.hidden = isHosted(model) && !model.options.includes("seed");
  }

  draw() {
    this.input.value = String(crypto.getRandomValues(new Uint32Array(1))[0] % RANGE);
  }

  /** As text, where the digits are more than a JavaScript number has. */
  read() {
    const text = this.input.value.trim();
    if (this.node.hidden || text === "") return {};
    const seed = Number(text);
    return { seed: /^\d+$/.test(text) && !Number.isSafeInteger(seed) ? text : seed };
  }

  fill({ seed }) {
    this.input.value = seed ?? "";
  }
}
