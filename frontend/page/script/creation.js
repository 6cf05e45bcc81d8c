// A request for videos or images: what is sent, and the job that it makes.

import { call, parseJson, writeJson } from "./api.js";
import { makesImages } from "./models.js";

/** What to make: `{ kind, path, fields, image }`, of which `image` is a File, a Blob or null. */
export function creation(model, fields, image) {
  const kind = makesImages(model) ? "image" : "video";
  return { kind, path: kind === "image" ? "/v1/images/generations" : "/v1/videos", fields, image };
}

/** The id of the job. Throws ApiError. */
export async function submit({ path, fields, image }) {
  const headers = { Prefer: "respond-async" };
  let body;
  if (image) {
    body = form(fields, image);
  } else {
    body = writeJson(fields);
    headers["Content-Type"] = "application/json";
  }
  return parseJson(await (await call(path, { method: "POST", headers, body })).text()).id;
}

/** The id of the job that makes a video longer. Throws ApiError. */
export async function extend(id, prompt, seconds) {
  const response = await call("/v1/videos/extensions", {
    method: "POST",
    headers: { Prefer: "respond-async", "Content-Type": "application/json" },
    body: JSON.stringify({ video: { id }, prompt, seconds: String(seconds) }),
  });
  return (await response.json()).id;
}

function form(fields, image) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    data.append(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  }
  data.append("input_reference", image, "image");
  return data;
}
