/** The link that lets others join, as a code to scan and to copy. */
/** @import { Invitation } from './answers.d.ts' */
import { box, element, setText, show } from './dom.js'
import * as words from './words.js'

const THANKS_MS = 2500
/** A path in whole modules: nothing else is ever drawn. */
const PATH = /^[MmHhVvLlZz0-9,. -]*$/

export class Invite {
  /** @type {Invitation[]} */
  #links = []
  #place = 0
  #over = false

  constructor() {
    const choice = element('links', HTMLSelectElement)
    choice.addEventListener('change', () => {
      this.#place = choice.selectedIndex
      this.#draw()
    })
    this.#copies('copy-link', (link) => link.page)
    this.#copies('copy-command', (link) => link.worker)
    const poster = element('poster', HTMLDialogElement)
    box('qr-open').addEventListener('click', () => poster.showModal())
    box('poster-close').addEventListener('click', () => poster.close())
  }

  /** @param {Invitation[]} links */
  show(links) {
    this.#links = links
    // What others can open comes before what only this machine can.
    this.#place = Math.max(0, links.findIndex((link) => link.label !== 'this machine'))
    const options = links.map((link) => {
      const option = document.createElement('option')
      option.textContent = words.clean(link.label, 60)
      return option
    })
    const choice = element('links', HTMLSelectElement)
    choice.replaceChildren(...options)
    choice.selectedIndex = this.#place
    show(box('links-row'), links.length > 1)
    this.#draw()
    this.over = this.#over
  }

  /** There is nothing to join any more. @param {boolean} over */
  set over(over) {
    this.#over = over
    show(box('invite'), this.#links.length > 0 && !over)
  }

  #draw() {
    const link = this.#links[this.#place]
    if (!link) return
    for (const id of ['qr', 'poster-qr']) drawCode(id, link.qr)
    setText(box('poster-link'), link.page)
  }

  /** @param {string} id @param {(link: Invitation) => string} text */
  #copies(id, text) {
    const button = box(id)
    const words = button.textContent ?? ''
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer
    button.addEventListener('click', () => {
      const link = this.#links[this.#place]
      if (!link) return
      void copy(text(link)).then((done) => {
        setText(button, done ? 'Copied' : 'Not allowed')
        setText(box('announcer'), done ? 'Copied.' : 'This browser does not let the page copy. The link is shown with the code.')
        if (!done) element('poster', HTMLDialogElement).showModal()
        clearTimeout(timer)
        timer = setTimeout(() => setText(button, words), THANKS_MS)
      })
    })
  }
}

/** @param {string} id @param {Invitation['qr']} code */
function drawCode(id, { size, path }) {
  const target = document.getElementById(id)
  if (!target) return
  const known = words.known(size) && PATH.test(path)
  target.setAttribute('viewBox', `0 0 ${known ? size : 1} ${known ? size : 1}`)
  target.querySelector('path')?.setAttribute('d', known ? path : '')
}

/** Where the address is no secure one, browsers offer only the old way. @param {string} text @returns {Promise<boolean>} */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    const field = document.createElement('textarea')
    field.value = text
    field.className = 'unseen'
    document.body.append(field)
    field.select()
    const done = document.execCommand('copy')
    field.remove()
    return done
  }
}
