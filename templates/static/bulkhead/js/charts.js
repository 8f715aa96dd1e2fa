// Charts drawn by echarts from the JSON that stands in the page:
//   <figure class="chart" data-chart id="..."><script type="application/json">{...}</script>
//     <div class="chart-canvas" data-keep></div><figcaption>...</figcaption></figure>
// {kind: "lines", unit, series: [{name, tone, points: [[iso time or number, value]], step, area, dash}],
//    marks: [{at, label}], limits: [{value, label, tone}], x: "time" | "value", xName}
// {kind: "bars", unit, categories, series: [{name, tone, values}], stacked}
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
  return {
    axis,
    option: {
      animation: false,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { left: 8, right: 16, top: data.series?.length > 1 ? 40 : 16, bottom: 8, containLabel: true },
      legend: { show: data.series?.length > 1, top: 0, left: 0, icon: "roundRect", itemWidth: 12, itemHeight: 4, type: "scroll", textStyle: { color: css("ink-2") }, data: data.series?.filter((one) => !one.quiet).map((one) => one.name) },
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
    xAxis: { type: data.x ?? "time", name: data.xName, nameLocation: "middle", nameGap: 28, nameTextStyle: { color: css("ink-3") }, ...axis, splitLine: { show: false }, axisLabel: { ...axis.axisLabel, formatter: data.x === "value" ? compact : undefined } },
    yAxis: { type: "value", scale: data.scale ?? true, ...axis, axisLine: { show: false }, axisLabel: { color: css("ink-3"), formatter: compact } },
    series: data.series.map((one, i) => ({
      type: "line", name: one.name, data: one.points, showSymbol: one.points.length < 3, symbolSize: 5, step: one.step ? "end" : false, silent: Boolean(one.quiet), z: one.quiet ? 1 : 3,
      lineStyle: { width: one.quiet ? 1 : 2, type: one.dash ? "dashed" : "solid", color: tone(one.tone) }, itemStyle: { color: tone(one.tone) }, areaStyle: one.area ? { color: tone(one.tone), opacity: 0.1 } : undefined,
      markLine: i === 0 && marks.length ? { symbol: "none", silent: true, data: marks } : undefined,
    })),
  };
}

// The code of an option is too long for one line: it breaks before the strike.
const inLines = (name) => (name.length > 14 ? name.replace(/^([^-]+-[^-]+)-/, "$1\n") : name);

function bars(data) {
  const { axis, option } = common(data);
  return {
    ...option,
    xAxis: { type: "category", data: data.categories, ...axis, axisLabel: { ...axis.axisLabel, interval: 0, hideOverlap: false, width: 96, overflow: "break", lineHeight: 15, formatter: inLines } },
    yAxis: { type: "value", ...axis, axisLine: { show: false }, axisLabel: { color: css("ink-3"), formatter: compact } },
    series: data.series.map((one) => ({ type: "bar", name: one.name, data: one.values, stack: data.stacked ? "all" : undefined, barMaxWidth: 36, itemStyle: { color: tone(one.tone) } })),
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

const KINDS = { lines, bars, links };

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
