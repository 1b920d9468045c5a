// Numbers, sizes and times for people. `null` is what is not known: a dash, never a nought.
const DASH = '–'
const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
const COUNT_UNITS = ['', 'k', 'M', 'G', 'T']

const isUnknown = value => value === null || value === undefined || Number.isNaN(value)

function scaled(value, base, units) {
  let index = 0
  let left = Math.abs(value)
  while (left >= base && index < units.length - 1) {
    left /= base
    index += 1
  }
  const digits = index === 0 ? (left < 10 && !Number.isInteger(left) ? 1 : 0) : left < 10 ? 2 : left < 100 ? 1 : 0
  return `${value < 0 ? '−' : ''}${left.toFixed(digits)}${units[index] ? ' ' + units[index] : ''}`
}

/** 1536 -> "1.50 KiB" */
export const bytes = value => isUnknown(value) ? DASH : scaled(value, 1024, BYTE_UNITS)
/** 1234567 -> "1,234,567" */
export const count = value => isUnknown(value) ? DASH : Math.round(value).toLocaleString('en-US')
/** 1234567 -> "1.23 M" */
export const short = value => isUnknown(value) ? DASH : scaled(value, 1000, COUNT_UNITS).replace(/ (?=[kMGT]$)/, ' ')
/** counted(1, 'replica') -> "1 replica", counted(2, 'replica') -> "2 replicas" */
export const counted = (value, noun) => `${count(value)} ${noun}${value === 1 ? '' : 's'}`
export const rate = value => isUnknown(value) ? DASH : `${short(value)}/s`
export const byteRate = value => isUnknown(value) ? DASH : `${bytes(value)}/s`
export const percent = value => isUnknown(value) ? DASH : `${value.toFixed(value < 10 ? 1 : 0)} %`

/** 0.4 -> "0.40 ms", 90000 -> "1 min 30 s" */
export function duration(ms) {
  if (isUnknown(ms)) return DASH
  if (ms === 0) return '0 ms'
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(2) : Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`
  const seconds = Math.round(ms / 1000)
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']]
  let left = seconds
  const said = []
  for (const [size, unit] of parts) {
    const whole = Math.floor(left / size)
    left -= whole * size
    if (whole) said.push(`${whole} ${unit}`)
  }
  return said.slice(0, 2).join(' ')
}

const pad = (value, width = 2) => String(value).padStart(width, '0')

/** Local time as "2026-11-21 14:03:07.120" */
export function time(ms) {
  if (isUnknown(ms)) return DASH
  const at = new Date(ms)
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${clock(ms)}.${pad(at.getMilliseconds(), 3)}`
}

/** Local time of day as "14:03:07" */
export function clock(ms) {
  const at = new Date(ms)
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`
}

/** "3 min 2 s ago" */
export function ago(ms, now = Date.now()) {
  if (isUnknown(ms)) return DASH
  const passed = now - ms
  if (passed < -1000) return `in ${duration(-passed)}`
  return passed < 1000 ? 'now' : `${duration(passed)} ago`
}

/** What a value of a setting means, when its name ends in a unit: "604800000" of retention.ms -> "7 d". */
export function settingMeaning(name, value) {
  if (value === null || !/^-?\d+$/.test(value)) return ''
  const number = Number(value)
  if (number < 0 || number >= 2 ** 62) return number === -1 && /(ms|bytes)$/.test(name) ? 'no limit' : ''
  if (/\.ms$/.test(name) && number >= 1000) return duration(number)
  if (/bytes$/.test(name) && number >= 1024) return bytes(number)
  return ''
}

/** The bytes of a text in UTF-8, as a hex dump of 16 a line. */
export function hexDump(hex) {
  const pairs = hex.trim().split(/\s+/).filter(Boolean)
  const lines = []
  for (let at = 0; at < pairs.length; at += 16) {
    const row = pairs.slice(at, at + 16)
    const text = row.map(pair => {
      const code = parseInt(pair, 16)
      return code >= 32 && code < 127 ? String.fromCharCode(code) : '·'
    }).join('')
    lines.push(`${pad(at.toString(16), 6)}  ${row.join(' ').padEnd(48)} ${text}`)
  }
  return lines.join('\n')
}
