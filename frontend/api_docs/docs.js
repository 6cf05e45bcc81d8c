"use strict";

const KEY = "tritonreel-api-key"; // where the page at / keeps it too: of this tab alone
const form = document.getElementById("key-form");
const field = document.getElementById("key");
const refusal = document.getElementById("refusal");
const dark = matchMedia("(prefers-color-scheme: dark)");

function follow(preference) {
  document.documentElement.classList.toggle("dark-mode", preference.matches); // Swagger UI's own name for it
}

function show(description, key) {
  const ui = SwaggerUIBundle({
    spec: description,
    dom_id: "#swagger-ui",
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    validatorUrl: null, // else it sends the description to a server elsewhere
    onComplete: () => key && ui.preauthorizeApiKey("API key", key),
  });
}

async function load() {
  const key = sessionStorage.getItem(KEY);
  const response = await fetch("openapi.json", { headers: key ? { Authorization: `Bearer ${key}` } : {} });
  const answer = await response.json();
  form.hidden = response.ok;
  if (response.ok) show(answer, key);
  else refusal.textContent = response.status === 401 && !key ? "" : answer.error.message;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, field.value.trim());
  load();
});
dark.addEventListener("change", follow);
follow(dark);
load();
