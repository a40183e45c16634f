/** The list of notes at the head of a page: what its reader should know now. */
/** @import { Notice } from './types.d.ts' */
import { box, setText, show } from './dom.js'
import * as words from './words.js'

/** Shows these notes, in their order, and reads new ones out. @param {Map<string, Notice>} notes */
export function showNotices(notes) {
  const list = box('notice')
  for (const item of Array.from(list.children)) {
    if (!notes.has(/** @type {HTMLElement} */ (item).dataset.notice ?? '')) item.remove()
  }
  let place = 0
  for (const [key, note] of notes) {
    let item = /** @type {HTMLElement | null} */ (list.querySelector(`[data-notice="${key}"]`))
    if (!item) {
      item = document.createElement('li')
      item.dataset.notice = key
      item.append(document.createElement('span'), document.createElement('span'))
      setText(box('announcer'), note.text)
    }
    if (list.children[place] !== item) list.insertBefore(item, list.children[place] ?? null)
    place += 1
    const [text, countdown] = /** @type {HTMLElement[]} */ (Array.from(item.children))
    if (!text || !countdown) continue
    setText(text, note.text)
    const left = note.until === undefined ? null : Math.ceil((note.until - performance.now()) / 1000)
    const again = left !== null && left > 0 ? ` Trying again in ${words.duration(left)}.` : ' Trying again now.'
    setText(countdown, left === null ? '' : again)
  }
  show(list, notes.size > 0)
}
