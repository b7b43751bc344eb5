"use strict";
/* Reports: charts in the colors of the page, and the builder. No framework, nothing from elsewhere. */
const reportTheme = () => (document.documentElement.classList.contains("dark") ? "dark" : "light");

function drawReport(place, spec) {
  if (!window.vegaEmbed) return;
  /* What is drawn on becomes the library's own; the place keeps its width. */
  const canvas = place.querySelector(":scope > div") || place.appendChild(document.createElement("div"));
  canvas.style.width = "100%";
  window.vegaEmbed(canvas, spec, { ast: true, actions: false, renderer: "svg" });
}

function drawReports() {
  document.querySelectorAll("[data-report-chart]").forEach((place) => {
    drawReport(place, JSON.parse(document.getElementById(place.dataset.reportChart).textContent)[reportTheme()]);
  });
}

class ReportBuilder {
  constructor(root) {
    this.root = root;
    this.state = JSON.parse(document.getElementById("rp-state").textContent);
    this.document = this.state.document;
    for (const zone of ReportBuilder.ZONES) {
      const found = this.document[zone];
      this.document[zone] = Array.isArray(found) ? found : found && Object.keys(found).length ? [found] : [];
    }
    this.isSaved = Boolean(this.state.id);
    this.chart = root.querySelector("#rp-chart");
    this.fill();
    this.listen();
    this.render();
    this.preview();
  }

  get fields() { return this.state.sources[this.document.data_source] || []; }

  field(name) { return this.fields.find((item) => item.name === name); }

  fill() {
    const set = (id, value) => { if (value !== undefined && value !== null) this.root.querySelector(id).value = value; };
    const { settings } = this.state;
    this.chart.value = (this.document.chart_config || {}).type || "";
    set("#rp-top", (this.document.limits || {}).rows);
    this.root.querySelector("#rp-subtotals").checked = this.document.show_subtotals !== false;
    set("#rp-name", settings.name); set("#rp-description", settings.description); set("#rp-visibility", settings.visibility);
    set("#rp-frequency", settings.schedule_frequency); set("#rp-delivery", settings.delivery_format);
    set("#rp-time", (settings.schedule || {}).time); set("#rp-recipients", (settings.schedule_recipients || []).join(", "));
    this.root.querySelector("#rp-scheduled").checked = Boolean(settings.is_scheduled);
    this.root.querySelector("#rp-each").checked = Boolean((settings.schedule || {}).per_recipient);
  }

  listen() {
    const on = (id, event, work) => this.root.querySelector(id).addEventListener(event, work);
    on("#rp-source", "change", (event) => {
      this.document = { data_source: event.target.value, pivot_rows: [], pivot_columns: [], pivot_values: [{ field: "count", aggregation: "count" }], pivot_filters: [] };
      this.chart.value = "";
      this.changed();
    });
    on("#rp-find", "input", () => this.renderFields());
    on("#rp-chart", "change", () => { this.document.chart_config = this.chart.value ? { type: this.chart.value } : {}; this.changed(); });
    on("#rp-top", "change", (event) => { this.document.limits = event.target.value ? { rows: Number(event.target.value) } : {}; this.changed(); });
    on("#rp-subtotals", "change", (event) => { this.document.show_subtotals = event.target.checked; this.changed(); });
    on("#rp-sort", "change", (event) => { this.document.sort = event.target.value === "label" ? {} : { by: event.target.value, descending: true }; this.changed(); });
    this.root.querySelectorAll(".rp-zone").forEach((zone) => {
      zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("rp-over"); });
      zone.addEventListener("dragleave", () => zone.classList.remove("rp-over"));
      zone.addEventListener("drop", (event) => {
        event.preventDefault();
        zone.classList.remove("rp-over");
        const { from, place, name } = JSON.parse(event.dataTransfer.getData("text/plain") || "{}");
        if (from) this.document[from].splice(place, 1);
        if (name) this.add(zone.dataset.zone, name);
      });
    });
    this.root.querySelector("#rp-save form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.save(event.submitter && event.submitter.dataset.saveAs === "new");
    });
    new MutationObserver((changes) => { if (changes.some((change) => change.attributeName === "class")) this.preview(); })
      .observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  }

  changed(focus) {
    this.isSaved = false;
    this.render();
    if (focus) { const target = this.root.querySelector(focus); if (target) target.focus(); }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.preview(), 250);
  }

  add(zone, name) {
    const field = this.field(name);
    if (zone === "pivot_values") {
      const aggregation = name === "count" ? "count" : field.aggregations.includes("sum") ? "sum" : field.aggregations[0];
      if (!aggregation) return;
      this.document.pivot_values.push({ field: name, aggregation });
    } else if (zone === "pivot_filters") {
      this.document.pivot_filters.push({ field: name, operator: "is_not_null" });
    } else {
      if (!field || !field.is_dimension) return;
      this.document[zone].push(field.buckets.length ? { field: name, bucket: "quarter" } : name);
    }
    this.changed(`[data-zone="${zone}"] li:last-child select, [data-zone="${zone}"] li:last-child button`);
  }

  render() { this.renderFields(); ReportBuilder.ZONES.forEach((zone) => this.renderZone(zone)); this.renderSort(); }

  renderFields() {
    const list = this.root.querySelector("#rp-list");
    const term = this.root.querySelector("#rp-find").value.toLowerCase();
    list.replaceChildren(...this.fields.filter((item) => item.label.toLowerCase().includes(term)).map((item) => {
      const line = document.createElement("li");
      line.draggable = true;
      line.append(Object.assign(document.createElement("span"), { className: "rp-name", textContent: item.label }));
      const offers = [["pivot_rows", "R", "rows", item.is_dimension], ["pivot_columns", "C", "columns", item.is_dimension], ["pivot_values", "V", "values", item.aggregations.length], ["pivot_filters", "F", "filters", item.is_filter]];
      for (const [zone, letter, word, fits] of offers) {
        if (fits) line.append(this.button(letter, `Add ${item.label} to ${word}`, () => this.add(zone, item.name)));
      }
      line.addEventListener("dragstart", (event) => event.dataTransfer.setData("text/plain", JSON.stringify({ name: item.name })));
      return line;
    }));
  }

  button(text, label, work) {
    const made = Object.assign(document.createElement("button"), { type: "button", textContent: text, title: label });
    made.setAttribute("aria-label", label);
    made.addEventListener("click", work);
    return made;
  }

  renderZone(zone) {
    const list = this.root.querySelector(`[data-zone="${zone}"] ul`);
    list.replaceChildren(...this.document[zone].map((item, place) => this.chip(zone, item, place)));
  }

  nameOf(item) { return typeof item === "string" ? item : item.field || item.name || ""; }

  chip(zone, item, place) {
    const name = this.nameOf(item);
    const bare = name.split(":")[0];
    const field = this.field(bare);
    const label = (typeof item === "object" && item.label) || (field ? field.label : name === "count" ? "Count" : name || item.formula || "Condition");
    const made = document.createElement("li");
    made.className = "rp-chip";
    made.draggable = true;
    made.addEventListener("dragstart", (event) => event.dataTransfer.setData("text/plain", JSON.stringify({ from: zone, place, name: bare })));
    made.append(Object.assign(document.createElement("span"), { className: "rp-name", textContent: label }));
    if (zone === "pivot_values" && field && item.aggregation) {
      made.append(this.select(`How to sum up ${label}`, field.aggregations, item.aggregation, (value) => {
        item.aggregation = value;
        if (value === "percentile") item.percentile = 90;
        delete item.name;
        this.changed();
      }));
    }
    if (zone === "pivot_values" && item.aggregation) {
      made.append(this.select(`How to show ${label}`, ReportBuilder.SHOWN, item.show_as || "value", (value) => { item.show_as = value; this.changed(); }));
    }
    if ((zone === "pivot_rows" || zone === "pivot_columns") && field && field.buckets.length) {
      const bucket = typeof item === "object" ? item.bucket : name.split(":")[1] || "day";
      made.append(this.select(`Span of ${label}`, field.buckets, bucket, (value) => { this.document[zone][place] = { field: bare, bucket: value }; this.changed(); }));
    }
    if (zone === "pivot_filters" && item.field) {
      made.append(this.select(`Condition on ${label}`, ReportBuilder.OPERATORS, item.operator, (value) => {
        item.operator = value;
        if (value.startsWith("is_")) delete item.value; else if (item.value === undefined) item.value = "";
        this.changed();
      }));
      if (!item.operator.startsWith("is_")) {
        const box = Object.assign(document.createElement("input"), { value: item.value === undefined ? "" : String(item.value) });
        box.setAttribute("aria-label", `Value for ${label}`);
        box.addEventListener("change", () => { item.value = this.typed(field, item.operator, box.value); this.changed(); });
        made.append(box);
      }
    }
    const move = (step) => {
      const items = this.document[zone];
      const [taken] = items.splice(place, 1);
      items.splice(place + step, 0, taken);
      this.changed(`[data-zone="${zone}"] li:nth-child(${place + step + 1}) button`);
    };
    if (place > 0) made.append(this.button("↑", `Move ${label} up`, () => move(-1)));
    if (place < this.document[zone].length - 1) made.append(this.button("↓", `Move ${label} down`, () => move(1)));
    if (zone === "pivot_rows" || zone === "pivot_columns") {
      const other = zone === "pivot_rows" ? "pivot_columns" : "pivot_rows";
      made.append(this.button("⇄", `Move ${label} to ${other === "pivot_rows" ? "rows" : "columns"}`, () => {
        this.document[other].push(...this.document[zone].splice(place, 1));
        this.changed(`[data-zone="${other}"] li:last-child button`);
      }));
    }
    made.append(this.button("×", `Remove ${label}`, () => { this.document[zone].splice(place, 1); this.changed("#rp-find"); }));
    return made;
  }

  typed(field, operator, text) {
    if (operator === "in" || operator === "not_in") return text.split(",").map((part) => part.trim()).filter(Boolean);
    if (field && field.kind === "boolean") return text.trim().toLowerCase() === "true" || text.trim().toLowerCase() === "yes";
    if (field && field.kind === "integer" && /^-?\d+$/.test(text.trim())) return Number(text);
    return text.trim();
  }

  select(label, options, value, work) {
    const made = document.createElement("select");
    made.setAttribute("aria-label", label);
    for (const option of options) made.append(Object.assign(document.createElement("option"), { value: option, textContent: option.replaceAll("_", " "), selected: option === value }));
    made.addEventListener("change", () => work(made.value));
    return made;
  }

  renderSort() {
    const box = this.root.querySelector("#rp-sort");
    const names = this.document.pivot_values.map((item) => item.name || (item.field === "count" || !item.field ? "count" : `${item.field.replaceAll(".", "_")}_${item.aggregation}`));
    const by = (this.document.sort || {}).by || "label";
    const choices = [["label", "Name"], ...names.map((name) => [name, `${name.replaceAll("_", " ")}, largest first`])];
    box.replaceChildren(...choices.map(([value, textContent]) => Object.assign(document.createElement("option"), { value, textContent, selected: value === by })));
  }

  async send(url, body) {
    const answer = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": this.root.querySelector("[name=csrfmiddlewaretoken]").value },
      body: JSON.stringify(body),
    });
    try { return await answer.json(); } catch { return { problem: "The server did not answer as expected. Load the page again." }; }
  }

  async preview() {
    const asked = (this.asked = (this.asked || 0) + 1);
    const status = this.root.querySelector("#rp-status");
    const problem = this.root.querySelector("#rp-problem");
    status.textContent = "Calculating…";
    let found;
    try {
      found = await this.send(this.root.dataset.preview, { ...this.document, id: this.state.id, is_saved: this.isSaved, theme: reportTheme(), name: this.root.querySelector("#rp-name").value });
    } catch { found = { problem: "The server cannot be reached." }; }
    if (asked !== this.asked) return;
    status.textContent = found.problem || this.isSaved ? "" : "Not saved yet. Once saved, each number leads to its records.";
    problem.hidden = !found.problem;
    problem.textContent = found.problem || "";
    if (found.problem) return;
    this.root.querySelector("#rp-result").innerHTML = found.html;
    const drawn = this.root.querySelector("#rp-drawn");
    drawn.hidden = !found.chart || !window.vegaEmbed;
    if (found.chart) drawReport(drawn, found.chart);
  }

  async save(asNew) {
    const value = (id) => this.root.querySelector(id).value;
    const checked = (id) => this.root.querySelector(id).checked;
    const found = await this.send(this.root.dataset.save, {
      ...this.document,
      id: asNew ? "" : this.state.id,
      version: asNew ? null : this.state.version,
      name: value("#rp-name"),
      description: value("#rp-description"),
      visibility: value("#rp-visibility"),
      is_scheduled: checked("#rp-scheduled"),
      schedule_frequency: value("#rp-frequency"),
      schedule: { ...(this.state.settings.schedule || {}), time: value("#rp-time") || "08:00", per_recipient: checked("#rp-each") },
      schedule_recipients: value("#rp-recipients").split(/[\s,;]+/).filter(Boolean),
      delivery_format: value("#rp-delivery"),
    }).catch(() => ({ problem: "The server cannot be reached." }));
    const problem = this.root.querySelector("#rp-save-problem");
    problem.hidden = !found.problem;
    problem.textContent = found.problem || "";
    if (found.url) window.location.assign(found.url);
  }
}
ReportBuilder.ZONES = ["pivot_rows", "pivot_columns", "pivot_values", "pivot_filters"];
ReportBuilder.SHOWN = ["value", "share_of_row", "share_of_column", "share_of_total", "running_total", "difference", "growth"];
ReportBuilder.OPERATORS = ["is_not_null", "is_null", "eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "contains"];

document.addEventListener("DOMContentLoaded", () => {
  drawReports();
  new MutationObserver((changes) => { if (changes.some((change) => change.attributeName === "class")) drawReports(); })
    .observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  const root = document.querySelector("[data-report-builder]");
  if (root) new ReportBuilder(root);
});
