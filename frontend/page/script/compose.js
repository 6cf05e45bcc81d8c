// The form: what to make. Its fields are those that the chosen model has a use for.

import { ApiError } from "./api.js";
import { AdaptersField } from "./adapters_field.js";
import { showCode } from "./code_dialog.js";
import { creation, submit } from "./creation.js";
import { element, iconButton } from "./dom.js";
import { examplesFor } from "./examples.js";
import { HostedFields } from "./hosted_fields.js";
import { ImageField } from "./image_field.js";
import { LengthField } from "./length_field.js";
import { isHosted, needsImage, price, summary, takesImage } from "./models.js";
import { notify } from "./notices.js";
import { NumberFields } from "./number_fields.js";
import { SeedField } from "./seed_field.js";
import { SizeField } from "./size_field.js";

const WAITING = "No model is served yet.";

export class Compose {
  /** `submitted` gets the id of each job that the form makes. */
  constructor(form, submitted) {
    this.models = [];
    this.submitted = submitted;
    this.prompt = element("textarea", {
      id: "prompt", rows: 3, maxLength: 8000, placeholder: "What should be seen?", required: true,
      "aria-describedby": "compose-error", oninput: () => this.showExamples(),
      onkeydown: (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && form.requestSubmit(),
    });
    this.examples = element("div", { class: "examples", role: "group", "aria-label": "Examples" });
    this.model = element("select", { id: "model", onchange: () => this.adapt() });
    this.summary = element("p", { class: "hint", id: "model-summary" }, WAITING);
    this.model.setAttribute("aria-describedby", "model-summary");
    this.negative = element("textarea", { id: "negative_prompt", rows: 2, maxLength: 8000 });
    this.negativeBefore = ""; // the model's own, which is not sent
    this.negativeField = element(
      "div", { class: "field" }, element("label", { for: "negative_prompt" }, "Negative prompt"), this.negative,
    );
    this.image = new ImageField(() => this.chosen && this.adapt());
    this.size = new SizeField(() => this.chosen && this.limitLength());
    this.length = new LengthField();
    this.numbers = new NumberFields(() => this.limitLength());
    this.seed = new SeedField();
    this.adapters = new AdaptersField();
    this.hosted = new HostedFields();
    this.parts = [this.size, this.length, this.hosted, this.numbers, this.seed, this.adapters];
    this.error = element("p", { class: "error-text", id: "compose-error", role: "alert" });
    this.send = element("button", { type: "submit", class: "button primary", disabled: true }, "Generate");
    this.image.node.hidden = true; // until a model takes one
    this.more = element(
      "details", { class: "more" },
      element("summary", {}, "More"),
      element("div", { class: "more-fields" }, this.negativeField, this.size.node, this.length.node, this.hosted.node,
        this.numbers.node, this.seed.node, this.adapters.node),
    );
    form.append(
      element("div", { class: "compose-fields" },
        element("div", { class: "field" }, element("label", { for: "prompt" }, "Prompt"), this.prompt, this.examples),
        element("div", { class: "field" }, element("label", { for: "model" }, "Model"), this.model, this.summary),
        this.image.node, this.more),
      element("div", { class: "compose-foot" }, this.error,
        element("div", { class: "compose-actions" }, this.send,
          iconButton("Copy as curl or Python", "code", () => this.chosen && showCode(this.creation())))),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.make();
    });
    form.addEventListener("paste", (event) => {
      const file = event.clipboardData?.files[0];
      if (file && this.takeImage(file)) event.preventDefault();
    });
  }

  get chosen() {
    return this.models.find((model) => model.id === this.model.value) ?? null;
  }

  /** Offer these models; the chosen one stays where it is still there. */
  setModels(models) {
    const ids = (some) => some.map((model) => model.id).join("\n");
    if (ids(models) === ids(this.models)) return;
    const before = this.model.value;
    this.models = models;
    const option = (model) => element("option", { value: model.id }, isHosted(model) ? `${model.id} (${price(model)})` : model.id);
    const [own, hosted] = [models.filter((model) => !isHosted(model)), models.filter(isHosted)];
    this.model.replaceChildren(
      ...own.map(option),
      ...(hosted.length ? [element("optgroup", { label: "Hosted, paid per second" }, ...hosted.map(option))] : []),
    );
    const first = models.find((model) => model.tasks.includes("text-to-video")) ?? models[0];
    this.model.value = models.some((model) => model.id === before) ? before : (first?.id ?? "");
    this.send.disabled = models.length === 0;
    if (this.chosen) this.adapt();
    else this.summary.textContent = WAITING;
  }

  /** Show what the model has a use for. */
  adapt() {
    const model = this.chosen;
    this.summary.textContent = summary(model);
    this.image.show(model);
    const hasImage = takesImage(model) && this.image.file !== null;
    this.negativeField.hidden = isHosted(model) ? !model.options.includes("negative_prompt") : false;
    const own = ownNegative(model);
    if (this.negative.value === this.negativeBefore) this.negative.value = own;
    this.negativeBefore = own;
    for (const part of [this.numbers, this.seed, this.adapters]) part.show(model);
    for (const part of [this.size, this.hosted]) part.show(model, { hasImage });
    this.limitLength();
    this.showExamples();
    this.complain(null);
  }

  limitLength() {
    const model = this.chosen;
    if (!isHosted(model)) this.length.show(model, { ...this.size.size(), fps: this.numbers.value("fps") || 1 });
    else this.length.node.hidden = true;
  }

  showExamples() {
    this.examples.hidden = this.prompt.value !== "" || !this.chosen;
    if (this.examples.hidden) return;
    this.examples.replaceChildren(
      ...examplesFor(this.chosen).map((text) =>
        element("button", {
          type: "button", class: "chip", onclick: () => {
            this.prompt.value = text;
            this.showExamples();
            this.prompt.focus();
          },
        }, text),
      ),
    );
  }

  creation() {
    const model = this.chosen;
    const fields = { model: model.id, prompt: this.prompt.value.trim() };
    if (!this.negativeField.hidden && this.negative.value !== ownNegative(model)) fields.negative_prompt = this.negative.value;
    Object.assign(fields, ...this.parts.map((part) => part.read()));
    return creation(model, fields, takesImage(model) ? this.image.file : null);
  }

  async make() {
    if (!this.chosen) return;
    if (!this.prompt.value.trim()) return this.complain({ message: "Write what should be seen.", param: "prompt" });
    if (needsImage(this.chosen) && !this.image.file) return this.complain({ message: "This model starts from an image: choose one.", param: "input_reference" });
    this.complain(null);
    this.send.disabled = true;
    try {
      this.submitted(await submit(this.creation()));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status !== 401) this.complain(error);
    } finally {
      this.send.disabled = false;
    }
  }

  /** Say what is wrong, beside the field that it is about. */
  complain(error) {
    this.error.textContent = error ? error.message : "";
    const param = error?.param ?? null;
    for (const input of this.error.closest("form")?.querySelectorAll("[aria-invalid]") ?? []) input.removeAttribute("aria-invalid");
    this.image.complain(null);
    this.image.describe();
    if (!param) return;
    if (param.startsWith("input_reference")) this.image.complain(error.message);
    const input = document.getElementById({ width: "size-width", height: "size-height" }[param] ?? param);
    if (!input?.matches("#compose input, #compose textarea, #compose select")) return;
    if (this.more.contains(input)) this.more.open = true;
    input.setAttribute("aria-invalid", "true");
    input.focus();
  }

  /** Fill the form with the parameters of a file (see README, "The page"); `image` is what it starts from. */
  fill(parameters, image = null) {
    if (this.models.some((model) => model.id === parameters.model)) this.model.value = parameters.model;
    else if (parameters.model) notify(`${parameters.model} is not served here: the other parameters are kept.`);
    this.prompt.value = parameters.prompt ?? "";
    if (image) this.image.set(image);
    if (!this.chosen) return;
    this.adapt();
    this.negative.value = parameters.negative_prompt ?? ownNegative(this.chosen);
    for (const part of this.parts) part.fill(parameters);
    this.limitLength();
    this.length.fill(parameters);
    this.more.open = true;
    this.prompt.focus();
    this.prompt.scrollIntoView({ block: "center" });
  }

  /** Take an image to start from, with a model that takes one. Whether there is such a model. */
  takeImage(file) {
    if (!this.chosen || !takesImage(this.chosen)) {
      const able = this.models.find((model) => takesImage(model) && !isHosted(model)) ?? this.models.find(takesImage);
      if (!able) {
        notify("No model that is served here starts from an image.", "error");
        return false;
      }
      this.model.value = able.id;
    }
    this.image.set(file);
    this.prompt.focus();
    return true;
  }
}

const ownNegative = (model) => model.defaults?.negative_prompt ?? "";
