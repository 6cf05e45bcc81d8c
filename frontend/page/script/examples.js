// Prompts to begin with. The toy models know a drawn world of shapes (README, "The toy world"); others know more.

import { isToy, makesImages, needsImage } from "./models.js";

const TOY_VIDEO = [
  "a red circle moving right on a black background",
  "a blue square that grows on a white background",
  "an orange ring falling against grey",
  "a purple triangle moving up on a black background",
];
const TOY_IMAGE = [
  "a green triangle on a white background",
  "a yellow circle on a black background",
  "a purple ring on a grey background",
  "a blue square on a white background",
];
const TOY_START = ["it moves right", "it moves up", "it grows", "it shrinks"];
const VIDEO = [
  "A red fox trots through fresh snow at dawn, breath steaming, slow tracking shot",
  "Waves roll onto a black-sand beach under storm clouds, seen from above",
  "A paper boat drifts down a rain-filled gutter, macro, shallow depth of field",
];
const IMAGE = [
  "A lighthouse in a storm, oil on canvas, thick brush strokes",
  "A quiet bookshop window at night with a sign that reads \u201cOpen late\u201d",
  "Still life of pears on a linen cloth, soft morning light",
];
const START = ["The camera slowly moves closer", "Wind moves gently through the scene", "The subject turns and smiles"];

export function examplesFor(model) {
  if (needsImage(model)) return isToy(model) ? TOY_START : START;
  if (makesImages(model)) return isToy(model) ? TOY_IMAGE : IMAGE;
  return isToy(model) ? TOY_VIDEO : VIDEO;
}
