// What no page of this project may do in any test: errors on the console, uncaught errors, violations of
// its own Content-Security-Policy, requests to other origins, dialogs, crashes.
const OWN_SCHEMES = ['data:', 'blob:']
const VIOLATION = 'securitypolicyviolation'

/** Runs in the page and in its Workers: the browser does not log every violation by itself. */
function tellViolations(mark) {
  globalThis.addEventListener(mark, (event) => {
    console.error(`${mark}: ${event.violatedDirective} forbids ${event.blockedURI} at ${event.sourceFile}:${event.lineNumber}`)
  })
}

/** Watches a page from before its first request. */
export class Hygiene {
  findings = []
  /** All that the page and its Workers logged, for a test that failed. */
  console = []
  #origins
  #times = []

  /** `origins` are those that the page may talk to. */
  static async watch(page, origins) {
    const hygiene = new Hygiene()
    hygiene.#origins = new Set(origins)
    page.on('console', (message) => hygiene.#logged(message))
    page.on('pageerror', (error) => hygiene.#found('page error', error.stack ?? String(error)))
    page.on('crash', () => hygiene.#found('crash', page.url()))
    page.on('request', (request) => hygiene.#requested(request.url()))
    page.on('websocket', (socket) => hygiene.#requested(socket.url()))
    page.on('popup', (popup) => hygiene.#found('popup', popup.url()))
    page.on('dialog', (dialog) => {
      hygiene.#found('dialog', dialog.message())
      dialog.dismiss().catch(() => {})
    })
    page.on('worker', (worker) => {
      // It may have ended already.
      worker.evaluate(tellViolations, VIOLATION).catch(() => {})
    })
    await page.addInitScript(tellViolations, VIOLATION)
    return hygiene
  }

  #logged(message) {
    const { url, lineNumber } = message.location()
    const text = `${message.text()} (${url}:${lineNumber})`
    this.console.push(`${message.type()}: ${text}`)
    if (message.type() === 'error') this.#found('console error', text)
  }

  #requested(address) {
    const { protocol, origin, host } = new URL(address)
    const page = { 'ws:': 'http:', 'wss:': 'https:' }[protocol]
    const same = page ? `${page}//${host}` : origin
    if (OWN_SCHEMES.includes(protocol) || this.#origins.has(same)) return
    this.#found('request to another origin', address)
  }

  #found(kind, text) {
    this.findings.push(`${kind}: ${text}`)
    this.#times.push(Date.now())
  }

  /** What was found and is not allowed by one of the patterns. After `gone`, when the coordinator had ended,
   * it is no fault of the page that it cannot be reached. */
  beyond(allowed, gone = Infinity) {
    return this.findings.filter((finding, index) => {
      const late = this.#times[index] >= gone && CONNECTION_ERRORS.test(finding)
      return !late && !allowed.some((pattern) => pattern.test(finding))
    })
  }
}

/** What a browser logs when a server is gone or a connection breaks. */
export const CONNECTION_ERRORS = /net::ERR_(CONNECTION|EMPTY_RESPONSE|INCOMPLETE_CHUNKED_ENCODING|TIMED_OUT|ABORTED|NETWORK|INTERNET|SOCKET)|WebSocket connection to .* failed/
