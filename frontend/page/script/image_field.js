// The image that a video starts from: chosen, pasted or dropped.

import { button, element, icon, iconButton } from "./dom.js";
import { needsImage, takesImage } from "./models.js";

const TYPES = ["image/png", "image/jpeg", "image/webp"];

export class ImageField {
  /** `changed` is called when there is another image, or none. */
  constructor(changed) {
    this.file = null;
    this.changed = changed;
    this.input = element("input", {
      type: "file", id: "image", accept: TYPES.join(","), class: "visually-hidden", tabIndex: -1,
      "aria-hidden": "true", onchange: () => this.input.files[0] && this.set(this.input.files[0]),
    });
    this.words = element("div", { class: "image-words" });
    this.preview = element("img", { alt: "Image that the video starts from", hidden: true });
    this.choose = button("Choose an image", () => this.input.click());
    this.remove = iconButton("Remove the image", "close", () => this.set(null), { hidden: true });
    this.drop = element("div", { class: "image-field" }, icon("frame"), this.preview, this.words, this.choose, this.remove);
    this.label = element("span", { class: "label" }, "Image");
    this.node = element("div", { class: "field", role: "group", "aria-label": "Image" }, this.label, this.drop, this.input);
    this.set(null);
  }

  show(model) {
    this.node.hidden = !takesImage(model);
    this.isNeeded = needsImage(model);
    this.describe();
  }

  /** A File or Blob, or null for none. */
  set(file) {
    if (this.preview.src) URL.revokeObjectURL(this.preview.src);
    this.file = file;
    this.input.value = "";
    this.preview.hidden = this.remove.hidden = file === null;
    this.choose.hidden = file !== null;
    this.drop.firstChild.toggleAttribute("hidden", file !== null);
    if (file) this.preview.src = URL.createObjectURL(file);
    else this.preview.removeAttribute("src");
    this.complain(null);
    this.describe();
    this.changed();
  }

  describe() {
    const rest = this.isNeeded ? "The video starts from it. Drop or paste one." : "Optional. Drop or paste one.";
    this.words.textContent = this.file ? this.file.name || "Image" : rest;
  }

  complain(message) {
    this.drop.dataset.invalid = String(Boolean(message));
    if (message) this.words.textContent = message;
  }
}

export const isImage = (file) => TYPES.includes(file.type);
