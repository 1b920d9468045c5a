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

try {
  window.Vue = await import(address('vue'))
  await loadScript(address('quasar'))
  const { start } = await import('/static/main.js')
  start()
} catch (error) {
  document.querySelector('.starting').textContent = `The console cannot start: ${error.message}. Load the page again.`
  throw error
}
