// The sliders of a term sheet: figures between the nodes that a worker computed, by multilinear interpolation (of the
// logarithm where a figure is a probability). Nothing is asked of a server: a move of a slider takes well under a
// millisecond. The grid stands in the page as JSON: {axes: {pd, severity, rho, load, base}, classes: [{symbol, grid}]}.

const AXES = ["pd", "severity", "rho", "load"];
const SMALLEST = 1e-12;
const TOP = 1000; // of a slider

const wanted = new Map();

// A slider runs evenly from node to node, so that every node has the same room whatever its distance to the next.
const toValue = (nodes, position) => {
  if (nodes.length === 1) return nodes[0];
  const at = Math.min((position / TOP) * (nodes.length - 1), nodes.length - 1);
  const low = Math.min(Math.floor(at), nodes.length - 2);
  return nodes[low] + (at - low) * (nodes[low + 1] - nodes[low]);
};
const toPosition = (nodes, value) => {
  if (nodes.length === 1) return 0;
  const above = nodes.findIndex((node) => node >= value);
  const high = Math.max(1, above === -1 ? nodes.length - 1 : above);
  return (TOP * (high - 1 + (value - nodes[high - 1]) / (nodes[high] - nodes[high - 1]))) / (nodes.length - 1);
};

function place(nodes, value) {
  if (nodes.length === 1) return [[0, 1]];
  const above = nodes.findIndex((node) => node >= value);
  const high = Math.max(1, above === -1 ? nodes.length - 1 : above);
  const share = (value - nodes[high - 1]) / (nodes[high] - nodes[high - 1]);
  return [[high - 1, 1 - share], [high, share]].filter(([, weight]) => weight > 0);
}

export function interpolate(flat, axes, values, logarithmic) {
  const corners = axes.reduce(
    (found, nodes, axis) => found.flatMap(([index, weight]) => place(nodes, values[axis]).map(([at, share]) => [index * nodes.length + at, weight * share])),
    [[0, 1]],
  );
  const sum = corners.reduce((total, [index, weight]) => total + weight * (logarithmic ? Math.log(Math.max(flat[index], SMALLEST)) : flat[index]), 0);
  return logarithmic ? Math.exp(sum) : sum;
}

const percent = (value) => (value < 1e-5 ? "below 0.001 %" : `${(100 * value).toLocaleString("en", { maximumFractionDigits: 3, minimumFractionDigits: 3 })} %`);
const SHOWN = {
  pd: (value) => `${value.toFixed(2)} × today's`,
  severity: (value) => `${value.toFixed(2)} × today's`,
  rho: (value) => value.toFixed(2),
  load: (value) => value.toFixed(3),
};

function draw(card) {
  const { axes, classes } = JSON.parse(document.getElementById("sheet-grid").textContent);
  const values = AXES.map((axis) => wanted.get(axis) ?? axes.base[axis]);
  AXES.forEach((axis, i) => {
    const slider = card.querySelector(`[data-axis="${axis}"]`);
    slider.disabled = axes[axis].length === 1;
    if (document.activeElement !== slider) slider.value = toPosition(axes[axis], values[i]);
    card.querySelector(`[data-shows="${axis}"]`).textContent = SHOWN[axis](values[i]);
    slider.setAttribute("aria-valuetext", SHOWN[axis](values[i]));
  });
  for (const { symbol, grid } of classes) {
    const row = card.querySelector(`[data-class="${CSS.escape(symbol)}"]`);
    for (const figure of ["el", "pfl", "pll"]) {
      row.querySelector(`[data-out="${figure}"]`).textContent = percent(interpolate(grid[figure], AXES.slice(0, 3).map((axis) => axes[axis]), values, true));
    }
    const spread = 1e4 * interpolate(grid.spread, AXES.map((axis) => axes[axis]), values, false);
    row.querySelector('[data-out="spread"]').textContent = `${Math.ceil(spread - 0.05).toLocaleString("en")} bp`;
  }
}

const card = () => document.querySelector("[data-sheet-sliders]");
document.addEventListener("input", (event) => {
  const axis = event.target.dataset?.axis;
  if (!axis || !card()) return;
  const { axes } = JSON.parse(document.getElementById("sheet-grid").textContent);
  wanted.set(axis, toValue(axes[axis], Number(event.target.value)));
  draw(card());
});
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-reset]") || !card()) return;
  wanted.clear();
  draw(card());
});
document.addEventListener("htmx:afterSettle", () => card() && draw(card()));
if (card()) draw(card());
