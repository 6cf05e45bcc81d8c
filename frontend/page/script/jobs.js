// Jobs, in the words of /v1/jobs, and what the page shows of them.

import { call, get } from "./api.js";
import { seconds } from "./models.js";
import { SAMPLING_FIELDS, SOLVER_NAMES } from "./sampling_fields.js";

export const isOver = (job) => !["queued", "in_progress"].includes(job.status);

export const getJob = (id) => get(`/v1/jobs/${encodeURIComponent(id)}`);

export function listJobs(query) {
  const given = Object.entries(query).filter(([, value]) => value);
  return get(`/v1/jobs?${new URLSearchParams(given)}`);
}

/** Forget a job and its files; one that runs is stopped. */
export async function deleteJob(id) {
  await call(`/v1/jobs/${encodeURIComponent(id)}`, { method: "DELETE" });
}

export function sidesOf(job) {
  const [width, height] = job.size.split("x").map(Number);
  return { width, height };
}

/** Parameters of one of its files, as its form takes them and as the file itself has them. */
export function parametersOf(job, file) {
  const parameters = { ...job.params, ...sidesOf(job), model: job.model, prompt: job.prompt, negative_prompt: job.negative_prompt };
  if (job.kind === "video") Object.assign(parameters, { num_frames: job.num_frames, fps: job.fps });
  if (file) parameters.seed = file.seed;
  parameters.lora = job.lora.map(withoutNulls);
  return withoutNulls(parameters);
}

/** What is told of a file: by name, in words. */
export function factsOf(job, file) {
  const { params } = job;
  const facts = { model: job.model, size: job.size.replace("x", " × ") };
  if (job.kind === "video" && job.fps) {
    const frames = job.num_frames > 1 ? `, ${job.num_frames} frames at ${number(job.fps)} fps` : "";
    facts.length = `${seconds(job.num_frames, job.fps)} s${frames}`;
  }
  facts.seed = file.seed;
  facts.negative_prompt = job.negative_prompt?.trim();
  for (const { name } of SAMPLING_FIELDS) if (name !== "fps") facts[name] = params[name];
  facts.solver = SOLVER_NAMES[params.solver] ?? params.solver;
  facts.lora = job.lora.map(withoutNulls).map(adapterWords).join(", ");
  if (params.price !== undefined) facts.price = `$${params.price.toFixed(2)}, by ${params.provider}`;
  if (job.timings) facts.took = `${number(job.timings.total_seconds)} s`;
  return Object.fromEntries(Object.entries(withoutNulls(facts)).filter(([, fact]) => fact !== ""));
}

const withoutNulls = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => (value ?? null) !== null));
const number = (value) => (Number.isInteger(value) ? value : Math.round(value * 100) / 100);
const adapterWords = ({ scale = 1, ...adapter }) => `${Object.values(adapter).filter(Boolean).join(" / ")} at ${scale}`;
