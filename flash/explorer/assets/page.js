// The page: what it says, and what happens when somebody touches it. Text is set as text.
const $ = (id) => document.getElementById(id);
const FIRST_ROWS = 60;
const view = { x: "latency_ms", y: facts.score, whiskers: count <= 40, rows: FIRST_ROWS };
let chart = null, map = null;

function make(tag, text, attributes = {}, ...children) {
  const found = document.createElement(tag);
  if (text !== null && text !== undefined) found.textContent = text;
  for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
  found.append(...children);
  return found;
}

function heading(name) {
  const one = quantities.get(name);
  const label = name === "accuracy" ? `predicted ${one.label}` : one.label;
  return one.unit ? `${label} (${one.unit})` : label;
}

function designs(n) {
  return `${n.toLocaleString("en")} design${n === 1 ? "" : "s"}`;
}

// ------------------------------------------------------------------------------------ the head
function showHead() {
  $("title").textContent = `${facts.space} on ${facts.device || facts.target}`;
  const over = facts.objectives.map((name) => quantities.get(name).label).join(", ");
  const size = Number(facts.size);
  const whole = size < 1e6 ? size.toLocaleString("en") : short(size);
  $("subtitle").textContent = `Pareto front over ${over}: ${designs(count)} out of ${whole}`;
  $("certificate").textContent = facts.certificate;
  $("certificate").classList.toggle("yes", facts.certificate.startsWith("certified"));
}

function showPicks() {
  const cards = picksOf(state.kept).filter(([, k]) => k >= 0).map(([name, k]) => {
    const card = make("button", null, { class: "card", type: "button", "data-id": facts.ids[k] });
    card.append(make("b", name));
    const main = make("div", withUnit("latency_ms", k) + mark("latency_ms", k), { class: "main" });
    main.append(make("i", `  ${interval("latency_ms", k)}`));
    card.append(main);
    const score = quantities.get(facts.score);
    const range = interval(facts.score, k);
    card.append(make("small", `${score.label} ${withUnit(facts.score, k)}${mark(facts.score, k)}${range && ` (${range})`}`));
    const rest = ["energy_mj", "area_mm2", "memory_kb"].filter((q) => quantities.has(q) && !(q === facts.score));
    card.append(make("small", rest.map((q) => `${quantities.get(q).label} ${withUnit(q, k)}`).join(", ")));
    card.append(make("div", nameOf(k), { class: "mono", title: nameOf(k) }));
    card.setAttribute("aria-pressed", String(k === state.selected));
    card.addEventListener("click", () => select(k));
    return card;
  });
  $("picks").replaceChildren(...cards);
}

// ------------------------------------------------------------------------------------ the front
function showChart() {
  if (chart) chart.destroy();
  const scaleOf = (name, room) => {
    const one = quantities.get(name), log = isLog(name);
    let values = one.value.filter((v) => v !== null);
    const shown = view.whiskers ? state.kept : name === facts.score ? [] : picksOf(state.kept).map(([, k]) => k);
    if (one.low) for (const k of shown) if (k >= 0) values = values.concat(one.low[k], one.high[k]);
    if (name === facts.score && view.x === "latency_ms") for (const b of facts.baselines) values = values.concat(b.y);
    for (const own of facts.own) if (own[name]) values = values.concat(own[name][0]);
    return { log, title: heading(name), values: one.value, range: spread(values, log, room) };
  };
  chart = new Scatter($("chart"), {
    x: scaleOf(view.x, 0.05), y: scaleOf(view.y, 0.07), height: 430, layers: frontLayers(view), brush: true,
  });
  chart.onBrush = ({ x, y }) => {
    if (x) limitBy(view.x, x);
    if (y) limitBy(view.y, y);
    update();
  };
  const points = () => state.kept.map((k) => [k, quantities.get(view.x).value[k], quantities.get(view.y).value[k]]);
  hover(chart, points, (k) => {
    const lines = [nameOf(k)];
    for (const name of new Set([view.x, view.y, ...facts.objectives])) {
      lines.push(`${quantities.get(name).label} ${withUnit(name, k)}${mark(name, k)} ${interval(name, k) && `(${interval(name, k)})`}`);
    }
    return lines.join("\n");
  });
  showKey();
}

function hover(scatter, points, words) {
  let began = null;
  scatter.plot.over.addEventListener("mousemove", (event) => {
    const k = scatter.nearest(event, points());
    $("tip").hidden = k < 0;
    if (k < 0) return;
    $("tip").textContent = words(k);
    $("tip").style.left = `${Math.min(event.clientX + 14, innerWidth - 350)}px`;
    $("tip").style.top = `${event.clientY + 16}px`;
  });
  scatter.plot.over.addEventListener("mouseleave", () => ($("tip").hidden = true));
  scatter.plot.over.addEventListener("mousedown", (event) => (began = [event.clientX, event.clientY]));
  scatter.plot.over.addEventListener("click", (event) => {
    if (began && Math.hypot(event.clientX - began[0], event.clientY - began[1]) > 4) return;
    const k = scatter.nearest(event, points());
    if (k >= 0) select(k);
  });
}

// A range on an axis as the limit that the quantity has: at most where less is better.
function limitBy(name, [low, high]) {
  const bound = quantities.get(name).sense === "min" ? high : low;
  state.limits.set(name, Number(bound.toPrecision(4)));
}

function showKey() {
  const parts = [["", css("blue"), "Pareto front, kept"], ["", css("pale"), "outside the limits"], ["ring", css("ink"), "pick, with its interval"]];
  if (view.x === "latency_ms" && view.y === facts.score) {
    facts.baselines.forEach((one, i) => {
      if (one.name === "random designs") parts.push(["", css("grey"), one.name]);
      else parts.push(["", css(COLOURS[i % 2]), `${one.name} for the latency`]);
    });
  }
  for (const one of facts.own) parts.push(["square", css("violet"), one.name]);
  $("key").replaceChildren(...parts.map(([kind, colour, words]) => {
    const sign = make("i", null, { class: kind });
    if (kind === "" || kind === "square") sign.style.background = colour;
    sign.style.borderColor = colour;
    const item = make("li", null, {}, sign);
    item.append(words);
    return item;
  }));
}

function showAxes() {
  const rising = [...quantities.values()].filter((one) => one.sense === "max");
  const falling = [...quantities.values()].filter((one) => one.sense === "min");
  for (const [id, list, key] of [["axis-y", rising, "y"], ["axis-x", falling, "x"]]) {
    const options = list.map((one) => make("option", one.label, { value: one.name }));
    $(id).replaceChildren(...options);
    $(id).setAttribute("aria-label", key === "y" ? "Quantity upwards" : "Quantity to the right");
    $(id).value = view[key];
    $(id).addEventListener("change", () => { view[key] = $(id).value; showChart(); });
  }
  $("whiskers").checked = view.whiskers;
  $("whiskers").addEventListener("change", () => { view.whiskers = $("whiskers").checked; showChart(); });
}

// ----------------------------------------------------------------------------------- the limits
function showLimits() {
  const rows = [...quantities.values()].filter((one) => one.option).map((one) => {
    const other = !facts.objectives.includes(one.name);
    const field = make("input", null, { type: "text", inputmode: "decimal", id: `limit-${one.name}`, autocomplete: "off" });
    if (one.name in facts.limits) field.placeholder = short(facts.limits[one.name], 4);
    field.addEventListener("input", () => {
      const text = field.value.trim(), bound = Number(text);
      const wrong = text !== "" && !(Number.isFinite(bound) && bound >= 0);
      field.setAttribute("aria-invalid", String(wrong));
      if (wrong) return;
      if (text === "") state.limits.delete(one.name);
      else state.limits.set(one.name, bound);
      update(field);
    });
    const words = `${one.label} ${one.sense === "min" ? "at most" : "at least"}`;
    return make("label", null, other ? { class: "other" } : {}, make("span", words), field, make("span", one.unit));
  });
  $("limits").replaceChildren(...rows);
  $("limits").addEventListener("submit", (event) => event.preventDefault());
  $("reset").addEventListener("click", reset);
}

function reset() {
  state.limits.clear();
  update();
}

function why() {
  const others = [...state.limits.keys()].filter((name) => !facts.objectives.includes(name));
  if (others.length) {
    const names = others.map((name) => quantities.get(name).label).join(" and ");
    return `${names} ${others.length > 1 ? "are" : "is"} no objective of this front: under such a limit other designs, not on this page, may be best. The command finds them.`;
  }
  if (state.kept.length === 0) return "No design of the front is within these limits, so none of the space is.";
  if (facts.far && state.limits.size) return "Limits hold at the far end of an interval here: designs that another beats by its value alone may be best under them. The command finds them.";
  return state.limits.size ? "These are the exact front under the limits: what beats one of them would be within the limits too." : "";
}

// ----------------------------------------------------------------------------------- one design
function showDesign() {
  const k = state.selected;
  $("design-text").textContent = `${facts.ids[k]}: ${nameOf(k)}`;
  const rows = [];
  for (const one of quantities.values()) {
    if (one.value[k] === null) continue;
    rows.push(make("dt", one.label), make("dd", withUnit(one.name, k) + mark(one.name, k)), make("dd", interval(one.name, k)));
  }
  $("numbers").replaceChildren(...rows);
  const known = facts.layers[k];
  const [energy, time] = [3, 2].map((at) => (known ? known.rows.reduce((sum, row) => sum + row[at], 0) : 0));
  const share = (value, whole) => `${((100 * value) / whole).toFixed(1)} %`;
  const most = known ? [3, 2].map((at) => Math.max(...known.rows.map((row) => row[at]))) : [];
  const bar = (value, longest, kind) => {
    const found = make("span", null, { class: `fill ${kind}` });
    found.style.width = `${(100 * value) / longest}%`;
    return found;
  };
  const lines = (known ? known.rows : []).map((row) => {
    const bars = make("td", null, { class: "share" }, bar(row[2], most[1], ""));
    if (energy > 0) bars.append(bar(row[3], most[0], "energy"));
    const cells = [make("td", row[0]), make("td", row[1]), make("td", `${short(row[2])} ms`), make("td", share(row[2], time))];
    if (energy > 0) cells.push(make("td", share(row[3], energy)));
    return make("tr", null, {}, ...cells, bars);
  });
  const titles = ["layer", "operation", "latency", "share", ...(energy > 0 ? ["of energy"] : []), ""];
  const head = make("thead", null, {}, make("tr", null, {}, ...titles.map((title) => make("th", title))));
  $("layers").replaceChildren(...(known ? [head, make("tbody", null, {}, ...lines)] : []));
  const design = JSON.stringify(Object.fromEntries(facts.variables.filter((v) => !v.chip).map((v) => [v.name, v.grid[v.of[k]]])));
  $("layers-note").textContent = known
    ? "Layers as the target runs them, each with its share of the latency" + (energy > 0 ? " (blue) and of the energy (orange)." : ".")
    : `To keep this page small it has the layers of ${Object.keys(facts.layers).length} designs, not of this one: echo '${design}' | flash estimate --space ${shellWord(option("--space"))} --target ${shellWord(option("--target"))} --designs - --layers`;
}

function option(name) {
  return facts.command[facts.command.indexOf(name) + 1];
}

function select(k) {
  state.selected = k;
  showDesign();
  showPicks();
  markRow();
  chart.redraw();
  if (map) map.redraw();
  $("announce").textContent = `${quantities.get(facts.score).label} ${withUnit(facts.score, k)}, latency ${withUnit("latency_ms", k)}`;
}

function onKey(event) {
  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };
  const at = state.kept.indexOf(state.selected), last = state.kept.length - 1;
  if (event.key === "Escape") return reset();
  if (last < 0) return;
  if (event.key === "Home") select(state.kept[0]);
  else if (event.key === "End") select(state.kept[last]);
  else if (event.key in steps) select(state.kept[Math.min(Math.max(at + steps[event.key], 0), last)]);
  else return;
  event.preventDefault();
}

// ------------------------------------------------------------------------------------ narrowing
// Rows of the bars, a list a variable, each a value's row with its tick, bar and number.
let bars = [];

function makeVariables() {
  const groups = facts.variables.map((one, v) => {
    const group = make("fieldset", null, { class: "variable" });
    const legend = make("legend", `${one.name} `);
    legend.append(make("small", one.chip ? "of the chip" : `${one.grid.length} values`));
    group.append(legend);
    bars[v] = one.grid.map((value, at) => {
      const tick = make("input", null, { type: "checkbox", "data-variable": one.name, "data-value": value });
      tick.disabled = one.chip;
      tick.addEventListener("change", () => {
        if (tick.checked) state.ticks[v].add(at);
        else if (state.ticks[v].size > 1) state.ticks[v].delete(at);
        showTicks();
        showNarrowed();
      });
      const bar = make("u"), number = make("em");
      const row = make("label", null, { class: "value" }, tick, make("span", value), make("div", null, {}, bar), number);
      group.append(row);
      return { row, tick, bar, number };
    });
    return group;
  });
  $("variables").replaceChildren(...groups);
}

function showTicks() {
  bars.forEach((rows, v) => rows.forEach(({ row, tick }, at) => {
    tick.checked = state.ticks[v].has(at);
    row.classList.toggle("off", !tick.checked);
  }));
}

function showCounts() {
  facts.variables.forEach((one, v) => {
    const counts = one.grid.map(() => 0);
    for (const k of state.kept) counts[one.of[k]]++;
    const most = Math.max(...counts, 1);
    bars[v].forEach(({ bar, number }, at) => {
      bar.style.width = `${(100 * counts[at]) / most}%`;
      number.textContent = counts[at] || "";
    });
  });
}

function showNarrowed() {
  $("toml").textContent = narrowed();
  $("save").href = `data:application/toml;charset=utf-8,${encodeURIComponent(narrowed())}`;
  $("narrow-command").textContent = command({ "--space": "./narrowed.toml" });
  const inside = state.kept.filter((k) => facts.variables.every((one, v) => state.ticks[v].has(one.of[k])));
  const whole = facts.variables.every((one, v) => state.ticks[v].size === one.grid.length);
  const rest = state.kept.length > inside.length ? "; others take the place of the rest" : "";
  $("narrow-count").textContent = whole
    ? `Every value is ticked: the file is the whole space, ${designs(narrowedSize())}.`
    : `The narrowed space has ${designs(narrowedSize())}. Of the ${state.kept.length.toLocaleString("en")} kept, ${inside.length.toLocaleString("en")} are in it${rest}.`;
}

function tickKept() {
  facts.variables.forEach((one, v) => {
    if (!one.chip && state.kept.length) state.ticks[v] = new Set(state.kept.map((k) => one.of[k]));
  });
  showTicks();
  showNarrowed();
}

function tickAll() {
  facts.variables.forEach((one, v) => (state.ticks[v] = new Set(one.grid.keys())));
  showTicks();
  showNarrowed();
}

// --------------------------------------------------------------------------- map, table, sources
function showMap() {
  const { x, y, axes } = facts.projection;
  const score = quantities.get(facts.score), known = score.value.filter((v) => v !== null);
  const low = Math.min(...known), span = Math.max(...known) - low || 1;
  $("map-hint").textContent = "Their variables on the two directions in which they differ most (principal components, with their share of the variance)";
  map = new Scatter($("map"), {
    x: { values: x, log: false, title: axes[0], range: spread(x, false, 0.06) },
    y: { values: y, log: false, title: axes[1], range: spread(y, false, 0.06) },
    height: 380, brush: false,
    layers: [(ctx, at, ratio) => {
      const kept = new Set(state.kept);
      const gone = [], steps = 32, shades = Array.from({ length: steps }, () => []);
      for (let k = 0; k < count; k++) {
        if (!kept.has(k)) gone.push([x[k], y[k]]);
        else shades[Math.min(Math.floor((steps * (score.value[k] - low)) / span), steps - 1)].push([x[k], y[k]]);
      }
      dots(ctx, at, gone, 2.4 * ratio, css("line"));
      shades.forEach((points, i) => dots(ctx, at, points, 4 * ratio, ramp((i + 0.5) / steps)));
      ring(ctx, ...at(x[state.selected], y[state.selected]), 8 * ratio, css("ink"), 2 * ratio);
    }],
  });
  hover(map, () => state.kept.map((k) => [k, x[k], y[k]]), (k) => `${nameOf(k)}\n${score.label} ${withUnit(facts.score, k)}, latency ${withUnit("latency_ms", k)}`);
  const strip = make("i");
  strip.style.background = `linear-gradient(90deg, ${[0, 0.25, 0.5, 0.75, 1].map(ramp).join(",")})`;
  $("ramp").replaceChildren(make("span", `${heading(facts.score)} ${short(low)}`), strip, make("span", short(low + span)));
}

function showTable() {
  const shown = [...quantities.keys()];
  $("designs").tHead.replaceChildren(make("tr", null, {}, make("th", "design"), ...shown.map((name) => make("th", heading(name)))));
  const rows = state.kept.slice(0, view.rows).map((k) => {
    const row = make("tr", null, { tabindex: "0", "data-id": facts.ids[k] }, make("td", nameOf(k), { class: "mono" }));
    for (const name of shown) {
      const cell = make("td", `${short(valueOf(name, k))}${mark(name, k)} `, { "data-value": String(valueOf(name, k)) });
      if (interval(name, k)) cell.append(make("small", interval(name, k).replace(" to ", "\u2013")));
      row.append(cell);
    }
    row.addEventListener("click", () => select(k));
    row.addEventListener("keydown", (event) => event.key === "Enter" && select(k));
    return row;
  });
  $("designs").tBodies[0].replaceChildren(...rows);
  $("more").hidden = state.kept.length <= view.rows;
  $("more").textContent = `Show all ${state.kept.length.toLocaleString("en")}`;
  markRow();
}

function markRow() {
  for (const row of $("designs").tBodies[0].rows) row.setAttribute("aria-selected", String(row.dataset.id === facts.ids[state.selected]));
}

function showSources() {
  const rows = facts.sources.flatMap(([topic, words]) => [make("dt", topic), make("dd", words)]);
  const meaning = [
    ["baselines", facts.baselines.length ? "the designs with most parameters, or most MACs, for their latency, and random ones: what one gets without a score" : "none for this search: they need one device whose layers' costs add up"],
    ["made by", `flash ${facts.flash}, ${command()}`],
  ];
  $("sources").replaceChildren(...rows, ...meaning.flatMap(([topic, words]) => [make("dt", topic), make("dd", words)]));
  $("notes").replaceChildren(...facts.notes.map((note) => make("li", note)));
}

// ------------------------------------------------------------------------------------ together
function update(typed) {
  state.kept = keptDesigns();
  for (const one of quantities.values()) {
    const field = $(`limit-${one.name}`);
    if (field && field !== typed) field.value = state.limits.has(one.name) ? String(state.limits.get(one.name)) : "";
  }
  $("count").textContent = `${state.kept.length.toLocaleString("en")} of ${designs(count)} kept`;
  $("command").textContent = command();
  $("why").textContent = why();
  $("reset").disabled = state.limits.size === 0;
  if (state.kept.length && !state.kept.includes(state.selected)) {
    state.selected = picksOf(state.kept)[1][1];
    showDesign();
  }
  view.rows = FIRST_ROWS;
  showPicks();
  showCounts();
  showNarrowed();
  showTable();
  if (chart) chart.redraw();
  if (map) map.redraw();
}

function theme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("theme").textContent = dark ? "Light" : "Dark";
  $("theme").setAttribute("aria-pressed", String(dark));
  if (chart) { chart.redraw(); map.redraw(); showKey(); }
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
theme(prefersDark.matches);
prefersDark.addEventListener("change", (event) => theme(event.matches));
$("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme !== "dark"));
$("tick-kept").addEventListener("click", tickKept);
$("tick-all").addEventListener("click", tickAll);
$("more").addEventListener("click", () => { view.rows = Infinity; showTable(); });
$("chart").addEventListener("keydown", onKey);
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => {
    const range = document.createRange();
    range.selectNodeContents($(button.dataset.copy));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    const done = navigator.clipboard ? navigator.clipboard.writeText($(button.dataset.copy).textContent) : Promise.reject();
    done.then(() => (button.textContent = "Copied"), () => (button.textContent = "Selected: copy it")).finally(() => setTimeout(() => (button.textContent = "Copy"), 1800));
  });
}
if (facts.chip) {
  $("chip").src = facts.chip;
  $("chip-panel").hidden = false;
}
showHead();
showLimits();
showAxes();
makeVariables();
showTicks();
state.kept = keptDesigns();
state.selected = places.get(facts.picks.balanced);
showChart();
showMap();
update();
showDesign();
showSources();
