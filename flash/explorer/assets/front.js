"use strict";
// The front as data: which designs limits keep, its picks, the commands, the narrowed space.
const facts = JSON.parse(document.getElementById("facts").textContent);
const quantities = new Map(facts.quantities.map((one) => [one.name, one]));
const count = facts.ids.length;
const places = new Map(facts.ids.map((id, k) => [id, k]));
const state = {
  limits: new Map(), // name of a quantity -> bound, in its unit
  selected: 0,
  ticks: facts.variables.map((one) => new Set(one.grid.keys())), // positions of values
  kept: [],
};

function valueOf(name, k) {
  return quantities.get(name).value[k];
}

function meets(name, bound, value) {
  return value !== null && (quantities.get(name).sense === "max" ? value >= bound : value <= bound);
}

// What a limit holds: the value, or with --confidence the far end of that interval.
function limited(name, k) {
  const one = quantities.get(name), value = one.value[k];
  if (!facts.far || !one.low || value === null) return value;
  if (name === "accuracy") return value - (value - one.low[k]) * facts.far;
  return value * (one.high[k] / value) ** facts.far;
}

// Designs within the limits on objectives. They are the exact front under these limits: whatever
// beats one of them is within the limits too, so it would have beaten it before.
function keptDesigns() {
  const limits = [...state.limits].filter(([name]) => facts.objectives.includes(name));
  const kept = [];
  for (let k = 0; k < count; k++) {
    if (limits.every(([name, bound]) => meets(name, bound, limited(name, k)))) kept.push(k);
  }
  return kept;
}

function best(designs, cost) {
  return designs.reduce((found, k) => (found < 0 || cost(k) < cost(found) ? k : found), -1);
}

// Distance to the ideal point, objectives scaled to 0..1 over the designs, costs by logarithm.
function distances(designs) {
  const found = new Map(designs.map((k) => [k, 0]));
  for (const name of facts.objectives) {
    const one = quantities.get(name);
    const scale = one.sense === "min" && designs.every((k) => one.value[k] > 0) ? Math.log : (v) => v;
    const values = designs.map((k) => (one.sense === "min" ? 1 : -1) * scale(one.value[k]));
    const low = Math.min(...values), span = Math.max(...values) - low || 1;
    designs.forEach((k, i) => found.set(k, found.get(k) + ((values[i] - low) / span) ** 2));
  }
  return found;
}

// As good within its interval: the end of the interval reaches the value of the best.
function reaches(name, k, than) {
  const one = quantities.get(name);
  if (one.sense === "max") return (one.high ? one.high[k] : one.value[k]) >= one.value[than];
  return (one.low ? one.low[k] : one.value[k]) <= one.value[than];
}

// The best by a cost, or one inside what was measured that is as good within its intervals.
function pick(designs, cost, names) {
  const found = best(designs, cost);
  if (found < 0 || facts.outside[found] === "0") return found;
  const inside = best(
    designs.filter((k) => facts.outside[k] === "0" && names.every((name) => reaches(name, k, found))),
    cost,
  );
  return inside < 0 ? found : inside;
}

function picksOf(designs) {
  if (designs.length === count) {
    return Object.entries(facts.picks).map(([name, id]) => [name, places.get(id)]);
  }
  const far = distances(designs), name = quantities.has("accuracy") ? "accuracy" : facts.score;
  return [
    ["fastest", pick(designs, (k) => valueOf("latency_ms", k), ["latency_ms"])],
    ["balanced", pick(designs, (k) => far.get(k), facts.objectives)],
    [name === "accuracy" ? "most accurate" : "best score", pick(designs, (k) => -valueOf(name, k), [name])],
  ];
}

// ------------------------------------------------------------------------------------ commands
function shellWord(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : "'" + word.replaceAll("'", "'\\''") + "'";
}

function limitWords(limits) {
  const words = [];
  for (const [name, bound] of limits) {
    const one = quantities.get(name);
    if (one && one.option) words.push(one.option, `${bound}${one.suffix}`);
  }
  return words;
}

// The limits of the search itself, or tighter ones of the reader.
function allLimits() {
  const limits = new Map(Object.entries(facts.limits));
  for (const [name, bound] of state.limits) {
    if (!limits.has(name) || meets(name, limits.get(name), bound)) limits.set(name, bound);
  }
  return limits;
}

function command(replaced = {}) {
  const words = facts.command.slice();
  for (const [option, value] of Object.entries(replaced)) {
    const at = words.indexOf(option);
    if (at < 0) words.push(option, value);
    else words[at + 1] = value;
  }
  return [...words, ...limitWords(allLimits())].map(shellWord).join(" ");
}

function narrowed() {
  const lines = facts.variables
    .map((one, k) => [one, [...state.ticks[k]].sort((a, b) => a - b).map((at) => one.grid[at])])
    .filter(([one]) => !one.chip)
    .map(([one, values]) => `${one.name} = [${values.join(", ")}]`);
  return `${facts.toml}\n[variables]\n${lines.join("\n")}\n`;
}

function narrowedSize() {
  return facts.variables.reduce((n, one, k) => (one.chip ? n : n * BigInt(state.ticks[k].size)), 1n);
}

// ------------------------------------------------------------------------------------- numbers
function short(value, digits = 3) {
  if (value === null || value === undefined) return "-";
  const size = Math.abs(value);
  for (const [unit, name] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (size >= unit) {
      const scale = name === "k" ? 1e3 : unit;
      return Number((value / scale).toPrecision(digits)).toString() + name;
    }
  }
  if (size >= 10 ** (digits - 1)) return Math.round(value).toString();
  return Number(value.toPrecision(digits)).toString();
}

function withUnit(name, k) {
  const one = quantities.get(name), value = one.value[k];
  if (one.unit === "kB" && value >= 1000) return `${short(value / 1000)} MB`;
  return `${short(value)}${one.unit ? " " + one.unit : ""}`;
}

function mark(name, k) {
  if (name === "latency_ms" && facts.outside[k] === "1") return "*";
  return name === "accuracy" && facts.untrained[k] === "1" ? "^" : "";
}

function interval(name, k) {
  const one = quantities.get(name);
  return one.low && one.low[k] !== null ? `${short(one.low[k])} to ${short(one.high[k])}` : "";
}

function nameOf(k) {
  const known = facts.layers[k];
  if (known) return known.text;
  return facts.variables.map((one) => `${one.name}=${one.grid[one.of[k]]}`).join(" ");
}
