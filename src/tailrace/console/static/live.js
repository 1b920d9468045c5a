// The figures of /api/live, one stream for all views: the last 5 minutes, and whether the cluster answers.
import { markRaw, reactive } from '/static/vue.js'
import { stream } from '/static/api.js'

const POINTS_MAX = 300
const AGAIN_MS = 2000

/** `state`: "starting", "live", "unreachable" (no broker answers; `failure` says why) or "lost" (the console's server is gone). */
export const live = reactive({ state: 'starting', failure: null, points: [], last: null })

let close = null
let timer = null

export function startLive() {
  document.addEventListener('visibilitychange', () => document.hidden ? stop() : open())
  if (!document.hidden) open()
}

// A hidden page needs no figures, and a browser has few connections to one server: the first event brings what was missed.
function stop() {
  clearTimeout(timer)
  close?.()
  close = null
}

function open() {
  stop()
  close = stream('/api/live', {}, { figures, unreachable, failed: lost, lost })
}

function figures(told) {
  const { past, ...point } = told
  const before = past ?? live.points
  live.points = markRaw([...before, point].slice(-POINTS_MAX))
  Object.assign(live, { state: 'live', failure: null, last: point })
}

function unreachable(told) {
  Object.assign(live, { state: 'unreachable', failure: told })
}

function lost() {
  live.state = 'lost'
  timer = setTimeout(open, AGAIN_MS)
}
