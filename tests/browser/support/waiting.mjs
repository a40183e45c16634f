// Waiting with an end: a promise gets a deadline, a condition is asked for until it holds. No test
// sleeps and hopes.
import { setTimeout as pause } from 'node:timers/promises'

const INTERVAL_MS = 100

/** The promise's value, or an error that names `what` when it takes longer than `seconds`. */
export async function within(seconds, what, promise) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${seconds} s`)), seconds * 1000)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Asks `check` until it gives something true, and gives that. What it gave, or threw, last is in the
 * message when time runs out. */
export async function until(what, check, { seconds = 30, interval = INTERVAL_MS } = {}) {
  const end = Date.now() + seconds * 1000
  let last
  for (;;) {
    const left = (end - Date.now()) / 1000
    try {
      last = await within(Math.max(left, 1), what, Promise.resolve(check()))
      if (last) return last
    } catch (error) {
      if (error instanceof GaveUp) throw error
      last = error
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s; last: ${shown(last)}`)
    await pause(interval)
  }
}

/** Checks that something stays true for a time: for what must not happen there is no event. */
export async function holds(what, check, { seconds, interval = INTERVAL_MS }) {
  const end = Date.now() + seconds * 1000
  while (Date.now() < end) {
    const value = await within(10, what, Promise.resolve(check()))
    if (!value) throw new Error(`${what}: no longer after ${seconds - (end - Date.now()) / 1000} s`)
    await pause(interval)
  }
}

/** Thrown by a check that sees that its condition will never hold. */
export class GaveUp extends Error {}

function shown(value) {
  if (value instanceof Error) return value.message.split('\n')[0]
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
