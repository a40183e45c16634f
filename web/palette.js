/** The colours of style.css for whatever is drawn on a canvas, and word when they change. */

/** @typedef {{ ink: string, muted: string, rule: string, accent: string, paper: string }} Palette */

/** @returns {Palette} */
export function palette() {
  const style = getComputedStyle(document.documentElement)
  const read = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim()
  return {
    ink: read('ink'),
    muted: read('muted'),
    rule: read('rule'),
    accent: read('accent'),
    paper: read('paper'),
  }
}

/** @param {() => void} redraw */
export function onPaletteChange(redraw) {
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw)
}

/** Wished by the person: nothing on the page moves by itself. */
export function wantsStillness() {
  return matchMedia('(prefers-reduced-motion: reduce)').matches
}
