// A page in one tab, as a test sees and uses it; the buttons are those of the join page.
import { until, within } from './waiting.mjs'

const ACTION_MS = 15_000

export class JoinPage {
  /** `page` is Playwright's, `hygiene` watches it. */
  constructor(page, hygiene) {
    this.page = page
    this.hygiene = hygiene
    page.setDefaultTimeout(ACTION_MS)
    page.setDefaultNavigationTimeout(2 * ACTION_MS)
  }

  id(testid) {
    return this.page.getByTestId(testid)
  }

  async text(testid) {
    return ((await this.id(testid).textContent()) ?? '').replaceAll(/\s+/g, ' ').trim()
  }

  /** The number behind a figure; null while there is none. */
  async number(testid) {
    const value = await this.id(testid).getAttribute('data-value')
    return value === null || value === '' ? null : Number(value)
  }

  /** What the tab does: idle, connecting, preparing, waiting, training, paused, lost, restarting, ended ... */
  state() {
    return this.id('state').getAttribute('data-state')
  }

  /** The note of a kind (`lost`, `no-webgpu`, `gone` ...), or nothing. */
  async notice(kind) {
    const item = this.page.locator(`[data-testid=notice] [data-notice=${kind}]`)
    return (await item.count()) > 0 ? ((await item.first().textContent()) ?? '') : ''
  }

  untilNotice(kind, seconds = 30) {
    return until(`a note of the kind ${kind}`, () => this.notice(kind), { seconds })
  }

  untilState(states, seconds = 60) {
    const wanted = [states].flat()
    return until(`state ${wanted.join(' or ')}`, async () => {
      const state = await this.state()
      if (!wanted.includes(state)) throw new Error(`it is ${state}`)
      return state
    }, { seconds })
  }

  /** Waits for the error's text. */
  async untilError(seconds = 30) {
    await within(seconds, 'an error is shown', this.id('error').waitFor({ state: 'visible', timeout: seconds * 1000 }))
    return this.text('error')
  }

  /** Presses the button, as soon as it can be pressed. */
  async start() {
    await this.id('start').click({ timeout: 2 * ACTION_MS })
  }

  /** Waits until so many updates of this tab were merged. */
  untilAccepted(count = 1, seconds = 90) {
    return until(`${count} accepted updates`, async () => (await this.number('accepted')) >= count, { seconds })
  }

  /** The anonymous number of the browser that the page shows. */
  identity() {
    return this.page.locator('#identity').textContent()
  }

  /** What sticks out at the right, by name; empty when nothing can be scrolled sideways. */
  overflow() {
    return this.page.evaluate(() => {
      const width = document.documentElement.clientWidth
      if (document.documentElement.scrollWidth <= width && document.body.scrollWidth <= width) return []
      const wide = Array.from(document.querySelectorAll('body *')).filter((element) => element.getBoundingClientRect().right > width + 0.5)
      const names = wide.slice(0, 8).map((element) => `${element.tagName.toLowerCase()}#${element.id}.${element.className}`)
      return [`the page is ${document.documentElement.scrollWidth} wide in ${width}`, ...names]
    })
  }

  /** What a person would see, for a test that failed. */
  async seen() {
    const shown = await within(5, 'the page answers', this.page.evaluate(() => document.body.innerText)).catch((error) => error.message)
    const lines = String(shown).split('\n').filter((line) => line.trim() !== '')
    return `--- ${this.page.url()}\n${lines.slice(0, 30).join('\n')}\n--- its console\n${this.hygiene.console.slice(-40).join('\n')}`
  }
}
