// How long a video is: 4k+1 frames, told in seconds.

import { element } from "./dom.js";
import { FRAME_STRIDE, has, isHosted, makesImages, mostFrames, seconds } from "./models.js";

export class LengthField {
  constructor() {
    this.input = element("input", { type: "range", id: "length", min: 0, step: 1, oninput: () => this.update() });
    this.note = element("output", { for: "length" });
    this.node = element(
      "div", { class: "field" },
      element("div", { class: "label" }, element("label", { for: "length" }, "Length"), this.note), this.input,
    );
  }

  /** In a size, at a frame rate. */
  show(model, { width, height, fps }) {
    this.node.hidden = isHosted(model) || makesImages(model) || !has(model, "fps");
    if (this.node.hidden) return;
    const frames = this.model === model ? this.frames : model.defaults.num_frames;
    this.model = model;
    this.fps = fps;
    this.input.max = (mostFrames(model, width || 1, height || 1) - 1) / FRAME_STRIDE;
    this.set(frames);
  }

  get frames() {
    return Number(this.input.value) * FRAME_STRIDE + 1;
  }

  set(frames) {
    this.input.value = Math.floor((frames - 1) / FRAME_STRIDE);
    this.update();
  }

  update() {
    const length = `${seconds(this.frames, this.fps)} s`;
    this.note.textContent = `${length} · ${this.frames} frames`;
    this.input.setAttribute("aria-valuetext", `${length}, ${this.frames} frames`);
  }

  read() {
    return this.node.hidden || this.frames === this.model.defaults.num_frames ? {} : { num_frames: this.frames };
  }

  fill({ num_frames: frames }) {
    if (!this.node.hidden) this.set(frames ?? this.model.defaults.num_frames);
  }
}
