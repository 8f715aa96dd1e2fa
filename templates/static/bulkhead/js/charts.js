// Charts drawn by echarts from the JSON that stands in the page:
//   <figure class="drawing" data-chart id="..."><script type="application/json">{...}</script>
//     <div class="chart-canvas" data-keep></div><figcaption>...</figcaption></figure>
// {kind: "lines", unit, series: [{name, tone, points: [[iso time or number, value]], step, area, dash}],
//    marks: [{at, label}], limits: [{value, label, tone}], top, x: "time" | "value", xName, tight (x from its least value on),
//    dots: [{name, tone, filled, points}], bands: [{from, to, label, tone}] along x, log (of the values)}
// {kind: "bars", unit, categories, series: [{name, tone, values}], stacked, lying}
// {kind: "heat", unit, columns, rows, values, beyond, xName, yName, words}: amounts by row and column; where `beyond` has
//    one, the cell is red and says so
// {kind: "ranges", unit, range_name, categories, ranges: [[low, high]], dots: [{value, tone}]}, one row a category
// {kind: "network", nodes: [{name, x, y, tone, size, label, quiet}], links: [{source, target, tone, width}]}: placed, directed
// {kind: "links", nodes: [{name, tone, size}], links: [{source, target, value, label}]}
// `tone` is ink, quiet, accent, ok, wait, bad, layer-1..3; colours follow the theme.

const drawn = new Map();
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const TONES = { ink: "ink", quiet: "quiet-line", accent: "accent", ok: "ok", wait: "wait", bad: "bad", "layer-1": "layer-1", "layer-2": "layer-2", "layer-3": "layer-3" };
const tone = (name) => css(TONES[name] ?? "accent");

function compact(value) {
  const size = Math.abs(value);
  const [unit, text] = size >= 1e9 ? [1e9, " bn"] : size >= 1e6 ? [1e6, " m"] : size >= 1e4 ? [1e3, " k"] : [1, ""];
  return `${(value / unit).toLocaleString("en", { maximumFractionDigits: 2 })}${text}`.replace("-", "−");
}

function common(data) {
  const axis = { axisLine: { lineStyle: { color: css("line-2") } }, axisLabel: { color: css("ink-3"), hideOverlap: true, margin: 14 }, splitLine: { lineStyle: { color: css("line") } }, axisTick: { show: false } };
  const named = [...(data.series ?? []).filter((one) => !one.quiet), ...(data.dots ?? [])].map((one) => one.name).filter(Boolean);
  const several = data.series?.length > 1 || named.length > 1;
  // On a phone the names break into lines: pages of a legend would hide some, and cut the rest.
  const narrow = window.innerWidth < 600;
  const nameLines = narrow ? Math.ceil(named.reduce((sum, name) => sum + 34 + 7 * name.length, 0) / (window.innerWidth - 96)) : 1;
  return {
    axis,
    option: {
      animation: false,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { left: 8, right: 16, top: several ? 18 + 22 * nameLines : 16, bottom: data.kind === "lines" && data.xName ? 24 : 8, containLabel: true },
      legend: { show: several, top: 0, left: 0, icon: "roundRect", itemWidth: 12, itemHeight: 4, type: narrow ? "plain" : "scroll", textStyle: { color: css("ink-2") }, data: named },
      // Rich text: an HTML tooltip would need inline styles, which the content policy refuses.
      tooltip: { trigger: "axis", renderMode: "richText", backgroundColor: css("surface"), borderColor: css("line-2"), textStyle: { color: css("ink"), fontSize: 12 }, valueFormatter: (value) => (value === null || value === undefined ? "–" : `${value.toLocaleString("en", { maximumFractionDigits: 2 })} ${data.unit ?? ""}`) },
    },
  };
}

function lines(data) {
  const { axis, option } = common(data);
  const marks = [
    ...(data.marks ?? []).map((mark) => ({ xAxis: mark.at, label: { formatter: mark.label, color: css("ink-2"), position: "insideEndTop" }, lineStyle: { color: css("ink-3"), type: "dashed" } })),
    ...(data.limits ?? []).map((limit) => ({ yAxis: limit.value, label: { formatter: limit.label, color: tone(limit.tone), position: "insideEndTop" }, lineStyle: { color: tone(limit.tone), type: "dashed" } })),
  ];
  return {
    ...option,
    xAxis: { type: data.x ?? "time", scale: Boolean(data.tight), name: data.xName, nameLocation: "middle", nameGap: 28, nameTextStyle: { color: css("ink-3") }, ...axis, splitLine: { show: false }, axisLabel: { ...axis.axisLabel, formatter: data.x === "value" ? compact : undefined } },
    yAxis: { type: data.log ? "log" : "value", scale: data.scale ?? true, max: data.top, ...axis, axisLine: { show: false }, axisLabel: { color: css("ink-3"), formatter: data.log ? (value) => String(Number(value.toPrecision(2))) : compact } },
    series: [...data.series.map((one, i) => ({
      type: "line", name: one.name, data: one.points, showSymbol: one.points.length < 3, symbolSize: 5, step: one.step ? "end" : false, silent: Boolean(one.quiet), z: one.quiet ? 1 : 3,
      lineStyle: { width: one.quiet ? 1 : 2, type: one.dash ? "dashed" : "solid", color: tone(one.tone) }, itemStyle: { color: tone(one.tone) }, areaStyle: one.area ? { color: tone(one.tone), opacity: 0.1 } : undefined,
      markLine: i === 0 && marks.length ? { symbol: "none", silent: true, data: marks } : undefined,
      markArea: i === 0 && data.bands ? { silent: true, data: data.bands.map((band) => [{ xAxis: band.from, name: band.label, itemStyle: { color: tone(band.tone), opacity: 0.18 }, label: { color: css("ink-2"), position: "insideTop", fontSize: 11 } }, { xAxis: band.to }]) } : undefined,
    })), ...(data.dots ?? []).map((one) => ({ type: "scatter", name: one.name, data: one.points, symbolSize: one.filled ? 9 : 7, z: 4, itemStyle: { color: one.filled ? tone(one.tone) : "transparent", borderColor: tone(one.tone), borderWidth: 1.5 } }))],
  };
}

// The code of an option is too long for one line: it breaks before the strike.
const inLines = (name) => (name.length > 14 ? name.replace(/^([^-]+-[^-]+)-/, "$1\n") : name);

function bars(data) {
  const { axis, option } = common(data);
  const sized = { type: "value", ...axis, axisLine: { show: false }, axisLabel: { color: css("ink-3"), formatter: compact, hideOverlap: true } };
  if (data.lying) {
    const narrow = window.innerWidth < 600;
    const room = narrow ? 124 : 248;
    return {
      ...option,
      grid: { ...option.grid, left: room, bottom: 28, containLabel: false },
      tooltip: { ...option.tooltip, axisPointer: { type: "shadow" } },
      xAxis: sized,
      yAxis: { type: "category", inverse: true, data: data.categories, ...axis, axisLabel: { ...axis.axisLabel, interval: 0, hideOverlap: false, width: room - 24, ...(narrow ? { overflow: "break", fontSize: 11, lineHeight: 12 } : { overflow: "truncate" }) } },
      series: data.series.map((one) => ({ type: "bar", name: one.name, data: one.values, stack: data.stacked ? "all" : undefined, barMaxWidth: 18, itemStyle: { color: tone(one.tone) } })),
    };
  }
  return {
    ...option,
    xAxis: { type: "category", data: data.categories, ...axis, axisLabel: { ...axis.axisLabel, interval: 0, hideOverlap: false, width: 96, overflow: "break", lineHeight: 15, formatter: inLines } },
    yAxis: sized,
    series: data.series.map((one) => ({ type: "bar", name: one.name, data: one.values, stack: data.stacked ? "all" : undefined, barMaxWidth: 36, itemStyle: { color: tone(one.tone) } })),
  };
}

function ranges(data) {
  const { axis, option } = common(data);
  const rows = data.categories.map((name, i) => i);
  return {
    ...option,
    legend: { show: false },
    tooltip: { ...option.tooltip, trigger: "axis", valueFormatter: undefined, formatter: ([first]) => `${first.name}: ${data.dots[first.dataIndex].value} ${data.unit}\n${data.range_name}: ${data.ranges[first.dataIndex].join(" to ")}` },
    grid: { left: 148, right: 16, top: 8, bottom: 28 },
    xAxis: { type: "value", ...axis, axisLine: { show: false } },
    yAxis: { type: "category", inverse: true, data: data.categories, ...axis, splitLine: { show: false }, axisLabel: { ...axis.axisLabel, interval: 0, hideOverlap: false, fontSize: 11 } },
    series: [
      { type: "bar", stack: "band", silent: true, data: data.ranges.map(([low]) => low), itemStyle: { color: "transparent" }, barWidth: "60%" },
      { type: "bar", stack: "band", silent: true, data: data.ranges.map(([low, high]) => high - low), itemStyle: { color: tone("quiet"), opacity: 0.55 } },
      { type: "scatter", symbolSize: 8, data: rows.map((i) => ({ value: [data.dots[i].value, i], itemStyle: { color: tone(data.dots[i].tone) } })) },
    ],
  };
}

// `#rrggbb` of a colour at this depth over another, and the text colour of the theme that stands out from it: a label that
// took the opacity of its cell would fade with it.
const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const over = (top, ground, depth) => `#${channels(top).map((value, i) => Math.round(value * depth + channels(ground)[i] * (1 - depth)).toString(16).padStart(2, "0")).join("")}`;
const light = (hex) => channels(hex).map((value) => value / 255).map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)).reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
const contrast = (one, other) => (Math.max(light(one), light(other)) + 0.05) / (Math.min(light(one), light(other)) + 0.05);
const legible = (fill) => (contrast(css("ink"), fill) >= contrast(css("surface"), fill) ? css("ink") : css("surface"));

// Amber deepens with the loss; red is what no layer takes. The cell says its number, or on a phone a mark where it is red,
// so that nothing hangs on the colour.
function heat(data) {
  const { axis, option } = common(data);
  const narrow = window.innerWidth < 600;
  const highest = Math.max(1, ...data.values.flat());
  const cells = data.values.flatMap((row, y) => row.map((value, x) => {
    const beyond = data.beyond[y][x];
    const depth = 0.25 + 0.6 * Math.sqrt(value / highest);
    const fill = value > 0 ? over(tone(beyond > 0 ? "bad" : "wait"), css("surface"), depth) : css("raised");
    return { value: [x, y, value], beyond, itemStyle: { color: fill, borderColor: css("surface"), borderWidth: 2 }, label: { color: legible(fill) } };
  }));
  const named = { nameLocation: "middle", nameTextStyle: { color: css("ink-3") }, splitLine: { show: false } };
  return {
    ...option,
    grid: { left: 32, right: 8, top: 8, bottom: narrow ? 28 : 24, containLabel: true },
    legend: { show: false },
    tooltip: { ...option.tooltip, trigger: "item", valueFormatter: undefined, formatter: (cell) => `${data.columns[cell.value[0]]}, ${data.yName} ${data.rows[cell.value[1]]}\n${compact(cell.value[2])} ${data.unit} ${data.words[0]}\n${compact(cell.data.beyond)} ${data.unit} ${data.words[1]}` },
    xAxis: { type: "category", data: data.columns, ...axis, ...named, name: data.xName, nameGap: narrow ? 48 : 30, axisLabel: { ...axis.axisLabel, interval: 0, hideOverlap: false, fontSize: narrow ? 9 : 11, rotate: narrow ? 90 : 0 } },
    yAxis: { type: "category", data: data.rows, ...axis, ...named, name: data.yName, nameGap: 56 },
    series: [{ type: "heatmap", data: cells, label: { show: true, fontSize: 11, formatter: (cell) => (narrow ? (cell.data.beyond > 0 ? "!" : "") : cell.value[2] > 0 ? (cell.value[2] / 1e6).toLocaleString("en", { maximumFractionDigits: 1 }) : "") }, emphasis: { itemStyle: { borderColor: css("ink") } } }],
  };
}

function links(data) {
  const { option } = common(data);
  return {
    ...option, legend: { show: false }, tooltip: { ...option.tooltip, trigger: "item", valueFormatter: undefined, formatter: (point) => point.data.label ?? point.name },
    series: [{
      type: "graph", layout: "none", roam: false, preserveAspect: "contain", top: 36, bottom: 36, left: 72, right: 72, label: { show: true, position: "bottom", distance: 4, color: css("ink") }, edgeLabel: { show: false },
      // The first node stands in the middle, the others around it.
      data: data.nodes.map((node, i) => {
        const angle = (2 * Math.PI * (i - 1)) / (data.nodes.length - 1) - Math.PI / 6;
        return { name: node.name, x: i ? Math.cos(angle) * 100 : 0, y: i ? Math.sin(angle) * 100 : 0, symbolSize: node.size ?? 18, itemStyle: { color: tone(node.tone) } };
      }),
      links: data.links.map((link) => ({ source: link.source, target: link.target, label: link.label, lineStyle: { color: css("line-2"), width: link.width ?? 2, curveness: 0 } })),
    }],
  };
}

function network(data) {
  const { option } = common(data);
  const narrow = window.innerWidth < 600;
  return {
    ...option, legend: { show: false }, tooltip: { ...option.tooltip, trigger: "item", valueFormatter: undefined, formatter: (point) => (point.dataType === "edge" ? `${point.data.source} → ${point.data.target}` : point.data.label_text) },
    series: [{
      type: "graph", layout: "none", roam: false, preserveAspect: "contain", top: 28, bottom: 36, left: 40, right: 40, edgeSymbol: ["none", "arrow"], edgeSymbolSize: 7,
      data: data.nodes.map((node) => ({
        name: node.name, x: node.x, y: node.y, symbolSize: narrow ? node.size * 0.6 : node.size, symbol: node.quiet ? "roundRect" : "circle", label_text: node.label, itemStyle: { color: tone(node.tone) },
        label: { show: !node.quiet, position: node.y < 0 ? "top" : "bottom", distance: 4, color: css("ink"), fontSize: narrow ? 10 : 12 },
      })),
      // What is in the scenario lies on top of what is not.
      links: [...data.links].sort((one, other) => one.width - other.width).map((link) => ({ source: link.source, target: link.target, lineStyle: { color: tone(link.tone), width: link.width, curveness: 0.08, opacity: link.tone === "quiet" ? 0.6 : 0.9 } })),
    }],
  };
}

const KINDS = { lines, bars, ranges, heat, network, links };

// The axis of time has the viewer's own zone, as every time on the page.
function sayZone(caption) {
  if (caption.dataset.zone) return;
  caption.dataset.zone = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts().find((part) => part.type === "timeZoneName").value;
}

function draw(figure) {
  const text = figure.querySelector('script[type="application/json"]').textContent;
  const canvas = figure.querySelector(".chart-canvas");
  let chart = drawn.get(canvas);
  if (!chart) {
    chart = window.echarts.init(canvas);
    drawn.set(canvas, chart);
    new ResizeObserver(() => chart.resize()).observe(canvas);
  }
  const data = JSON.parse(text);
  if (data.kind === "lines" && data.x !== "value") sayZone(figure.querySelector("figcaption"));
  chart.setOption(KINDS[data.kind](data), true);
}

function drawAll() {
  for (const canvas of drawn.keys()) if (!canvas.isConnected) { drawn.get(canvas).dispose(); drawn.delete(canvas); }
  if (window.echarts) document.querySelectorAll("[data-chart]").forEach(draw);
}
document.addEventListener("htmx:afterSwap", drawAll);
document.addEventListener("bulkhead:theme", drawAll);
drawAll();
