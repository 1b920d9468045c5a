// Doing something and saying how it went.
import { Notify, copyToClipboard } from '/static/vue.js'
import { asFailure } from '/static/load.js'

/** Run `act()`; says `done` when it went well. Returns its result, or undefined after telling the failure. */
export async function attempt(act, done) {
  try {
    const result = await act()
    if (done) Notify.create({ type: 'positive', message: done })
    return result ?? true
  } catch (error) {
    const failure = asFailure(error)
    Notify.create({ type: 'negative', message: failure.cause, caption: failure.cure ?? undefined, timeout: 10000, actions: [{ icon: 'close', color: 'white', 'aria-label': 'Close' }] })
    return undefined
  }
}

export const copy = (text, what = 'Copied') => attempt(() => copyToClipboard(text), what)
