// Light or dark: the system's unless switched here; the choice is kept in this browser.
import { Dark, reactive } from '/static/vue.js'

const KEY = 'tailrace.theme'

export const theme = reactive({ choice: 'auto', isDark: false })

export function startTheme() {
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', apply)
  const kept = localStorage.getItem(KEY)
  theme.choice = kept === 'light' || kept === 'dark' ? kept : 'auto'
  apply()
}

export function chooseTheme(choice) {
  theme.choice = choice
  localStorage.setItem(KEY, choice)
  apply()
}

function apply() {
  theme.isDark = theme.choice === 'dark' || (theme.choice === 'auto' && matchMedia('(prefers-color-scheme: dark)').matches)
  Dark.set(theme.isDark)
  document.documentElement.style.colorScheme = theme.isDark ? 'dark' : 'light'
}

/** The colour of a variable in app.css, for what is drawn on a canvas. */
export const colour = name => getComputedStyle(document.body).getPropertyValue(name).trim()
