// Follows a job to its end: by its event stream, or by asking now and then where many are followed already.

import { ApiError } from "./api.js";
import { follow } from "./event_stream.js";
import { getJob, isOver } from "./jobs.js";

const MOST_STREAMS = 3; // a browser has six connections to a server, and they are needed for the rest
const POLL_MILLISECONDS = 1500;
const LAST = /\.(completed|failed|cancelled)$/;

let streams = 0;

/** `hear` gets the type and data of events (without "job."); resolves to the job as it ended, null where it is gone. */
export async function followJob(job, hear, signal) {
  try {
    while (!signal.aborted) {
      if (streams < MOST_STREAMS) await stream(job.id, hear, signal);
      if (signal.aborted) return null;
      const now = await getJob(job.id);
      if (isOver(now)) return now;
      hear(now.status, { progress: now.progress });
      await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
    }
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
  return null;
}

async function stream(id, hear, signal) {
  streams += 1;
  try {
    const path = `/v1/jobs/${encodeURIComponent(id)}/events?previews=true`;
    await follow(path, (type, data) => hear(type.split(".").pop(), data), ({ type }) => LAST.test(type), signal);
  } finally {
    streams -= 1;
  }
}
