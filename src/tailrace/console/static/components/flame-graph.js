// A flame graph: a custom series of ECharts. A frame's width is its share of the total; the frames it called lie below it.
import { computed, onBeforeUnmount, onMounted, ref, watch } from '/static/vue.js'
import { loadECharts } from '/static/components/live-chart.js'
import { colour, theme } from '/static/theme.js'

const ROW_PX = 20
const NARROWEST = 0.0008
const TRUNK = 0.95

/** The tree below `node` as rectangles [depth, start, end, name, value, self, place, path]; too narrow ones are left out. */
export function rectangles(node) {
  const found = []
  const walk = (frame, depth, start, path) => {
    const share = frame.value / node.value
    if (share < NARROWEST && depth) return
    const place = frame.file ? `${frame.file}:${frame.line ?? ''}` : ''
    found.push({ value: [depth, start, start + frame.value], frame, place, path })
    let at = start
    frame.children.forEach((child, index) => {
      walk(child, depth + 1, at, [...path, index])
      at += child.value
    })
  }
  walk(node, 0, 0, [])
  return found
}

/** The path down to where the tree branches: past the frames, such as those of the event loop, that nearly all samples share. */
export function trunk(root) {
  const path = []
  for (let node = root; ;) {
    const index = node.children.findIndex(child => child.children.length && child.value >= TRUNK * root.value)
    if (index < 0) return path
    path.push(index)
    node = node.children[index]
  }
}

/** A colour by the name, so that a function looks the same in every graph. */
function shade(name, isDark) {
  let hash = 0
  for (const letter of name) hash = (hash * 31 + letter.codePointAt(0)) % 1000
  return `hsl(${18 + hash % 28}, ${isDark ? 48 : 76}%, ${(isDark ? 30 : 66) + hash % 9}%)`
}

export const FlameGraph = {
  props: { root: { type: Object, required: true }, format: { type: Function, required: true }, search: { type: String, default: '' } },
  setup(props) {
    const place = ref(null)
    const trail = ref(trunk(props.root))
    const picked = ref(null)
    const top = computed(() => trail.value.reduce((node, index) => node.children[index], props.root))
    const frames = computed(() => rectangles(top.value))
    const height = computed(() => (Math.max(...frames.value.map(one => one.value[0])) + 1) * ROW_PX + 4)
    const isTrunkLeftOut = computed(() => trail.value.length > 0 && trail.value.join() === trunk(props.root).join())
    const matched = computed(() => {
      const wanted = (props.search ?? '').toLowerCase()
      if (!wanted) return null
      const count = frame => frame.name.toLowerCase().includes(wanted) ? frame.value : frame.children.reduce((sum, child) => sum + count(child), 0)
      return count(top.value)
    })
    let chart = null
    let observer = null
    let isGone = false
    onMounted(async () => {
      const echarts = await loadECharts()
      if (isGone) return
      chart = echarts.init(place.value)
      chart.on('mouseover', event => { picked.value = event.data.frame ? { ...event.data.frame, place: event.data.place } : null })
      chart.on('globalout', () => { picked.value = null })
      chart.on('click', event => { trail.value = [...trail.value, ...event.data.path] })
      observer = new ResizeObserver(() => chart.resize())
      observer.observe(place.value)
      draw()
    })
    onBeforeUnmount(() => { isGone = true; observer?.disconnect(); chart?.dispose() })
    watch(() => props.root, () => { trail.value = trunk(props.root); picked.value = null })
    watch(() => props.search, () => { picked.value = null })
    watch(() => [frames.value, props.search, theme.isDark], draw, { flush: 'post' })

    function draw() {
      if (!chart) return
      const wanted = (props.search ?? '').toLowerCase()
      const isDark = theme.isDark
      const [text, faint, mark, gap] = [isDark ? '#f3e9e2' : '#2b1a0e', colour('--border'), colour('--chart-2'), colour('--surface')]
      const data = frames.value
      chart.resize({ height: height.value })
      chart.setOption({
        animation: false, grid: { left: 0, right: 0, top: 0, bottom: 0 },
        xAxis: { show: false, min: 0, max: top.value.value }, yAxis: { show: false, inverse: true, min: 0, max: Math.max(...data.map(one => one.value[0])) + 1 },
        series: [{
          type: 'custom', encode: { x: [1, 2], y: 0 }, data,
          renderItem: (_, cell) => {
            const one = data[cell.dataIndex ?? _.dataIndex]
            const [x, y] = cell.coord([cell.value(1), cell.value(0)])
            const [right] = cell.coord([cell.value(2), cell.value(0)])
            const width = Math.max(right - x - 0.6, 0.4)
            const isMatch = wanted && one.frame.name.toLowerCase().includes(wanted)
            return {
              type: 'rect', shape: { x, y: y + 0.5, width, height: ROW_PX - 1, r: 2 },
              style: { fill: isMatch ? mark : wanted ? faint : shade(one.frame.name, isDark), stroke: gap, lineWidth: 0 },
              emphasis: { style: { stroke: text, lineWidth: 1 } },
              textConfig: { position: 'insideLeft', distance: 4 },
              textContent: width > 26 ? { style: { text: one.frame.name, fill: isMatch ? gap : text, width: width - 8, overflow: 'truncate', ellipsis: '…', fontSize: 12, fontFamily: 'Roboto, sans-serif' } } : undefined,
            }
          },
        }],
      }, { notMerge: true })
    }
    return { height, isTrunkLeftOut, matched, picked, place, top, trail, share: value => `${(100 * value / props.root.value).toFixed(1)} %` }
  },
  template: `
    <div class="flame-graph">
      <p class="facts flame-facts" aria-live="polite"><q-btn v-if="trail.length" outline dense no-caps icon="zoom_out" label="All of it" @click="trail = []" />
        <template v-if="picked"><b class="mono">{{ picked.name }}</b><span>{{ format(picked.value) }}, {{ share(picked.value) }}</span><span>itself {{ format(picked.self) }}</span><span class="muted mono">{{ picked.place }}</span></template>
        <template v-else-if="matched !== null"><span>{{ format(matched) }}, {{ share(matched) }} in what matches</span></template><span v-else class="muted">Point at a frame for its figures; click it to look closer.
        <template v-if="isTrunkLeftOut">The {{ trail.length }} outermost frames, which nearly all samples share, are left out.</template></span></p>
      <div ref="place" :style="{ height: height + 'px' }" role="img" :aria-label="'Flame graph of ' + top.name"></div>
    </div>`,
}
