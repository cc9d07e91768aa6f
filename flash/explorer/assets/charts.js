// Pictures: uPlot's axes, cursor and brush, with a scatter of our own as the series' path.
const COLOURS = ["orange", "teal"]; // of the baselines, in their order
const RAMP = [[68, 1, 84], [65, 68, 135], [42, 120, 142], [34, 168, 132], [122, 209, 81], [253, 231, 37]];

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function ramp(share) {
  const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const k = Math.min(Math.floor(at), RAMP.length - 2);
  return `rgb(${RAMP[k].map((c, i) => Math.round(c + (at - k) * (RAMP[k + 1][i] - c))).join(",")})`;
}

// Values 1, 2 and 5 of each decade between the ends.
function logTicks(low, high) {
  const ticks = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) {
    for (const m of [1, 2, 5]) {
      const value = Number((m * 10 ** e).toPrecision(3));
      if (value >= low && value <= high) ticks.push(value);
    }
  }
  return ticks.length > 1 ? ticks : null;
}

function isLog(name) {
  const one = quantities.get(name);
  const values = one.value.filter((v) => v !== null);
  return one.sense === "min" && Math.min(...values) > 0 && Math.max(...values) > 5 * Math.min(...values);
}

function spread(values, log, room) {
  const known = values.filter((v) => Number.isFinite(v) && (!log || v > 0));
  let low = Math.min(...known), high = Math.max(...known);
  if (log) {
    const more = (high / low) ** room || 1.1;
    return high > low ? [low / more, high * more] : [low / 1.5, high * 1.5];
  }
  const more = (high - low) * room || Math.abs(high) * 0.1 || 1;
  return [low - more, high + more];
}

function axis(title, log) {
  return {
    label: title, labelSize: 28, labelFont: "13px system-ui, sans-serif", font: "12px system-ui, sans-serif",
    stroke: () => css("soft"), grid: { stroke: () => css("grid"), width: 1 },
    ticks: { stroke: () => css("line"), width: 1 }, size: 46, gap: 6,
    ...(log ? { splits: (u, i, low, high) => logTicks(low, high) || [low, high], filter: (u, splits) => splits } : {}),
    values: (u, splits) => splits.map((v) => (v === null ? "" : short(v))),
  };
}

// A chart of layers: each a function (context, x and y to canvas pixels) called from back to front.
class Scatter {
  constructor(root, { x, y, height, layers, brush }) {
    this.root = root;
    this.layers = layers;
    const scale = (one) => ({
      time: false, distr: one.log ? 3 : 1, log: 10, auto: false, range: () => one.range,
    });
    this.plot = new uPlot({
      mode: 2, width: this.width(), height, legend: { show: false },
      cursor: { drag: { x: brush, y: brush, setScale: false, uni: 20 }, points: { show: false } },
      scales: { x: scale(x), y: scale(y) },
      axes: [axis(x.title, x.log), { ...axis(y.title, y.log), size: 58 }],
      series: [{}, { facets: [{ scale: "x" }, { scale: "y" }], paths: (u) => this.draw(u) }],
      hooks: { setSelect: [(u) => brush && this.brushed(u)] },
      padding: [12, 16, 0, 0],
    }, [null, [x.values, y.values]], root);
    this.sized = new ResizeObserver(() => this.plot.setSize({ width: this.width(), height }));
    this.sized.observe(root);
  }

  width() {
    return Math.max(this.root.clientWidth, 280);
  }

  draw(u) {
    const { ctx } = u, ratio = devicePixelRatio || 1;
    const at = (x, y) => [u.valToPos(x, "x", true), u.valToPos(y, "y", true)];
    ctx.save();
    ctx.beginPath();
    ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
    ctx.clip();
    for (const layer of this.layers) layer(ctx, at, ratio, u);
    ctx.restore();
    return null;
  }

  brushed(u) {
    const { left, top, width, height } = u.select;
    if (width < 4 && height < 4) return;
    const values = {
      x: width < 4 ? null : [u.posToVal(left, "x"), u.posToVal(left + width, "x")],
      y: height < 4 ? null : [u.posToVal(top + height, "y"), u.posToVal(top, "y")],
    };
    // Where the brush is as high (or as wide) as the plot, that side sets no limit.
    if (values.x && width > u.over.clientWidth - 4) values.x = null;
    if (values.y && height > u.over.clientHeight - 4) values.y = null;
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.onBrush(values);
  }

  // The nearest of some points within 28 px of the pointer; -1 where there is none.
  nearest(event, points) {
    const box = this.plot.over.getBoundingClientRect();
    const px = event.clientX - box.left, py = event.clientY - box.top;
    let found = -1, least = 28 ** 2;
    for (const [k, x, y] of points) {
      const d = (this.plot.valToPos(x, "x") - px) ** 2 + (this.plot.valToPos(y, "y") - py) ** 2;
      if (d < least) [least, found] = [d, k];
    }
    return found;
  }

  redraw() {
    this.plot.redraw(true, true);
  }

  destroy() {
    this.sized.disconnect();
    this.plot.destroy();
    this.root.replaceChildren();
  }
}

// Edges tell markers apart where there are few, and take as long to draw as all else.
const MOST_EDGES = 700;

function dots(ctx, at, points, radius, fill, edge) {
  ctx.fillStyle = fill;
  ctx.beginPath();
  for (const [x, y] of points) {
    const [px, py] = at(x, y);
    ctx.moveTo(px + radius, py);
    ctx.arc(px, py, radius, 0, 2 * Math.PI);
  }
  ctx.fill();
  if (edge && points.length <= MOST_EDGES) {
    ctx.strokeStyle = edge;
    ctx.lineWidth = radius / 5;
    ctx.stroke();
  }
}

function line(ctx, at, points, colour, width, dash) {
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.setLineDash(dash);
  ctx.beginPath();
  points.forEach(([x, y], k) => ctx[k ? "lineTo" : "moveTo"](...at(x, y)));
  ctx.stroke();
  ctx.setLineDash([]);
}

// Layers of the picture of the front, over the quantities that ``view`` names.
function frontLayers(view) {
  const X = () => quantities.get(view.x), Y = () => quantities.get(view.y);
  const point = (k) => [X().value[k], Y().value[k]];
  const shownBaselines = () => (view.x === "latency_ms" && view.y === facts.score ? facts.baselines : []);
  const bars = (ctx, at, ratio, k, colour) => {
    const [x, y] = point(k);
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.4 * ratio;
    ctx.beginPath();
    if (X().low) [X().low[k], X().high[k]].forEach((end, i) => ctx[i ? "lineTo" : "moveTo"](...at(Math.max(end, x / 100), y)));
    if (Y().low) [Y().low[k], Y().high[k]].forEach((end, i) => ctx[i ? "lineTo" : "moveTo"](...at(x, end)));
    ctx.stroke();
  };
  return [
    (ctx, at, ratio) => {
      shownBaselines().forEach((one, i) => {
        const points = one.x.map((x, k) => [x, one.y[k]]);
        if (one.name === "random designs") return dots(ctx, at, points, 2 * ratio, css("grey") + "77");
        line(ctx, at, points, css(COLOURS[i % 2]) + "44", 1.2 * ratio, []);
        dots(ctx, at, points, 2.6 * ratio, css(COLOURS[i % 2]));
      });
    },
    (ctx, at, ratio) => {
      const kept = new Set(state.kept), gone = [];
      for (let k = 0; k < count; k++) if (!kept.has(k)) gone.push(point(k));
      dots(ctx, at, gone, 2.4 * ratio, css("pale"));
    },
    (ctx, at, ratio) => {
      if (view.whiskers) for (const k of state.kept) bars(ctx, at, ratio, k, css("blue") + "38");
      const size = state.kept.length <= 80 ? 4.4 : state.kept.length <= 600 ? 3.4 : 2.5;
      dots(ctx, at, state.kept.map(point), size * ratio, css("blue"), css("panel"));
    },
    (ctx, at, ratio, u) => {
      for (const [name, bound] of allLimits()) {
        if (name !== view.x && name !== view.y) continue;
        const [low, high] = name === view.x ? u.axes && [u.scales.y.min, u.scales.y.max] : [u.scales.x.min, u.scales.x.max];
        const ends = name === view.x ? [[bound, low], [bound, high]] : [[low, bound], [high, bound]];
        line(ctx, at, ends, css("red"), 1.3 * ratio, [6 * ratio, 4 * ratio]);
      }
    },
    (ctx, at, ratio, u) => {
      ctx.font = `600 ${13 * ratio}px system-ui, sans-serif`;
      const names = new Map(), placed = [];
      for (const [name, k] of picksOf(state.kept)) if (k >= 0) names.set(k, [...(names.get(k) || []), name]);
      for (const [k, labels] of names) {
        const [px, py] = at(...point(k));
        bars(ctx, at, ratio, k, css("ink"));
        ring(ctx, px, py, 6.5 * ratio, css("ink"), 2 * ratio);
        label(ctx, labels.join(", "), px, py, ratio, u.bbox, placed);
      }
    },
    (ctx, at, ratio) => {
      for (const one of facts.own) {
        const x = (one[view.x] || [])[0], y = (one[view.y] || [])[0];
        if (x === undefined) continue;
        const [px, py] = at(x, y === undefined ? Y().value[state.kept[0] ?? 0] : y);
        ctx.fillStyle = ctx.strokeStyle = css("violet");
        if (y === undefined) { // accuracy was not given: a line at its cost
          ctx.fillRect(px - ratio, 0, 2 * ratio, 1e5);
        } else {
          ctx.save();
          ctx.translate(px, py);
          ctx.rotate(Math.PI / 4);
          ctx.fillRect(-5 * ratio, -5 * ratio, 10 * ratio, 10 * ratio);
          ctx.restore();
        }
      }
    },
    (ctx, at, ratio) => {
      const [px, py] = at(...point(state.selected));
      bars(ctx, at, ratio, state.selected, css("blue"));
      dots(ctx, (x, y) => [x, y], [[px, py]], 5 * ratio, css("blue"), css("panel"));
      ring(ctx, px, py, 9 * ratio, css("blue"), 2 * ratio);
    },
  ];
}

function ring(ctx, x, y, radius, colour, width) {
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.stroke();
}

// A name beside a marker, with a halo: where the picture has room and no other name stands.
function label(ctx, text, x, y, ratio, box, placed) {
  const wide = ctx.measureText(text).width, high = 15 * ratio, gap = 10 * ratio;
  const spots = [[x + gap, y + gap], [x + gap, y - gap - high], [x - wide - gap, y - gap - high], [x - wide - gap, y + gap]];
  const free = ([left, top]) =>
    left >= box.left && left + wide <= box.left + box.width && top >= box.top && top + high <= box.top + box.height &&
    !placed.some(([l, t, w]) => left < l + w && l < left + wide && top < t + high && t < top + high);
  const [left, top] = spots.find(free) || spots[0];
  placed.push([left, top, wide]);
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  ctx.lineWidth = 4 * ratio;
  ctx.lineJoin = "round";
  ctx.strokeStyle = css("panel");
  ctx.strokeText(text, left, top);
  ctx.fillStyle = css("ink");
  ctx.fillText(text, left, top);
}
