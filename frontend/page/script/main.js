// The page: puts its parts together, and keeps an eye on the server.

import { ApiError, keyEvents } from "./api.js";
import { showSelection } from "./compare.js";
import { Compose } from "./compose.js";
import { openDetail } from "./detail.js";
import { byId } from "./dom.js";
import { takeDrops } from "./drops.js";
import { Filters } from "./filters.js";
import { Gallery } from "./gallery.js";
import { getJob, parametersOf } from "./jobs.js";
import { askForKeys } from "./key_dialog.js";
import { Live } from "./live.js";
import { listModels } from "./models.js";
import { complain } from "./notices.js";
import { openServerPanel } from "./server_panel.js";

const WATCH_SECONDS = 4; // between looks at what others have made
const HURRY_SECONDS = 2; // while there is no model yet, or one is being exported

const NARROW = "(max-width: 900px)"; // as in layout.css

const state = { models: [], coming: [], needsKey: false };

askForKeys();
const compose = new Compose(byId("compose"), submitted);
const filters = new Filters();
const gallery = new Gallery(filters, {
  open: (entry) => openDetail(entry, {
    models: () => state.models,
    fill: (parameters, image) => compose.fill(parameters, image),
    takeImage: (file) => compose.takeImage(file),
    submitted,
    deleted: (job) => gallery.remove(job),
  }),
  chosen: (entries) => showSelection(entries, () => gallery.unselect()),
});
const live = new Live({
  completed: (job) => gallery.add(job),
  retry: (job) => compose.fill(parametersOf(job, job.files[0])),
});
filters.changed = () => gallery.reset();
takeDrops(compose);
byId("server-button").addEventListener("click", () => openServerPanel(() => state));

/** A job that this page has made. */
async function submitted(id) {
  try {
    live.add(await getJob(id));
    if (matchMedia(NARROW).matches) byId("live").scrollIntoView({ block: "nearest" }); // it is below the form
  } catch (error) {
    complain(error);
  }
}

/** Look at the models. Whether to look again soon. */
async function lookAtModels() {
  try {
    Object.assign(state, await listModels(), { needsKey: false });
    compose.setModels(state.models);
    filters.setModels(state.models.map((model) => model.id));
    const exporting = state.coming.filter((one) => one.status !== "failed").length;
    const served = state.models.length === 1 ? "1 model" : `${state.models.length} models`;
    showState(state.models.length ? "ready" : "waiting", exporting ? `${served}, ${exporting} to come` : served);
    return exporting > 0 || state.models.length === 0;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    state.needsKey = error.status === 401;
    showState("away", state.needsKey ? "API key needed" : error.status ? "No model" : "Unreachable");
    return !state.needsKey;
  }
}

function showState(kind, words) {
  document.querySelector("#server-button .dot").dataset.state = kind;
  byId("server-state").textContent = words;
}

async function lookAtJobs() {
  try {
    await live.find();
    await gallery.refresh();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error; // the state of the server is shown already
  }
}

let timer = 0;
async function watch() {
  clearTimeout(timer);
  let soon = false;
  if (!document.hidden) {
    soon = await lookAtModels();
    if (!state.needsKey) await lookAtJobs();
  }
  clearTimeout(timer);
  timer = setTimeout(watch, 1000 * (soon ? HURRY_SECONDS : WATCH_SECONDS));
}

keyEvents.addEventListener("changed", () => {
  gallery.reset();
  watch();
});
document.addEventListener("visibilitychange", () => document.hidden || watch());
watch();
