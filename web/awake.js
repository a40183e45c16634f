/** Keeps the screen awake while training, where the browser can; and tells how long the tab was out of sight. */

/** The switch for the screen: the lock goes when the tab is hidden, so it is taken anew each time. */
export class Awake {
  wanted = false
  #active = false
  /** @type {WakeLockSentinel | null} */
  #lock = null
  #asking = false

  constructor() {
    document.addEventListener('visibilitychange', () => this.#settle())
  }

  static get supported() {
    return 'wakeLock' in navigator
  }

  /** @param {boolean} wanted what the person wants @param {boolean} active whether anything trains */
  set(wanted, active) {
    if (wanted === this.wanted && active === this.#active) return
    this.wanted = wanted
    this.#active = active
    this.#settle()
  }

  #settle() {
    const should = this.wanted && this.#active && !document.hidden
    if (!should) {
      void this.#lock?.release()
      this.#lock = null
    } else if ((this.#lock === null || this.#lock.released) && !this.#asking) {
      this.#asking = true
      navigator.wakeLock
        .request('screen')
        .then((lock) => {
          this.#lock = lock
        })
        // Refused on a low battery: the screen then sleeps as it always does.
        .catch(() => {})
        .finally(() => {
          this.#asking = false
          if (this.#lock && !(this.wanted && this.#active)) this.#settle()
        })
    }
  }
}

/** A tick that comes so late means that the browser, or the computer, was asleep. */
const ASLEEP_MS = 15_000
const TICK_MS = 1000
/** How long the note stays after the tab is back. */
const NOTE_MS = 20_000
const SHORT_ABSENCE_MS = 5000

/** Watches whether the browser lets this tab work. */
export class Background {
  #hiddenSince = document.hidden ? performance.now() : null
  #note = ''
  #noteUntil = 0
  #lastTick = performance.now()

  constructor() {
    document.addEventListener('visibilitychange', () => this.#change())
    setInterval(() => this.#tick(), TICK_MS)
  }

  /** What to say about it now; empty when there is nothing. */
  get note() {
    if (this.#hiddenSince !== null) {
      return 'This tab is in the background, and the browser slows hidden tabs. In a window of its own, in sight, it trains at full speed.'
    }
    return performance.now() < this.#noteUntil ? this.#note : ''
  }

  #change() {
    const now = performance.now()
    if (document.hidden) {
      this.#hiddenSince = now
      return
    }
    const away = this.#hiddenSince === null ? 0 : now - this.#hiddenSince
    this.#hiddenSince = null
    this.#lastTick = now
    if (away >= SHORT_ABSENCE_MS) {
      this.#say(`The tab was in the background for ${describe(away)}. The browser slows hidden tabs, so less was trained meanwhile.`)
    }
  }

  #tick() {
    const now = performance.now()
    const late = now - this.#lastTick - TICK_MS
    this.#lastTick = now
    if (late >= ASLEEP_MS && this.#hiddenSince === null) {
      this.#say(`This tab was held up for ${describe(late)}: the computer slept, or the browser was busy.`)
    }
  }

  /** @param {string} note */
  #say(note) {
    this.#note = note
    this.#noteUntil = performance.now() + NOTE_MS
  }
}

/** @param {number} milliseconds */
function describe(milliseconds) {
  const minutes = Math.round(milliseconds / 60_000)
  if (minutes < 1) return 'less than a minute'
  return minutes === 1 ? 'a minute' : `${minutes} minutes`
}
