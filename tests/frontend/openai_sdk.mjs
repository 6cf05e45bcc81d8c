// Every call of OpenAI's Node SDK that this server answers. Arguments: the URL of the API.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const bytes = async (response) => Buffer.from(await response.arrayBuffer());

const models = [];
for await (const model of client.models.list()) models.push(model.id);
assert.deepEqual(models, ["toy-wan-t2v", "toy-wan-i2v", "toy-qwen-image"]);
assert.equal((await client.models.retrieve("toy-wan-t2v")).id, "toy-wan-t2v");

const made = await client.videos.create({ prompt: "x", seconds: "4" });
assert.equal(made.status, "completed");
const created = await client.videos.create({ prompt: "y" }, { headers: { Prefer: "respond-async" } });
assert.ok(["queued", "in_progress", "completed"].includes(created.status));
let polled = await client.videos.retrieve(created.id);
while (polled.status !== "completed") polled = await client.videos.retrieve(created.id);
assert.equal(polled.progress, 100);

const listed = [];
for await (const video of client.videos.list({ limit: 1 })) listed.push(video.id);
assert.deepEqual(listed, [created.id, made.id]);
assert.equal((await bytes(await client.videos.downloadContent(made.id))).subarray(4, 8).toString(), "ftyp");
const thumbnail = await client.videos.downloadContent(made.id, { variant: "thumbnail" });
assert.equal((await bytes(thumbnail)).subarray(8, 12).toString(), "WEBP");
assert.equal((await client.videos.remix(made.id, { prompt: "z" })).remixed_from_video_id, made.id);
assert.deepEqual(await client.videos.delete(made.id), { id: made.id, object: "video.deleted", deleted: true });
await assert.rejects(client.videos.retrieve(made.id), (error) => error.status === 404 && error.code === "video_not_found");

const images = await client.images.generate({ prompt: "x", response_format: "url" });
assert.equal((await bytes(await fetch(images.data[0].url))).subarray(1, 4).toString(), "PNG");
const events = [];
const stream = await client.images.generate({ prompt: "x", stream: true, partial_images: 2 });
for await (const event of stream) events.push(event.type.split(".")[1]);
assert.deepEqual(events, ["partial_image", "partial_image", "completed"]);
console.log("ok");
