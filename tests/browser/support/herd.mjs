// The coordinator of a test: a run of `herd train` with its address, token and ledger.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import https from 'node:https'
import path from 'node:path'

import { Program } from './program.mjs'
import { within } from './waiting.mjs'

const STATUS_SECONDS = 10

/** The exit code of a run that was stopped. */
const INTERRUPTED = 130

/** How to join, as it is printed. */
const JOIN = /^join +herd-worker (wss?:\S+) --token (\S+)(?: --fingerprint (\S+))?$/m

export class Herd {
  /** The `ws://HOST:PORT` or `wss://HOST:PORT` for native workers. */
  address = ''
  /** The `http://HOST:PORT` or `https://HOST:PORT` of the page. */
  origin = ''
  token = ''
  /** The tokens of who watches the run, and of who controls it. */
  viewer = ''
  admin = ''
  /** That of the run's own certificate, if it has one. */
  fingerprint = ''
  /** @type {(program: Program) => void} */
  #onProgram = () => {}

  /** Starts a run without local workers. `args` are further flags of `herd train`; `onProgram` is told of
   * the process before anything can fail. */
  static async start(folder, { job, args = [], linger = 0, listen = '127.0.0.1:0' }, onProgram) {
    const herd = new Herd()
    herd.#onProgram = onProgram
    herd.folder = path.join(folder, 'run')
    const common = ['--json', '--workers', '0', '--listen', listen, '--linger', String(linger)]
    const all = ['train', ...(job ? [job] : []), ...common, '--run-dir', herd.folder, ...args]
    herd.program = new Program('herd', all, folder)
    onProgram(herd.program)
    const join = await herd.program.line(JOIN)
    const page = await herd.program.line(/^page +(https?:\/\/[^/\s]+)\/join#(\S+)$/m)
    herd.address = join[1]
    herd.token = join[2]
    herd.fingerprint = join[3] ?? ''
    herd.origin = page[1]
    assert.equal(page[2], herd.token, 'both ways of joining carry the same token')
    herd.viewer = (await herd.program.line(/^watch +https?:\/\/[^/\s]+\/#(\S+)$/m))[1]
    herd.admin = (await herd.program.line(/^admin +https?:\/\/[^/\s]+\/#(\S+)$/m))[1]
    return herd
  }

  /** Goes on with the run of a coordinator that has ended, where it was. */
  async resume({ linger = 0 } = {}) {
    const all = ['train', '--json', '--linger', String(linger), '--resume', this.folder]
    this.program = new Program('herd', all, path.dirname(this.folder))
    this.#onProgram(this.program)
    const join = await this.program.line(JOIN)
    assert.equal(join[1], this.address, 'workers find it where it was')
  }

  /** How many files of checkpoints there are. */
  async checkpoints() {
    const names = await readdir(path.join(this.folder, 'checkpoints')).catch(() => [])
    return names.length
  }

  /** The link for a browser. `through` is another origin that leads to the same coordinator. */
  link({ device, name, token = this.token, through = this.origin } = {}) {
    const query = new URLSearchParams()
    if (device) query.set('device', device)
    if (name) query.set('name', name)
    const question = query.size > 0 ? `?${query}` : ''
    return `${through}/join${question}${token === '' ? '' : `#${token}`}`
  }

  /** The link to the dashboard; a role's token, or any other, is its end. */
  dashboard(token = this.viewer) {
    return `${this.origin}/${token === '' ? '' : `#${token}`}`
  }

  /** One request to the coordinator as the bearer of a token. */
  ask(path, { token = this.viewer, ...options } = {}) {
    const headers = { ...options.headers, authorization: `Bearer ${token}` }
    return fetch(this.origin + path, { signal: AbortSignal.timeout(STATUS_SECONDS * 1000), ...options, headers })
  }

  /** The values of `/metrics` without labels: name to number. */
  async metrics() {
    const response = await this.ask('/metrics')
    assert.equal(response.status, 200, 'the coordinator tells its metrics')
    const lines = (await response.text()).matchAll(/^([a-z_]+) (\S+)$/gm)
    return new Map(Array.from(lines, ([, name, value]) => [name, Number(value)]))
  }

  /** A native worker of this run. */
  worker(folder, name, args = []) {
    const pinned = this.fingerprint === '' ? [] : ['--fingerprint', this.fingerprint]
    const all = [this.address, `--token=${this.token}`, ...pinned, '--once', '--device', 'cpu', '--name', name, ...args]
    return new Program('herd-worker', all, folder)
  }

  /** What the page is told about the run. */
  async status() {
    const headers = { authorization: `Bearer ${this.token}` }
    const url = `${this.origin}/v1/status`
    if (this.fingerprint !== '') return believingly(url, headers)
    const response = await fetch(url, { headers, signal: AbortSignal.timeout(STATUS_SECONDS * 1000) })
    assert.equal(response.status, 200, 'the coordinator tells its status')
    return response.json()
  }

  /** Waits for the end of the process and gives the ledger that it printed. */
  async ledger(seconds = 120, expected = 0) {
    const code = await this.program.end(seconds)
    assert.equal(code, expected, this.program.tail())
    return JSON.parse(this.program.output.trim().split('\n').at(-1))
  }

  /** Ends the run as Ctrl-C does, and gives its ledger. */
  interrupted() {
    this.program.kill('SIGINT')
    return this.ledger(60, INTERRUPTED)
  }

  /** The samples that each epoch counted. */
  async epochs() {
    const text = await readFile(path.join(this.folder, 'metrics.jsonl'), 'utf8')
    return text.trim().split('\n').map((line) => JSON.parse(line).samples)
  }
}

/** Asks a coordinator whose certificate is its own. */
async function believingly(url, headers) {
  const answer = async () => {
    const request = https.get(url, { headers, agent: false, rejectUnauthorized: false })
    const [response] = await once(request, 'response')
    assert.equal(response.statusCode, 200, 'the coordinator tells its status')
    const chunks = []
    for await (const chunk of response) chunks.push(chunk)
    return JSON.parse(Buffer.concat(chunks).toString())
  }
  return within(STATUS_SECONDS, url, answer())
}

/** Checks that a complete run counted each row of each epoch once, whoever trained it. */
export async function assertExact(herd, ledger, { rows, epochs }) {
  assert.equal(ledger.ending, 'complete', JSON.stringify(ledger))
  assert.equal(ledger.totals.samples, rows * epochs, 'samples of the totals')
  assert.equal(ledger.samples, rows * epochs, 'samples of the run')
  const sum = ledger.workers.reduce((total, worker) => total + worker.samples, 0)
  assert.equal(sum, rows * epochs, 'samples of all workers')
  const counted = await herd.epochs()
  assert.deepEqual(counted, Array(epochs).fill(rows), 'samples of each epoch')
}

/** The ledger's entries of workers with that name: one for each identity and slot. */
export function entries(ledger, name) {
  return ledger.workers.filter((worker) => worker.name === name)
}

/** Merged samples of all workers with that name. */
export function samplesOf(ledger, name) {
  return entries(ledger, name).reduce((sum, worker) => sum + worker.samples, 0)
}
