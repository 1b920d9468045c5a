// Reading a topic's messages: a page of them, a search that reports how far it is, or what arrives from now on.
import { onBeforeUnmount, reactive } from '/static/vue.js'
import { api, get, stream } from '/static/api.js'
import { asFailure } from '/static/load.js'

/** So many rows are kept; of a live tail the oldest go. */
export const SHOWN_MAX = 1000

const atOf = next => next ? Object.entries(next).map(([partition, offset]) => `${partition}:${offset}`).join(',') : ''
const keyOf = message => `${message.partition}-${message.offset}`

/** `asked()` returns the parameters of the contract; `mode` of the result is "read", "search" or "live". */
export function useReading(topic, asked) {
  let close = null
  let running = null
  const state = reactive({
    mode: 'read', items: [], failure: null, isRunning: false, next: null, isComplete: true, tookMs: null, partitions: [],
    progress: null, why: null, isPaused: false, waiting: [], skipped: 0, isLost: false, marked: new Set(),
    read, search, tail, more, stop, clear, pause, mark,
  })

  function begin(mode, keeps = false) {
    stop()
    Object.assign(state, { mode, failure: null, isRunning: true, progress: null, why: null, isPaused: false, waiting: [], skipped: 0, isLost: false, isComplete: true })
    if (!keeps) Object.assign(state, { items: [], next: null, tookMs: null })
  }

  async function read(at = null) {
    begin('read', at !== null)
    const mine = running = new AbortController()
    try {
      const answer = await get(api('topics', topic, 'messages'), { ...asked(), at: atOf(at) }, mine.signal)
      if (mine !== running) return
      state.items = state.items.concat(answer.items)
      Object.assign(state, { next: answer.next, isComplete: answer.is_complete, tookMs: answer.took_ms, partitions: answer.partitions, isRunning: false })
    } catch (error) {
      if (mine !== running || error.name === 'AbortError') return
      Object.assign(state, { failure: asFailure(error), isRunning: false })
    }
  }

  function search(words, at = null) {
    begin('search', at !== null)
    close = stream(api('topics', topic, 'search'), { ...asked(), ...words, at: atOf(at) }, {
      progress: told => { state.progress = told },
      hit: message => { if (state.items.length < SHOWN_MAX) state.items.push(message) },
      done: (told, end) => {
        end()
        Object.assign(state, { progress: told, why: told.why, next: told.next, isRunning: false })
      },
      failed: failure => Object.assign(state, { failure, isRunning: false }),
    })
  }

  function tail() {
    begin('live')
    const { partition, isolation, format } = asked()
    close = stream(api('topics', topic, 'tail'), { partition, isolation, format }, {
      started: () => {},
      messages: told => {
        state.skipped += told.skipped
        const newest = [...told.items].reverse()
        if (state.isPaused) state.waiting = [...newest, ...state.waiting].slice(0, SHOWN_MAX)
        else show(newest)
      },
      failed: failure => Object.assign(state, { failure, isRunning: false }),
      lost: () => Object.assign(state, { isLost: true, isRunning: false }),
    })
  }

  function show(newest) {
    state.items = [...newest, ...state.items].slice(0, SHOWN_MAX)
  }

  function pause() {
    state.isPaused = !state.isPaused
    if (state.isPaused) return
    show(state.waiting)
    state.waiting = []
  }

  function more(words) {
    if (state.mode === 'search') search(words, state.next)
    else read(state.next)
  }

  function stop() {
    close?.()
    close = null
    running?.abort()
    running = null
    if (state.isRunning && state.mode === 'search') state.why = 'stopped'
    state.isRunning = false
  }

  /** Show nothing: what to read is not said yet. */
  function clear() {
    begin('read')
    state.isRunning = false
  }

  /** Make rows stand out, such as those just produced here. */
  function mark(items) {
    state.marked = new Set(items.map(keyOf))
  }

  onBeforeUnmount(stop)
  return state
}

export { keyOf }
