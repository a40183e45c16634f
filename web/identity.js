/** Who this worker is: an anonymous id of the browser profile, and a number that no other of its tabs has. */
import { profile, tab } from './store.js'

const IDENTITY = 'herd-identity'
const TAB = 'herd-tab'
/** Slots are u16 and each tab owns 64 of them. */
const TABS = 1024
export const SLOTS_PER_TAB = 64

/** 32 hex digits, the same for every tab of this profile; new each time where nothing can be kept. */
export function identity() {
  const kept = profile.get(IDENTITY)
  if (kept !== null && /^[0-9a-f]{32}$/.test(kept)) return kept
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  profile.set(IDENTITY, digits)
  // Two tabs that open at once: the one that wrote last wins for both.
  return profile.get(IDENTITY) ?? digits
}

/** This tab's number. Two tabs with one number would throw each other out of the run.
 * @returns {Promise<number>} */
export async function claimTab() {
  const before = Number.parseInt(tab.get(TAB) ?? '', 10)
  const preferred = before >= 0 && before < TABS ? before : null
  const index = (await claimByLock(preferred)) ?? chooseAtRandom(preferred)
  tab.set(TAB, String(index))
  return index
}

/** The first number whose lock is free; null where there are no locks.
 * @param {number | null} preferred */
async function claimByLock(preferred) {
  if (!navigator.locks) return null
  try {
    if (preferred !== null && (await hold(preferred))) return preferred
    for (let index = 0; index < TABS; index += 1) {
      if (await hold(index)) return index
    }
  } catch {
    // Locks exist but are forbidden, as in some private windows.
  }
  return null
}

/** Takes the lock of a number until the tab closes, unless another tab has it.
 * @param {number} index @returns {Promise<boolean>} */
function hold(index) {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(`herd-tab-${index}`, { ifAvailable: true }, (lock) => {
        resolve(lock !== null)
        return lock === null ? undefined : new Promise(() => {})
      })
      .catch(reject)
  })
}

/** Without locks a duplicated tab has a copy of the number too, so only a reload keeps it.
 * @param {number | null} preferred */
function chooseAtRandom(preferred) {
  const [navigation] = performance.getEntriesByType('navigation')
  const reloaded = /** @type {PerformanceNavigationTiming | undefined} */ (navigation)?.type === 'reload'
  if (preferred !== null && reloaded) return preferred
  const [random = 0] = crypto.getRandomValues(new Uint16Array(1))
  return random % TABS
}
