// Lines over time, drawn by ECharts. ECharts is loaded when the first chart is shown.
import { onBeforeUnmount, onMounted, ref, watch } from '/static/vue.js'
import { byteRate, clock } from '/static/format.js'
import { colour, theme } from '/static/theme.js'

/** An axis is as long as this at least: of one point ECharts makes days. */
const SPAN_LEAST_MS = 60_000

let library = null

/** ECharts, loaded once. */
export function loadECharts() {
  library ??= import(document.querySelector('meta[name=library-echarts]').content).then(module => module.echarts)
  return library
}

export const LiveChart = {
  props: {
    label: { type: String, required: true },
    /** [{ name, colour: '--chart-1', area: true, points: [[time_ms, number | null], ...] }] */
    series: { type: Array, required: true },
    format: { type: Function, required: true },
    empty: { type: String, default: '' },
    height: { type: Number, default: 150 },
  },
  setup(props) {
    const place = ref(null)
    let chart = null
    let observer = null
    let isGone = false

    onMounted(async () => {
      const echarts = await loadECharts()
      if (isGone) return
      chart = echarts.init(place.value, null, { renderer: 'canvas' })
      observer = new ResizeObserver(() => chart.resize())
      observer.observe(place.value)
      draw()
    })
    onBeforeUnmount(() => {
      isGone = true
      observer?.disconnect()
      chart?.dispose()
    })
    watch(() => [props.series, theme.isDark], draw)

    function draw() {
      chart?.setOption(option(props.series, props.format), { replaceMerge: ['series'] })
    }

    const last = points => { const known = points.filter(point => point[1] !== null); return known.length ? props.format(known[known.length - 1][1]) : '–' }
    return { place, last, isKnown: () => props.series.some(line => line.points.some(point => point[1] !== null)) }
  },
  template: `
    <figure class="live-chart">
      <figcaption>
        <span class="label">{{ label }}</span>
        <span v-for="line in series" :key="line.name" class="key"><i :style="{ background: 'var(' + line.colour + ')' }"></i>{{ line.name }} <b>{{ last(line.points) }}</b></span>
      </figcaption>
      <div class="canvas" ref="place" :style="{ height: height + 'px' }" role="img" :aria-label="label"></div>
      <p v-if="empty && !isKnown()" class="chart-empty muted">{{ empty }}</p>
    </figure>`,
}

/** Steps of the axis for bytes: a power of two, so that its labels are round. */
function binarySteps(series) {
  const most = Math.max(1, ...series.flatMap(line => line.points.map(point => point[1] ?? 0)))
  const interval = 2 ** Math.ceil(Math.log2(most / 3))
  return { interval, max: interval * Math.ceil(most / interval) }
}

/** From the first point to the last; no labels where there is none. */
function span(series) {
  const times = series.flatMap(line => line.points.map(point => point[0]))
  if (!times.length) return { min: null, max: null, isKnown: false }
  const max = times.reduce((one, other) => Math.max(one, other))
  return { min: Math.min(times.reduce((one, other) => Math.min(one, other)), max - SPAN_LEAST_MS), max, isKnown: true }
}

function option(series, format) {
  const { isKnown, ...ends } = span(series)
  const steps = format === byteRate ? binarySteps(series) : { splitNumber: 3 }
  const [text, line, surface] = ['--muted', '--border', '--surface'].map(colour)
  return {
    animation: false,
    textStyle: { fontFamily: 'Roboto, sans-serif' },
    grid: { left: 8, right: 12, top: 12, bottom: 4, containLabel: true },
    xAxis: { type: 'time', ...ends, axisLine: { lineStyle: { color: line } }, axisTick: { show: false }, splitNumber: 4, axisLabel: { show: isKnown, color: text, hideOverlap: true, alignMaxLabel: 'right', formatter: value => clock(value) } },
    yAxis: { type: 'value', min: 0, ...steps, axisLabel: { color: text, formatter: value => format(value) }, splitLine: { lineStyle: { color: line, type: [3, 4] } } },
    tooltip: { trigger: 'axis', renderMode: 'richText', backgroundColor: surface, borderColor: line, textStyle: { color: colour('--text'), fontSize: 12 }, valueFormatter: value => value === null || value === undefined ? '–' : format(value) },
    series: series.map(one => ({
      name: one.name, type: 'line', showSymbol: one.points.length === 1, symbol: 'circle', symbolSize: 6, sampling: 'lttb', data: one.points,
      lineStyle: { width: 1.6, color: colour(one.colour) }, itemStyle: { color: colour(one.colour) },
      areaStyle: one.area ? { color: colour(one.colour), opacity: 0.1 } : undefined,
    })),
  }
}
