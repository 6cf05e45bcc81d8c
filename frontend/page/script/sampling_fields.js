// The numbers that tell how to sample, for models that have a use for them. Their bounds are those of the API.

export const SAMPLING_FIELDS = [
  { name: "num_inference_steps", label: "Steps", min: 1, max: 200, step: 1 },
  { name: "guidance_scale", label: "Guidance", pairLabel: "Guidance, high noise", min: 0, max: 20, step: 0.1 },
  { name: "guidance_scale_2", label: "Guidance, low noise", min: 0, max: 20, step: 0.1 },
  { name: "true_cfg_scale", label: "Guidance", min: 0, max: 20, step: 0.1 },
  { name: "guidance_rescale", label: "Guidance rescale", min: 0, max: 1, step: 0.05 },
  { name: "flow_shift", label: "Flow shift", min: 0.1, max: 100, step: 0.1 },
  { name: "boundary_ratio", label: "Expert boundary", min: 0, max: 1, step: 0.005 },
  { name: "fps", label: "Frames per second", min: 1, max: 120, step: 1 },
];
/** What follows another where it is not given itself, so that both are sent or none. */
export const PAIRS = [["guidance_scale", "guidance_scale_2"]];
export const SOLVER_NAMES = { unipc: "UniPC", euler: "Euler" };
/** How a file's parameters are called, in the order in which they are shown. */
export const LABELS = {
  model: "Model", size: "Size", length: "Length", n: "Number", seed: "Seed", negative_prompt: "Negative prompt",
  ...Object.fromEntries(SAMPLING_FIELDS.map((field) => [field.name, field.label])),
  guidance_scale_2: "Guidance, low noise", solver: "Solver", lora: "Adapters", price: "Price", took: "Took",
};
