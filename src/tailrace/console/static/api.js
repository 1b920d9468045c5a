// The console's JSON API (docs/formats/console-api.md): requests, event streams, and failures that say what to do.
import { reactive } from '/static/vue.js'

/** What the server says about itself; filled by `loadSession`. */
export const session = reactive({
  token: '', read_only: false, bootstrap: '', version: '', is_inside_broker: false, figures: 'offsets',
  has_profiles: false, has_schemas: false, limits: {}, is_loaded: false,
})

/** A refused or lost request. `cause` and `cure` are sentences for people; `error` is Kafka's name, or one of ours. */
export class Failure extends Error {
  constructor(status, told) {
    super(told.cause || told.error || `HTTP ${status}`)
    this.status = status
    this.error = told.error || 'FAILED'
    this.cause = told.cause || `The server answered ${status}.`
    this.cure = told.cure || null
  }
}

const AGAIN_MS = 300

const UNREACHABLE_CONSOLE = {
  error: 'CONSOLE_UNREACHABLE',
  cause: 'The console\'s own server does not answer.',
  cure: 'Look whether tailrace is still running, then try again.',
}

/** The path with those of the query's values that are set. */
export function address(path, query = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== '')
  const text = new URLSearchParams(pairs.map(([name, value]) => [name, String(value)])).toString()
  return text ? `${path}?${text}` : path
}

/** A path below /api of these parts, each percent-encoded. */
export function api(...parts) {
  return '/api/' + parts.map(part => encodeURIComponent(part)).join('/')
}

/** A browser cuts off what is under way when an interface of its machine comes or goes: what only reads is asked once more. */
async function askAgain(error, place, asked) {
  if (error.name === 'AbortError' || asked.method !== 'GET') throw error
  await new Promise(resolve => setTimeout(resolve, AGAIN_MS))
  return fetch(place, asked)
}

async function call(method, path, { query, body, signal } = {}) {
  const headers = { Accept: 'application/json' }
  if (method !== 'GET') {
    headers['Content-Type'] = 'application/json'
    headers['X-Tailrace-Token'] = session.token
  }
  const asked = { method, headers, signal, body: method === 'GET' ? undefined : JSON.stringify(body ?? {}) }
  let answer
  try {
    answer = await fetch(address(path, query), asked).catch(error => askAgain(error, address(path, query), asked))
  } catch (error) {
    if (error.name === 'AbortError') throw error
    throw new Failure(0, UNREACHABLE_CONSOLE)
  }
  const told = await answer.json().catch(() => ({}))
  if (!answer.ok) throw new Failure(answer.status, told)
  return told
}

export const get = (path, query, signal) => call('GET', path, { query, signal })
export const post = (path, body) => call('POST', path, { body })
export const patch = (path, body) => call('PATCH', path, { body })
export const remove = (path, body) => call('DELETE', path, { body })

export async function loadSession() {
  Object.assign(session, await get('/api/session'), { is_loaded: true })
}

/**
 * Open an event stream: `handlers` has a function for each event by name; `failed(Failure)` is the last that is called.
 * Returns a function that closes it. `lost` (optional) tells that the connection broke; without it that is a failure.
 */
export function stream(path, query, handlers) {
  const source = new EventSource(address(path, query))
  const close = () => source.close()
  for (const [name, handle] of Object.entries(handlers)) {
    if (name === 'lost') continue
    source.addEventListener(name, event => {
      const told = JSON.parse(event.data)
      if (name === 'failed') {
        close()
        handle(new Failure(0, told))
      } else handle(told, close)
    })
  }
  source.onerror = () => {
    close()
    if (handlers.lost) handlers.lost()
    else handlers.failed?.(new Failure(0, UNREACHABLE_CONSOLE))
  }
  return close
}
