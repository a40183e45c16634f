/** Numbers, durations and strangers' text, put into words that are safe and plain. */

/** Characters that would change the direction or the shape of text around them, and control characters. */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]+/g

/** What strangers wrote, on one line, without tricks, at most `max` characters long.
 * @param {unknown} text @param {number} [max] */
export function clean(text, max = 160) {
  const raw = String(text ?? '').slice(0, max * 8)
  const line = raw.replace(UNSAFE, ' ').replace(/\s+/g, ' ').trim()
  const characters = Array.from(line)
  return characters.length > max ? `${characters.slice(0, max - 1).join('')}…` : line
}

/** A sentence that ends like one. @param {unknown} text @param {number} [max] */
export function sentence(text, max = 240) {
  const line = clean(text, max)
  if (line === '') return ''
  const first = line.charAt(0).toUpperCase() + line.slice(1)
  return /[.!?…]$/.test(first) ? first : `${first}.`
}

const WHOLE = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 })
const THREE = new Intl.NumberFormat('en-GB', { maximumSignificantDigits: 3 })
const SHORT = new Intl.NumberFormat('en-GB', { notation: 'compact', maximumSignificantDigits: 3 })

/** Is it a number that can be shown? @param {unknown} value @returns {value is number} */
export function known(value) {
  return typeof value === 'number' && Number.isFinite(value)
}

/** @param {number | null | undefined} value */
export function count(value) {
  return known(value) ? WHOLE.format(value) : '–'
}

/** 1.2k, 3.4m: where space is short. @param {number | null | undefined} value */
export function short(value) {
  return known(value) ? SHORT.format(value) : '–'
}

/** @param {number | null | undefined} value */
export function rate(value) {
  if (!known(value)) return '–'
  return value >= 100 ? WHOLE.format(value) : THREE.format(value)
}

/** A loss: four decimals, or fewer where it is large. @param {number | null | undefined} value */
export function loss(value) {
  if (!known(value)) return '–'
  return Math.abs(value) >= 1000 ? SHORT.format(value) : value.toFixed(Math.abs(value) >= 10 ? 2 : 4)
}

/** 0.987 as 98.7 %. @param {number | null | undefined} part @param {number} [digits] */
export function percent(part, digits = 1) {
  return known(part) ? `${(part * 100).toFixed(digits)}\u00a0%` : '–'
}

/** A share of the run, which may be tiny but is never shown as nothing. @param {number} part */
export function share(part) {
  if (part <= 0) return '0\u00a0%'
  if (part < 0.001) return 'less than 0.1\u00a0%'
  return percent(Math.min(1, part), part < 0.1 ? 1 : 0)
}

/** @param {number} bytes */
export function megabytes(bytes) {
  return bytes > 0 ? `${(bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0)}\u00a0MB` : '–'
}

/** 75 as "1 min 15 s". @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (!known(seconds)) return '–'
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 60) return `${whole}\u00a0s`
  if (whole < 3600) return `${Math.floor(whole / 60)}\u00a0min ${whole % 60}\u00a0s`
  return `${Math.floor(whole / 3600)}\u00a0h ${Math.floor((whole % 3600) / 60)}\u00a0min`
}

/** A place on an axis of time: "45 s", "2 min", "1 h 30 min". @param {number} seconds */
export function moment(seconds) {
  if (seconds >= 60 && seconds < 3600 && seconds % 60 === 0) return `${seconds / 60}\u00a0min`
  if (seconds >= 3600 && seconds % 3600 === 0) return `${seconds / 3600}\u00a0h`
  return duration(seconds)
}

/** How long ago something was; for a moment it is "now". @param {number | null | undefined} seconds */
export function ago(seconds) {
  if (!known(seconds)) return '–'
  return seconds < 3 ? 'now' : `${duration(seconds)} ago`
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB']

/** Bytes as network people count them: 1 MB is a million. @param {number | null | undefined} bytes */
export function bytes(bytes) {
  if (!known(bytes)) return '–'
  const step = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3))
  if (step === 0) return `${WHOLE.format(bytes)}\u00a0B`
  return `${(bytes / 1000 ** step).toFixed(1)}\u00a0${UNITS[step]}`
}

/** A learning rate or another small number, without zeros at its end. @param {number | null | undefined} value */
export function figure(value) {
  return known(value) ? String(Number(value.toPrecision(4))) : '–'
}

/** "1 worker", "2 workers". @param {number} number @param {string} noun */
export function many(number, noun) {
  return `${count(number)}\u00a0${noun}${number === 1 ? '' : 's'}`
}

/** Why an update was refused, for people who never heard of a norm. @param {string | undefined} reason */
export function refusal(reason) {
  switch (reason) {
    case 'unknown-lease':
      return 'came too late'
    case 'length':
      return 'did not fit the network'
    case 'not-finite':
      return 'held values that are not numbers'
    case 'norm':
      return 'changed the network far more than is usual'
    case 'ended':
      return 'came after the run was over'
    default:
      return clean(reason, 80) || 'no reason given'
  }
}
