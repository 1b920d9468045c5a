// Which view is shown, from the address: /topics/orders/messages?from=oldest. The address is the state: reload and back keep it.
import { reactive, shallowRef } from '/static/vue.js'

export const route = reactive({ path: '/', query: {}, params: {}, title: '' })
export const view = shallowRef(null)

let routes = []

/** `table`: [pattern, component, title]; `:name` takes one part of the path, decoded. The last one takes the rest. */
export function startRouter(table) {
  routes = table.map(([pattern, component, title]) => ({ parts: pattern.split('/').filter(Boolean), component, title }))
  window.addEventListener('popstate', show)
  document.addEventListener('click', onClick)
  show()
}

/** Go to a path; `query` holds texts, empty ones are left out. */
export function go(path, query = {}) {
  history.pushState(null, '', href(path, query))
  show()
  window.scrollTo(0, 0)
}

/** Change the query in place, without a step for the back button. */
export function setQuery(changes) {
  history.replaceState(null, '', href(location.pathname, { ...route.query, ...changes }))
  route.query = parseQuery()
}

export function href(path, query = {}) {
  const set = Object.entries(query).filter(([, value]) => value !== '' && value !== null && value !== undefined)
  const text = new URLSearchParams(set.map(([name, value]) => [name, String(value)])).toString()
  return text ? `${path}?${text}` : path
}

/** A path of these parts, each encoded: pathOf('topics', 'a/b') -> "/topics/a%2Fb". */
export const pathOf = (...parts) => '/' + parts.map(encodeURIComponent).join('/')

function parseQuery() {
  return Object.fromEntries(new URLSearchParams(location.search))
}

function show() {
  const path = location.pathname
  const given = path.split('/').filter(Boolean)
  const found = routes.find(({ parts }) => parts[0] === '*' || (parts.length === given.length && parts.every((part, at) => part.startsWith(':') || part === given[at])))
  const params = {}
  found.parts.forEach((part, at) => { if (part.startsWith(':')) params[part.slice(1)] = decodeURIComponent(given[at]) })
  Object.assign(route, { path, params, query: parseQuery() })
  route.title = typeof found.title === 'function' ? found.title(params) : found.title
  document.title = `${route.title} · Tailrace`
  view.value = found.component
}

/** A link to one of our views changes the view; with a modifier, or to elsewhere, the browser does what it always does. */
function onClick(event) {
  const link = event.target.closest?.('a[href]')
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  if (link.target || link.hasAttribute('download') || link.origin !== location.origin) return
  if (/^\/(api|assets|static|metrics|debug|healthz|readyz)(\/|$)/.test(link.pathname)) return
  event.preventDefault()
  if (link.href !== location.href) go(link.pathname, Object.fromEntries(new URLSearchParams(link.search)))
}
