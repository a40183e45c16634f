/** The few things that the page does to its elements; a text is only touched when it changes. */

/** @template {HTMLElement} T
 * @param {string} id @param {new () => T} kind @returns {T} */
export function element(id, kind) {
  const found = document.getElementById(id)
  if (!(found instanceof kind)) throw new Error(`the page has no #${id}`)
  return found
}

/** @param {string} id */
export function box(id) {
  return element(id, HTMLElement)
}

/** @param {HTMLElement} target @param {string} text */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text
}

/** A number for people, and the same for programs. @param {string} id @param {string} text @param {number | null} raw */
export function figure(id, text, raw) {
  const target = box(id)
  setText(target, text)
  const value = raw === null ? '' : String(raw)
  if (target.dataset.value !== value) target.dataset.value = value
}

/** @param {HTMLElement} target @param {boolean} visible */
export function show(target, visible) {
  if (target.hidden === visible) target.hidden = !visible
}

/** Fills a definition list; reuses what is there, so that a selection by the reader survives.
 * @param {HTMLElement} list @param {[string, string, string?][]} rows name, value, test id */
export function setRows(list, rows) {
  while (list.children.length > rows.length) list.lastElementChild?.remove()
  rows.forEach(([name, value, testid], index) => {
    let row = list.children[index]
    if (!row) {
      row = document.createElement('div')
      row.append(document.createElement('dt'), document.createElement('dd'))
      list.append(row)
    }
    const [term, detail] = /** @type {HTMLElement[]} */ (Array.from(row.children))
    if (!term || !detail) return
    setText(term, name)
    setText(detail, value)
    if (testid) detail.dataset.testid = testid
    else delete detail.dataset.testid
  })
}

/** A cell of a table. @param {'th' | 'td'} kind @param {string} text */
export function cell(kind, text) {
  const made = document.createElement(kind)
  if (kind === 'th') made.setAttribute('scope', 'col')
  made.textContent = text
  return made
}
