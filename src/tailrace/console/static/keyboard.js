// Keys for the whole console: "g" and a letter goes somewhere, "/" searches, "?" tells the keys. Not while something is typed.
import { onBeforeUnmount, onMounted } from '/static/vue.js'
import { go } from '/static/router.js'

const SECOND_KEY_MS = 1500

export const PLACES = { o: ['/', 'Overview'], t: ['/topics', 'Topics'], g: ['/groups', 'Groups'], x: ['/transactions', 'Transactions'], b: ['/brokers', 'Brokers'], p: ['/profiles', 'Profiles'], s: ['/settings', 'Settings'] }

export const KEYS = [
  ...Object.entries(PLACES).map(([key, [, title]]) => [`g ${key}`, title]),
  ['/', 'Search on this page'], ['r', 'Ask again'], ['n', 'New: a topic, or a record of the topic shown'], ['l', 'Live tail of the topic shown, on and off'],
  ['d', 'Light, dark'], ['?', 'These keys'], ['Esc', 'Close, or leave a field'],
]

const handlers = new Map()

/** Bind a key while the component that calls this is shown. */
export function useKey(key, handle) {
  onMounted(() => handlers.set(key, handle))
  onBeforeUnmount(() => { if (handlers.get(key) === handle) handlers.delete(key) })
}

const isTyped = target => target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)

let goesUntil = 0

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return
  if (isTyped(event.target)) {
    if (event.key === 'Escape') event.target.blur()
    return
  }
  if (document.querySelector('.q-dialog')) return
  const isSecond = event.timeStamp < goesUntil
  goesUntil = 0
  if (isSecond && PLACES[event.key]) go(PLACES[event.key][0])
  else if (event.key === 'g') goesUntil = event.timeStamp + SECOND_KEY_MS
  else if (event.key === '/' && focusSearch()) { /* what was found has the focus */ }
  else if (handlers.has(event.key)) handlers.get(event.key)(event)
  else return
  event.preventDefault()
}

function focusSearch() {
  const field = document.querySelector('main input[type=search]')
  field?.focus()
  field?.select()
  return field !== null
}

document.addEventListener('keydown', onKey)
