"use strict";
/* Sheets, filters, charts, names for what the theme leaves without one. No framework, nothing from elsewhere. */
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-open-dialog]");
  if (opener) document.getElementById(opener.dataset.openDialog).showModal();
  const closer = event.target.closest("[data-close-dialog]");
  if (closer) closer.closest("dialog").close();
  if (event.target instanceof HTMLDialogElement) event.target.close();
  document.querySelectorAll("details.bo-menu[open]").forEach((menu) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
});

/* Lines under a form: a new one is a copy of the template, named by its place. */
document.addEventListener("click", (event) => {
  const adder = event.target.closest("[data-add-line]");
  if (adder) {
    const set = adder.closest("[data-lines]");
    const total = set.querySelector(`[name="${set.dataset.lines}-TOTAL_FORMS"]`);
    const list = set.querySelector("[data-line-list]");
    const text = set.querySelector("template").innerHTML.replaceAll("__prefix__", total.value);
    list.insertAdjacentHTML("beforeend", text);
    total.value = Number(total.value) + 1;
    const line = list.lastElementChild;
    window.django.jQuery(line).find(".unfold-admin-autocomplete").djangoCustomSelect2();
    nameControls(line);
    line.querySelector(".select2-selection, input:not([type=hidden])").focus();
  }
  const dropper = event.target.closest("[data-drop-line]");
  if (dropper) {
    /* An untouched new line is left out by the server, so numbers need not close up. */
    const line = dropper.closest("fieldset");
    line.closest("[data-lines]").querySelector("[data-add-line]").focus();
    line.remove();
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  document.querySelectorAll("details.bo-menu[open]").forEach((menu) => {
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  const found = document.getElementById("search-results");
  if (found) found.replaceChildren();
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  form.querySelectorAll("[data-joined]").forEach((group) => {
    const chosen = [...group.querySelectorAll("input[type=checkbox]:checked")].map((box) => box.value);
    group.querySelector("input[type=hidden]").value = chosen.join(",");
  });
  if (form.id === "filter-form") {
    /* The address keeps only what was asked for. */
    form.querySelectorAll("input, select").forEach((control) => { if (!control.value) control.disabled = true; });
  }
});

/* A wider permission ticks what it covers, which then goes without saying: covered boxes are not sent. */
function coverPermissions(matrix) {
  const wide = [...matrix.querySelectorAll("[data-covers]")].filter((box) => box.checked).map((box) => box.dataset.covers);
  const everything = wide.includes("*");
  matrix.querySelectorAll("input:not([data-covers='*'])").forEach((box) => {
    const covered = everything || (box.dataset.verb && wide.includes(box.dataset.verb));
    if (covered && !box.disabled) { box.dataset.own = box.checked ? "yes" : ""; box.checked = true; }
    if (!covered && box.disabled) box.checked = Boolean(box.dataset.own);
    box.disabled = Boolean(covered);
  });
}
document.addEventListener("change", (event) => {
  const matrix = event.target.closest("[data-matrix]");
  if (matrix) coverPermissions(matrix);
});

function drawCharts() {
  if (!window.vegaEmbed) return;
  const style = getComputedStyle(document.documentElement);
  const dark = document.documentElement.classList.contains("dark");
  const ink = dark ? "#c9d1dc" : "#3d4654";
  const bar = style.getPropertyValue(dark ? "--color-primary-400" : "--color-primary-600").trim();
  document.querySelectorAll("[data-chart]").forEach((place) => {
    const spec = JSON.parse(document.getElementById(place.dataset.chart).textContent);
    spec.config = {
      background: "transparent", font: "Inter, sans-serif", view: { stroke: null }, bar: { color: bar },
      axis: { labelColor: ink, titleColor: ink, domainColor: ink, tickColor: ink, gridColor: dark ? "#2b3442" : "#e6e9ee", labelFontSize: 12 },
    };
    window.vegaEmbed(place, spec, { ast: true, actions: false, renderer: "svg" });
  });
}

function nameControls(root) {
  /* select2 builds its own controls: they are called as the select they stand for. */
  root.querySelectorAll("select.select2-hidden-accessible").forEach((select) => {
    const label = document.querySelector(`label[for="${select.id}"]`) || select.closest("label");
    const box = select.nextElementSibling && select.nextElementSibling.querySelector(".select2-selection");
    if (!box || !label) return;
    label.id = label.id || `label-${select.id}`;
    box.setAttribute("aria-labelledby", `${label.id} select2-${select.id}-container`);
    /* What is chosen is the combobox's text, not a text box inside it. */
    const chosen = box.querySelector(".select2-selection__rendered");
    if (chosen) ["role", "aria-readonly"].forEach((name) => chosen.removeAttribute(name));
    if (box.hasAttribute("aria-owns")) box.setAttribute("aria-controls", box.getAttribute("aria-owns"));
  });
  root.querySelectorAll(".select2-search__field").forEach((box) => box.setAttribute("aria-label", "Search"));
  /* Icons are letters to a screen reader. */
  root.querySelectorAll(".material-symbols-outlined").forEach((icon) => icon.setAttribute("aria-hidden", "true"));
  root.querySelectorAll("#result_list .action-select:not([aria-label])").forEach((box) => box.setAttribute("aria-label", "Select record"));
}

async function watchProgress(place) {
  let now;
  try {
    const answer = await fetch(place.dataset.progressUrl, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    now = await answer.json();
  } catch {
    /* The network is away, or the page is being left. */
    setTimeout(() => watchProgress(place), 3000);
    return;
  }
  if (now.is_over) { location.reload(); return; }
  place.querySelector("[data-progress-text]").textContent = now.text;
  if (now.percent) place.querySelector("progress").value = now.percent;
  setTimeout(() => watchProgress(place), 800);
}

/* The page is hidden until the theme is ready, so the browser's own autofocus comes too early. */
document.addEventListener("alpine:initialized", () => {
  const first = document.querySelector("[autofocus]");
  if (first && document.activeElement === document.body) setTimeout(() => first.focus(), 0);
});

document.addEventListener("DOMContentLoaded", () => {
  /* The theme's script expects a text box of its own beside every file control. */
  document.querySelectorAll(".bo-field input[type=file]").forEach((control) => { control.hasChangeListener = true; });
  document.querySelectorAll("[data-progress-url]").forEach(watchProgress);
  document.querySelectorAll("[data-matrix]").forEach(coverPermissions);
  drawCharts();
  nameControls(document);
  new MutationObserver((changes) => {
    if (changes.some((change) => change.attributeName === "class")) drawCharts();
  }).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  if (window.django && window.django.jQuery) {
    window.django.jQuery(document).on("select2:open", () => {
      nameControls(document);
      const box = document.querySelector(".select2-container--open .select2-search__field");
      if (box) box.focus();
    });
  }
});

/* Where one is in the navigation is in sight. */
document.addEventListener("alpine:initialized", () => {
  const here = document.querySelector(".bo-nav-scroll [aria-current]");
  if (here) here.scrollIntoView({ block: "nearest" });
});

window.addEventListener("load", () => setTimeout(() => nameControls(document), 0));
