/** Files of the run, fetched with the token and handed to the browser to keep. */
/** @import { Api } from './api.js' */
import { box, setText } from './dom.js'
import { clean } from './words.js'

/** So long a browser may take to begin with a file that the page made. */
const KEPT_MS = 60_000

const FILES = {
  'get-model': { path: '/v1/model', name: 'best.safetensors' },
  'get-csv': { path: '/v1/metrics.csv', name: 'metrics.csv' },
  'get-json': { path: '/v1/metrics.json', name: 'metrics.json' },
}

/** @param {Api} api */
export function wireDownloads(api) {
  for (const [id, { path, name }] of Object.entries(FILES)) {
    const button = /** @type {HTMLButtonElement} */ (box(id))
    button.addEventListener('click', () => {
      button.setAttribute('aria-busy', 'true')
      void download(api, path, name)
        .then((kept) => say(`${kept} is on its way to your downloads.`))
        .catch((error) => say(error instanceof Error ? error.message : String(error)))
        .finally(() => button.removeAttribute('aria-busy'))
    })
  }
}

/** @param {string} text */
function say(text) {
  setText(box('get-done'), text)
  setText(box('announcer'), text)
}

/** @param {Api} api @param {string} path @param {string} name */
async function download(api, path, name) {
  // A large model takes its time.
  const response = await api.open(path)
  const given = /filename="([^"]+)"/.exec(response.headers.get('content-disposition') ?? '')?.[1]
  const file = clean(given ?? name, 120).replaceAll(/[\\/]/g, '_')
  const url = URL.createObjectURL(await response.blob())
  const link = document.createElement('a')
  link.href = url
  link.download = file
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS)
  return file
}
