// Asks the server for what a view shows, and says how it went. An answer that comes after a newer question is dropped.
import { onBeforeUnmount, reactive, watch } from '/static/vue.js'
import { Failure } from '/static/api.js'

/**
 * `ask(signal)` returns a promise; it runs at once and when what `depends()` returns changes.
 * In the result: `data` (null before the first answer), `failure`, `isLoading`, `reload()`.
 * With `everyMs` it is asked again while the page is seen; a failure then keeps the data shown before.
 */
export function useLoad(ask, { depends, everyMs } = {}) {
  let running = null
  const state = reactive({ data: null, failure: null, isLoading: false, reload })

  async function reload() {
    running?.abort()
    const mine = running = new AbortController()
    state.isLoading = true
    try {
      const data = await ask(mine.signal)
      if (mine === running) Object.assign(state, { data, failure: null, isLoading: false })
    } catch (error) {
      if (mine !== running || error.name === 'AbortError') return
      Object.assign(state, { failure: asFailure(error), isLoading: false })
    }
  }

  reload()
  if (depends) watch(depends, reload)
  const timer = everyMs ? setInterval(() => { if (!document.hidden && !state.isLoading) reload() }, everyMs) : null
  onBeforeUnmount(() => {
    clearInterval(timer)
    running?.abort()
    running = null
  })
  return state
}

export function asFailure(error) {
  if (error instanceof Failure) return error
  console.error(error)
  return new Failure(0, { error: 'PAGE', cause: `The page failed: ${error.message}`, cure: 'Load the page again.' })
}
