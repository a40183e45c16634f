/** What the link says: the token in its fragment, the wished device and name in its query. */
import { tab } from './store.js'
import { clean } from './words.js'
/** @import { DeviceChoice } from './types.d.ts' */

const KEY = 'herd-token'

/** The token out of the address bar, or the one that this tab had before it was reloaded.
 *
 * A token admits to the run, so it does not stay where a passer-by or a screenshot would catch it.
 * @returns {string} empty when there is none */
export function takeToken() {
  const fragment = decode(location.hash.slice(1)).trim()
  const address = location.pathname + location.search
  if (fragment !== '') {
    const kept = tab.set(KEY, fragment)
    // Without storage the history entry itself remembers: it outlives a reload too.
    history.replaceState(kept ? null : { token: fragment }, '', address)
    return fragment
  }
  const state = /** @type {{ token?: unknown } | null} */ (history.state)
  return tab.get(KEY) ?? (typeof state?.token === 'string' ? state.token : '')
}

/** Another link pasted into this tab changes only the fragment, which loads nothing by itself. */
export function watchForNewLink() {
  addEventListener('hashchange', () => {
    if (location.hash.length < 2) return
    takeToken()
    location.reload()
  })
}

/** @returns {{ device: DeviceChoice, name: string }} */
export function readQuery() {
  const query = new URLSearchParams(location.search)
  const device = query.get('device')
  return {
    device: device === 'cpu' || device === 'webgpu' ? device : 'auto',
    name: clean(query.get('name'), 40),
  }
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
