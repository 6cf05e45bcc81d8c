// What can be made here: models of this server and of hosted providers, in the words of GET /v1/models.

import { get } from "./api.js";

const KINDS = {
  "text-to-video": "text to video",
  "image-to-video": "image to video",
  "text-to-image": "text to image",
};
export const FRAME_STRIDE = 4; // a model makes 4k+1 frames
const ASPECTS = [[16, 9], [4, 3], [1, 1], [3, 4], [9, 16]];

/** { data, coming }; throws ApiError. */
export async function listModels() {
  const { data, coming } = await get("/v1/models");
  return { models: data.filter((model) => model.tasks.some((task) => task in KINDS)), coming };
}

export const isHosted = (model) => "dollars_per_second" in model;
export const takesImage = (model) => model.tasks.includes("image-to-video");
export const needsImage = (model) => takesImage(model) && !model.tasks.some((task) => task.startsWith("text-to-"));
export const makesImages = (model) => model.tasks.includes("text-to-image");
/** Whether its card has a default for a field: it has no use for the others. */
export const has = (model, field) => !isHosted(model) && (model.defaults[field] ?? null) !== null;
export const isToy = (model) => model.id.startsWith("toy-");

/** A line that says what a model does. */
export function summary(model) {
  const words = [capital(model.tasks.filter((task) => task in KINDS).map((task) => KINDS[task]).join(", "))];
  if (isHosted(model)) return [...words, `by ${model.owned_by}`, price(model)].filter(Boolean).join(" · ");
  const { width, height, num_frames: frames, fps } = model.defaults;
  words.push(`${width}×${height}`);
  if (fps) words.push(`${seconds(frames, fps)} s at ${fps} fps`);
  return words.join(" · ");
}

/** US dollars of a second, "" where none is known. */
export function price(model, resolution = null) {
  const rates = model.dollars_per_second;
  const shown = resolution && rates[resolution] !== undefined ? [rates[resolution]] : Object.values(rates);
  if (!shown.length) return "";
  const from = new Set(shown).size > 1 ? "from " : "";
  return `${from}$${Math.min(...shown).toFixed(2)} per second`;
}

/** What a hosted video costs, "" where that is not known. */
export function cost(model, duration, resolution) {
  const rate = model.dollars_per_second[resolution] ?? model.dollars_per_second[""];
  return rate === undefined ? "" : `$${(rate * duration).toFixed(2)}`;
}

export const seconds = (frames, fps) => Math.round((frames / fps) * 10) / 10;

/** Sizes of about the model's own area, in its multiples: its own, and one for each aspect that makes another. */
export function sizePresets(model) {
  const { width, height } = model.defaults;
  const multiple = model.limits.size_multiple;
  const presets = [];
  for (const [across, down] of ASPECTS) {
    const scale = Math.sqrt((width * height) / (across * down));
    const round = (side) => Math.max(multiple, Math.round((side * scale) / multiple) * multiple);
    const preset = { name: `${across}:${down}`, width: round(across), height: round(down) };
    const error = (one) => Math.abs(Math.log((one.width / one.height) * (down / across)));
    if (error(preset) < 0.2 && !presets.some((one) => one.width === preset.width && one.height === preset.height)) {
      presets.push(preset);
    }
  }
  const own = presets.find((one) => Math.abs(Math.log(one.width / one.height / (width / height))) < 0.06);
  if (own) Object.assign(own, { width, height });
  else presets.unshift({ name: "Own", width, height });
  return presets;
}

/** The most frames, 4k+1, that the model makes in a size. */
export function mostFrames(model, width, height) {
  const { max_frames: most, max_pixel_frames: pixels } = model.limits;
  const frames = Math.min(most, Math.floor(pixels / (width * height)));
  return Math.max(1, Math.floor((frames - 1) / FRAME_STRIDE) * FRAME_STRIDE + 1);
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
