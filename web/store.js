/** Web storage that may be missing, full or forbidden (private windows): then nothing is kept, and nothing breaks. */

/** @param {'localStorage' | 'sessionStorage'} area */
function open(area) {
  return {
    /** @param {string} key @returns {string | null} */
    get(key) {
      try {
        return window[area].getItem(key)
      } catch {
        return null
      }
    },
    /** Says whether it was kept. @param {string} key @param {string} value */
    set(key, value) {
      try {
        window[area].setItem(key, value)
        return window[area].getItem(key) === value
      } catch {
        return false
      }
    },
  }
}

/** Kept for this browser profile. */
export const profile = open('localStorage')
/** Kept for this tab, over a reload. */
export const tab = open('sessionStorage')
