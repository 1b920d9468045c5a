// Loads the libraries in their order, then the application.
// Quasar's build looks for Vue in `window`, so Vue comes first; ECharts is loaded by the first chart (components/chart.js).

function address(library) {
  return document.querySelector(`meta[name=library-${library}]`).content
}

function loadScript(source) {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script')
    script.src = source
    script.onload = resolve
    script.onerror = () => reject(new Error(`${source} cannot be loaded`))
    document.head.append(script)
  })
}

// A server that restarts, or a connection that broke: the page is loaded again, so many times at most before it says so.
const TRIES = 3
const AGAIN_MS = 1000
const KEY = 'tailrace.tries'

try {
  window.Vue = await import(address('vue'))
  await loadScript(address('quasar'))
  const { start } = await import('/static/main.js')
  start()
  sessionStorage.removeItem(KEY)
} catch (error) {
  const tries = Number(sessionStorage.getItem(KEY) ?? 0) + 1
  sessionStorage.setItem(KEY, String(tries))
  if (tries <= TRIES) setTimeout(() => location.reload(), AGAIN_MS)
  document.querySelector('.starting').textContent = `The console cannot start: ${error.message}. Load the page again.`
  throw error
}
