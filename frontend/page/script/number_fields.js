// The numbers of `sampling_fields.js`, the solver, and how many to make.

import { element } from "./dom.js";
import { has, isHosted } from "./models.js";
import { PAIRS, SAMPLING_FIELDS, SOLVER_NAMES } from "./sampling_fields.js";

export class NumberFields {
  /** `changed` is called when a number is another one. */
  constructor(changed) {
    this.inputs = new Map();
    const nodes = SAMPLING_FIELDS.map((field) => this.field(field));
    this.count = element("input", { type: "number", id: "n", min: 1, max: 10, step: 1, value: 1 });
    this.solver = element("select", { id: "solver" });
    this.solverNode = wrapped("solver", "Solver", this.solver);
    this.node = element("div", { class: "pair" }, ...nodes, wrapped("n", "How many", this.count), this.solverNode);
    this.node.addEventListener("input", changed);
  }

  field({ name, label, min, max, step }) {
    const input = element("input", { type: "number", id: name, min, max, step, inputMode: "decimal" });
    const node = wrapped(name, label, input);
    this.inputs.set(name, { input, node });
    return node;
  }

  show(model) {
    if (this.model === model) return;
    this.model = model;
    for (const field of SAMPLING_FIELDS) {
      const { input, node } = this.inputs.get(field.name);
      node.hidden = !has(model, field.name);
      node.querySelector("label").textContent = (has(model, "guidance_scale_2") && field.pairLabel) || field.label;
      input.value = node.hidden ? "" : model.defaults[field.name];
    }
    const solvers = isHosted(model) ? [] : model.solvers;
    this.solverNode.hidden = solvers.length < 2;
    this.solver.replaceChildren(
      ...solvers.map((name) => element("option", { value: name }, SOLVER_NAMES[name] ?? name)),
    );
    if (!isHosted(model)) this.solver.value = model.defaults.solver;
  }

  /** Of a field: what is written there, or the model's own. */
  value(name) {
    const { input } = this.inputs.get(name);
    return input.value === "" ? this.model.defaults?.[name] : Number(input.value);
  }

  /** What differs from the model's own; of a pair both, where one does. */
  read() {
    const fields = {};
    for (const [name, { node }] of this.inputs) {
      if (!node.hidden && this.value(name) !== this.model.defaults[name]) fields[name] = this.value(name);
    }
    for (const pair of PAIRS) {
      if (pair.some((name) => name in fields)) {
        for (const name of pair) if (has(this.model, name)) fields[name] = this.value(name);
      }
    }
    if (!this.solverNode.hidden && this.solver.value !== this.model.defaults.solver) fields.solver = this.solver.value;
    if (Number(this.count.value) > 1) fields.n = Number(this.count.value);
    return fields;
  }

  fill(parameters) {
    for (const [name, { input, node }] of this.inputs) {
      if (!node.hidden) input.value = parameters[name] ?? this.model.defaults[name];
    }
    if (!this.solverNode.hidden) this.solver.value = parameters.solver ?? this.model.defaults.solver;
    this.count.value = parameters.n ?? 1;
  }
}

function wrapped(id, label, input) {
  return element("div", { class: "field" }, element("label", { for: id }, label), input);
}
