// Files that are dropped anywhere on the page.

import { byId } from "./dom.js";
import { readParameters } from "./file_parameters.js";
import { isImage } from "./image_field.js";
import { notify } from "./notices.js";

/** A file made here restores its parameters into `compose`; another image becomes what a video starts from. */
export function takeDrops(compose) {
  let depth = 0; // of elements that the file is above
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const hint = (isShown) => (byId("drop-hint").hidden = !isShown);
  addEventListener("dragenter", (event) => {
    if (hasFiles(event)) hint((depth += 1) > 0);
  });
  addEventListener("dragleave", (event) => {
    if (hasFiles(event)) hint((depth -= 1) > 0);
  });
  addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    hint((depth = 0) > 0);
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0], compose);
  });
}

async function take(file, compose) {
  const parameters = await readParameters(file);
  if (parameters) {
    compose.fill(parameters);
    notify(`Parameters of ${file.name} restored.`);
  } else if (isImage(file)) {
    compose.takeImage(file);
  } else {
    notify(`${file.name} is neither an image nor a file that this server made with its parameters.`, "error");
  }
}
