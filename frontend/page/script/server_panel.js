// The server: its models, queue, memory, throughput and adapters, looked at while the panel is open.

import { call, get } from "./api.js";
import { openDialog } from "./dialogs.js";
import { byId, element } from "./dom.js";
import { summary } from "./models.js";
import { parseMetrics } from "./prometheus.js";
import { Sparkline } from "./sparkline.js";

const POLL_SECONDS = 2;
const KEPT = 60; // points of the line
const MEMORY = [
  ["nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes", "GPU memory"],
  ["nv_cpu_memory_used_bytes", "nv_cpu_memory_total_bytes", "Memory"],
  ["loaded_weights_bytes", null, "Weights that come and go"],
  ["condition_cache_bytes", null, "Encoded prompts and images"],
];

/** `state()` says what is known of the models: `{ models, coming }`. */
export function openServerPanel(state) {
  const [models, queue, memory, adapters] = [0, 1, 2, 3].map(() => element("div", { class: "server-section" }));
  const line = new Sparkline(KEPT);
  const rate = element("span", { class: "numbers" }, "–");
  let before = null;
  let timer = 0;
  const look = async () => {
    showModels(models, state());
    try {
      const metrics = parseMetrics(await (await call("/metrics")).text());
      showQueue(queue, metrics);
      showMemory(memory, metrics);
      const now = { seconds: performance.now() / 1000, ...work(metrics) };
      if (before) {
        const perSecond = Math.max(0, (now.count - before.count) / (now.seconds - before.seconds));
        line.push(perSecond);
        rate.textContent = `${perSecond.toFixed(1)} ${now.unit} per second`;
      }
      before = now;
    } catch (error) {
      rate.textContent = error.message;
    }
    if (dialog.open) timer = setTimeout(look, 1000 * POLL_SECONDS);
  };
  const dialog = openDialog(
    "Server",
    element(
      "div", { class: "dialog-body" },
      section("Models", models), section("Queue", queue), section("Throughput", element("div", { class: "server-section" }, rate, line.node)),
      section("Memory", memory), section("Adapters", adapters),
    ),
    { class: "drawer", closed: () => { clearTimeout(timer); byId("server-button").focus(); } },
  );
  look();
  showAdapters(adapters);
}

function section(title, content) {
  return element("section", { class: "server-section" }, element("h3", {}, title), content);
}

const item = (name, fact) => element("div", { class: "server-item numbers" }, element("span", {}, name), element("span", {}, fact));
const none = (words) => element("p", { class: "hint" }, words);

function showModels(node, { models, coming }) {
  const items = [
    ...models.map((model) => element("div", {}, element("strong", {}, model.id), element("p", { class: "hint" }, summary(model)))),
    ...coming.map(({ id, status, stage }) => element("div", {}, element("strong", {}, id), element("p", { class: status === "failed" ? "error-text" : "hint" }, `${{ exporting: "Being exported", loading: "Being loaded", failed: "Failed" }[status] ?? status}: ${stage}`))),
  ];
  node.replaceChildren(...(items.length ? items : [none("No model is served.")]));
}

function showQueue(node, metrics) {
  const count = (name) => String(metrics.get(name) ?? 0);
  node.replaceChildren(item("Running", count("tritonreel_jobs_running")), item("Waiting", count("tritonreel_jobs_waiting")));
}

function showMemory(node, metrics) {
  const items = MEMORY.filter(([used]) => metrics.get(used)).map(([used, total, label]) => {
    const of = total && metrics.get(total) ? ` of ${bytes(metrics.get(total))}` : "";
    return item(label, bytes(metrics.get(used)) + of);
  });
  node.replaceChildren(...(items.length ? items : [none("Triton tells nothing of it.")]));
}

/** What is counted: evaluations of the transformers, where Triton tells them, or else what has been made. */
function work(metrics) {
  if (metrics.has("step_batch_size_sum")) return { count: metrics.get("step_batch_size_sum"), unit: "evaluations" };
  return { count: (metrics.get("tritonreel_frames_total") ?? 0) + (metrics.get("tritonreel_images_total") ?? 0), unit: "frames" };
}

async function showAdapters(node) {
  const { data } = await get("/v1/loras").catch(() => ({ data: [] }));
  const items = data.map((lora) => item(lora.name, lora.error ?? lora.models.join(", ")));
  node.replaceChildren(...(items.length ? items : [none("None in the server's adapter folder.")]));
}

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, count)) / 10));
  return `${(count / 1024 ** power).toFixed(power > 2 ? 1 : 0)} ${units[power]}`;
}
