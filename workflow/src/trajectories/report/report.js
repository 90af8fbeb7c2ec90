/* Draws the figures, and redraws them when a reader chooses models, the training axis or a dark page. Nothing is loaded from anywhere. */
"use strict";
(() => {
  const report = JSON.parse(document.getElementById("report-data").textContent);
  const state = { scale: "log", unit: "step", models: null };
  const copy = (value) => JSON.parse(JSON.stringify(value));
  const dark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };

  // --- data: stored by column, constants and repeated words once -----------------------------------------------------------
  const unpacked = new Map();
  function rows(key) {
    if (!unpacked.has(key)) {
      const { n, columns } = report.datasets[key];
      const readers = Object.entries(columns).map(([name, c]) => [name, "constant" in c ? () => c.constant : c.levels ? (i) => c.levels[c.codes[i]] : (i) => c.values[i]]);
      unpacked.set(key, Array.from({ length: n }, (_, i) => Object.fromEntries(readers.map(([name, read]) => [name, read(i)]))));
    }
    return unpacked.get(key);
  }
  const drawn = (row) => state.models === null || !("model" in row) || !report.models.includes(row.model) || state.models.has(row.model);

  // --- the specification as the reader wants it -----------------------------------------------------------------------------
  function walk(node, visit) {
    if (Array.isArray(node)) node.forEach((part) => walk(part, visit));
    else if (node && typeof node === "object") { visit(node); Object.values(node).forEach((part) => walk(part, visit)); }
  }
  function ticks(low, high) {
    const found = low <= 0 ? [0] : [];
    const factors = high < 1000 * Math.max(low, 1) ? [1, 2, 5] : [1];
    for (let power = 1; power <= high; power *= 10) for (const f of factors) if (f * power >= Math.max(low, 1) && f * power <= high) found.push(f * power);
    return found;
  }
  function trainingAxis(spec, sets) {
    let fixed = false; // a mark at a given step cannot follow to tokens
    walk(spec, (node) => { if (node.encoding?.x && "datum" in node.encoding.x) fixed = true; });
    const seen = Object.values(sets).flat().filter((row) => typeof row.step === "number");
    const unit = state.unit === "tokens" && !fixed && seen.every((row) => typeof row.tokens === "number") ? "tokens" : "step";
    let low = Infinity, high = 0, least = Infinity;
    for (const row of seen) { const v = row[unit]; low = Math.min(low, v); high = Math.max(high, v); if (v > 0) least = Math.min(least, v); }
    if (!(high > 0)) return;
    const span = () => {
      if (state.scale === "linear") return { scale: { type: "linear", domain: [0, high], nice: false }, axis: { tickCount: 5 } };
      if (low > 0 && low < high) return { scale: { type: "log", domain: [low, high], nice: false, padding: 6 }, axis: { values: ticks(low, high) } };
      const constant = unit === "tokens" ? least : 1;
      return { scale: { type: "symlog", constant, domain: [0, high], nice: false }, axis: { values: [0, ...ticks(constant, high)] } };
    };
    walk(spec, (node) => {
      const x = node.encoding?.x;
      if (!x || x.field !== "step" || x.type !== "quantitative") return;
      const { values, ...axis } = x.axis || {};
      const { scale, axis: marks } = span();
      Object.assign(x, { field: unit, title: unit === "tokens" ? "training tokens seen" : "training step", scale, axis: { ...axis, labelExpr: "format(datum.value, '~s')", ...marks } });
    });
  }
  function chosenModels(spec) {
    const names = new Set(report.models);
    walk(spec, (node) => {
      const scale = node.scale;
      if (!scale || !Array.isArray(scale.domain) || !Array.isArray(scale.range) || !scale.domain.every((name) => names.has(name))) return;
      const kept = scale.domain.map((name, i) => i).filter((i) => state.models.has(scale.domain[i]));
      node.scale = { ...scale, domain: kept.map((i) => scale.domain[i]), range: kept.map((i) => scale.range[i]) };
    });
  }
  function lighter(colour) {
    const parts = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    const bright = (p) => 0.2126 * p[0] + 0.7152 * p[1] + 0.0722 * p[2];
    let now = parts;
    for (let i = 0; i < 12 && bright(now) < 125; i++) now = now.map((v) => v + (255 - v) * 0.12);
    return "#" + now.map((v) => Math.round(v).toString(16).padStart(2, "0")).join("");
  }
  function forDark(spec) {
    const hex = /^#[0-9a-f]{6}$/i;
    walk(spec, (node) => {
      for (const key of ["color", "fill", "stroke"]) if (typeof node[key] === "string" && hex.test(node[key])) node[key] = lighter(node[key]);
      if (Array.isArray(node.range) && node.range.every((c) => typeof c === "string" && hex.test(c))) node.range = node.range.map(lighter);
    });
  }
  // charts take the room that there is: fewer, then wider panels; a chart that says its width may grow by half and shrink to fit
  function fitted(spec, sets, width) {
    const side = width < 560 ? 0 : 170;
    if (spec.facet?.field && spec.columns && typeof spec.spec?.width === "number") {
      const n = Math.max(1, new Set((sets[spec.data?.name] || []).map((row) => row[spec.facet.field])).size);
      const gap = 46, room = width - side;
      const most = Math.max(1, Math.min(spec.columns + 1, Math.floor(room / (spec.spec.width + gap))));
      const fewer = Math.max(most - 1, 1);
      spec.columns = n <= most ? n : n % most && n % fewer === 0 ? fewer : most;
      spec.spec.width = Math.max(140, Math.min(spec.spec.width * 1.6, room / spec.columns - gap));
      return;
    }
    for (const view of spec.vconcat || [spec]) {
      if (typeof view.width !== "number") continue;
      let named = false; // rows with names: these need room, and grow with it
      walk(view, (node) => { if (["nominal", "ordinal"].includes(node.encoding?.y?.type)) named = true; });
      view.width = Math.max(160, named ? Math.min(view.width, width - side - 190) : Math.min(view.width * 1.4, width - side - 76));
    }
  }
  function specification(figure, width, choice) {
    const spec = copy(figure.spec);
    const sets = Object.fromEntries(Object.entries(figure.datasets).map(([name, key]) => [name, rows(key).filter(drawn)]));
    if (state.models !== null) chosenModels(spec);
    if (figure.steps_axis) trainingAxis(spec, sets);
    if (dark()) forDark(spec);
    fitted(spec, sets, width);
    for (const param of spec.params || []) if (param.name === "choice" && choice !== undefined) param.value = choice;
    spec.config = copy(report.config[dark() ? "dark" : "light"]);
    spec.config.background = "transparent";
    if (width < 560) {
      spec.config.legend = { ...spec.config.legend, orient: "bottom" };
      walk(spec, (node) => { if (node.legend && typeof node.legend === "object") node.legend = { ...node.legend, columns: 2 }; });
    }
    spec.datasets = sets;
    return spec;
  }

  // --- drawing: a figure when it comes near, the others when the page is idle -------------------------------------------------
  const places = new Map([...document.querySelectorAll("[data-figure]")].map((element) => [element.dataset.figure, { element, view: null, wanted: 0, done: -1 }]));
  let version = 0;
  async function draw(id) {
    const place = places.get(id), figure = report.figures[id];
    if (!figure || place.done === version || place.wanted === version + 1) return;
    const mine = version;
    place.wanted = version + 1;
    const chart = place.element.querySelector(".chart");
    let choice;
    try { choice = place.view?.signal("choice"); } catch { choice = undefined; }
    try {
      const spec = specification(figure, chart.clientWidth || 640, choice);
      const size = Object.values(spec.datasets).reduce((sum, set) => sum + set.length, 0);
      if (size === 0) {
        place.view?.finalize();
        place.view = null;
        chart.replaceChildren(Object.assign(document.createElement("p"), { className: "waiting", textContent: "No model of this figure is chosen." }));
        place.done = mine;
        place.element.dataset.drawn = String(mine);
        return;
      }
      const result = await vegaEmbed(chart, spec, {
        mode: "vega-lite", renderer: size > 4000 ? "canvas" : "svg", ast: true, tooltip: { theme: dark() ? "dark" : "light" },
        actions: { export: true, source: false, compiled: false, editor: false }, downloadFileName: id,
      });
      place.view?.finalize();
      place.view = result.view;
      place.done = mine;
      place.element.dataset.drawn = String(mine);
    } catch (error) {
      chart.replaceChildren(Object.assign(document.createElement("p"), { className: "problem", textContent: `This figure could not be drawn: ${error.message}` }));
      place.done = mine;
      place.element.dataset.drawn = String(mine);
    }
    if (mine !== version) draw(id);
  }
  const near = new Set();
  const watcher = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) { near.add(target.dataset.figure); draw(target.dataset.figure); } else near.delete(target.dataset.figure);
    }
  }, { rootMargin: "600px" });
  for (const { element } of places.values()) watcher.observe(element);
  const idle = (call) => window.requestIdleCallback ? requestIdleCallback(call, { timeout: 150 }) : setTimeout(call, 60);
  async function rest() {
    const id = [...places.keys()].find((key) => places.get(key).done !== version);
    if (id === undefined || !report.figures[id]) return;
    await draw(id);
    idle(rest);
  }
  function redraw() { version += 1; for (const id of near) draw(id); idle(rest); }
  idle(rest);
  addEventListener("beforeprint", () => { for (const id of places.keys()) draw(id); });

  // --- what the reader chooses ------------------------------------------------------------------------------------------------
  const controls = document.querySelector(".controls");
  controls.hidden = false;
  const boxes = [...controls.querySelectorAll('input[name="model"]')];
  function models() {
    const on = boxes.filter((box) => box.checked).map((box) => box.value);
    state.models = on.length === boxes.length ? null : new Set(on);
    document.getElementById("chosen").textContent = `(${on.length} of ${boxes.length})`;
  }
  controls.addEventListener("change", ({ target }) => {
    if (target.name === "model") models();
    else if (target.name === "scale" || target.name === "unit") state[target.name] = target.value;
    redraw();
  });
  for (const button of controls.querySelectorAll("[data-all]")) button.addEventListener("click", () => { for (const box of boxes) box.checked = Boolean(button.dataset.all); models(); redraw(); });
  models();
  const menu = controls.querySelector("details.models");
  document.addEventListener("click", ({ target }) => { if (menu.open && !menu.contains(target)) menu.open = false; });
  document.addEventListener("keydown", ({ key }) => { if (key === "Escape" && menu.open) { menu.open = false; menu.querySelector("summary").focus(); } });
  const theme = document.getElementById("theme");
  theme.addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; theme.setAttribute("aria-pressed", String(dark())); redraw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let width = innerWidth, waiting;
  addEventListener("resize", () => { if (Math.abs(innerWidth - width) < 40) return; clearTimeout(waiting); waiting = setTimeout(() => { width = innerWidth; redraw(); }, 250); });
})();
